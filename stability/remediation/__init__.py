"""Repair: playbooks behind guards, a record of everything, and the proof that it helped."""

from stability.remediation.aftermath import Aftermath
from stability.remediation.approval import approval_key, ask_on_terminal, grant
from stability.remediation.decisions import Acted, Case, Decision, Progress, ServiceState
from stability.remediation.exporting import actions_table, log_record
from stability.remediation.guards import Guards, read_guards
from stability.remediation.inventory import Inventory, read_inventory
from stability.remediation.playbooks import ACTIONS, Playbook, for_mode, read_playbooks
from stability.remediation.record import Record
from stability.remediation.repairer import MODES, Repairer
from stability.remediation.verdict import Verdict, Verification, judge

__all__ = [
    "ACTIONS",
    "MODES",
    "Acted",
    "Aftermath",
    "Case",
    "Decision",
    "Guards",
    "Inventory",
    "Playbook",
    "Progress",
    "Record",
    "Repairer",
    "ServiceState",
    "Verdict",
    "Verification",
    "actions_table",
    "approval_key",
    "ask_on_terminal",
    "for_mode",
    "grant",
    "judge",
    "log_record",
    "read_guards",
    "read_inventory",
    "read_playbooks",
]
