"""Fault records: who felt a fault and when, computed from the telemetry and not from the injection."""

from __future__ import annotations

__all__ = ["broken", "fault_records", "runs"]

import numpy as np
import pandas as pd

from stability.schema import empty, validate
from stability.simulate.scenario import Scenario, ServiceLevel
from stability.simulate.schedule import Occurrence
from stability.simulate.streams import stream

AFTERMATH_S = (
    1_800.0  # an impact that begins this long after the cause has gone still belongs to it: queues, cold caches
)
QUALITY = "model_prediction_quality_ratio"
UNFELT = 1.0  # severity of a fault that broke no service level
SLOW = 4.0  # service level broken, under 1 % of the requests failed: users wait
SEVERITY = (
    (0.01, 6.0),
    (0.05, 7.0),
    (0.25, 8.0),
)  # worst share of failed requests over 5 samples, and the severity from there
NOTICED = (0.1, 0.4)  # share of the time from impact to repair that goes by until somebody notices
UNDERSTOOD = (0.5, 0.9)  # and until the cause is known


def broken(telemetry: pd.DataFrame, level: ServiceLevel) -> pd.DataFrame:
    """Judge one entity's service level at each sample, from its telemetry alone.

    Parameters
    ----------
    telemetry : DataFrame
        Rows of one entity, by time: `http_server_requests_total`, `http_server_errors_total` (counters) and
        `http_server_request_duration_seconds_p99` (s) and, where a share of good answers is promised,
        `model_prediction_quality_ratio`.
    level : ServiceLevel
        What users are promised.

    Returns
    -------
    DataFrame, index as in `telemetry`
        `error_ratio` (share of the requests since the last sample that failed; NaN without requests), `unserved` (the
        same, or the share by which good answers fall short, whichever is larger) and `bad` (bool):
        too many failed, or too slow, or too few answers were good, or the process was away. A gap counts as away where
        the counters begin anew after it; where they go on, only the exporter was silent, and the gap says nothing.
    """
    requests = _increments(telemetry["http_server_requests_total"])
    errors = _increments(telemetry["http_server_errors_total"])
    ratio = errors.where(requests > 0) / requests.where(requests > 0)
    slow = telemetry["http_server_request_duration_seconds_p99"] > level.latency
    bad = (ratio > level.error_ratio) | slow | _away(telemetry)
    unserved = ratio
    if level.quality is not None and QUALITY in telemetry:
        bad |= telemetry[QUALITY] < level.quality
        unserved = np.fmax(ratio, (level.quality - telemetry[QUALITY]).clip(lower=0))
    return pd.DataFrame({"error_ratio": ratio, "unserved": unserved, "bad": bad})


def _increments(counter: pd.Series) -> pd.Series:
    """Growth of a counter since its last known value; after a restart it is the new value itself."""
    known = counter.ffill().shift()
    grown = counter - known
    return grown.where(~(grown < 0), counter)


def _away(telemetry: pd.DataFrame) -> pd.Series:
    counter = telemetry["http_server_requests_total"]
    anew = (counter < counter.ffill().shift()).astype("float").where(counter.notna())
    # Each missing sample looks at the first sample after its gap.
    return counter.isna() & (anew.bfill() == 1.0)


