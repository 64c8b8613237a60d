"""From an alarm to its causes, with probabilities and evidence in terms that add, or to a reason not to name one."""

from __future__ import annotations

__all__ = ["ANSWERS", "SIGNS", "Localizer", "rows_of"]

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from stability.localization.cases import Case
from stability.localization.evidence import Usual, evidence, usual_of
from stability.localization.fusion import WEIGHT, WEIGHTS, RuleOdds, calibrate, operating_point, pool, symptoms
from stability.localization.modes import UNKNOWN, ModeNamer, symptom_pictures
from stability.localization.ranker import ConditionalLogit
from stability.schema import ContractError, validate
from stability.schema.store import written_whole

ANSWERS = ("cause", "no fault", "unknown mode", "not observable with these data")
SPECIFICITY = 0.95
EVEN = float(np.log(2.0))  # of log-odds against the mean candidate: below it no candidate stands out, and none is named
NAMED = 3  # candidates whose failure mode is named: further down nobody reads it
FOLDS = 10  # at most: several groups are left out together where there are more
FORMAT = 2
FITTED = ("weight_", "temperature_", "given_", "threshold_", "loudest_")
# What is known before any case. A candidate is not less likely for having changed more, or for more own trouble.
SIGNS = {
    **dict.fromkeys(("change.z", "change.rank", "change.first", "topology.own", "topology.share"), 1),
    **dict.fromkeys(("topology.sure", "topology.rank", "detector.share", "detector.score", "prediction.logit"), 1),
    **dict.fromkeys(
        (
            "logs.new",
            "feedback.messages",
            "topology.felt",
            "topology.reach",
            "topology.other",
            "none.calm",
            "none.still",
        ),
        1,
    ),
    **dict.fromkeys(("topology.view", "topology.new", "topology.explained"), -1),
}


