"""LSTM: how improbable a value is under what a net, which has read the rows before, said of it."""

from __future__ import annotations

__all__ = ["Lstm"]

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stability.detection.learned import LATER, REACH, NetDetector, scaled
from stability.detection.rows import Rows
from stability.detection.settings import whole
from stability.schema import ContractError

if TYPE_CHECKING:
    import torch
    from torch import nn

LEAST = 0.02  # smallest scale that is foretold, in deviations of the history
SHORTEST = 0.1  # least stretch: a constant that is foretold to the last bit is no measure
BEFORE = 8  # rows that the net has read before its words count, in training and at work


class Lstm(NetDetector):
    r"""Score a value by minus the decimal logarithm of the probability of one that lies so far from its forecast.

    An LSTM reads the rows and foretells, of each metric some rows ahead, a Laplace distribution: a median
    :math:`\mu` and a scale :math:`b`, both learnt by maximum likelihood. So

    .. math:: -\log_{10} P(|X - \mu| \ge |x - \mu|) = \frac{|x - \mu|}{b \ln 10}

    and a metric's part of the score is the mean of this over the horizons, stretched, for each entity and metric, until
    one in ten rows of the held-back end of the history has a part above 1. A row's score is the sum of its parts: the
    improbability of all of them, were they independent. One net serves all entities; what it has read of each is its
    state.

    Parameters
    ----------
    hidden : int
        Units of the net.
    horizons : sequence of int
        Rows ahead that are foretold.
    window : int
        Rows of a window that is trained on.
    epochs, patience, batch, rate, seed, device
        As in `stability.nets.train`.

    References
    ----------
    Malhotra et al. (2015), "Long short term memory networks for anomaly detection in time series", ESANN (errors at
    several horizons); Salinas et al. (2020), doi 10.1016/j.ijforecast.2019.07.001 (a distribution instead of a value);
    Barron (2021), arXiv 2112.11687 (squareplus, which keeps a scale above zero and is cheaper than softplus).
    """

    name = "lstm"

    def __init__(
        self,
        *,
        hidden: int = 32,
        horizons: Sequence[int] = (1, 8),
        window: int = 64,
        epochs: int = 20,
        patience: int = 4,
        batch: int = 256,
        rate: float = 5e-3,
        seed: int = 0,
        device: str = "auto",
    ):
        super().__init__(epochs=epochs, patience=patience, batch=batch, rate=rate, seed=seed, device=device)
        whole(hidden=hidden)
        whole(2, window=window)
        if not horizons:
            raise ContractError(column="horizons", expected="one or more", got="none")
        for ahead in horizons:
            whole(horizons=ahead)
        self.hidden, self.horizons, self.window = hidden, horizons, window

    def _make(self, metrics: int) -> nn.Module:
        return _net(metrics, self.hidden, len(self.horizons))

    def _length(self, longest: int) -> int:
        return max(min(self.window, longest // 3), 2)

    def _every(self, length: int) -> int:
        return max(length // 8, 1)

    def _loss(self, net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        return _loss(net, windows, self.horizons, self._complete)

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        learnt = super()._learn(rows)
        learnt["stretch"] = np.ones_like(learnt["mean"])
        state = self._begin(len(rows.entities), rows.values.shape[1])
        parts = self._walk(rows, learnt, state)
        for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
            late = parts[b - max(int(LATER * (b - a)), 1) : b]
            for m in np.flatnonzero((~np.isnan(late)).any(axis=0)):
                learnt["stretch"][e, m] = max(np.nanquantile(late[:, m], 0.9), SHORTEST)
        return learnt

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        ahead = (entities, len(self.horizons), max(self.horizons), metrics)
        return {
            "hidden": np.zeros((entities, self.hidden)),
            "cell": np.zeros((entities, self.hidden)),
            "median": np.full(ahead, np.nan),  # of the next rows, as foretold at each horizon
            "width": np.full(ahead, np.nan),
            "read": np.zeros(entities, dtype="int64"),
        }

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        values, parts = scaled(rows, learnt), np.full(rows.values.shape, np.nan)
        if self._net is None:
            return parts
        sizes = np.diff(rows.starts)
        if (sizes == 1).all():  # live: a row each
            groups = [(np.arange(len(sizes)), values[:, None])]
        else:
            groups = [(np.array([e]), values[None, a:b]) for e, (a, b) in enumerate(itertools.pairwise(rows.starts))]
        for which, block in groups:
            if block.shape[1] and len(which):
                found = self._read(block, which, state) / learnt["stretch"][which, None]
                parts[np.concatenate([np.arange(rows.starts[e], rows.starts[e + 1]) for e in which])] = found.reshape(
                    -1, values.shape[1]
                )
        return parts

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))

    def _read(self, block: np.ndarray, which: np.ndarray, state) -> np.ndarray:
        """Parts of some entities' rows, shape (entities, rows, metrics); their state goes on."""
        import torch

        count = block.shape[1]
        with torch.inference_mode():
            before = tuple(torch.from_numpy(state[key][which])[None].contiguous() for key in ("hidden", "cell"))
            median, width, after = self._net(torch.from_numpy(np.ascontiguousarray(block)), before)
        median, width = median.numpy(), width.numpy()  # (entities, rows, horizons, metrics)
        places = state["read"][which, None] + np.arange(count)
        exponents = []
        for k, ahead in enumerate(self.horizons):
            told = np.concatenate([state["median"][which, k, :ahead], median[:, :, k]], axis=1)
            wide = np.concatenate([state["width"][which, k, :ahead], width[:, :, k]], axis=1)
            early = (places < BEFORE + ahead)[:, :, None]  # foretold before enough was read
            with np.errstate(over="ignore"):
                exponents.append(np.where(early, np.nan, np.abs(block - told[:, :count]) / wide[:, :count]))
            state["median"][which, k, :ahead] = told[:, count:]
            state["width"][which, k, :ahead] = wide[:, count:]
        state["hidden"][which], state["cell"][which] = (part[0].numpy() for part in after)
        state["read"][which] += count
        found = np.array(exponents)
        known = (~np.isnan(found)).sum(axis=0)
        return np.where(known > 0, np.nansum(found, axis=0) / np.maximum(known, 1) / math.log(10), np.nan)


def _net(metrics: int, hidden: int, horizons: int) -> nn.Module:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2 * metrics, hidden, batch_first=True)
            self.head = nn.Linear(hidden, horizons * metrics * 2)
            self.keep = nn.Parameter(torch.full((horizons, metrics), 0.9))  # of the last value in the next one

        def forward(self, values, before=None):
            missing = torch.isnan(values)
            shown = torch.where(missing, 0.0, values).clamp(-REACH, REACH)
            read, after = self.lstm(torch.cat([shown, missing.to(shown.dtype)], dim=2), before)
            said = self.head(read).unflatten(2, (horizons, metrics, 2))
            median = self.keep * shown[:, :, None] + said[..., 0]
            return median, LEAST + 0.5 * (said[..., 1] + torch.sqrt(said[..., 1] ** 2 + 4.0)), after  # squareplus

    return Net()


def _loss(net: nn.Module, windows: torch.Tensor, horizons: Sequence[int], complete: bool) -> torch.Tensor:
    """Minus the mean log likelihood of the values that were there, but for constants."""
    import torch

    median, width, _ = net(windows)
    total, first = 0.0, min(BEFORE, windows.shape[1] // 4)
    for k, ahead in enumerate(horizons):
        if first + ahead >= windows.shape[1]:
            continue
        seen = windows[:, first + ahead :]
        told, wide = median[:, first : windows.shape[1] - ahead, k], width[:, first : windows.shape[1] - ahead, k]
        if complete:
            total = total + (torch.log(wide) + (seen - told).abs() / wide).mean()
            continue
        there = ~torch.isnan(seen)
        each = torch.where(there, torch.log(wide) + (torch.where(there, seen, told) - told).abs() / wide, 0.0)
        total = total + each.sum() / there.sum().clamp(min=1)
    return total / len(horizons) if not isinstance(total, float) else median.sum() * 0.0
