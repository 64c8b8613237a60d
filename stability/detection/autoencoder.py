"""Autoencoder: a row is anomalous by what a net that knows the usual windows cannot rebuild of it."""

from __future__ import annotations

__all__ = ["KINDS", "Autoencoder"]

import itertools
from typing import TYPE_CHECKING

import numpy as np

from stability.detection.learned import REACH, NetDetector, scaled
from stability.detection.rows import Rows
from stability.detection.settings import above_zero, whole
from stability.schema import one_of

if TYPE_CHECKING:
    import torch
    from torch import nn

KINDS = ("dense", "convolutional")
CHUNK = 4_096  # windows that are rebuilt at once


class Autoencoder(NetDetector):
    r"""Score a row by the length of the difference between it and what is rebuilt of it from the window that it ends.

    The net is trained to rebuild windows of the history through a narrow middle. At work it is shown the last `window`
    rows, and only the last of them, at the window's right edge, is judged, so that no row that is judged was seen with
    what came after it. A metric's part of the score is its share of the squared length.

    Parameters
    ----------
    kind : {"dense", "convolutional"}
        ``dense``: layers over the flattened window. ``convolutional``: filters over time that look back only, with a
        middle of few channels.
    window : int
        Rows.
    code : int
        Numbers of the middle: of the window, or, convolutional, of a row.
    clip : float
        Largest distance of a value from the history's mean, in deviations.
    epochs, patience, batch, rate, seed, device
        As in `stability.nets.train`.

    References
    ----------
    Sakurada and Yairi (2014), doi 10.1145/2689746.2689747; Bai, Kolter and Koltun (2018), arXiv 1803.01271, section 3
    (convolutions that look back only).
    """

    def __init__(
        self,
        *,
        kind: str = "dense",
        window: int = 16,
        code: int = 8,
        clip: float = 20.0,
        epochs: int = 30,
        patience: int = 5,
        batch: int = 256,
        rate: float = 3e-3,
        seed: int = 0,
        device: str = "auto",
    ):
        super().__init__(epochs=epochs, patience=patience, batch=batch, rate=rate, seed=seed, device=device)
        one_of(kind, KINDS, "kind")
        whole(window=window, code=code)
        above_zero(clip=clip)
        self.kind, self.window, self.code, self.clip = kind, window, code, clip

    @property
    def name(self) -> str:
        """Its column in `scores`."""
        return "autoencoder" if self.kind == "dense" else "autoencoder_convolutional"

    def _make(self, metrics: int) -> nn.Module:
        made = _dense if self.kind == "dense" else _convolutional
        return made(metrics, self._rows, self.code)

    def _length(self, longest: int) -> int:
        self._rows = max(min(self.window, longest // 3), 1)
        return self._rows

    def _learn(self, rows: Rows) -> dict[str, np.ndarray]:
        learnt = super()._learn(rows)
        self.common_["rows"] = np.array(self._rows)
        return learnt

    def _build(self) -> None:
        self._rows = int(self.common_["rows"]) if "rows" in self.common_ else self._rows
        super()._build()

    def _loss(self, net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        import torch

        if self._complete:
            return torch.nn.functional.smooth_l1_loss(net(windows), windows)
        there = ~torch.isnan(windows)
        shown = torch.where(there, windows, 0.0)
        away = torch.nn.functional.smooth_l1_loss(net(shown), shown, reduction="none")
        return torch.where(there, away, 0.0).sum() / there.sum().clamp(min=1)

    def _begin(self, entities: int, metrics: int) -> dict[str, np.ndarray]:
        return {
            "lately": np.full((entities, self._rows - 1, metrics), np.nan),
            "read": np.zeros(entities, dtype="int64"),
        }

    def _walk(self, rows: Rows, learnt, state) -> np.ndarray:
        values = np.clip(scaled(rows, learnt), -self.clip, self.clip)
        away = np.full(values.shape, np.nan)
        if self._net is None:
            return away
        if (np.diff(rows.starts) == 1).all():  # live: a row each
            windows = np.concatenate([state["lately"], values[:, None]], axis=1)
            away[:] = self._away(windows)
            state["read"] += 1
            away[state["read"] < self._rows] = np.nan
            state["lately"][:] = windows[:, 1:]
        else:
            for e, (a, b) in enumerate(itertools.pairwise(rows.starts)):
                joined = np.concatenate([state["lately"][e], values[a:b]])
                windows = np.lib.stride_tricks.sliding_window_view(joined, self._rows, axis=0).transpose(0, 2, 1)
                away[a:b] = self._away(windows)
                away[a : min(b, a + max(self._rows - 1 - int(state["read"][e]), 0))] = np.nan
                state["lately"][e] = joined[len(joined) - self._rows + 1 :]
                state["read"][e] += b - a
        squares = np.where(np.isnan(values), 0.0, away) ** 2
        length = np.sqrt(squares.sum(axis=1, keepdims=True))
        parts = squares / np.where(length > 0, length, 1.0)
        return np.where(np.isnan(values), np.nan, parts)

    def _away(self, windows: np.ndarray) -> np.ndarray:
        """Difference of the last row of each window from what is rebuilt of it."""
        import torch

        found = np.empty((len(windows), windows.shape[2]))
        with torch.inference_mode():
            for a in range(0, len(windows), CHUNK):
                part = np.nan_to_num(windows[a : a + CHUNK])
                shown = torch.from_numpy(np.clip(part, -REACH, REACH))
                found[a : a + CHUNK] = windows[a : a + CHUNK, -1] - self._net(shown)[:, -1].numpy()
        return found

    def _combine(self, parts: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(parts).all(axis=1), np.nan, np.nansum(parts, axis=1))


def _dense(metrics: int, window: int, code: int) -> nn.Module:
    from torch import nn

    size = metrics * window
    middle = min(code, max(size // 2, 1))
    wide = min(max(4 * middle, size // 2), 256)
    return nn.Sequential(
        nn.Flatten(1),
        nn.Linear(size, wide),
        nn.SiLU(),
        nn.Linear(wide, middle),
        nn.Linear(middle, wide),
        nn.SiLU(),
        nn.Linear(wide, size),
        nn.Unflatten(1, (window, metrics)),
    )


def _convolutional(metrics: int, window: int, code: int) -> nn.Module:
    import torch
    from torch import nn

    class LooksBack(nn.Module):
        """A convolution over time of three rows that lie `apart`, the last being the row itself."""

        def __init__(self, taken: int, given: int, apart: int) -> None:
            super().__init__()
            self.apart, self.weigh = apart, nn.Linear(3 * taken, given)

        def forward(self, values):
            rows = values.shape[1]
            padded = nn.functional.pad(values, (0, 0, 2 * self.apart, 0))
            return self.weigh(torch.cat([padded[:, k * self.apart : k * self.apart + rows] for k in range(3)], dim=2))

    middle, wide = max(1, min(code, metrics // 2)), 32
    return nn.Sequential(
        LooksBack(metrics, wide, 1),
        nn.SiLU(),
        LooksBack(wide, middle, 2),
        LooksBack(middle, wide, 2),
        nn.SiLU(),
        LooksBack(wide, metrics, 1),
    )
