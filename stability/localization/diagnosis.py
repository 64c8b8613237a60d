"""From the pictures of a case to (entity, failure mode): signatures by kind of evidence, weighed by a learnt ranker.

Candidates are all pairs of entity and known mode, each entity with a mode that nobody knows, and nobody. How much each
kind of evidence is worth is learnt on cases that the signatures had not seen. What an unknown mode looks like is learnt
by hiding each known mode in turn: its cases have to come out as unknown.

A cause that is named is one pair, which may be acted upon; an unknown mode is one answer, wherever it is. So the
probabilities of an unknown mode are summed over the entities before they are compared with the likeliest pair: five
entities of which each may have something unknown, at .1 each, are more than a pair at .4.
"""

from __future__ import annotations

__all__ = ["KINDS", "Diagnoser"]

import hashlib
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from stability.localization.fusion import calibrate
from stability.localization.modes import UNKNOWN
from stability.localization.pictures import ABSENT, GONE, USUAL, Album, Moves, album_of, harm, loudness
from stability.localization.ranker import ConditionalLogit
from stability.localization.signatures import SMOOTHING, Signatures
from stability.schema import ContractError, validate
from stability.schema.store import written_whole

KINDS = ("change", "topology", "logs", "state", "feedback", "rule", "detector", "prediction")
NOBODY = ("", "")
SIGNS = {**dict.fromkeys(KINDS, 1), "none.calm": 1, "none.harmless": 1, "unknown.strange": 1}
HIDDEN = 0.5  # weight of a case whose mode was hidden, beside one whose mode is known
SHOWN = 12  # terms of evidence that are told of a cause, and the rest as one
ELSEWHERE = "unknown.elsewhere"  # term of what an unknown mode gains from all other entities
SMALLEST = 1e-9  # probability that is told of a candidate at least
FORMAT = 1  # of the file that `save` writes


