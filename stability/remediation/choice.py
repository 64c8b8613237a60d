"""Choice by expected cost: what a repair is expected to save, against what it costs and what it risks."""

from __future__ import annotations

__all__ = ["ALIKE", "ALONE", "CLEARLY", "UNCHANGED", "UNKNOWN", "options", "suspects"]

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from stability.remediation.actions import ROLL_BACK, able
from stability.remediation.decisions import LASTS, Option, Refusal, ServiceState
from stability.remediation.history import History
from stability.remediation.inventory import Inventory
from stability.remediation.playbooks import Playbook

UNKNOWN = "unknown"  # the failure mode of what the localizer has never seen
# What is acted upon has to be so many times as likely as a mode that nobody knows. Chosen on recording 1 of the testbed
# with each known mode left out in turn: of 201 looks at what was left out 11 would act (P of .4 and more), and 7 with
# this; of the looks at known modes, groups left out, 177 act rightly, and 171 with this (7 and 165 if it were 2).
CLEARLY = 1.5
# And so many times as likely as the same at another entity: each mode was learnt as a fault of one, and what two show
# at once has a cause that both share. It costs nothing on recording 1: in none of those looks the other has .01 of it.
# The first round of the game day showed the need; the number is a judgement, since recording 1 allows any up to 100.
ALONE = 5.0
ALIKE = "alike"  # what refuses it
AGAIN = 900.0  # s after a going back in which a second one would go back to what the first has left
UNCHANGED = "unchanged"  # what refuses to go back to what was before, where it is the same


def suspects(causes: pd.DataFrame, alarm_id: str) -> pd.DataFrame:
    """Give the causes of an alarm, the likeliest first.

    Parameters
    ----------
    causes : DataFrame
        The contract's table.
    alarm_id : str
        The alarm.

    Returns
    -------
    DataFrame
        entity, failure_mode (text or None), probability (0 where it is missing).
    """
    flat = causes.reset_index()
    rows = flat[flat["alarm_id"].astype(str) == alarm_id].sort_values("rank")
    table = rows.reindex(columns=["entity", "failure_mode", "probability"]).astype(object)
    table = table.where(table.notna(), None).reset_index(drop=True)
    table["probability"] = table["probability"].map(lambda p: 0.0 if p is None else float(p))
    return table


def options(
    rows: pd.DataFrame,
    playbooks: Sequence[Playbook],
    inventory: Inventory,
    state: ServiceState,
    history: History,
    impact: float,
    begun: pd.Timestamp | None = None,
    since: pd.Timestamp | None = None,
) -> tuple[Option, ...]:
    """List what could be done about the causes of an alarm, the best first; doing nothing is worth 0.

    A playbook saves `P x effect x impact` minutes: P is the sum of the probabilities of the causes on the entity whose
    mode it ends, the effect the mean of its Beta posterior, the impact what is expected if nobody acts. It spends
    `cost + risk.probability x risk.minutes`, whether the cause is right or wrong.

    Parameters
    ----------
    rows : DataFrame
        Of `suspects`.
    playbooks, inventory, state, history
        What there is, who controls it, how it is, and how often it helped.
    impact : float
        Minutes.
    begun : Timestamp, optional
        When users began to feel it; without it, when the service was looked at.
    since : Timestamp, optional
        Since when it has been taken for what it is taken for now; `begun` without it.

    Returns
    -------
    tuple of Option
        With the conditions that are not met as refusals. Two hold for all: an unknown mode is clearly less likely, and
        so is the same at another entity.

    Examples
    --------
    See `tests/test_remediation_choice.py` for the arithmetic by hand.
    """
    named = rows.dropna(subset=["entity", "failure_mode"])
    strange = float(rows.loc[rows["failure_mode"] == UNKNOWN, "probability"].sum())
    begun = state.at if begun is None else begun
    since = begun if since is None else since
    found = []
    for entity in dict.fromkeys(named["entity"]):
        here = named[named["entity"] == entity]
        for playbook in playbooks:
            ends = here["failure_mode"].isin(playbook.failure_modes)
            if not ends.any():
                continue
            probability = float(np.clip(here.loc[ends, "probability"].sum(), 0.0, 1.0))
            there = named[(named["entity"] != entity) & named["failure_mode"].isin(playbook.failure_modes)]
            rival = float(there.groupby("entity")["probability"].sum().max()) if len(there) else 0.0
            helped, failed = history.effect(playbook)
            effect = helped / (helped + failed)
            found.append(
                Option(
                    playbook=playbook.name,
                    entity=entity,
                    probability=round(probability, 6),
                    effect=round(effect, 6),
                    saved=round(probability * effect * impact, 6),
                    spent=round(playbook.cost + playbook.risk.probability * playbook.risk.minutes, 6),
                    refusals=(
                        *_unmet(playbook, entity, (probability, strange, rival), inventory, state),
                        *_too_soon(playbook, state.at, since),
                        *_unchanged(playbook, entity, state, begun),
                        *_went_back(playbook, entity, history, begun),
                    ),
                )
            )
    return tuple(sorted(found, key=lambda option: (bool(option.refusals), -option.gain, option.playbook)))


