"""Which failure mode a candidate shows, by the nearest known picture of symptoms, and "unknown" when none is near."""

from __future__ import annotations

__all__ = ["UNKNOWN", "ModeNamer", "symptom_picture"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.onset import changes

UNKNOWN = "unknown"
KEPT = 0.95  # share of known cases that are to stay known
SHRINK = 3.0  # cases that a mode's centre is drawn to that of all modes with: few cases are no picture


def symptom_picture(case: Case, entity: str, metrics: pd.DataFrame | None = None) -> pd.Series:
    """How each metric of an entity moved: signed log of standard errors, and which modes rules name there.

    Parameters
    ----------
    case : Case
    entity : str
    metrics : DataFrame, optional
        Noise of normal time, as `Usual.metrics`.

    Returns
    -------
    Series of float64, index metric, or `rule:<failure mode>`
    """
    own = case.telemetry[case.telemetry.index.isin([entity], "entity")]
    picture = pd.Series(dtype="float64")
    if len(own):
        found = changes(own, metrics).droplevel("entity")
        picture = (np.sign(found["difference"]) * np.log1p(found["z"].abs())).fillna(0.0)
    fired = case.get("firings")
    if fired is not None:
        named = fired.loc[fired["entity"] == entity, "failure_mode"].replace("", np.nan).dropna().unique()
        picture = pd.concat([picture, pd.Series(1.0, index=[f"rule:{mode}" for mode in named])])
    return picture


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
            As from `symptom_picture`.
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
        seen = picture.reindex(self.scale_.index, fill_value=0.0)
        strange = picture[~picture.index.isin(self.scale_.index)]
        squares = (((self.centres_ - seen) / self.scale_) ** 2).sum(axis=1)
        columns = max(len(self.scale_) + len(strange), 1)
        apart = np.sqrt((squares + float((strange**2).sum())) / columns)
        odds = np.exp(-(squares - squares.min()) / 2) * self.shares_
        best = odds.idxmax()
        return (best if apart[best] <= self.farthest_ else UNKNOWN), float(odds[best] / odds.sum())

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
