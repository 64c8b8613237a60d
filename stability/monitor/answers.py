"""Who wrote about an incident hears that it is over: once its repair is verified, and beside the watch's steps."""

from __future__ import annotations

__all__ = ["Answers", "tell_verified"]

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pandas as pd

from stability.feedback.answering import SENDERS, Answered, answer_fixed
from stability.feedback.contacts import Contacts
from stability.feedback.delivery import Delivery, Letter
from stability.feedback.incidents import read_alarms, read_verdicts
from stability.feedback.linking import link_store
from stability.feedback.store import FeedbackStore
from stability.monitor.chain import Watch
from stability.monitor.step import Step
from stability.schema import read_table

LATEST = pd.Timedelta("1d")  # after a verdict: who hears of it days later wonders what is meant
AGAIN = 60.0  # s after a try that failed, such as at a store that is locked


def tell_verified(
    folder: Path,
    text: str,
    *,
    topology: Path | None = None,
    dry_run: bool = False,
    senders: Mapping[str, Callable[[Letter], Delivery]] = SENDERS,
    now: pd.Timestamp | None = None,
) -> list[Answered]:
    """Link messages to a watch's incidents, and answer those of each whose last repair is verified.

    Parameters
    ----------
    folder : Path
        Of the watch.
    text : str
        What is told.
    topology : Path, optional
        Table of who calls whom, for the links.
    dry_run : bool
        Only say who would be told: their state is `not sent`.
    senders : mapping of str to callable
        As for `feedback.answering.answer`.
    now : Timestamp, optional
        Verdicts that are more than a day old then are let be.

    Returns
    -------
    list of Answered
        Nobody is told twice, however often it is asked for: `feedback.answering.answer` keeps what it has begun.

    Raises
    ------
    ContractError
        Where there is no journal of a watch, or a table that is none.
    """
    verdicts = read_verdicts(folder)
    fresh = verdicts["at"] >= (now or pd.Timestamp.now("UTC")) - LATEST
    verified = verdicts.loc[fresh & (verdicts["verdict"] == "verified"), "alarm_id"]
    if verified.empty:
        return []
    store, contacts = FeedbackStore(), Contacts()
    known = None if topology is None else read_table(topology, "topology").reset_index()
    link_store(store, read_alarms(folder), known)
    told = {"senders": senders, "dry_run": dry_run}
    return [one for name in verified for one in answer_fixed(store, contacts, name, text, verdicts, **told)]


class Answers:
    """Tells in a thread of its own: no step waits for a mail server.

    Parameters
    ----------
    tell : callable
        `tell_verified` with everything but the moment.

    Notes
    -----
    It looks once after a start, for verdicts of which a killed watch told nobody, and after each verified verdict.
    """

    def __init__(self, tell: Callable[[], list[Answered]]) -> None:
        self.tell, self.due = tell, time.monotonic()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self.going: Future[list[Answered]] | None = None

    def after(self, watch: Watch, step: Step | None) -> None:
        """Take what came of the last look, and look again where there is something new."""
        if step is not None and any(one.get("verdict") == "verified" for one in step.told if one["kind"] == "verdict"):
            self.due = time.monotonic()
        self._taken(watch)
        self._look()

    def close(self, watch: Watch) -> None:
        """Wait for what is on its way and what is due, and write down what came of it."""
        for _ in range(2):
            if self.going is not None:
                wait([self.going])
            self._taken(watch)
            self._look()
        self.worker.shutdown(wait=True)

    def _look(self) -> None:
        if self.going is None and time.monotonic() >= self.due:
            self.due, self.going = math.inf, self.worker.submit(self.tell)

    def _taken(self, watch: Watch) -> None:
        """Write down what came of a look that has ended: how many were told, or why nobody was."""
        if self.going is None or not self.going.done():
            return
        done, self.going = self.going, None
        try:
            told = done.result()
        except Exception as error:  # noqa: BLE001  whatever a store or a server does, the watch goes on
            self.due = min(self.due, time.monotonic() + AGAIN)
            note = {"kind": "answers_failed", "said": str(error) or type(error).__name__}
        else:
            states = pd.Series([one.state for one in told], dtype=object).value_counts().sort_index()
            note = {"kind": "answered", "messages": [one.feedback_id for one in told], "states": states.to_dict()}
            if not told:
                return
        with contextlib.suppress(OSError):  # a full disk stops no watch; the store of feedback knows who was told
            watch.note(**note)
