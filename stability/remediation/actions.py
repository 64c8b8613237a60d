"""Actions: each of them done by the first of the entity's controls that knows it, with a typed outcome in any case."""

from __future__ import annotations

__all__ = ["Outcome", "Task", "able", "perform"]

import time

from stability.remediation import addresses, commands, versions
from stability.remediation.inventory import (
    Command,
    Control,
    Files,
    Http,
    Inventory,
    Kubernetes,
    Models,
    Testbed,
    Webhook,
)
from stability.remediation.outcomes import Outcome, Task, failed
from stability.remediation.playbooks import ACTIONS

ROLL_BACK = {"roll_back_configuration", "roll_back_model"}


def _known(control: Control) -> set[str]:
    """The actions that a control knows."""
    match control:
        case Testbed():
            restore = {"restore"} if control.backup else set()
            return {"restart", "reload", "clean_disk", "scale_out", "fail_over"} | ROLL_BACK | restore
        case Command():
            return {"restart", "reload"}
        case Kubernetes():
            return {"restart", "scale_out"} | ROLL_BACK
        case Http():
            routes = {
                "reload": control.reload,
                "roll_back_configuration": control.roll_back,
                "shed_load": control.shed,
                "fail_over": control.drain,
            }
            return {action for action, route in routes.items() if route}
        case Models():
            return {"roll_back_model"}
        case Files():
            link = {"roll_back_model"} if control.link else set()
            return link | ({"restore"} if control.state and control.backup else set())
        case Webhook():
            return set(ACTIONS)


def able(inventory: Inventory, entity: str, action: str) -> Control | None:
    """Give the control that would do an action on an entity; None where nobody can.

    Examples
    --------
    >>> inventory = Inventory.model_validate({"entities": [{"match": ["db"],
    ...     "controls": [{"control": "systemd", "name": "postgresql.service"}]}]})
    >>> able(inventory, "db", "restart").name, able(inventory, "db", "scale_out"), able(inventory, "web", "restart")
    ('postgresql.service', None, None)
    """
    return next((control for control in inventory.controls(entity) if action in _known(control)), None)


def perform(inventory: Inventory, task: Task, undo: dict | None = None) -> tuple[Outcome, float]:
    """Do an action, or take it back; whatever goes wrong is an outcome and no exception.

    Parameters
    ----------
    inventory : Inventory
        Who controls what.
    task : Task
        What to do to whom.
    undo : dict, optional
        What its outcome said is needed to take it back: then this is done.

    Returns
    -------
    Outcome
        What came of it.
    float
        Seconds that it took.
    """
    begun = time.monotonic()
    control = able(inventory, task.entity, task.action)
    if control is None:
        return failed(f"nobody can {task.action} {task.entity}: it is not in the inventory"), 0.0
    try:
        outcome = _doing(control, task, undo)
    except Exception as error:  # noqa: BLE001  an action must never take whoever watches down with it
        outcome = failed(f"{task.action}: {type(error).__name__}")
    return outcome, time.monotonic() - begun


def _doing(control: Control, task: Task, undo: dict | None) -> Outcome:
    match control:
        case Testbed():
            return addresses.supervised(control, task, undo)
        case Command(control="systemd"):
            return commands.systemd(control, task)
        case Command():
            return commands.docker(control, task)
        case Kubernetes():
            return commands.kubernetes(control, task, undo)
        case Http():
            return addresses.http(control, task, undo)
        case Models():
            return versions.models(control, task, undo)
        case Files():
            return versions.files(control, task, undo)
        case Webhook():
            return addresses.webhook(control, task, undo)
