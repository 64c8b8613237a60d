r"""What each failure mode looks like at its root: odds of each symptom's levels, from few cases and much smoothing.

For a candidate (entity e, mode m) the evidence of a symptom at level s is

.. math:: \ln P(s \mid m\ at\ e) - \ln P(s \mid not\ the\ root),\quad
    P(s \mid m) = \frac{n_{ms} + k\,P(s \mid any\ root)}{n_m + k}

(naive Bayes with Dirichlet smoothing), so a mode of which one case is known says little of its own, and a mode that
nobody has seen looks like any root. What a rule is labelled with counts as cases that were seen: an engineer's
knowledge of the mode. Sums by kind of evidence go to a ranker, which learns how much each kind is worth.
"""

from __future__ import annotations

__all__ = ["Signatures"]

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stability.localization.modes import UNKNOWN
from stability.localization.pictures import ABSENT, HIGHER, LEVELS, USUAL, Album
from stability.schema import ContractError

SMOOTHING = 2.0  # cases by which any root speaks beside a mode's own
BACKGROUND = 5.0  # rows by which even odds speak beside the background
TOLD = 1.0  # cases that the label of a rule counts for
LEAST = 2  # cases that show a symptom, or it is not learnt


class Signatures:
    """Log odds of symptoms for each failure mode, and for one that is not known.

    Parameters
    ----------
    smoothing : float
        Cases by which any root speaks beside a mode's own.
    told : float
        Cases that the label of a rule counts for.
    rules : mapping of rule to failure mode, optional
        Their labels.

    Attributes
    ----------
    modes_ : list of str
        The known ones.
    symptoms_ : list of str
    odds_ : array of float64, shape (symptoms, levels, modes + 1)
        The last is that of an unknown mode.
    seen_ : frozenset of str
        Symptoms that training cases showed, learnt or not.
    """

    def __init__(self, smoothing: float = SMOOTHING, told: float = TOLD, rules: Mapping[str, str] | None = None):
        self.smoothing, self.told, self.rules = smoothing, told, dict(rules or {})

    def fit(self, album: Album, roots: Mapping[str, tuple[str, str] | None]) -> Signatures:
        """Learn from cases whose root and mode are known, and from windows without a fault.

        Parameters
        ----------
        album : Album
            Of the cases; those that `roots` does not hold are left out.
        roots : mapping of alarm_id to (entity, failure mode) or None
            None: nothing was wrong.

        Returns
        -------
        Signatures

        Raises
        ------
        ContractError
            Without a fault.
        """
        if not any(roots.values()):
            raise ContractError(column="roots", expected="a case with a fault", got="none")
        here = np.array([name in roots for name in album.cases])
        shown = np.unique(album.case[here[album.case]], return_index=True)[1]
        seen = np.logical_or.reduceat(album.levels[here[album.case]] != USUAL, shown, axis=0).sum(axis=0)
        self.seen_ = frozenset(album.symptoms[seen > 0])
        kept = seen >= LEAST
        self.symptoms_ = list(album.symptoms[kept])
        self.modes_ = sorted({root[1] for root in roots.values() if root})
        faults = np.array([bool(roots.get(name)) for name in album.cases])[album.case]
        levels = album.levels[faults][:, kept]
        who = self._who(album, roots)[faults]
        hot = np.stack([levels == level for level in range(len(LEVELS))], axis=2).astype(float)
        hot[:, :, ABSENT] = 0.0
        counts = np.stack([hot[who == k].sum(axis=0) for k in range(len(self.modes_))])  # (modes, symptoms, levels)
        other = hot[who < 0].sum(axis=0)  # who is not the root of a fault: those that feel it are among them
        even = np.array([0.0, *[1 / (len(LEVELS) - 1)] * (len(LEVELS) - 1)])
        background = (other + BACKGROUND * even) / (other.sum(axis=1, keepdims=True) + BACKGROUND)
        share = (counts + background) / (counts.sum(axis=2, keepdims=True) + 1)
        any_root = share.mean(axis=0)
        counts, cases = self._with_labels(counts)
        own = (counts + self.smoothing * any_root) / (cases + self.smoothing)
        modes = len(self.modes_)
        every = np.concatenate([own, (modes * any_root + even)[None] / (modes + 1)])  # nobody knows what it moves
        every[:, :, ABSENT], background[:, ABSENT] = 1.0, 1.0  # what an entity cannot show speaks for nobody
        self.odds_ = np.moveaxis(np.log(every) - np.log(background), 0, -1)
        return self

    def _with_labels(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = counts.copy()
        for j, name in enumerate(self.symptoms_):
            mode = self.rules.get(name.removeprefix("rule."))
            if name.startswith("rule.") and mode in self.modes_:
                counts[self.modes_.index(mode), j, HIGHER] += self.told
        return counts, counts.sum(axis=2, keepdims=True)

    def _who(self, album: Album, roots: Mapping[str, tuple[str, str] | None]) -> np.ndarray:
        """Place of the mode for the row of a root, -1 for all others."""
        told = [roots.get(name) or ("", "") for name in album.cases]
        places = np.array([self.modes_.index(mode) if mode else -1 for _, mode in told])
        right = album.entity == np.array([entity for entity, _ in told], dtype=object)[album.case]
        return np.where(right, places[album.case], -1)

    def terms(self, one: pd.DataFrame) -> pd.DataFrame:
        """Give the log odds of each candidate by symptom.

        Parameters
        ----------
        one : DataFrame
            A picture.

        Returns
        -------
        DataFrame
            Index (entity, failure_mode), `UNKNOWN` among the modes; columns symptoms.
        """
        each = self._odds(one)
        return pd.DataFrame(each.reshape(-1, each.shape[-1]), index=self._index(one), columns=self.symptoms_)

    def sums(self, one: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
        """Sum the terms by kind of evidence, the part of a symptom's name before the dot; columns `kinds`."""
        own = np.array([name.split(".", 1)[0] for name in self.symptoms_], dtype=object)
        each = self._odds(one) @ (own[:, None] == np.array(kinds, dtype=object)).astype(float)
        return pd.DataFrame(each.reshape(-1, len(kinds)), index=self._index(one), columns=list(kinds))

    def _odds(self, one: pd.DataFrame) -> np.ndarray:
        """Log odds, shape (entities, modes + 1, symptoms)."""
        levels = one.reindex(columns=self.symptoms_, fill_value=USUAL).to_numpy(dtype=int)
        return self.odds_[np.arange(len(self.symptoms_)), levels].transpose(0, 2, 1)

    def _index(self, one: pd.DataFrame) -> pd.MultiIndex:
        return pd.MultiIndex.from_product([one.index, [*self.modes_, UNKNOWN]], names=["entity", "failure_mode"])

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON."""
        settings = {"smoothing": self.smoothing, "told": self.told, "rules": self.rules}
        learnt = {"modes": self.modes_, "symptoms": [str(name) for name in self.symptoms_], "seen": sorted(self.seen_)}
        return settings | learnt | {"odds": self.odds_.tolist()}

    @classmethod
    def from_dict(cls, said: Mapping) -> Signatures:
        """The signatures that `to_dict` wrote.

        Raises
        ------
        ContractError
            Where the odds are not those of these symptoms, levels and modes.
        """
        made = cls(float(said["smoothing"]), float(said["told"]), said["rules"])
        made.modes_, made.symptoms_, made.seen_ = list(said["modes"]), list(said["symptoms"]), frozenset(said["seen"])
        shape = (len(made.symptoms_), len(LEVELS), len(made.modes_) + 1)
        made.odds_ = np.array(said["odds"], dtype=float).reshape(shape if not made.symptoms_ else (-1, *shape[1:]))
        if made.odds_.shape != shape:
            raise ContractError(column="odds", expected=f"shape {shape}", got=str(made.odds_.shape))
        return made