def _unmet(playbook: Playbook, entity: str, likely: tuple[float, ...], inventory: Inventory, state: ServiceState):
    (probability, strange, rival), told = likely, playbook.conditions
    others = [one for one in state.group(entity) if one != entity]
    if probability < told.min_probability:
        yield Refusal("probability", f"P {probability:.2f}, and {told.min_probability:.2f} is the least")
    if probability < CLEARLY * strange:
        why = (
            f"P {probability:.2f}, and {strange:.2f} for a mode that nobody knows: {CLEARLY:g} times that is the least"
        )
        yield Refusal(UNKNOWN, why)
    if probability < ALONE * rival:
        yield Refusal(
            ALIKE, f"P {probability:.2f}, and {rival:.2f} for the same at another entity: no single fault does that"
        )
    if not any(fnmatchcase(entity, pattern) for pattern in told.entities):
        yield Refusal("entities", f"{entity} is none of {', '.join(told.entities)}")
    if told.alone is not None and told.alone != (not others):
        yield Refusal("alone", f"{entity} {'is one of several' if others else 'stands alone'}")
    healthy = sum(state.healthy.get(one) is True for one in others)
    if healthy < told.healthy_peers:
        why = f"{healthy} others of its group are known to be healthy, and {told.healthy_peers} are needed"
        yield Refusal("healthy_peers", why)
    if told.needs_impact and state.impact is not True:
        yield Refusal("impact", "users are not hurt" if state.impact is False else "whether users are hurt is unknown")
    if able(inventory, entity, playbook.steps[0].action) is None:
        yield Refusal("inventory", f"nobody can {playbook.steps[0].action} {entity}")


def _too_soon(playbook: Playbook, now: pd.Timestamp, since: pd.Timestamp):
    age, least = (now - since).total_seconds(), playbook.conditions.lasts
    if age < least:
        yield Refusal(LASTS, f"it has looked so for {age:.0f} s, and within {least:g} s others may show the same")


def _went_back(playbook: Playbook, entity: str, history: History, begun: pd.Timestamp):
    """Say no to going back again: the change before it was the last going back."""
    if playbook.steps[0].action not in ROLL_BACK:
        return
    within = playbook.conditions.changed.within if playbook.conditions.changed else AGAIN
    for _, action in history.real():
        facts = action.facts
        if facts["entity"] != entity or facts["action"] not in ROLL_BACK or action.status == "failed":
            continue
        age = (begun - action.last).total_seconds()
        if age < within:
            yield Refusal(UNCHANGED, f"{facts['playbook']} changed {entity} {age:.0f} s before it began")
            return


def _unchanged(playbook: Playbook, entity: str, state: ServiceState, begun: pd.Timestamp):
    """Say no to going back where nothing has changed; what nobody tells is not asked for."""
    told = playbook.conditions.changed
    if told is None:
        return
    since = {name: at for name, at in state.since.get(entity, {}).items() if name in told.states}
    if not since or max(since.values()) >= begun - pd.Timedelta(told.within, "s"):
        return
    name = max(since, key=since.__getitem__)
    age = (begun - since[name]).total_seconds()
    why = f"{name} of {entity} had been the same for {age:.0f} s when it began, and {told.within:g} s are the most"
    yield Refusal(UNCHANGED, why)
