"""The whole chain as an arm of a game day: alarm, cause, choice, guard, action, and a verdict on each repair."""

from __future__ import annotations

__all__ = ["Workbench", "inventory_of", "service_of", "state_of"]

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from stability.localization.alarms import alarms_at
from stability.localization.diagnosis import Diagnoser
from stability.localization.live import live_pictures
from stability.remediation.aftermath import Aftermath
from stability.remediation.decisions import Acted, Decision, ServiceState
from stability.remediation.inventory import Inventory
from stability.remediation.repairer import Repairer
from stability.rules import Rule, firings
from stability.schema import ContractError
from stability.telemetry import read_prometheus
from stability.testbed.game_day_arms import Alarms, Note
from stability.testbed.game_day_learning import APART, CLEAR, SERVICE
from stability.testbed.modes import REPLICAS
from stability.testbed.service_level import GATEWAY

ASKED = (GATEWAY, *REPLICAS, "feature-store")  # who answers requests
EVERY = 2.0  # s between two looks at what alarms
AGREE = 2  # looks in a row that have to name the same cause before anything is done about it
FIRST = 5  # causes of a look that are noted
LATELY = 3  # s in which who answers the scraper counts as healthy
PROMISED = 0.25  # s in which users are promised an answer
SLOW, FAILED = 0.10, 0.02  # shares that users are promised at most
_OF = f'instance=~"{"|".join(ASKED)}"'
_DURATION = "http_server_request_duration_seconds"
QUERIES = {
    "total": f"sum by (instance) ({_DURATION}_count{{{_OF}}})",
    "good": f'sum by (instance) ({_DURATION}_bucket{{{_OF}, le="{PROMISED}", http_response_status_code=~"2.."}})',
}


