"""Nets that read the last rows of an entity as they came, and all features of the newest: an LSTM and a convolution."""

from __future__ import annotations

__all__ = ["Convolution", "Lstm", "SequencePredictor"]

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stability.detection.rows import runs
from stability.prediction.manner import Predictor, Scaled
from stability.schema import ContractError

if TYPE_CHECKING:
    import torch
    from torch import nn

NOW = "__last__now"  # how features are called that are the metrics themselves
CHUNK = 4_096  # windows that are judged at once
LATER = 0.15  # share of the training rows, the last in time, that decides when training stops
BETWEEN = 0.05  # share before those that is left out, so that what is ahead of both is not the same


class SequencePredictor(Predictor):
    """A net over windows of the metrics themselves and the features of their last row.

    Rows before an entity's first count as unknown. Faults are rare, so they weigh more while the net learns, by the
    root of how rare they are; what it says is set back by as much, so that it stays a probability.

    Parameters
    ----------
    window : int
        Rows that are read.
    hidden : int
        Units, or channels.
    epochs, patience, batch, rate, seed, device
        As in `stability.nets.train`.
    """

    def __init__(
        self,
        *,
        window: int = 24,
        hidden: int = 32,
        epochs: int = 20,
        patience: int = 4,
        batch: int = 256,
        rate: float = 3e-3,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        for name, value in {"window": window, "hidden": hidden, "epochs": epochs, "batch": batch}.items():
            if value < 1:
                raise ContractError(column=name, expected="a number from 1 up", got=value)
        self.window, self.hidden, self.epochs, self.patience = window, hidden, epochs, patience
        self.batch, self.rate, self.seed, self.device = batch, rate, seed, device

    def _make(self, raw: int, features: int) -> nn.Module:
        raise NotImplementedError

    def _raw(self) -> list[int]:
        """Columns that are metrics themselves; all of them, where none is."""
        return [k for k, name in enumerate(self.features_) if name.endswith(NOW)] or list(range(len(self.features_)))

    def _padded(self, features: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scaled rows with `window` - 1 unknown ones before each entity's first, and where each row is in it."""
        values = self.scale_.apply(self._values(features)).astype("float64")
        starts = runs(features.index)[1] if features.index.nlevels == 2 else np.array([0, len(features)])
        before = self.window - 1
        place = np.arange(len(values)) + before * (np.searchsorted(starts, np.arange(len(values)), side="right"))
        padded = np.zeros((len(values) + before * (len(starts) - 1), values.shape[1]))
        padded[place] = values
        return padded, place

    def _learn_rows(self, features: pd.DataFrame, happened: np.ndarray, rows: np.ndarray) -> None:
        import torch

        from stability import nets

        self.scale_ = Scaled.learn(self._values(features)[rows])
        padded, place = self._padded(features)
        labelled = np.zeros((len(padded), padded.shape[1] + 1))
        labelled[:, :-1] = padded
        labelled[place, -1] = happened
        windows = nets.Windows(labelled, np.array([0, len(labelled)]), self.window)
        taken = np.flatnonzero(rows)
        if features.index.nlevels == 2:
            taken = taken[np.argsort(features.index.get_level_values("timestamp")[taken], kind="stable")]
        last, first = (int(len(taken) * (1 - share)) for share in (LATER, LATER + BETWEEN))
        held = taken[last:] if happened[taken[last:]].any() and happened[taken[:first]].any() else taken[:0]
        learnt = taken[:first] if len(held) else taken
        windows.training, windows.held = (torch.from_numpy(place[own] - self.window + 1) for own in (learnt, held))
        weight = float(np.sqrt((~happened[learnt]).sum() / max(happened[learnt].sum(), 1)))
        self.weight_, self.raw_ = max(weight, 1.0), self._raw()
        settings = {"epochs": self.epochs, "patience": self.patience, "batch": self.batch, "rate": self.rate}
        settings |= {"seed": self.seed, "device": self.device}
        net, self.training_ = nets.train(self._net, self._loss, windows, **settings)
        self._build(nets.weights_of(net))

    def _net(self) -> nn.Module:
        return self._make(len(self.raw_), len(self.features_))

    def _said(self, net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        """Log odds, as learnt under the weight."""
        import torch

        raw = torch.stack([windows[:, :, k] for k in self.raw_], dim=2)
        return net(raw, windows[:, -1, : len(self.features_)])

    def _loss(self, net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        import torch

        label = windows[:, -1, -1]
        weight = 1 + (self.weight_ - 1) * label
        said = self._said(net, windows[:, :, :-1])
        return torch.nn.functional.binary_cross_entropy_with_logits(said, label, weight)

    def _build(self, weights: dict[str, np.ndarray]) -> None:
        import torch

        self.weights_ = weights
        self._judge = self._net().double().eval()
        self._judge.load_state_dict({name: torch.from_numpy(np.array(kept)) for name, kept in weights.items()})

    def _probability_of_rows(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        import torch

        padded, place = self._padded(features)
        views = np.lib.stride_tricks.sliding_window_view(padded, self.window, axis=0).transpose(0, 2, 1)
        first, found = place[rows] - self.window + 1, []
        with torch.inference_mode():
            for a in range(0, len(first), CHUNK):
                part = torch.from_numpy(np.ascontiguousarray(views[first[a : a + CHUNK]]))
                found.append(self._said(self._judge, part).numpy())
        odds = np.concatenate(found) - np.log(self.weight_)
        return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))

    def _write(self, folder: Path) -> None:
        from stability import nets

        nets.save_weights(self._judge.float(), folder / "weights.safetensors")
        self._judge.double()
        learnt = {"middle": self.scale_.middle, "spread": self.scale_.spread, "weight": np.array(self.weight_)}
        np.savez(folder / "learnt.npz", **learnt)

    def _read(self, folder: Path) -> None:
        from stability import nets

        with np.load(folder / "learnt.npz", allow_pickle=False) as kept:
            self.scale_, self.weight_ = Scaled(kept["middle"], kept["spread"]), float(kept["weight"])
        self.raw_ = self._raw()
        self._build(nets.weights_of(nets.load_weights(self._net(), folder / "weights.safetensors")))


class Lstm(SequencePredictor):
    """An LSTM reads the window; its last state, and the features of the last row, say the odds.

    Parameters
    ----------
    window, hidden, epochs, patience, batch, rate, seed, device
        As of `SequencePredictor`.

    References
    ----------
    Hochreiter and Schmidhuber (1997), doi 10.1162/neco.1997.9.8.1735.
    """

    name = "lstm"

    def _make(self, raw: int, features: int) -> nn.Module:
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self, hidden: int) -> None:
                super().__init__()
                self.lstm = nn.LSTM(raw, hidden, batch_first=True)
                self.head = _head(hidden, features)

            def forward(self, window, now):
                return self.head(torch.cat([self.lstm(window)[0][:, -1], now], dim=1))[:, 0]

        return Net(self.hidden)


class Convolution(SequencePredictor):
    """Filters over time, their mean and their largest answer, and the features of the last row, say the odds.

    Parameters
    ----------
    window, hidden, epochs, patience, batch, rate, seed, device
        As of `SequencePredictor`.

    References
    ----------
    Fawaz et al. (2019), doi 10.1007/s10618-019-00619-1, section 3.2 (convolutions for time series classification).
    """

    name = "convolution"

    def _make(self, raw: int, features: int) -> nn.Module:
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self, hidden: int) -> None:
                super().__init__()
                self.filters = nn.Sequential(
                    nn.Conv1d(raw, hidden, 5, padding=2), nn.SiLU(), nn.Conv1d(hidden, hidden, 3, padding=1), nn.SiLU()
                )
                self.head = _head(2 * hidden, features)

            def forward(self, window, now):
                found = self.filters(window.transpose(1, 2))
                return self.head(torch.cat([found.mean(dim=2), found.amax(dim=2), now], dim=1))[:, 0]

        return Net(self.hidden)


def _head(read: int, features: int) -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(read + features, 64), nn.SiLU(), nn.Dropout(0.2), nn.Linear(64, 1))
