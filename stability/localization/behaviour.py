"""How long states last in normal operation, and what moves what: valves, sensors, alarms, modes, at their own times.

A robust z-score fails on states: a sensor that is stuck at True has no spread. What can be learnt of them from normal
time is (a) how long each value lasts, (b) how long it lasts beside a value of what causes it (a cover that is told to
close is shut half a second later), and (c) which moves there are at all beside a value of a cause. A case is then
compared with that: who stays too long, who stays too long for what it was told, who moved though nobody told it to.

A variable that took one value only, up to the moment of the case, says nothing here, whatever that value is: it looks
exactly like one that was never reported, so that what a recording lists cannot tell what its fault is.
"""

from __future__ import annotations

__all__ = ["Behaviour", "moves"]

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from stability.schema import ContractError

QUANTILE = 0.95  # of the durations in normal time: the longest one is an accident of how much was recorded
WORDS = 50  # values from which a variable counts as one that names rows (program lines): only its pauses are compared
REST = "at rest"  # value of a variable that took one only, or was never reported
BELOW, WITHIN, ABOVE = "below", "within", "above"  # values of numbers, beside the range of normal time
COLUMNS = ["own", "causes", "alone", "onset"]
Course = tuple[np.ndarray, np.ndarray]  # moments in seconds, values
Stay = tuple[tuple, tuple, float, float, bool]  # of whom, which value(s), from when, how long (s), whether the first


def moves(states: pd.DataFrame, telemetry: pd.DataFrame | None = None) -> pd.DataFrame:
    """Bring states and metrics that are recorded as they change into one table.

    Parameters
    ----------
    states : DataFrame
        Of the contract.
    telemetry : DataFrame, optional
        Panel; its metrics become names, their values numbers.

    Returns
    -------
    DataFrame
        `entity`, `name`, `timestamp`, `value` (text, or missing) and `number` (float64, or NaN), by time within each.
    """
    parts = [states[["entity", "name", "timestamp", "value"]].assign(number=np.nan)]
    if telemetry is not None and len(telemetry):
        long = telemetry.reset_index().melt(["entity", "timestamp"], var_name="name", value_name="number").dropna()
        parts.append(long.assign(value=None)[["entity", "name", "timestamp", "value", "number"]])
    both = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return both.sort_values(["entity", "name", "timestamp"], kind="stable", ignore_index=True)


