"""The contract of every table: its key, its columns with dtype, unit and meaning, and what must hold in each row."""

from __future__ import annotations

__all__ = ["TABLES", "Table"]

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import pandera.pandas as pa

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"  # valid in PromQL and in Python alike
FEATURE = r"[a-zA-Z_][a-zA-Z0-9_]*__[a-zA-Z0-9_]+__[a-zA-Z0-9_]+"
SEASON = r"seasonal_[a-zA-Z0-9_]+"
CAPPED = r"cycles_capped_at_[0-9]+"
TIME = "datetime64[us, UTC]"


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Parameters
    ----------
    name : str
        The table's name.
    meaning : str
        What one row is.
    key : tuple of str
        Levels of the frame's index; empty where a row is only a row (then the index counts from 0).
    columns : mapping of str to pandera.Column
        Key and fixed columns, each with dtype, nullability and description.
    extra : str or None
        Pattern that the names of further float64 columns match as a whole; None where the columns are fixed.
    ordered : tuple of (str, str)
        Pairs of times of which the first is not after the second, where both are known.
    rules : tuple of pandera.Check
        What else must hold in a row.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: Mapping[str, pa.Column]
    extra: str | None = None
    ordered: tuple[tuple[str, str], ...] = ()
    rules: tuple[pa.Check, ...] = ()

    def schema(self, extra: tuple[str, ...] = ()) -> pa.DataFrameSchema:
        """Build the pandera schema of a frame that has the key as columns, with the `extra` free columns named."""
        free = {name: _number("", nullable=True) for name in extra}
        orders = [_order(first, second) for first, second in self.ordered]
        return pa.DataFrameSchema({**self.columns, **free}, checks=[*orders, *self.rules], strict=True, name=self.name)


def _order(first: str, second: str) -> pa.Check:
    return pa.Check(
        lambda frame: ~(frame[second] < frame[first]).fillna(False).astype(bool), error=f"{first} not after {second}"
    )


def _text(description: str, *, nullable: bool = False, among: tuple[str, ...] = ()) -> pa.Column:
    checks = [pa.Check.isin(among, error="one of " + ", ".join(among))] if among else []
    if not nullable:
        checks.append(pa.Check.ne("", error="text that is not empty"))
    return pa.Column(pd.StringDtype(na_value=float("nan")), checks, nullable=nullable, description=description)


def _time(description: str, *, nullable: bool = False) -> pa.Column:
    return pa.Column(TIME, nullable=nullable, description=description)


def _number(description: str, *, nullable: bool = False, lower: float | None = None, upper: float | None = None):
    checks = []
    if lower is not None or upper is not None:
        low, high = -float("inf") if lower is None else lower, float("inf") if upper is None else upper
        said = f"a number of at least {low:g}" if upper is None else f"a number from {low:g} to {high:g}"
        checks = [pa.Check.in_range(low, high, error=said)]
    return pa.Column("float64", checks, nullable=nullable, description=description)


def _count(description: str, *, lower: int) -> pa.Column:
    return pa.Column("int64", pa.Check.ge(lower, error=f"a whole number of at least {lower}"), description=description)


def _flag(description: str) -> pa.Column:
    return pa.Column("bool", description=description)


def _share(description: str, *, nullable: bool = False) -> pa.Column:
    return _number(description, nullable=nullable, lower=0, upper=1)


def _rating(description: str) -> pa.Column:
    return _number(description, nullable=True, lower=1, upper=10)


ENTITY = _text("the thing observed: host, service, device")
STAMP = _time("moment of the sample")
POINT = {"entity": ENTITY, "timestamp": STAMP}
HORIZON = _count("length of the look ahead, in s", lower=1)

_BRACKET = pa.Check(
    lambda frame: ~((frame["probability"] < frame["lo"]) | (frame["probability"] > frame["hi"])),
    error="lo <= probability <= hi",
)

_OTHER = pa.Check(lambda frame: frame["source"] != frame["target"], error="source other than target")