class Diagnoser:
    """Name the entity and the failure mode behind an alarm, or say that there is none, or none that is known.

    Parameters
    ----------
    rules : mapping of rule to failure mode, optional
        Labels of the rules whose hits are among the evidence.
    penalty : float
        Of the ranker.
    smoothing : float
        Of the signatures.
    hidden : float
        Weight of a case whose mode was hidden: higher, and more is called unknown, rightly and wrongly.
    without : sequence of str
        Kinds of evidence that are left out, for ablations.

    Attributes
    ----------
    signatures_ : Signatures
    ranker_ : ConditionalLogit
        Weights of the kinds.
    temperature_ : float
        By which log odds are divided.
    usual_ : Moves or None
        By which the pictures were taken, for those of later alarms.
    """

    def __init__(
        self,
        rules: Mapping[str, str] | None = None,
        *,
        penalty: float = 1.0,
        smoothing: float = SMOOTHING,
        hidden: float = HIDDEN,
        without: Sequence[str] = (),
    ):
        self.rules, self.penalty, self.smoothing = dict(rules or {}), penalty, smoothing
        self.hidden, self.without = hidden, tuple(without)

    def fit(self, pictures: Mapping[str, pd.DataFrame], truth: pd.DataFrame, usual: Moves | None = None) -> Diagnoser:
        """Learn from cases whose root and mode are known, and from moments at which there was no fault.

        Parameters
        ----------
        pictures : mapping of alarm_id to DataFrame
            As from `pictures.picture`.
        truth : DataFrame, index alarm_id
            `entity` and `failure_mode`, missing where there was no fault; `group`: cases of one group are left out
            together when the ranker's evidence is collected.
        usual : Moves, optional
            By which the pictures were taken; kept, and saved with the rest, for `live.live_pictures`.

        Returns
        -------
        Diagnoser

        Raises
        ------
        ContractError
            With fewer than two groups.
        """
        told = truth.loc[list(pictures)]
        groups = told["group"].unique()
        if len(groups) < 2:
            raise ContractError(column="group", expected="two groups or more", got=len(groups))
        roots = {name: _root(row) for name, row in told.iterrows()}
        album = album_of(pictures)
        tables, chosen, weights = [], [], []
        for group in groups:
            own = told.index[told["group"] == group]
            rest = {name: roots[name] for name in pictures if name not in own}
            for names, hide, weight in self._tasks(own, roots):
                learnt = {name: root for name, root in rest.items() if hide is None or not root or root[1] != hide}
                signatures = self._signatures(album, learnt)
                for name in names:
                    table = self._table(signatures, self._without_rules_of(hide, pictures[name]))
                    true = NOBODY if roots[name] is None else (roots[name][0], UNKNOWN if hide else roots[name][1])
                    if true in table.index:
                        tables.append(table)
                        chosen.append(table.index.get_loc(true))
                        weights.append(weight)
        self.ranker_ = ConditionalLogit(self.penalty, SIGNS).fit(tables, chosen, weights)
        utilities = [self.ranker_.contributions(table).sum(axis=1).to_numpy() for table in tables]
        known = [i for i, weight in enumerate(weights) if weight == 1.0]
        self.temperature_ = calibrate([utilities[i] for i in known], [chosen[i] for i in known])[0]
        self.signatures_, self.usual_ = self._signatures(album, roots), usual
        return self

    def _tasks(self, own: Sequence[str], roots: Mapping) -> list[tuple[list[str], str | None, float]]:
        """What is asked of signatures that have not seen a group: all cases; and of each mode, with it hidden."""
        modes = sorted({roots[name][1] for name in own if roots[name]})
        hidden = [([n for n in own if roots[n] and roots[n][1] == mode], mode, self.hidden) for mode in modes]
        return [(list(own), None, 1.0), *(hidden if self.hidden else [])]

    def _without_rules_of(self, mode: str | None, one: pd.DataFrame) -> pd.DataFrame:
        """A picture as it would be if nobody had written a rule for the mode: there is none for an unknown one."""
        named = [f"rule.{rule}" for rule, of in self.rules.items() if of == mode]
        return one.drop(columns=named, errors="ignore")

    def _signatures(self, album: Album, roots: Mapping) -> Signatures:
        return Signatures(smoothing=self.smoothing, rules=self.rules).fit(album, roots)

    def _table(self, signatures: Signatures, one: pd.DataFrame) -> pd.DataFrame:
        """Evidence of each candidate by kind, nobody last."""
        table = signatures.sums(one, [kind for kind in KINDS if kind not in self.without])
        unknown = table.index.get_level_values("failure_mode") == UNKNOWN
        unseen = one[[name for name in one if name not in signatures.seen_ and self._kept(name)]]
        strange = ((unseen != USUAL) & (unseen != ABSENT)).sum(axis=1)
        table["unknown.given"] = unknown.astype(float)
        table["unknown.strange"] = unknown * np.log1p(
            strange.reindex(table.index.get_level_values("entity")).to_numpy()
        )
        kept = one[[name for name in one if self._kept(name)]]
        nobody = {"none.given": 1.0, "none.calm": -np.log1p(loudness(kept)), "none.harmless": -np.log1p(harm(kept))}
        last = pd.DataFrame([nobody], index=pd.MultiIndex.from_tuples([NOBODY], names=table.index.names))
        return pd.concat([table, last]).fillna(0.0)

    def _kept(self, symptom: str) -> bool:
        return symptom.split(".", 1)[0] not in self.without

    def probabilities(self, one: pd.DataFrame) -> pd.Series:
        """Probability of each (entity, failure mode), of `UNKNOWN` at each entity, and of nobody, `("", "")`."""
        table = self._table(self.signatures_, one)
        utility = self.ranker_.contributions(table).sum(axis=1).to_numpy() / self.temperature_
        return pd.Series(np.exp(utility - np.logaddexp.reduce(utility)), index=table.index, name="probability")

    def answers(self, one: pd.DataFrame) -> pd.Series:
        """Probability of each answer: a known mode at an entity, nobody, and a mode that nobody knows, which is one.

        Returns
        -------
        Series, index (entity, failure_mode)
            The likeliest first. `UNKNOWN` is there once, at the entity at which it is likeliest, with its probability
            at all of them.
        """
        return _answers(self.probabilities(one))

    def terms(self, one: pd.DataFrame) -> pd.DataFrame:
        """Additive log odds of each candidate by symptom, against one that has nothing to do with the fault."""
        kinds = self._table(self.signatures_, one)
        weights = self.ranker_.weights_
        each = self.signatures_.terms(one)
        each = each[[name for name in each if self._kept(name)]]
        each = each * np.array([weights.get(name.split(".", 1)[0], 0.0) for name in each.columns])
        rest = [name for name in kinds if name not in KINDS]
        given = kinds[rest] * weights.reindex(rest).fillna(0.0)
        return pd.concat([each.reindex(kinds.index, fill_value=0.0), given], axis=1) / self.temperature_

    def diagnose(self, pictures: Mapping[str, pd.DataFrame], first: int | None = None) -> pd.DataFrame:
        """Rank the causes of each case.

        Parameters
        ----------
        pictures : mapping of alarm_id to DataFrame
        first : int, optional
            How many ranks of each case are given; all without it.

        Returns
        -------
        DataFrame
            `causes` of the contract, as `answers` gives them: `failure_mode` is `UNKNOWN` once, `metric` the one that
            speaks most for the cause, `evidence` JSON of the largest terms of the first three. Rank 1 without an entity
            is silence. `attrs["answers"]`: alarm_id -> "cause", "unknown mode", "no fault", or "not observable with
            these data" (users feel it or no entity gives values, and nobody here looks like its root).
        """
        made, answers = [], {}
        for name, one in pictures.items():
            each = self.probabilities(one)
            p = _answers(each)
            answers[name] = self._answer(p.index[0], one)
            silent = p.index[0] == NOBODY
            terms = self.terms(one)
            kept = p.index[p.index != NOBODY] if not silent else p.index
            for rank, key in enumerate(kept[:first], start=1):
                told = terms.loc[key] if rank <= 3 else None
                if told is not None and key[1] == UNKNOWN:
                    told = pd.concat([told, pd.Series({ELSEWHERE: _log(p[key]) - _log(each[key])})])
                entity, mode = (None, None) if key == NOBODY else key
                metric = None if told is None or key == NOBODY else _metric(told)
                said = None if told is None else _said(told)
                made.append((name, rank, entity, metric, mode, max(float(p[key]), SMALLEST), said))
        columns = ["alarm_id", "rank", "entity", "metric", "failure_mode", "probability", "evidence"]
        causes = validate(pd.DataFrame(made, columns=columns), "causes")
        causes.attrs["answers"] = answers
        return causes

    def save(self, path: str | PathLike) -> None:
        """Write what was learnt as JSON, whole or not at all: names and numbers only, and their checksum."""
        settings = {name: getattr(self, name) for name in ("rules", "penalty", "smoothing", "hidden")}
        learnt = {
            "settings": settings | {"without": list(self.without)},
            "signatures": self.signatures_.to_dict(),
            "ranker": self.ranker_.to_dict(),
            "temperature": self.temperature_,
            "usual": None if self.usual_ is None else self.usual_.to_dict(),
        }
        text = json.dumps(learnt, allow_nan=False)
        said = f'{{"format": {FORMAT}, "sha256": "{_checksum(learnt)}", "learnt": {text}}}\n'
        with written_whole(Path(path)) as file:
            file.write(said.encode())

    @classmethod
    def load(cls, path: str | PathLike) -> Diagnoser:
        """Read what `save` wrote; it gives the same probabilities.

        Raises
        ------
        ContractError
            Where there is no such file, or it is another one, of another format, cut off or altered.
        """
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
            if said["format"] != FORMAT:
                raise ContractError(file=path, column="format", expected=str(FORMAT), got=said["format"])
            learnt = said["learnt"]
            if said["sha256"] != _checksum(learnt):
                raise ContractError(
                    file=path, column="sha256", expected="the checksum of what the file holds", got=said["sha256"]
                )
            made = cls(**learnt["settings"])
            made.signatures_ = Signatures.from_dict(learnt["signatures"])
            made.ranker_ = ConditionalLogit.from_dict(learnt["ranker"])
            made.temperature_ = float(learnt["temperature"])
            made.usual_ = None if learnt["usual"] is None else Moves.from_dict(learnt["usual"])
        except ContractError:
            raise
        except (OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ContractError(
                file=path,
                expected="a diagnoser that `Diagnoser.save` wrote",
                got=f"{type(error).__name__}: {error}",
                remedy="save it again",
            ) from error
        return made

    def _answer(self, best: tuple[str, str], one: pd.DataFrame) -> str:
        if best != NOBODY:
            return "unknown mode" if best[1] == UNKNOWN else "cause"
        own = one[[name for name in one if name.startswith("change.")]]
        blind = own.isin([ABSENT, GONE]).all(axis=None)
        return "not observable with these data" if blind or harm(one) else "no fault"


def _log(p: float) -> float:
    return float(np.log(max(p, SMALLEST)))


def _answers(p: pd.Series) -> pd.Series:
    strange = p.index.get_level_values("failure_mode") == UNKNOWN
    one = pd.Series([p[strange].sum()], index=p.index[[int(np.argmax(np.where(strange, p, -1.0)))]], name=p.name)
    return pd.concat([p[~strange], one]).sort_values(ascending=False, kind="stable")


def _checksum(learnt: Mapping) -> str:
    """Of names and numbers, whatever white space is between them."""
    return hashlib.sha256(json.dumps(learnt, sort_keys=True).encode()).hexdigest()


def _root(told: pd.Series) -> tuple[str, str] | None:
    return None if pd.isna(told["entity"]) else (told["entity"], told["failure_mode"])


def _metric(terms: pd.Series) -> str | None:
    own = terms[[name for name in terms.index if name.startswith("change.")]]
    return own.idxmax().removeprefix("change.") if len(own) and own.max() > 0 else None


def _said(terms: pd.Series) -> str:
    order = terms.loc[terms.abs().sort_values(ascending=False, kind="stable").index]
    said = {name: round(float(value), 4) for name, value in order.head(SHOWN).items() if value}
    rest = float(order.iloc[SHOWN:].sum())
    return json.dumps(said | ({"all others": round(rest, 4)} if rest else {}))