class Behaviour:
    """What lasts how long, and moves when, in normal time.

    Parameters
    ----------
    topology : DataFrame
        Of the contract, with variables as nodes: the source's value follows from the target's.
    quantile : float in (0, 1)
        Of durations, taken as the usual longest.
    words : int
        Number of values from which only pauses of a variable are compared, not its values.

    Attributes
    ----------
    stays_, together_ : dict
        Usual longest stay (s) of a variable at a value; of a variable at a value beside a value of a cause.
    seen_ : Counter
        Moves of a variable beside a value of a cause.

    Notes
    -----
    Diagnosis of discrete-event systems by timed models learnt from normal runs: Roth, Lesage, Litz (2011), The concept
    of residuals for fault localization in discrete event systems, doi 10.1016/j.conengprac.2011.02.008.
    """

    def __init__(self, topology: pd.DataFrame, quantile: float = QUANTILE, words: int = WORDS):
        self.topology, self.quantile, self.words = topology, quantile, words

    def fit(self, table: pd.DataFrame, until: Mapping[str, pd.Timestamp] | None = None) -> Behaviour:
        """Learn from normal time.

        Parameters
        ----------
        table : DataFrame
            From `moves`; entities share nothing but their variables.
        until : mapping of entity to Timestamp, optional
            The end of each entity's normal time; without it the last move of the entity.

        Returns
        -------
        Behaviour
        """
        if table.empty:
            raise ContractError("behaviour", expected="moves of normal time", got="none")
        self.causes_ = defaultdict(list)
        for source, target in sorted(self.topology.index):
            self.causes_[source].append(target)
        ends = table.groupby("entity")["timestamp"].max()
        ends = {entity: (until or {}).get(entity, end) for entity, end in ends.items()}
        known = {entity: _courses(own, ends[entity]) for entity, own in table.groupby("entity", sort=False)}
        self.ranges_, self.named_ = self._values(known.values())
        stays, together, self.seen_ = defaultdict(list), defaultdict(list), Counter()
        for entity, courses in known.items():
            own, end = self._worded(courses), _seconds(ends[entity])
            for who, what, _, lasted, _ in _stays(own, end):
                stays[who + what].append(lasted)
            for who, what, _, lasted, _ in self._together(own, end):
                together[who + what].append(lasted)
            self.seen_.update(who + what for who, what, _ in self._moved(own))
        self.stays_ = {key: float(np.quantile(values, self.quantile)) for key, values in stays.items()}
        self.together_ = {key: float(np.quantile(values, self.quantile)) for key, values in together.items()}
        return self

    def score(self, table: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
        """Compare one entity's moves up to a moment with normal time.

        Parameters
        ----------
        table : DataFrame
            From `moves`, of one entity.
        at : Timestamp
            Nothing later is read.

        Returns
        -------
        DataFrame, index name
            `own`: log of how many times longer than usual a value lasted (1 s added to both); `causes`: the same beside
            the value of a cause, for the cause that explains it best; `alone`: 1 where it moved as it never does beside
            the values of any of its causes; `onset`: the first moment of these. Variables without are left out.
            What lasted since the beginning of the record is not counted: nobody knows for how long.
        """
        own, end = self._worded(_courses(table, at)), _seconds(at)
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for (name,), what, since, lasted, first in _stays(own, end):
            usual = self.stays_.get((name, *what), 0.0)
            if not first and lasted > usual:
                _more(found[name], "own", np.log((lasted + 1) / (usual + 1)), since + usual)
        beside: dict[str, dict] = defaultdict(dict)
        for (name, cause), what, since, lasted, first in self._together(own, end):
            record = beside[name].setdefault(cause, {})
            usual = self.together_.get((name, cause, *what), 0.0)
            if not first and lasted > usual:
                _more(record, "causes", np.log((lasted + 1) / (usual + 1)), since + usual)
        for name, records in beside.items():
            best = min(records.values(), key=lambda record: record.get("causes", 0.0))
            if best:
                _more(found[name], "causes", best["causes"], best["onset"])
        unseen: dict[tuple, list[bool]] = defaultdict(list)
        for (name, cause), what, moment in self._moved(own):
            unseen[name, moment].append(self.seen_[(name, cause, *what)] == 0)
        for (name, moment), each in unseen.items():
            if all(each):
                _more(found[name], "alone", 1.0, moment)
        frame = pd.DataFrame.from_dict(
            {k: v for k, v in found.items() if v}, orient="index", columns=COLUMNS, dtype=float
        )
        frame["onset"] = pd.to_datetime(frame["onset"].astype(float) * 1e6, unit="us", utc=True)
        return frame.fillna({"own": 0.0, "causes": 0.0, "alone": 0.0}).rename_axis("name").sort_index()

    def _values(self, every: Iterable[Mapping[str, Course]]) -> tuple[dict, set]:
        """Range of each number, and the variables with so many values that these are names of rows."""
        ranges, words = {}, defaultdict(set)
        for courses in every:
            for name, (_, values) in courses.items():
                if values.dtype == float:
                    low, high = ranges.get(name, (np.inf, -np.inf))
                    ranges[name] = (min(low, values.min()), max(high, values.max()))
                else:
                    words[name] |= set(values)
        return ranges, {name for name, values in words.items() if len(values) > self.words}

    def _worded(self, courses: Mapping[str, Course]) -> dict[str, Course]:
        """Numbers become words beside the range of normal time, which a record's first value belongs to."""
        made = {}
        for name, (moments, values) in courses.items():
            if values.dtype == float:
                low, high = self.ranges_.get(name, (np.inf, -np.inf))
                low, high = min(low, values[0]), max(high, values[0])
                words = np.where(values < low, BELOW, np.where(values > high, ABOVE, WITHIN)).astype(object)
            elif name in self.named_:
                made[name] = (moments, np.full(len(values), WITHIN, dtype=object))
                continue
            else:
                words = values
            new = _new(words)
            made[name] = (moments[new], words[new])
        return made

    def _together(self, courses: Mapping[str, Course], end: float) -> Iterator[Stay]:
        """Stays of a variable at a value beside a value of a cause that moves; the variable itself may rest."""
        rest = (np.array([]), np.array([REST], dtype=object))
        for name, causes in self.causes_.items():
            for cause in causes:
                if cause not in courses:
                    continue
                (t, v), (s, w) = courses.get(name, rest), courses[cause]
                moments = np.unique(np.concatenate([t, s]))
                ours, theirs = _at(t, v, moments), _at(s, w, moments)
                new = _new(ours) | _new(theirs)
                moments, ours, theirs = moments[new], ours[new], theirs[new]
                lasted = np.diff(moments, append=end)
                for i, moment in enumerate(moments):
                    yield (name, cause), (ours[i], theirs[i]), moment, lasted[i], i == 0

    def _moved(self, courses: Mapping[str, Course]) -> Iterator[tuple[tuple, tuple, float]]:
        """Moves of a variable, beside the value that each cause has then; without causes, beside none."""
        for name, (moments, values) in courses.items():
            for cause in self.causes_.get(name, [""]):
                theirs = _at(*courses[cause], moments) if cause in courses else np.full(len(moments), REST)
                for i in range(1, len(moments)):
                    yield (name, cause), (values[i - 1], values[i], theirs[i]), moments[i]


def _seconds(moment: pd.Timestamp) -> float:
    return moment.timestamp()


def _courses(table: pd.DataFrame, until: pd.Timestamp) -> dict[str, Course]:
    """The course of each variable of one entity that took more than one value; the table is in the order of `moves`."""
    known = table[(table["timestamp"] <= until).to_numpy()]
    names, numbers = known["name"].to_numpy(dtype=object), known["number"].to_numpy(dtype=float)
    words = known["value"].to_numpy(dtype=object)
    moments = known["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype("int64") / 1e6
    edges = np.append(np.flatnonzero(_new(names)), len(names))
    found = {}
    for first, last in itertools.pairwise(edges):
        values = numbers[first:last] if np.isfinite(numbers[first]) else words[first:last]
        if (values[1:] != values[0]).any():
            found[names[first]] = (moments[first:last], values)
    return found


def _stays(courses: Mapping[str, Course], end: float) -> Iterator[Stay]:
    for name, (moments, values) in courses.items():
        lasted = np.diff(moments, append=end)
        for i, moment in enumerate(moments):
            yield (name,), (values[i],), moment, lasted[i], i == 0


def _new(values: np.ndarray) -> np.ndarray:
    """Whether each value is another than the one before."""
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def _at(moments: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The value held at each moment asked for; the first one before all moments."""
    return values[np.maximum(np.searchsorted(moments, asked, side="right") - 1, 0)]


def _more(record: dict[str, float], what: str, size: float, onset: float) -> None:
    record[what] = max(record.get(what, 0.0), float(size))
    record["onset"] = min(record.get("onset", np.inf), float(onset))
