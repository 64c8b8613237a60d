"""All windows of a panel, as views of rows that are kept once."""

from __future__ import annotations

__all__ = ["Windows"]

import itertools

import numpy as np
import torch

from stability.schema import ContractError


class Windows:
    """All windows of one length that lie within an entity's rows: views of one array, copied a batch at a time.

    Parameters
    ----------
    values : array of float, shape (n, metrics)
        Rows of entities one after the other, each in time's order; kept once, as float32.
    starts : array of int, shape (entities + 1,)
        Position of each entity's first row; the last number is n.
    length : int
        Rows of a window; an entity with fewer has none.
    later : float in [0, 1)
        Share of each entity's rows, the last ones, that is held back from training. No window that is trained on
        shares a row with one that is held back.

    Attributes
    ----------
    training, held : LongTensors
        Positions of the windows' first rows.

    Examples
    --------
    >>> windows = Windows(np.arange(10.0)[:, None], np.array([0, 6, 10]), 3)
    >>> windows.training.tolist(), windows.batch(torch.tensor([0, 7]))[:, :, 0].tolist()
    ([0, 1, 2, 3, 6, 7], [[0.0, 1.0, 2.0], [7.0, 8.0, 9.0]])
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray, length: int, *, later: float = 0.0) -> None:
        if not length >= 1:
            raise ContractError(column="length", expected="a number of rows from 1 up", got=length)
        self.length = length
        self.values = torch.from_numpy(np.ascontiguousarray(values, dtype="float32"))
        first, held = [], []
        for a, b in itertools.pairwise(starts):
            border = b - int(later * (b - a))
            first.append(np.arange(a, max(border - length + 1, a)))
            held.append(np.arange(border, max(b - length + 1, border)))
        self.training, self.held = (torch.from_numpy(np.concatenate(part).astype("int64")) for part in (first, held))
        self._view()

    def _view(self) -> None:
        rows, metrics = self.values.shape
        count = max(rows - self.length + 1, 0)
        self.views = self.values.as_strided((count, self.length, metrics), (metrics, metrics, 1))

    def to(self, device: torch.device) -> Windows:
        """Move the rows to a device, in place."""
        self.values = self.values.to(device)
        self._view()
        return self

    def batch(self, first: torch.Tensor) -> torch.Tensor:
        """Copy the windows that begin at these rows: float32, shape (windows, length, metrics)."""
        return self.views[first.to(self.values.device)]