class Workbench:
    """The chain, with everything that it did in the record of its repairer.

    Parameters
    ----------
    alarms : Alarms
        What alarms: the same as for the other arms.
    rules : sequence of Rule
        Whose hits are evidence.
    diagnoser : Diagnoser
        With `usual_`.
    repairer : Repairer
        In mode 'automatic', behind its guards.
    told : callable
        Of (first, last): tables beside the metrics, as `tables.told_tables` gives them.
    served : callable
        Of (first, last): requests by entity and second, as `service_of` gives them.
    """

    def __init__(
        self,
        alarms: Alarms,
        rules: Sequence[Rule],
        diagnoser: Diagnoser,
        repairer: Repairer,
        told: Callable[[pd.Timestamp, pd.Timestamp], Mapping[str, pd.DataFrame]],
        served: Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame],
    ) -> None:
        self.alarms, self.rules, self.diagnoser, self.repairer = alarms, list(rules), diagnoser, repairer
        self.told, self.served = told, served
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="repair")
        self.under_way: tuple[pd.Timestamp, Decision, Future[Acted]] | None = None
        self.since: pd.Timestamp | None = None  # begin of what alarms now
        self.news: pd.Timestamp | None = None  # when the last rule began to fire that was news
        self.fired: pd.Timestamp | None = None  # last moment at which a rule fired
        self.looked: pd.Timestamp | None = None
        self.named: list[tuple[str | None, str | None]] = []

    def step(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        """Go through the chain once; an action that takes its time is waited for in later steps."""
        firing = self.alarms.firing(now, panel)
        notes = self.alarms.told(now, firing) + self._ended(now)
        self._follow(now, firing)
        state = state_of(now, panel)
        notes += self._observe(now, panel)
        if self.under_way is None:
            for decision in self.repairer.pending()[:1]:
                self._act(decision, now, state)
        due = self.looked is None or (now - self.looked).total_seconds() >= EVERY
        if self.since is not None and self.under_way is None and due and not self.repairer.open_cases():
            notes += self._look(now, panel, state)
        return notes

    def _follow(self, now: pd.Timestamp, firing: pd.DataFrame) -> None:
        """Rules that fire one after the other are one alarm; it is over when nothing has fired for a while."""
        if len(firing):
            self.since, self.fired = self.since or now, now
            begun = firing["start"].max()
            if self.news is None or (begun - self.news).total_seconds() >= APART:
                self.news = begun
        elif self.since is not None and (now - self.fired).total_seconds() > CLEAR:
            self.since, self.news, self.named = None, None, []

    def _look(self, now: pd.Timestamp, panel: pd.DataFrame, state: ServiceState) -> list[Note]:
        self.looked = now
        name = f"alarm-{self.since:%H%M%S}"
        alarm = alarms_at(pd.Series([self.news], index=[name]), SERVICE, "rules")  # as they were learnt
        first = panel.index.get_level_values("timestamp").min()
        known = {**self.told(first, now + pd.Timedelta(seconds=1)), "telemetry": panel}
        pictures = live_pictures(known, alarm, self.diagnoser.usual_, rules=self.rules, now=now)
        causes = self.diagnoser.diagnose(pictures)
        notes = [
            Note(now, "cause", _text(row.entity), _text(row.failure_mode), None, rank, row.probability, alarm_id=name)
            for rank, row in enumerate(causes.head(FIRST).itertuples(), start=1)
        ]
        self.named = [*self.named, (notes[0].entity, notes[0].failure_mode)][-AGREE:]
        if len(self.named) < AGREE or len(set(self.named)) > 1:
            return notes
        decision = self.repairer.decide(alarm.reset_index().iloc[0], causes, now, state, impact_start=self.since)
        told = {"verb": decision.kind, "text": decision.because, "alarm_id": name}
        notes.append(Note(now, "decision", decision.entity, notes[0].failure_mode, **told))
        if decision.acts:
            self._act(decision, now, state)
        return notes

    def _act(self, decision: Decision, now: pd.Timestamp, state: ServiceState) -> None:
        self.under_way = now, decision, self.worker.submit(self.repairer.act, decision, now, state)

    def _ended(self, now: pd.Timestamp, *, wait: bool = False) -> list[Note]:
        if self.under_way is None or not (wait or self.under_way[2].done()):
            return []
        begun, decision, done = self.under_way
        self.under_way, acted = None, done.result()
        verb = decision.plan["action"] if decision.kind == "step" else f"undo {decision.plan['action']}"
        told = {"end": now, "alarm_id": decision.alarm_id, "text": f"{acted.status}: {acted.detail}"}
        mode = self.named[-1][1] if self.named else None
        return [Note(begun, "action" if acted.touched else "refused", decision.entity, mode, verb, **told)]

    def _observe(self, now: pd.Timestamp, panel: pd.DataFrame) -> list[Note]:
        notes, cases = [], [case for case in self.repairer.open_cases() if case.acted_at <= now]
        if not cases:
            return notes
        first = panel.index.get_level_values("timestamp").min()
        try:
            served = self.served(first, now)
        except (ConnectionError, ContractError):  # asked again in the next second: without it nothing is known
            return notes
        fired = firings(self.alarms.rules, panel, step="1s")
        for case in cases:
            aftermath = Aftermath(
                entity=case.entity,
                acted_at=case.acted_at,
                impact_start=case.impact_start,
                now=now,
                telemetry=panel,
                service=served,
                scores=_scores(fired, panel),
                thresholds={"rules": 0.5},
                neighbours=[one for one in case.neighbours if one in ASKED],
            )
            progress = self.repairer.observe(case, aftermath, now)
            if progress.final:
                told = {"alarm_id": case.alarm_id, "text": "; ".join(progress.checks)}
                notes.append(Note(now, "verdict", case.entity, None, progress.verdict, **told))
        return notes

    def close(self) -> list[Note]:
        """Wait for what is under way."""
        self.worker.shutdown(wait=True)
        return self._ended(pd.Timestamp.now("UTC").as_unit("us"), wait=True)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _scores(fired: pd.DataFrame, panel: pd.DataFrame) -> pd.DataFrame:
    """1 at each second in which a rule that alarms fires on an entity, else 0."""
    scores = pd.DataFrame({"rules": 0.0}, index=panel.index)
    stamps, entities = (panel.index.get_level_values(name) for name in ("timestamp", "entity"))
    for row in fired.itertuples():
        on = (entities == row.entity) & (stamps >= row.start)
        scores.loc[on if row.end is pd.NaT else on & (stamps < row.end), "rules"] = 1.0
    return scores


def state_of(now: pd.Timestamp, panel: pd.DataFrame) -> ServiceState:
    """Say who answers, and whether users are hurt, from the panel.

    Parameters
    ----------
    now : Timestamp
    panel : DataFrame
        Up to now.

    Returns
    -------
    ServiceState
        Healthy is who answered all scrapes of the last seconds; without a scrape nothing is known. Users are hurt when
        more of them fail or wait than they were promised, as far as their own metrics tell.

    Examples
    --------
    >>> now = pd.Timestamp("2026-01-01", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["gateway", "model-a"], [now]], names=["entity", "timestamp"])
    >>> state = state_of(now, pd.DataFrame({"up": [1.0, 0.0]}, index=index))
    >>> dict(state.healthy), state.impact
    ({'gateway': True, 'model-a': False}, None)
    """
    stamps = panel.index.get_level_values("timestamp")
    lately = panel[(stamps > now - pd.Timedelta(seconds=LATELY)) & (stamps <= now)]
    up = lately["up"].unstack("entity")  # noqa: PD010, nothing is aggregated
    healthy = {name: bool((up[name] == 1).all()) for name in ASKED if name in up and up[name].notna().any()}
    return ServiceState(now, healthy, {"replicas": list(REPLICAS)}, _impact(lately))


def _impact(lately: pd.DataFrame) -> bool | None:
    columns = ["service_availability_ratio", "service_latency_seconds_p95"]
    if SERVICE not in lately.index.get_level_values("entity") or not set(columns) <= set(lately):
        return None
    availability, waited = lately.loc[SERVICE, columns].iloc[-1]
    if np.isnan(availability):
        return None
    return bool(availability < 1 - FAILED or waited > PROMISED)


def service_of(url: str) -> Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame]:
    """Give what reads, second by second, how many requests each entity had and how many were answered in time.

    Parameters
    ----------
    url : str
        Of the service's scraper.

    Returns
    -------
    callable
        Of (first, last) -> DataFrame, index (entity, timestamp), columns good and total; NaN where nothing was scraped.
    """

    def read(first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        raw = read_prometheus(url, QUERIES, first, last, step="1s", entity="{instance}", infinite="missing")
        return counted(raw)

    return read


def counted(raw: pd.DataFrame) -> pd.DataFrame:
    """Requests of each second from counters; one that has fallen began anew at 0.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="s", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["gateway"], stamps], names=["entity", "timestamp"])
    >>> counted(pd.DataFrame({"total": [5.0, 9, 2, 4], "good": [5.0, 8, 2, 4]}, index=index))["good"].tolist()
    [nan, 3.0, 2.0, 2.0]
    """
    steps = raw.groupby(level="entity").diff()
    steps = steps.where(~(steps < 0), raw)
    steps["good"] = steps["good"].fillna(0.0).where(steps["total"].notna())  # not exported before the first good one
    return steps.assign(good=np.minimum(steps["good"], steps["total"]))[["good", "total"]]


def inventory_of(home: Path, backup: Path) -> Inventory:
    """Who controls the service: its supervisor, found in its folder."""
    control = {"control": "testbed", "folder": str(home), "backup": str(backup)}
    return Inventory.model_validate({"entities": [{"match": list(ASKED), "controls": [control]}]})