def runs(bad: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Find the runs of at least `shortest` true values: first position, and first position after it.

    Examples
    --------
    >>> runs(np.array([True, True, False, True]), 2)
    [(0, 2)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(bad, dtype=np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= shortest]


def fault_records(
    scenario: Scenario, seed: int, faults: list[Occurrence], telemetry: pd.DataFrame, topology: pd.DataFrame
) -> pd.DataFrame:
    """Write the fault records.

    A fault has one row for the entity in which its cause lies, `fault_id` f01, and one for each other entity whose
    service level it broke, `fault_id` f01.<entity>: who is reached by it says the topology (callers of it or of what
    runs on it, and replicas that take over), whether and when says that entity's own telemetry. Where a service level
    was broken and no injected fault explains it (a busy hour that a harmless event made too busy), there is a record
    u01 with the impact alone: what users feel is on record, whatever its cause.

    Parameters
    ----------
    scenario : Scenario
        The fleet.
    seed : int
        The seed.
    faults : list of Occurrence
        The injected causes.
    telemetry : DataFrame
        The panel.
    topology : DataFrame
        Who depends on whom.

    Returns
    -------
    DataFrame
        The contract's table of faults. `impact_start` is NaT where the service level held. `detected_at` and
        `diagnosed_at` are those of the incident, NaT where nobody felt it before it was gone. `recovered_at` is the
        first moment at which the cause is gone and the service level holds. Times after the end of the record are NaT.
    """
    served = scenario.replicas()
    judged = {e: broken(telemetry.loc[e], scenario.services[s].service_level) for e, s in served.items()}
    bad = {
        entity: runs(
            found["bad"].to_numpy(),
            max(int(np.ceil(scenario.services[served[entity]].service_level.during / scenario.step)), 1),
        )
        for entity, found in judged.items()
    }
    end = scenario.duration - scenario.step
    records, explained = [], {entity: set() for entity in bad}
    for fault in faults:
        felt = {e: _impact(bad[e], fault, scenario.step) for e in _reach(scenario, topology, fault.entity)}
        felt = {entity: spans for entity, spans in felt.items() if spans}
        first = min((spans[0][0] * scenario.step for spans in felt.values()), default=None)
        noticed, understood = _human(seed, fault, first)
        for entity in [fault.entity, *sorted(felt.keys() - {fault.entity})]:
            spans = felt.get(entity, [])
            over = max([fault.end, *(last * scenario.step for _, last in spans)])
            if spans:
                explained[entity].add((spans[0][0], over / scenario.step))
            times = {
                "cause_start": fault.start,
                "impact_start": max(spans[0][0] * scenario.step, fault.start) if spans else None,
                "detected_at": noticed,
                "diagnosed_at": understood,
                "cause_end": fault.end,
                "recovered_at": over,
            }
            records.append(
                {"fault_id": fault.name if entity == fault.entity else f"{fault.name}.{entity}", "entity": entity}
                | {name: _moment(scenario, t) if t is not None and t <= end else pd.NaT for name, t in times.items()}
                | {
                    "failure_mode": fault.mode,
                    "root_entity": fault.entity,
                    "root_metrics": ",".join(fault.kind.root_metrics),
                    "severity": _severity(judged[entity]["unserved"], spans) if spans else UNFELT,
                    "source": f"simulated:{scenario.name}",
                }
            )
    records += _unexplained(scenario, judged, bad, explained)
    return validate(pd.DataFrame(records), "faults") if records else empty("faults")


def _unexplained(scenario: Scenario, judged: dict, bad: dict, explained: dict) -> list[dict]:
    """Records of what users felt and no injected fault explains: without cause and mode."""
    left = [
        (first, entity, last)
        for entity, spans in bad.items()
        for first, last in spans
        if not any(begin <= first < over for begin, over in explained[entity])
    ]
    return [
        {
            "fault_id": f"u{k:02d}",
            "entity": entity,
            "impact_start": _moment(scenario, first * scenario.step),
            "recovered_at": _moment(scenario, last * scenario.step)
            if last * scenario.step <= scenario.duration - scenario.step
            else pd.NaT,
            "severity": _severity(judged[entity]["unserved"], [(first, last)]),
            "source": f"simulated:{scenario.name}",
        }
        for k, (first, entity, last) in enumerate(sorted(left), start=1)
    ]


def _moment(scenario: Scenario, seconds: float) -> pd.Timestamp:
    return scenario.start + pd.to_timedelta(round(seconds), unit="s")


def _impact(spans: list[tuple[int, int]], fault: Occurrence, step: float) -> list[tuple[int, int]]:
    """Runs of bad samples that begin while the cause works or soon after."""
    return [s for s in spans if fault.start <= s[0] * step <= fault.end + AFTERMATH_S]


def _reach(scenario: Scenario, topology: pd.DataFrame, entity: str) -> list[str]:
    """Replicas that a fault of this entity can break: itself, what runs on it, its siblings, and all callers above."""
    source, target = topology.index.get_level_values("source"), topology.index.get_level_values("target")
    kind = topology["kind"].to_numpy()
    served = scenario.replicas()
    hosts = {entity}
    for a, b in zip(source[kind == "shares"], target[kind == "shares"], strict=True):
        if entity in (a, b):
            hosts |= {a, b}
    tenants = set(source[(kind == "runs_on") & target.isin(hosts)])
    services = {served[e] for e in ({entity} if entity in served else tenants)}
    for name in scenario.order():  # callees first, so one pass climbs to the top
        if services & set(scenario.services[name].calls):
            services.add(name)
    return [e for e, service in served.items() if service in services]


def _human(seed: int, fault: Occurrence, impact: float | None) -> tuple[float | None, float | None]:
    """When somebody noticed and when the cause was known: between the first impact and the repair."""
    if impact is None or impact >= fault.end:
        return None, None
    rng = stream(seed, "people", fault.key)
    whole = fault.end - max(impact, fault.start)
    noticed, understood = rng.uniform(*NOTICED), rng.uniform(*UNDERSTOOD)
    begin = max(impact, fault.start)
    return begin + noticed * whole, begin + understood * whole


def _severity(unserved: pd.Series, spans: list[tuple[int, int]]) -> float:
    """Rate what was felt by the worst share of requests that were not served, averaged over five samples."""
    window = unserved.iloc[spans[0][0] : spans[-1][1]]
    worst = window.rolling(5, min_periods=1).mean().max()
    return max([SLOW, *(severity for share, severity in SEVERITY if worst >= share)])
