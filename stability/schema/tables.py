"""The contract of every table: its key, its columns with dtype, unit and meaning, and what must hold in each row."""

from __future__ import annotations

__all__ = ["TABLES", "Table"]

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandera.pandas as pa

from stability.schema.columns import count, flag, number, rating, share, text, time

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"  # valid in PromQL and in Python alike
FEATURE = r"[a-zA-Z_][a-zA-Z0-9_]*__[a-zA-Z0-9_]+__[a-zA-Z0-9_]+"
SEASON = r"seasonal_[a-zA-Z0-9_]+"
CAPPED = r"cycles_capped_at_[0-9]+"


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
        free = {name: number("", nullable=True) for name in extra}
        orders = [_order(first, second) for first, second in self.ordered]
        return pa.DataFrameSchema({**self.columns, **free}, checks=[*orders, *self.rules], strict=True, name=self.name)


def _order(first: str, second: str) -> pa.Check:
    return pa.Check(
        lambda frame: ~(frame[second] < frame[first]).fillna(False).astype(bool), error=f"{first} not after {second}"
    )


ENTITY = text("the thing observed: host, service, device")
STAMP = time("moment of the sample")
POINT = {"entity": ENTITY, "timestamp": STAMP}
HORIZON = count("length of the look ahead, in s", lower=1)

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
            "timestamp": time("moment from which the value holds"),
            "entity": ENTITY,
            "name": text("what has the value: version, mode, ..."),
            "value": text("the value", nullable=True),
        },
    ),
    Table(
        "topology",
        "source depends on target",
        ("source", "target"),
        {
            "source": text("entity that depends (caused_by: a metric or state of it)"),
            "target": text("entity that it depends on (caused_by: a metric or state of it)"),
            "kind": text("how it depends", among=("calls", "runs_on", "shares", "caused_by")),
        },
        rules=(_OTHER,),
    ),
    Table(
        "logs",
        "one log line",
        (),
        {
            "timestamp": time("moment of the line"),
            "entity": ENTITY,
            "level": text("level as the source writes it", nullable=True),
            "message": text("the line's text", nullable=True),
        },
    ),
    Table(
        "faults",
        "one fault with its times; NaT is unknown or still open",
        ("fault_id",),
        {
            "fault_id": text("name of the fault"),
            "entity": text("entity whose users felt it"),
            "cause_start": time("the cause begins", nullable=True),
            "impact_start": time("first moment at which the service level is broken", nullable=True),
            "detected_at": time("someone or something noticed", nullable=True),
            "diagnosed_at": time("the cause was known", nullable=True),
            "cause_end": time("the cause is gone", nullable=True),
            "recovered_at": time("the service level holds again", nullable=True),
            "failure_mode": text("name in the FMEA worksheet", nullable=True),
            "root_entity": text("entity in which the cause lies", nullable=True),
            "root_metrics": text("comma-separated, most responsible first", nullable=True),
            "severity": number("1 (nobody notices) to 10 (danger)", nullable=True, lower=1, upper=10),
            "source": text("where the record comes from", nullable=True),
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
        {"entity": ENTITY, "start": time("first moment"), "end": time("last moment, inclusive")},
        ordered=(("start", "end"),),
    ),
    Table(
        "benign",
        "a harmless event that may look like a fault, and the span of its traces",
        ("event_id",),
        {
            "event_id": text("name of the event"),
            "entity": ENTITY,
            "start": time("it begins"),
            "end": time("it is over; what it changed for good stays"),
            "kind": text("release, campaign, maintenance, ..."),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "parts",
        "a span of an entity's record, and what the protocol of its origin uses it for",
        (),
        {
            "entity": ENTITY,
            "part": text("use: train, test, normal, ..."),
            "start": time("first moment"),
            "end": time("last moment, inclusive"),
            "name": text("what the origin calls this piece: file, case, scenario", nullable=True),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "rul",
        "the remaining useful life of an entity at a moment, from hindsight",
        ("entity", "timestamp"),
        {**POINT, "cycles": number("until it fails, in cycles", lower=0)},
        extra=CAPPED,
    ),
    Table(
        "components",
        "what a metric decomposes into at a moment, in the metric's unit",
        ("entity", "timestamp", "metric"),
        {
            **POINT,
            "metric": text("name of the metric"),
            "observed": number("as measured", nullable=True),
            "trend": number("slow part", nullable=True),
            "seasonal": number("sum of the periodic parts", nullable=True),
            "resid": number("what is left", nullable=True),
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
            "alarm_id": text("name of the alarm"),
            "entity": ENTITY,
            "start": time("first moment"),
            "end": time("last moment, inclusive; NaT while open", nullable=True),
            "detector": text("who raised it"),
            "metrics": text("comma-separated, most responsible first", nullable=True),
            "score": number("highest score inside", nullable=True),
            "threshold": number("what the score exceeded", nullable=True),
            "severity": text("info, warning or critical", nullable=True),
            "reason": text("why it was raised, or why it was suppressed", nullable=True),
            "suppressed_by": text("alarm or rule that silences it", nullable=True),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "alarm_labels",
        "what a person said of an alarm; the newest of an alarm (detector, entity, start) holds",
        ("label_id",),
        {
            "label_id": text("name of the label"),
            "entity": text("the thing observed; missing where a rule adds several up", nullable=True),
            "start": time("first moment of the alarm"),
            "end": time("its last moment, inclusive; NaT while open", nullable=True),
            "detector": text("detector or rule that raised it"),
            "metrics": text("comma-separated, most responsible first", nullable=True),
            "score": number("highest score inside", nullable=True),
            "threshold": number("what the score exceeded", nullable=True),
            "label": text("was it worth an alarm", among=("confirmed", "discarded", "unsure")),
            "reason": text("scrubbed text", nullable=True),
            "labelled_by": text("pseudonym"),
            "labelled_at": time("when it was said"),
        },
        ordered=(("start", "end"),),
    ),
    Table(
        "contributions",
        "a metric's part in an alarm",
        ("alarm_id", "metric"),
        {
            "alarm_id": text("name of the alarm"),
            "metric": text("name of the metric"),
            "share": number("share of the score", nullable=True),
            "value": number("what was measured, in the metric's unit", nullable=True),
            "expected": number("what was expected, in the metric's unit", nullable=True),
        },
    ),
    Table(
        "incidents",
        "alarms that belong together",
        ("incident_id",),
        {
            "incident_id": text("name of the incident"),
            "alarm_ids": text("comma-separated, first alarm first"),
            "start": time("first moment"),
            "end": time("last moment; NaT while open", nullable=True),
            "entities": text("comma-separated, first affected first"),
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
            "impact_within": flag("an impact starts within the horizon"),
            "time_to_impact": number("to the next impact, in s; NaN where none is known", nullable=True, lower=0),
            "censored": flag("the record ends before the horizon does, without an impact"),
        },
    ),
    Table(
        "predictions",
        "the probability of an impact within the horizon",
        ("entity", "timestamp", "horizon"),
        {
            **POINT,
            "horizon": HORIZON,
            "probability": share("of an impact within the horizon", nullable=True),
            "lo": share("lower bound", nullable=True),
            "hi": share("upper bound", nullable=True),
            "model": text("who predicts"),
            "version": text("version of the model", nullable=True),
        },
        rules=(_BRACKET,),
    ),
    Table(
        "causes",
        "a candidate for the cause of an alarm, the likeliest first",
        ("alarm_id", "rank"),
        {
            "alarm_id": text("name of the alarm"),
            "rank": count("1 is the likeliest", lower=1),
            "entity": text("entity in which the cause lies; missing = I don't know", nullable=True),
            "metric": text("metric that shows it", nullable=True),
            "failure_mode": text("name in the FMEA worksheet", nullable=True),
            "probability": share("that this is the cause", nullable=True),
            "evidence": text("JSON: the additive log-odds terms by name", nullable=True),
        },
    ),
    Table(
        "fmea",
        "one failure mode with its ratings",
        ("failure_mode",),
        {
            "failure_mode": text("name of the mode"),
            "effect": text("what users notice", nullable=True),
            "cause": text("why it happens", nullable=True),
            "controls": text("what prevents or finds it today", nullable=True),
            **{
                f"{name}{bound}": rating(f"{name}, 1 (best) to 10 (worst){', bound' * bool(bound)}")
                for name in ("severity", "occurrence", "detection")
                for bound in ("", "_lo", "_hi")
            },
            "rpn": number("severity x occurrence x detection", nullable=True, lower=1, upper=1000),
            "action_priority": text("AIAG-VDA action priority", nullable=True, among=("H", "M", "L")),
            "playbook": text("what repairs it", nullable=True),
        },
    ),
    Table(
        "actions",
        "one step of a repair",
        ("action_id",),
        {
            "action_id": text("name of the action"),
            "alarm_id": text("alarm that asked for it", nullable=True),
            "entity": ENTITY,
            "playbook": text("which playbook"),
            "step": text("which step"),
            "mode": text("who let it happen", among=("dry-run", "approved", "automatic")),
            "start": time("begin"),
            "end": time("end; NaT while running", nullable=True),
            "verdict": text(
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
            "feedback_id": text("name of the message"),
            "timestamp": time("when it was sent"),
            "channel": text("how it came"),
            "user": text("pseudonym", nullable=True),
            "entity": text("what it is about", nullable=True),
            "text": text("scrubbed text", nullable=True),
            "rating": number("as the channel counts", nullable=True),
            "category": text("what kind of message", nullable=True),
            "alarm_id": text("alarm that it belongs to", nullable=True),
            "answered_at": time("when an answer went out", nullable=True),
            "answer": text("the answer's text", nullable=True),
        },
        ordered=(("timestamp", "answered_at"),),
    ),
)

TABLES: MappingProxyType[str, Table] = MappingProxyType({table.name: table for table in _ALL})
"""Name of every table of the workbench and its contract."""
