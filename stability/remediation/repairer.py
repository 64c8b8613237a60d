"""From an alarm and its causes to a repair that is proven: decide, act, observe, go on or call somebody."""

from __future__ import annotations

__all__ = ["MODES", "Repairer"]

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from stability.remediation.decisions import Acted, Case, Decision, Progress, ServiceState

if TYPE_CHECKING:
    from stability.remediation.aftermath import Aftermath

MODES = ("dry-run", "approved", "automatic")


class Repairer:
    """Repair by playbooks, behind guards, with everything in an append-only record that outlives a kill -9.

    Nothing in here sleeps and nobody asks for the time: every method takes `now`.

    Parameters
    ----------
    playbooks : sequence of Playbook
        `read_playbooks(folder)`.
    inventory : Inventory
        How each entity is controlled: `read_inventory(file)`, or made in code.
    record : Record
        `Record(path)`.
    guards : Guards, optional
        Limits; the defaults are strict.
    mode : {'dry-run', 'approved', 'automatic'}
        Who lets an action happen.
    tell : callable, optional
        `tell(title, text, *, bad) -> bool`, such as `stability.workbench.notification.send`.
    secret : bytes, optional
        Key of the approvals' signatures; without it no token is ever accepted.
    """

    def __init__(
        self,
        playbooks,
        inventory,
        record,
        guards=None,
        *,
        mode: str = "dry-run",
        tell: Callable[..., bool] | None = None,
        secret: bytes | None = None,
    ) -> None:
        raise NotImplementedError

    def decide(
        self,
        alarm: pd.Series | Mapping,
        causes: pd.DataFrame,
        now: pd.Timestamp,
        state: ServiceState,
        *,
        impact: float = 10.0,
        impact_start: pd.Timestamp | None = None,
    ) -> Decision:
        """Choose what to do about an alarm; `impact` is minutes of impact expected if nobody acts."""
        raise NotImplementedError

    def act(self, decision: Decision, now: pd.Timestamp, state: ServiceState, *, approval: str | None = None) -> Acted:
        """Do what was decided, once, if every guard still agrees."""
        raise NotImplementedError

    def open_cases(self) -> list[Case]:
        """Repairs that wait for their verdict."""
        raise NotImplementedError

    def observe(self, case: Case, aftermath: Aftermath, now: pd.Timestamp) -> Progress:
        """Ask for the verdict, record it when it is final, and say how it goes on."""
        raise NotImplementedError

    def resume(self, now: pd.Timestamp) -> list[Case]:
        """After a start: whatever was begun and never ended was perhaps done; it is judged, never repeated."""
        raise NotImplementedError

    def actions(self) -> pd.DataFrame:
        """The contract's table of actions."""
        raise NotImplementedError
