"""The feature store: blocks of items, each feature a median of raw observations in SQLite, over HTTP."""

from __future__ import annotations

__all__ = ["Store", "main"]

import sqlite3
from pathlib import Path

import numpy as np
from fastapi import HTTPException
from fastapi.responses import Response
from prometheus_client import Gauge

from stability.testbed.effects import Effects, common_effects, setting
from stability.testbed.observations import BLOCK, build, medians
from stability.testbed.service import Service, arguments, serve
from stability.testbed.task import ITEMS, item_features

NEIGHBOUR = 97  # how many blocks away a stale row comes from

PSI = Gauge("feature_drift_psi", "Population stability index of the features served lately, against all items.")


class Store:
    """Blocks of features out of the database.

    Parameters
    ----------
    path : Path
        The database.
    """

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, check_same_thread=False)
        self.stale = 0.0  # share of the rows that are another item's
        self.rng = np.random.default_rng()
        self.lately = np.zeros(10)
        edges = np.quantile(item_features(), np.linspace(0, 1, 11)[1:-1])
        self.edges = edges.astype("float32")

    def block(self, number: int) -> np.ndarray:
        """Features of a block, float32, (BLOCK, FEATURES)."""
        features = self._medians(number)
        if self.stale:
            other = self._medians((number + NEIGHBOUR) % (ITEMS // BLOCK))
            wrong = self.rng.random(BLOCK) < self.stale
            features[wrong] = other[::-1][wrong]
        counts = np.bincount(np.searchsorted(self.edges, features.ravel()), minlength=10)
        self.lately = 0.98 * self.lately + counts
        return features

    def _medians(self, number: int) -> np.ndarray:
        row = self.database.execute("select raw from observations where block = ?", (number,)).fetchone()
        if row is None:
            raise HTTPException(404, f"no block {number}: there are {ITEMS // BLOCK}")
        return medians(row[0])

    def drift(self) -> float:
        """Population stability index of what was served lately; 0 before anything was."""
        total = self.lately.sum()
        if not total:
            return 0.0
        share = np.maximum(self.lately / total, 1e-6)
        return float(((share - 0.1) * np.log(share / 0.1)).sum())


def application(service: Service, store: Store) -> None:
    """Give the store its routes and effects."""
    PSI.set_function(store.drift)

    @service.app.get("/v1/blocks/{number}")
    async def block(number: int) -> Response:
        return Response(store.block(number).tobytes(), media_type="application/octet-stream")

    stale = setting(lambda level: setattr(store, "stale", min(0.6 * level, 1.0)))
    Effects(service, common_effects(service) | {"stale_features": stale})


def main() -> None:
    """Serve features."""
    told = arguments(__doc__).parse_args()
    service = Service(told.name, told.home)
    application(service, Store(build(told.home / "store")))
    serve(service, told.port)


if __name__ == "__main__":
    main()
