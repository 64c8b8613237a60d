"""What there was before: whether a way back leads anywhere is asked before it is decided upon, and changes nothing."""

from __future__ import annotations

__all__ = ["Before"]

import threading
from pathlib import Path

import pandas as pd

from stability.remediation.actions import ROLL_BACK, able
from stability.remediation.addresses import PROCESS, ask
from stability.remediation.commands import cluster, run
from stability.remediation.inventory import Control, Files, Inventory, Kubernetes, Models, Testbed
from stability.remediation.versions import earlier_file, earlier_model

WAIT = 2.0  # s for an answer: whoever decides has other things to do
KEPT = 30.0  # s for which an answer holds


class Before:
    """Asks whether there is anything to go back to, without changing anything, and keeps the answer for a while.

    A symptom that a bad release would have is no bad release where nothing was ever released.

    Parameters
    ----------
    inventory : Inventory
        Who controls what.
    """

    def __init__(self, inventory: Inventory):
        self.inventory = inventory
        self._kept: dict[tuple[str, str], tuple[pd.Timestamp, str]] = {}
        self._asking: dict[tuple[str, str], threading.Thread] = {}

    def nothing(self, entity: str, action: str, now: pd.Timestamp) -> str:
        """Say why there is nothing to go back to, as whoever would do it tells.

        Parameters
        ----------
        entity : str
            Whom it concerns.
        action : str
            Only `roll_back_configuration` and `roll_back_model` go back.
        now : Timestamp
            UTC; an answer holds for half a minute.

        Returns
        -------
        str
            "" where there is something, and where nobody tells within two seconds: routes of one's own and webhooks do
            not.
        """
        key = entity, action
        at, said = self._kept.get(key, (None, ""))
        if at is None or not 0 <= (now - at).total_seconds() < KEPT:
            said = self._ask(key)
            self._kept[key] = now, said
        return said

    def _ask(self, key: tuple[str, str]) -> str:
        entity, action = key
        control = able(self.inventory, entity, action) if action in ROLL_BACK else None
        if control is None or (key in self._asking and self._asking[key].is_alive()):
            return ""
        if isinstance(control, Models):
            import mlflow  # noqa: F401  its seconds are not the registry's
        found: list[str] = []

        def look() -> None:
            try:
                found.append(_nothing(control, entity))
            except Exception:  # noqa: BLE001  who cannot be asked has not said no
                return

        asking = threading.Thread(target=look, daemon=True, name="before")  # a registry may try again for minutes
        asking.start()
        self._asking[key] = asking
        asking.join(WAIT)
        return next(iter(found), "")


def _nothing(control: Control, entity: str) -> str:
    match control:
        case Testbed():
            if not PROCESS.fullmatch(entity):
                return ""
            _, told = ask("GET", f"{control.address()}/processes/{entity}/before", WAIT)
            return f"{entity} was never changed" if told.get("there") is False else ""
        case Kubernetes():
            asked = ("kubectl", "rollout", "history", f"deployment/{control.deployment}", *cluster(control))
            first = [line.split()[:1] for line in run(asked, WAIT)[1].splitlines()]
            revisions = sum(word[0].isdecimal() for word in first if word)
            return f"deployment {control.deployment} has had one revision" if revisions == 1 else ""
        case Models():
            now, wanted = earlier_model(control)
            return f"{control.model} has no version before {now}" if wanted is None else ""
        case Files() if control.link and Path(control.link).is_symlink():
            link = Path(control.link)
            return f"there is no version before {link.readlink().name}" if earlier_file(link) is None else ""
    return ""