_ALL = (
    Table(
        "telemetry",
        "the metrics of an entity at a moment: the panel",
        ("entity", "timestamp"),
        POINT,
        extra=NAME,
    ),
    Table(
        "states",
        "a version, mode, category or event at its own time",
        (),
        {
            "timestamp": _time("moment from which the value holds"),
            "entity": ENTITY,
            "name": _text("what has the value: version, mode, ..."),
            "value": _text("the value", nullable=True),
        },
    ),
    Table(
        "topology",
        "source depends on target",
        ("source", "target"),
        {
            "source": _text("entity that depends (caused_by: a metric or state of it)"),
            "target": _text("entity that it depends on (caused_by: a metric or state of it)"),
            "kind": _text("how it depends", among=("calls", "runs_on", "shares", "caused_by")),
        },
        rules=(_OTHER,),
    ),
    Table(
        "logs",
        "one log line",
        (),
        {
            "timestamp": _time("moment of the line"),
            "entity": ENTITY,
            "level": _text("level as the source writes it", nullable=True),
            "message": _text("the line's text", nullable=True),
        },
    ),
    Table(
        "faults",
        "one fault with its times; NaT is unknown or still open",
        ("fault_id",),
        {
            "fault_id": _text("name of the fault"),
            "entity": _text("entity whose users felt it"),
            "cause_start": _time("the cause begins", nullable=True),
            "impact_start": _time("first moment at which the service level is broken", nullable=True),
            "detected_at": _time("someone or something noticed", nullable=True),
            "diagnosed_at": _time("the cause was known", nullable=True),
            "cause_end": _time("the cause is gone", nullable=True),
            "recovered_at": _time("the service level holds again", nullable=True),
            "failure_mode": _text("name in the FMEA worksheet", nullable=True),
            "root_entity": _text("entity in which the cause lies", nullable=True),
            "root_metrics": _text("comma-separated, most responsible first", nullable=True),
            "severity": _number("1 (nobody notices) to 10 (danger)", nullable=True, lower=1, upper=10),
            "source": _text("where the record comes from", nullable=True),
        },
        ordered=(
            ("cause_start", "impact_start"),
            ("cause_start", "detected_at"),
            ("cause_start", "cause_end"),
            ("detected_at", "diagnosed_at"),
            ("impact_start", "recovered_at"),
        ),
    ),
    Table(
        "windows",
        "an interval that a benchmark labels anomalous",
        (),
        {"entity": ENTITY, "start": _time("first moment"), "end": _time("last moment, inclusive")},
        ordered=(("start", "end"),),
    ),
    Table(
        "benign",
        "a harmless event that may look like a fault, and the span of its traces",
        ("event_id",),
        {
            "event_id": _text("name of the event"),
            "entity": ENTITY,
            "start": _time("it begins"),
            "end": _time("it is over; what it changed for good stays"),
            "kind": _text("release, campaign, maintenance, ..."),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "parts",
        "a span of an entity's record, and what the protocol of its origin uses it for",
        (),
        {
            "entity": ENTITY,
            "part": _text("use: train, test, normal, ..."),
            "start": _time("first moment"),
            "end": _time("last moment, inclusive"),
            "name": _text("what the origin calls this piece: file, case, scenario", nullable=True),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "rul",
        "the remaining useful life of an entity at a moment, from hindsight",
        ("entity", "timestamp"),
        {**POINT, "cycles": _number("until it fails, in cycles", lower=0)},
        extra=CAPPED,
    ),
    Table(
        "components",
        "what a metric decomposes into at a moment, in the metric's unit",
        ("entity", "timestamp", "metric"),
        {
            **POINT,
            "metric": _text("name of the metric"),
            "observed": _number("as measured", nullable=True),
            "trend": _number("slow part", nullable=True),
            "seasonal": _number("sum of the periodic parts", nullable=True),
            "resid": _number("what is left", nullable=True),
        },
        extra=SEASON,
    ),
    Table(
        "scores",
        "one column a detector; higher is more anomalous",
        ("entity", "timestamp"),
        POINT,
        extra=NAME,
    ),
    Table(
        "alarms",
        "one alarm",
        ("alarm_id",),
        {
            "alarm_id": _text("name of the alarm"),
            "entity": ENTITY,
            "start": _time("first moment"),
            "end": _time("last moment, inclusive; NaT while open", nullable=True),
            "detector": _text("who raised it"),
            "metrics": _text("comma-separated, most responsible first", nullable=True),
            "score": _number("highest score inside", nullable=True),
            "threshold": _number("what the score exceeded", nullable=True),
            "severity": _text("info, warning or critical", nullable=True),
            "reason": _text("why it was raised, or why it was suppressed", nullable=True),
            "suppressed_by": _text("alarm or rule that silences it", nullable=True),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "contributions",
        "a metric's part in an alarm",
        ("alarm_id", "metric"),
        {
            "alarm_id": _text("name of the alarm"),
            "metric": _text("name of the metric"),
            "share": _number("share of the score", nullable=True),
            "value": _number("what was measured, in the metric's unit", nullable=True),
            "expected": _number("what was expected, in the metric's unit", nullable=True),
        },
    ),
    Table(
        "incidents",
        "alarms that belong together",
        ("incident_id",),
        {
            "incident_id": _text("name of the incident"),
            "alarm_ids": _text("comma-separated, first alarm first"),
            "start": _time("first moment"),
            "end": _time("last moment; NaT while open", nullable=True),
            "entities": _text("comma-separated, first affected first"),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "features",
        "what was known at a moment, columns <metric>__<statistic>__<window>",
        ("entity", "timestamp"),
        POINT,
        extra=FEATURE,
    ),
    Table(
        "labels",
        "whether the entity's users feel a fault within (t, t + horizon]",
        ("entity", "timestamp", "horizon"),
        {
            **POINT,
            "horizon": HORIZON,
            "impact_within": _flag("an impact starts within the horizon"),
            "time_to_impact": _number("to the next impact, in s; NaN where none is known", nullable=True, lower=0),
            "censored": _flag("the record ends before the horizon does, without an impact"),
        },
    ),
    Table(
        "predictions",
        "the probability of an impact within the horizon",
        ("entity", "timestamp", "horizon"),
        {
            **POINT,
            "horizon": HORIZON,
            "probability": _share("of an impact within the horizon", nullable=True),
            "lo": _share("lower bound", nullable=True),
            "hi": _share("upper bound", nullable=True),
            "model": _text("who predicts"),
            "version": _text("version of the model", nullable=True),
        },
        rules=(_BRACKET,),
    ),
    Table(
        "causes",
        "a candidate for the cause of an alarm, the likeliest first",
        ("alarm_id", "rank"),
        {
            "alarm_id": _text("name of the alarm"),
            "rank": _count("1 is the likeliest", lower=1),
            "entity": _text("entity in which the cause lies; missing = I don't know", nullable=True),
            "metric": _text("metric that shows it", nullable=True),
            "failure_mode": _text("name in the FMEA worksheet", nullable=True),
            "probability": _share("that this is the cause", nullable=True),
            "evidence": _text("JSON: the additive log-odds terms by name", nullable=True),
        },
    ),
    Table(
        "fmea",
        "one failure mode with its ratings",
        ("failure_mode",),
        {
            "failure_mode": _text("name of the mode"),
            "effect": _text("what users notice", nullable=True),
            "cause": _text("why it happens", nullable=True),
            "controls": _text("what prevents or finds it today", nullable=True),
            **{
                f"{rating}{bound}": _rating(f"{rating}, 1 (best) to 10 (worst){', bound' * bool(bound)}")
                for rating in ("severity", "occurrence", "detection")
                for bound in ("", "_lo", "_hi")
            },
            "rpn": _number("severity x occurrence x detection", nullable=True, lower=1, upper=1000),
            "action_priority": _text("AIAG-VDA action priority", nullable=True, among=("H", "M", "L")),
            "playbook": _text("what repairs it", nullable=True),
        },
    ),
    Table(
        "actions",
        "one step of a repair",
        ("action_id",),
        {
            "action_id": _text("name of the action"),
            "alarm_id": _text("alarm that asked for it", nullable=True),
            "entity": ENTITY,
            "playbook": _text("which playbook"),
            "step": _text("which step"),
            "mode": _text("who let it happen", among=("dry-run", "approved", "automatic")),
            "start": _time("begin"),
            "end": _time("end; NaT while running", nullable=True),
            "verdict": _text(
                "did it help; missing while unknown",
                nullable=True,
                among=("verified", "not_recovered", "inconclusive"),
            ),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "feedback",
        "one message of a user",
        ("feedback_id",),
        {
            "feedback_id": _text("name of the message"),
            "timestamp": _time("when it was sent"),
            "channel": _text("how it came"),
            "user": _text("pseudonym", nullable=True),
            "entity": _text("what it is about", nullable=True),
            "text": _text("scrubbed text", nullable=True),
            "rating": _number("as the channel counts", nullable=True),
            "category": _text("what kind of message", nullable=True),
            "alarm_id": _text("alarm that it belongs to", nullable=True),
            "answered_at": _time("when an answer went out", nullable=True),
            "answer": _text("the answer's text", nullable=True),
        },
        ordered=(("timestamp", "answered_at"),),
    ),
)

TABLES: MappingProxyType[str, Table] = MappingProxyType({table.name: table for table in _ALL})
"""Name of every table of the workbench and its contract."""
