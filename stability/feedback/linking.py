"""Which alarm a message belongs to: by when it came, what it says, and where in the topology it points."""

from __future__ import annotations

__all__ = ["link_messages", "link_store", "linked_complaints"]

import math
import re
from collections import deque
from collections.abc import Mapping

import pandas as pd

from stability.feedback.burst import complaints
from stability.feedback.store import FeedbackStore
from stability.schema import ContractError

#: Prior log-odds that a message of a category belongs to some alarm at hand rather than to none.
PRIOR = {
    "availability": 0.0,
    "latency": 0.0,
    "wrong_answer": -1.0,
    "usability": -3.5,
    "billing": -3.5,
    "praise": -5.0,
    "other": -4.0,
}
AFTER = 1800.0  # seconds: users write with this mean delay after an alarm began (exponential)
BEFORE = 300.0  # seconds: an alarm may come after the first who noticed
NAMED, NEAR, ELSEWHERE = 3.0, 1.0, -2.0  # log-odds: names the alarm's entity, one a step or two away, another one
SAME = 1e-6  # difference of a probability that is none
STEPS = 2  # hops in the topology that still count as near
WORDS = {  # a metric's name says what users feel of it
    "latency": re.compile("latency|duration|p9|queue|wait|seconds", re.I),
    "availability": re.compile("error|fail|up|down|5xx|availab|reset|timeout", re.I),
    "wrong_answer": re.compile("quality|accuracy|drift|wrong|score|hallucin", re.I),
}
FITS = 1.0  # log-odds when the alarm's metrics are of the message's kind


def link_messages(
    feedback: pd.DataFrame,
    alarms: pd.DataFrame,
    topology: pd.DataFrame | None = None,
    *,
    after: float = AFTER,
    before: float = BEFORE,
) -> pd.DataFrame:
    """Give each message the alarm that it most probably belongs to.

    Parameters
    ----------
    feedback : DataFrame
        `feedback_id`, `timestamp`, `text`, `category`, and `entity` where it is known.
    alarms : DataFrame
        The contract's table: `alarm_id`, `entity`, `start`, `end` (NaT while it lasts), `metrics`. An incident of
        several entities has a row for each of them, under one name.
    topology : DataFrame, optional
        `source`, `target`: users of what calls the alarm's entity feel it, too.
    after, before : float
        s: mean delay with which users write after an alarm began, and how long before it the first of them may.

    Returns
    -------
    DataFrame
        `feedback_id`, `alarm_id` (missing where none is likelier than no alarm), `entity` (the alarm's),
        `probability` of the link; row k is message k.

    Notes
    -----
    Log-odds of each candidate are added up (prior of the category, time, entity, kind of metric) and set against no
    alarm at all, whose log-odds are 0, by a softmax. The terms are judgements that stand as constants above, no
    estimates: labels that confirm or discard links are what they should be fitted on.

    Examples
    --------
    >>> stamp = pd.Timestamp("2026-01-01T10:00Z")
    >>> said = pd.DataFrame({"feedback_id": ["f"], "timestamp": [stamp + pd.Timedelta("5min")],
    ...                      "text": ["search-1 is down"], "category": ["availability"]})
    >>> alarm = pd.DataFrame({"alarm_id": ["a", "b"], "entity": ["search-1", "mail-1"], "start": [stamp, stamp],
    ...                       "end": [pd.NaT, pd.NaT], "metrics": ["errors_total", "errors_total"]})
    >>> linked = link_messages(said, alarm)
    >>> linked["alarm_id"].tolist(), bool(linked["probability"].iloc[0] > 0.9)
    (['a'], True)
    """
    for name, frame, needed in (
        ("feedback", feedback, ("feedback_id", "timestamp", "text", "category")),
        ("alarms", alarms, ("alarm_id", "entity", "start", "end", "metrics")),
    ):
        missing = [column for column in needed if column not in frame]
        if missing:
            raise ContractError(file=name, column=missing[0], expected=f"columns {', '.join(needed)}", got="none")
    if not after > 0 or not before >= 0:
        raise ContractError(column="after", expected="more than 0 s, and before from 0 s up", got=f"{after}, {before}")
    near = _neighbours(topology)
    rows = [_linked(message, alarms, near, after, before) for message in feedback.to_dict("records")]
    return pd.DataFrame(rows, columns=["feedback_id", "alarm_id", "entity", "probability"], index=feedback.index)


def link_store(
    store: FeedbackStore, alarms: pd.DataFrame, topology: pd.DataFrame | None = None, **settings: float
) -> pd.DataFrame:
    """Link the messages of a store, and write alarm and probability beside each that has changed.

    Parameters
    ----------
    store : FeedbackStore
    alarms, topology, **settings
        As for `link_messages`.

    Returns
    -------
    DataFrame
        The links that were written. A link to an alarm that is not among these stays, unless one of these is likelier.
    """
    store.drain()
    frame = store.frame()
    found = link_messages(frame, alarms, topology, **settings)
    elsewhere = frame["alarm_id"].notna() & ~frame["alarm_id"].isin(set(alarms["alarm_id"]))
    stays = elsewhere & (found["alarm_id"].isna() | (found["probability"] <= frame["alarm_probability"].fillna(0.0)))
    same = (found["alarm_id"].fillna("") == frame["alarm_id"].fillna("")) & (
        (found["probability"] - frame["alarm_probability"].fillna(0.0)).abs() < SAME
    )
    written = found[~stays & ~same]
    for row in written.itertuples():
        alarm = None if pd.isna(row.alarm_id) else row.alarm_id
        store.update(row.feedback_id, alarm_id=alarm, alarm_probability=float(row.probability))
    return written


