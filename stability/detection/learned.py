"""What detectors with a net have in common: one net for all entities, on values in each one's own deviations."""

from __future__ import annotations

__all__ = ["NetDetector", "scaled"]

import itertools
from typing import TYPE_CHECKING

import numpy as np

from stability.detection.manner import Detector
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.detection.subspace import standard

if TYPE_CHECKING:
    import torch
    from torch import nn

FLOOR = 0.01  # smallest deviation, as a share of the history's range
REACH = 10.0  # deviations at which what a net is shown is cut
LATER = 0.2  # share of the history that decides when training stops
LEAST = 16  # windows to learn from: with fewer nothing is learnt, and nothing judged


class NetDetector(Detector):
    """A detector whose scores come from a net; a subclass says which net, which loss, and how rows are judged.

    Whether values are missing in the history is found once (`_complete`), so that a loss need not ask at each step.

    Parameters
    ----------
    epochs, patience, batch, rate
        As in `stability.nets.train`.
    seed : int
    device : str
        Where to train; scores are computed on the CPU in float64, so that a row alone gets what it gets among others.
    """

    of_the_fleet = True  # one net learns from all entities
    _complete = False

    def __init__(self, *, epochs: int, patience: int, batch: int, rate: float, seed: int, device: str) -> None:
        whole(epochs=epochs, patience=patience, batch=batch)
        whole(0, seed=seed)
        above_zero(rate=rate)
        self.epochs, self.patience, self.batch = epochs, patience, batch
        self.rate, self.seed, self.device = rate, seed, device

    def _make(self, metrics: int) -> nn.Module:
        raise NotImplementedError

    def _loss(self, net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        """Mean loss of windows of scaled values, cut at `REACH`, NaN where missing."""
        raise NotImplementedError

    def _length(self, longest: int) -> int:
        """Rows of a window, where the longest history has so many."""
        raise NotImplementedError

    def _every(self, length: int) -> int:
        """One in so many windows is taken in an epoch."""
        return 1

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        from stability import nets

        shape = (len(rows.entities), rows.values.shape[1])
        mean, scale = np.zeros(shape), np.ones(shape)
        for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
            mean[e], scale[e] = standard(rows.values[a:b], FLOOR)
            scale[e, np.isnan(rows.values[a:b]).all(axis=0)] = np.nan  # never seen: not judged either
        sizes = np.diff(rows.starts)
        values = np.clip(scaled(rows, {"mean": mean, "scale": scale}), -REACH, REACH)
        self._complete = not np.isnan(values).any()
        windows = nets.Windows(values, rows.starts, self._length(int(sizes.max())), later=LATER)
        self.common_ = {}
        if len(windows.training) >= LEAST:
            settings = {"epochs": self.epochs, "patience": self.patience, "batch": self.batch, "rate": self.rate}
            settings |= {"seed": self.seed, "device": self.device, "every": self._every(windows.length)}
            net, self.training_ = nets.train(lambda: self._make(shape[1]), self._loss, windows, **settings)
            self.common_ = {f"net.{name}": kept for name, kept in nets.weights_of(net).items()}
        self._build()
        return {"mean": mean, "scale": scale}

    def _build(self) -> None:
        """The net from its weights, for scoring; none where nothing was learnt."""
        import torch

        self._net = None
        if not any(name.startswith("net.") for name in self.common_):
            return
        net = self._make(len(self.metrics_)).double().eval()
        stored = {name: torch.from_numpy(np.array(kept)) for name, kept in self.common_.items()}
        net.load_state_dict({name[4:]: kept for name, kept in stored.items() if name.startswith("net.")})
        self._net = net


def scaled(rows: Rows, learnt: dict[str, np.ndarray]) -> np.ndarray:
    """Give values in deviations from the mean of their entity's history."""
    sizes = np.diff(rows.starts)
    return (rows.values - np.repeat(learnt["mean"], sizes, axis=0)) / np.repeat(learnt["scale"], sizes, axis=0)
