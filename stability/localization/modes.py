"""Which failure mode a candidate shows, by the nearest known picture of symptoms, and "unknown" when none is near."""

from __future__ import annotations

__all__ = ["UNKNOWN", "ModeNamer", "symptom_pictures"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.evidence import Usual
from stability.localization.flows import FLOWS
from stability.localization.onset import grid_of, moved_of

UNKNOWN = "unknown"
KEPT = 0.95  # share of known cases that are to stay known
SHRINK = 3.0  # cases that a mode's centre is drawn to that of all modes with: few cases are no picture


def symptom_pictures(case: Case, rows: pd.DataFrame, usual: Usual | None = None) -> list[pd.Series]:
    """How each metric of some candidates moved: signed log of standard errors; their flows; modes that rules name.

    Parameters
    ----------
    case : Case
    rows : DataFrame, index (entity, metric)
        The candidates' rows of the evidence: their own excess of seconds and of failures is a symptom too.
    usual : Usual, optional
        Noise of normal time.

    Returns
    -------
    list of Series of float64, index metric, `flow:<flow>`, or `rule:<failure mode>`
    """
    entities = rows.index.get_level_values("entity")
    own = case.telemetry[case.telemetry.index.isin(entities, "entity")]
    seen: dict[str, dict[str, float]] = {}
    if len(own):
        grid = grid_of(own)
        nothing = np.full(grid.values.shape[1:], np.nan)
        moved = moved_of(grid, *((nothing, nothing) if usual is None else usual.block(grid)))
        signed = np.nan_to_num(np.sign(moved.difference) * np.log1p(np.abs(moved.z)))
        seen = {
            e: dict(zip(grid.metrics, row, strict=True)) for e, row in zip(grid.entities, signed.tolist(), strict=True)
        }
    named = next((FLOWS[name] for name in case.metrics if name in FLOWS), None)
    fired = case.get("firings")
    pictures = []
    for place, entity in enumerate(entities):
        picture = dict(seen.get(entity, {}))
        if named is not None and "topology.sure" in rows:
            rest = next(flow for flow in FLOWS.values() if flow != named)
            other = rows["topology.other"].iloc[place] if "topology.other" in rows else 0.0
            picture |= {f"flow:{named}": rows["topology.sure"].iloc[place], f"flow:{rest}": other}
        if fired is not None:
            modes = fired.loc[fired["entity"] == entity, "failure_mode"].dropna().unique()
            picture |= {f"rule:{mode}": 1.0 for mode in modes if mode}
        pictures.append(pd.Series(picture, dtype="float64"))
    return pictures


class ModeNamer:
    """Nearest picture of symptoms, with a distance beyond which the mode is unknown.

    Parameters
    ----------
    kept : float in (0, 1)
        Share of the cases learnt from (each left out of its own mode's picture) that are to be named.

    Attributes
    ----------
    centres_ : DataFrame, index failure mode, columns symptoms
    scale_ : Series, index symptom
        Spread of cases around their modes' centres.
    farthest_ : float
        Distance from which on the mode is unknown.

    Examples
    --------
    >>> hot, slow = pd.Series({"heat": 3.0, "wait": 0.0}), pd.Series({"heat": 0.0, "wait": 3.0})
    >>> namer = ModeNamer().fit([hot, hot, hot * 1.1, slow, slow, slow * 1.1], ["fan"] * 3 + ["queue"] * 3)
    >>> [namer.name(seen)[0] for seen in (hot, slow, pd.Series({"heat": -30.0}))]
    ['fan', 'queue', 'unknown']
    """

    def __init__(self, kept: float = KEPT):
        self.kept = kept

    def fit(self, pictures: Sequence[pd.Series], modes: Sequence[str]) -> ModeNamer:
        """Learn a picture of each mode.

        Parameters
        ----------
        pictures : sequence of Series
            As from `symptom_pictures`.
        modes : sequence of str
            Of each case.

        Returns
        -------
        ModeNamer
        """
        x = pd.DataFrame(list(pictures)).fillna(0.0).reset_index(drop=True)
        labels = pd.Series(list(modes))
        middle = x.mean() if len(x) else pd.Series(dtype="float64")
        sums, counts = x.groupby(labels).sum(), labels.value_counts()
        weight = counts.reindex(sums.index).astype(float)
        self.centres_ = (sums + SHRINK * middle).div(weight + SHRINK, axis=0).rename_axis("failure_mode")
        inside = x - sums.div(weight, axis=0).reindex(labels).to_numpy() if len(x) else x
        self.scale_ = np.sqrt((inside**2).mean() + 0.25)
        self.shares_ = (weight / weight.sum()).rename_axis("failure_mode")
        apart = []
        for i, mode in enumerate(labels):  # how far a case lies from its mode's picture without it
            n = weight[mode] - 1
            centre = (sums.loc[mode] - x.loc[i] + SHRINK * middle) / (n + SHRINK)
            apart.append(float(np.sqrt((((x.loc[i] - centre) / self.scale_) ** 2).mean())))
        self.farthest_ = float(np.quantile(apart, self.kept)) if apart else 0.0
        return self

    def name(self, picture: pd.Series) -> tuple[str, float]:
        """Name the mode and its probability among the known ones; 'unknown' where none is near."""
        if not len(self.centres_):
            return UNKNOWN, 0.0
        known = self.scale_.index
        own = np.array([picture.get(name, 0.0) for name in known])
        strange = np.array([value for name, value in picture.items() if name not in known])
        squares = (((self.centres_.to_numpy() - own) / self.scale_.to_numpy()) ** 2).sum(axis=1)
        apart = np.sqrt((squares + (strange**2).sum()) / max(len(own) + len(strange), 1))
        odds = np.exp(-(squares - squares.min()) / 2) * self.shares_.to_numpy()
        best = int(odds.argmax())
        named = self.centres_.index[best] if apart[best] <= self.farthest_ else UNKNOWN
        return named, float(odds[best] / odds.sum())

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON."""
        named = {
            "centres": self.centres_.to_dict("index"),
            "scale": self.scale_.to_dict(),
            "shares": self.shares_.to_dict(),
        }
        return {"kept": self.kept, "farthest": self.farthest_, **named}

    @classmethod
    def from_dict(cls, said: Mapping) -> ModeNamer:
        """The namer that `to_dict` wrote."""
        made = cls(float(said["kept"]))
        made.scale_ = pd.Series(said["scale"], dtype="float64")
        made.centres_ = pd.DataFrame.from_dict(
            said["centres"], orient="index", columns=made.scale_.index, dtype="float64"
        )
        made.shares_ = pd.Series(said["shares"], dtype="float64")
        made.farthest_ = float(said["farthest"])
        return made