class Localizer:
    """Locate the cause of alarms from rules, changes, detectors, predictions, topology, states, logs and feedback.

    Parameters
    ----------
    views : str, optional
        As in `evidence.evidence`.
    penalty : float
        Of the ranker.
    weight : float, optional
        Of the rules in the pool; without it, it is learnt on groups that were left out, or 0.5 where there are few.
    specificity : float in (0, 1)
        Share of normal windows in which the answer is to be: no fault.
    without : sequence of str
        Kinds of evidence that are left out, for ablations.

    Attributes
    ----------
    ranker_ : ConditionalLogit
    rules_ : RuleOdds
    modes_ : ModeNamer
    weight_, temperature_, given_, threshold_ : float
        Of the rules; by which log-odds are divided; added to nobody's; of nobody's probability, for no fault.
    loudest_ : float
        Log of standard errors of the loudest alarm in the windows without a fault: silence about a louder one is no
        verdict that nothing is wrong.
    usual_ : Usual
    """

    def __init__(
        self,
        *,
        views: str | None = None,
        penalty: float = 1.0,
        weight: float | None = None,
        specificity: float = SPECIFICITY,
        without: Sequence[str] = (),
    ):
        self.views, self.penalty, self.weight, self.specificity = views, penalty, weight, specificity
        self.without = tuple(without)

    def fit(
        self,
        cases: Sequence[Case],
        truth: pd.DataFrame,
        *,
        normal: pd.DataFrame | None = None,
        logs: pd.DataFrame | None = None,
        weights: Mapping[str, float] | None = None,
        collected: Mapping[str, pd.DataFrame] | None = None,
    ) -> Localizer:
        """Learn from cases whose cause is known, and from windows in which nothing was wrong.

        Parameters
        ----------
        cases : sequence of Case
        truth : DataFrame, index alarm_id
            `entity`, `metric` (comma-separated, or missing: any), `failure_mode` (may be missing). A case whose entity
            is missing is a window without a fault. `group` (optional): cases that belong together, such as those of one
            cause; the temperature is fitted on groups that the ranker had not seen. Without it, a group is an entity.
        normal : DataFrame, optional
            Telemetry of normal time.
        logs : DataFrame, optional
            Log lines of normal time.
        weights : mapping of alarm_id to float, optional
            Of cases in the ranker.
        collected : mapping of alarm_id to DataFrame, optional
            Evidence that `evidence` has collected from the same normal time and with the same views, for ablations.

        Returns
        -------
        Localizer
        """
        self.usual_ = usual_of(normal, logs)
        there = collected or {}
        tables = [self._kept(there[c.alarm_id]) if c.alarm_id in there else self.evidence(c) for c in cases]
        told = truth.reindex([case.alarm_id for case in cases])
        rows = rows_of(tables, told)
        kept = [i for i, row in enumerate(rows) if row is not None]
        if not kept:
            raise ContractError(column="truth", expected="a case whose cause is a candidate", got="none")
        tables, rows, cases = [tables[i] for i in kept], [rows[i] for i in kept], [cases[i] for i in kept]
        told = told.iloc[kept]
        group = told["group"] if "group" in told else told["entity"].fillna("")
        each = None if weights is None else np.array([weights.get(case.alarm_id, 1.0) for case in cases])
        out = self._left_out(tables, rows, each, group.to_numpy())
        self._learn(tables, rows, each, np.arange(len(tables)))
        seen = {i: self._parts(table) for i, table in enumerate(tables)} if out is None else out
        self._calibrate(seen, rows, learnt=out is not None)
        calm = [_loudness(table) for table, row in zip(tables, rows, strict=True) if row == len(table) - 1]
        self.loudest_ = max(calm, default=float(np.finfo(float).max))
        named = told.get("failure_mode", pd.Series(np.nan, index=told.index))
        known = [i for i, mode in enumerate(named) if isinstance(mode, str)]
        pictures = [symptom_pictures(cases[i], tables[i].iloc[[rows[i]]], self.usual_)[0] for i in known]
        self.modes_ = ModeNamer().fit(pictures, [named.iloc[i] for i in known])
        return self

    def _left_out(self, tables, rows, each, group: np.ndarray) -> dict | None:
        """What a ranker and rules that had not seen a case's group say of it; None with too few groups."""
        codes, names = pd.factorize(group)
        if len(names) <= 2:
            return None
        fold, out = codes % FOLDS, {}
        for one in np.unique(fold):
            self._learn(tables, rows, each, np.flatnonzero(fold != one))
            out |= {int(i): self._parts(tables[i]) for i in np.flatnonzero(fold == one)}
        return out

    def _learn(self, tables, rows, each, chosen: np.ndarray) -> None:
        own = [tables[i] for i in chosen]
        self.ranker_ = ConditionalLogit(self.penalty, SIGNS).fit(
            [table.loc[:, ~table.columns.str.startswith("rule.")] for table in own],
            [rows[i] for i in chosen],
            None if each is None else each[chosen],
        )
        real = [i for i in chosen if rows[i] < len(tables[i]) - 1]  # rules speak of candidates, not of nobody
        self.rules_ = RuleOdds().fit([symptoms(tables[i].iloc[:-1]) for i in real], [rows[i] for i in real])

    def _calibrate(self, parts: Mapping[int, tuple[np.ndarray, np.ndarray]], rows, learnt: bool) -> None:
        """Choose the weight of the rules, the temperature, what nobody is given, and the operating point."""
        chosen, best, quiet = [rows[i] for i in parts], np.inf, []
        fixed = WEIGHT if self.weight is None else self.weight
        for weight in WEIGHTS if self.weight is None and learnt else (fixed,):
            utilities = [ranker + weight * rules for ranker, rules in parts.values()]
            temperature, given = calibrate(utilities, chosen)
            logs = [_softmax(_given(u, given) / temperature) for u in utilities]
            surprise = -sum(one[row] for one, row in zip(logs, chosen, strict=True))
            if surprise < best:
                best, self.weight_, self.temperature_, self.given_ = surprise, weight, temperature, given
                quiet = [np.exp(one[-1]) for one, row in zip(logs, chosen, strict=True) if row == len(one) - 1]
        self.threshold_ = operating_point(np.array(quiet), self.specificity) if quiet else 1.0

    def _parts(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """What the ranker and what the rules say of each candidate."""
        ranker = self.ranker_.contributions(table).sum(axis=1).to_numpy()
        if "rule" in self.without:
            return ranker, np.zeros(len(ranker))
        rules = self.rules_.contributions(symptoms(table)).sum(axis=1).to_numpy()
        return ranker, np.append(rules[:-1], 0.0)

    def evidence(self, case: Case) -> pd.DataFrame:
        """Evidence of one case, without the kinds that are left out."""
        return self._kept(evidence(case, self.usual_, self.views))

    def _kept(self, table: pd.DataFrame) -> pd.DataFrame:
        kept = table.loc[:, [name for name in table if name.split(".", 1)[0] not in self.without]]
        kept.attrs["known"] = tuple(kind for kind in table.attrs.get("known", ()) if kind not in self.without)
        return kept

    def terms(self, table: pd.DataFrame) -> pd.DataFrame:
        """Additive log-odds of each candidate by `<kind>.<name>`; their sums, softmaxed, are the probabilities."""
        learnt = self.ranker_.contributions(table)
        if "none.always" in learnt:
            learnt.iloc[-1, learnt.columns.get_loc("none.always")] += self.given_
        if self.weight_ == 0 or "rule" in self.without:
            return learnt / self.temperature_
        rules = self.rules_.contributions(symptoms(table))
        rules.iloc[-1] = 0.0
        return pool(learnt, rules, self.weight_, self.temperature_)

    def locate(self, cases: Sequence[Case], first: int | None = None) -> pd.DataFrame:
        """Rank the candidates of each case.

        Parameters
        ----------
        cases : sequence of Case
        first : int, optional
            How many ranks of each case are given; all without it.

        Returns
        -------
        DataFrame
            `causes` of the contract: alarm_id, rank; entity, metric, failure_mode, probability, evidence (JSON of the
            terms, by `<kind>.<name>`, against the mean candidate). Where there is no fault, rank 1 has no entity and
            the others follow all the same. `attrs["answers"]`: alarm_id -> one of `ANSWERS`.
        """
        made, answers = [], {}
        for case in cases:
            table = self.evidence(case)
            terms = self.terms(table)
            p = np.exp(_softmax(terms.sum(axis=1).to_numpy()))
            answers[case.alarm_id], rows = self._case(case, table, terms, p, first)
            made.extend(rows)
        columns = ["alarm_id", "rank", "entity", "metric", "failure_mode", "probability", "evidence"]
        causes = validate(pd.DataFrame(made, columns=columns), "causes")
        causes.attrs["answers"] = answers
        return causes

    def _case(self, case: Case, table, terms, p: np.ndarray, first: int | None) -> tuple[str, list[tuple]]:
        silent = p[-1] >= self.threshold_
        order = np.argsort(-p[:-1], kind="stable")[:first]
        said = terms.to_numpy()
        said = said - said[:-1].mean(axis=0)
        blind = not silent and len(order) > 0 and said[order[0]].sum() < EVEN
        rows = []
        if silent or blind:
            rows.append((case.alarm_id, 1, None, None, None, p[-1] if silent else None, _said(terms.columns, said[-1])))
        pictures = symptom_pictures(case, table.iloc[order[:NAMED]], self.usual_) if len(self.modes_.centres_) else []
        modes = [self.modes_.name(picture)[0] for picture in pictures]
        modes += [None] * (len(order) - len(modes))
        for rank, (i, mode) in enumerate(zip(order, modes, strict=True), start=1 + len(rows)):
            entity, name = table.index[i]
            rows.append((case.alarm_id, rank, entity, name or None, mode, p[i], _said(terms.columns, said[i])))
        unheard = silent and _loudness(table) > self.loudest_
        if blind or unheard or not table.attrs["known"]:
            return ANSWERS[3], rows
        if silent:
            return "no fault", rows
        return ("unknown mode" if modes[0] == UNKNOWN else "cause"), rows

    def save(self, path: str | PathLike) -> None:
        """Write what was learnt as JSON: names and numbers only."""
        said = {
            "format": FORMAT,
            "settings": {n: getattr(self, n) for n in ("views", "penalty", "weight", "specificity")}
            | {"without": list(self.without)},
            "ranker": self.ranker_.to_dict(),
            "rules": self.rules_.to_dict(),
            "modes": self.modes_.to_dict(),
            "fitted": {n: getattr(self, n) for n in FITTED},
            "level": _table(self.usual_.level),
            "scale": _table(self.usual_.scale),
            "flows": _table(self.usual_.flows),
            "lines": sorted(self.usual_.lines),
        }
        with written_whole(Path(path)) as file:
            file.write(json.dumps(said, allow_nan=False).encode())

    @classmethod
    def load(cls, path: str | PathLike) -> Localizer:
        """Read what `save` wrote."""
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
            if said["format"] != FORMAT:
                raise ContractError(file=path, column="format", expected=str(FORMAT), got=said["format"])
            made = cls(**said["settings"])
            made.ranker_ = ConditionalLogit.from_dict(said["ranker"])
            made.rules_, made.modes_ = RuleOdds.from_dict(said["rules"]), ModeNamer.from_dict(said["modes"])
            for name in FITTED:
                setattr(made, name, float(said["fitted"][name]))
            frames = [pd.DataFrame(**said[name], dtype="float64") for name in ("level", "scale", "flows")]
            made.usual_ = Usual(*(frame.rename_axis("entity") for frame in frames), frozenset(said["lines"]))
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ContractError(file=path, expected="a localizer that `save` wrote", got=str(error)) from error
        return made


def rows_of(tables: Sequence[pd.DataFrame], truth: pd.DataFrame) -> list[int | None]:
    """Row of the true cause in each evidence: the last (nobody) without a fault, None where it is no candidate."""
    found: list[int | None] = []
    for table, (_, told) in zip(tables, truth.iterrows(), strict=True):
        if pd.isna(told["entity"]):
            found.append(len(table) - 1)
            continue
        named = told.get("metric")
        names = [m.strip() for m in named.split(",")] if isinstance(named, str) else []
        here = table.index.get_level_values("entity") == told["entity"]
        metrics = table.index.get_level_values("metric")
        hits = [np.flatnonzero(here & (metrics == name)) for name in [*names, ""]] + [np.flatnonzero(here)] * (
            not names
        )
        found.append(next((int(hit[0]) for hit in hits if len(hit)), None))
    return found


def _loudness(table: pd.DataFrame) -> float:
    """How far the alarm is from calm."""
    return -float(table["none.calm"].iloc[-1]) if "none.calm" in table else 0.0


def _given(utility: np.ndarray, given: float) -> np.ndarray:
    return np.append(utility[:-1], utility[-1] + given)


def _softmax(utility: np.ndarray) -> np.ndarray:
    """Logs of probabilities."""
    return utility - np.logaddexp.reduce(utility)


def _said(names: pd.Index, values: np.ndarray) -> str:
    return json.dumps({n: v for n, v in zip(names, np.round(values, 4).tolist(), strict=True) if v})


def _table(frame: pd.DataFrame) -> dict:
    said = frame.astype(object).where(frame.notna(), None).to_dict("split")
    return {"data": said["data"], "index": list(said["index"]), "columns": list(said["columns"])}