def linked_complaints(
    feedback: pd.DataFrame, links: pd.DataFrame, incidents: pd.Index, *, of: Mapping[str, str] | None = None
) -> pd.Series:
    """Count the complaints of each incident, as the column `complaints` of `fmea.impacts_of` that severity takes.

    Parameters
    ----------
    feedback : DataFrame
        `feedback_id`, and `category` where it is known: praise is no complaint.
    links : DataFrame
        From `link_messages`.
    incidents : Index
        Their names.
    of : mapping of str to str, optional
        Alarm -> incident; without it alarms bear their incident's name.

    Returns
    -------
    Series of float64, index incident
        Expected number: the sum of the links' probabilities, 0 where nobody complained. As messages that would have
        come anyway are not linked, the severity's `usual_complaints` is 0 beside it.

    Examples
    --------
    >>> said = pd.DataFrame({"feedback_id": ["f1", "f2", "f3"], "category": ["latency", "praise", "billing"]})
    >>> links = said[["feedback_id"]].assign(alarm_id=["a", "a", None], probability=[0.75, 0.9, 0.1])
    >>> linked_complaints(said, links, pd.Index(["a", "b"])).tolist()
    [0.75, 0.0]
    """
    own = links[links["feedback_id"].isin(set(complaints(feedback)["feedback_id"]))].dropna(subset=["alarm_id"])
    names = own["alarm_id"] if of is None else own["alarm_id"].map(dict(of))
    return own["probability"].groupby(names).sum().reindex(incidents, fill_value=0.0).rename("complaints")


def _linked(message: dict, alarms: pd.DataFrame, near: dict[str, set[str]], after: float, before: float) -> dict:
    odds: dict[str, float] = {}  # of each alarm the most, where it has a row for each of its entities
    entities: dict[str, str] = {}
    for alarm in alarms.itertuples():
        time = _time(message["timestamp"], alarm.start, alarm.end, after, before)
        if time is None:
            continue
        said = _where(message, alarm.entity, near)
        kind = WORDS.get(message["category"])
        fits = FITS if kind is not None and isinstance(alarm.metrics, str) and kind.search(alarm.metrics) else 0.0
        told = PRIOR.get(message["category"], -3.0) + time + said + fits
        if told > odds.get(alarm.alarm_id, -math.inf):
            odds[alarm.alarm_id], entities[alarm.alarm_id] = told, alarm.entity
    none = {"feedback_id": message["feedback_id"], "alarm_id": None, "entity": None, "probability": 0.0}
    if not odds:
        return none
    top = max(odds.values())
    weights = {name: math.exp(o - max(top, 0.0)) for name, o in odds.items()}
    best = max(odds, key=odds.get)
    probability = weights[best] / (sum(weights.values()) + math.exp(-max(top, 0.0)))
    if odds[best] <= 0:
        return {**none, "probability": probability}
    return {**none, "alarm_id": best, "entity": entities[best], "probability": probability}


def _time(stamp: pd.Timestamp, start: pd.Timestamp, end: pd.Timestamp, after: float, before: float) -> float | None:
    """Log-odds of a message's moment: 1 at an alarm's begin, falling with the time after its end; None far away."""
    late = (stamp - start).total_seconds()
    if late < -before:
        return None
    over = 0.0 if pd.isna(end) else max(0.0, (stamp - end).total_seconds())
    waited = over if over > 0 else 0.25 * max(0.0, late)  # while it lasts its users still write of it
    return None if waited > 6 * after else 1.0 - waited / after - (1.0 if late < 0 else 0.0)


def _where(message: dict, entity: str, near: dict[str, set[str]]) -> float:
    about, text = message.get("entity"), str(message["text"]).casefold()
    service = re.sub(r"[-_/:]?\d+$", "", entity)
    if about == entity or re.search(rf"(?<![\w-]){re.escape(entity.casefold())}(?![\w-])", text):
        return NAMED
    if len(service) > 2 and (
        about == service or re.search(rf"(?<![\w-]){re.escape(service.casefold())}(?![\w-])", text)
    ):
        return NAMED - 1.0
    if isinstance(about, str) and about:
        return NEAR if about in near.get(entity, ()) else ELSEWHERE
    return 0.0


def _neighbours(topology: pd.DataFrame | None) -> dict[str, set[str]]:
    """Entity -> those that depend on it within `STEPS`: their users feel it."""
    if topology is None:
        return {}
    for column in ("source", "target"):
        if column not in topology:
            raise ContractError(file="topology", column=column, expected="source and target", got="none")
    callers: dict[str, set[str]] = {}
    for source, target in zip(topology["source"], topology["target"], strict=True):
        callers.setdefault(target, set()).add(source)
    found = {}
    for entity in callers:
        seen, queue = {entity: 0}, deque([entity])
        while queue:
            at = queue.popleft()
            if seen[at] < STEPS:
                for caller in callers.get(at, ()):
                    if caller not in seen:
                        seen[caller] = seen[at] + 1
                        queue.append(caller)
        found[entity] = set(seen) - {entity}
    return found
