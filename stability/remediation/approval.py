"""Approvals: a signed word of a person for one decision, for a while, and once; given on a terminal or from afar."""

from __future__ import annotations

__all__ = ["KEY", "Approval", "approval_key", "ask_on_terminal", "check_token", "grant", "plain"]

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import sys
from dataclasses import dataclass
from typing import TextIO

import pandas as pd

from stability.remediation.decisions import Decision, moment
from stability.schema import ContractError

KEY = "STABILITY_APPROVAL_KEY"
SHORTEST = 32  # bytes of the key, as many as the hash has (RFC 2104, section 3)
LONGEST = 86_400.0  # s: nobody approves today what is done next week
SEEN = 8  # characters of a decision's name that a person types


@dataclass(frozen=True)
class Approval:
    """Who approved; `token_id` names the token without being one."""

    by: str
    token_id: str


def approval_key() -> bytes | None:
    """Give the key of the environment (`STABILITY_APPROVAL_KEY`); None where there is none.

    Raises
    ------
    ContractError
        It is too short to be a secret; it is not shown.
    """
    key = os.environ.get(KEY, "").encode()
    if not key:
        return None
    return _checked(key)


def grant(decision: Decision, key: bytes, now: pd.Timestamp, *, by: str, seconds: float = 900.0) -> str:
    """Approve a decision.

    Parameters
    ----------
    decision : Decision
        Its name follows from all that it says, so a changed playbook, entity or step needs another approval.
    key : bytes
        At least 32.
    now : Timestamp
        From now on.
    by : str
        Who approves.
    seconds : float
        For how long.

    Returns
    -------
    str
        The token.
    """
    if not 0 < seconds <= LONGEST:
        raise ContractError(expected=f"an approval for up to {LONGEST:g} s", got=seconds)
    if not by.strip() or len(by) > 100:
        raise ContractError(expected="the name of who approves", got=by)
    until = moment(now) + pd.Timedelta(seconds=seconds)
    said = {"decision": decision.decision_id, "by": by.strip(), "until": until.isoformat(), "id": secrets.token_hex(8)}
    body = _text(json.dumps(said, sort_keys=True).encode())
    return f"{body}.{_signature(_checked(key), body)}"


def check_token(token: str, decision: Decision, key: bytes | None, now: pd.Timestamp) -> Approval:
    """Check a token for a decision; whether it was used before is in the record.

    Raises
    ------
    ContractError
        It is none, of another key, for another decision, or has expired; the token is not shown.
    """
    if key is None:
        raise ContractError(expected=f"a key of approvals in {KEY}", got="none", remedy="without it no token counts")
    body, dot, signature = token.partition(".") if isinstance(token, str) and len(token) < 2000 else ("", "", "")
    # The signature is looked at first: nothing of what somebody else wrote is ever read.
    if not dot or not hmac.compare_digest(signature.encode(), _signature(_checked(key), body).encode()):
        raise ContractError(expected="an approval signed with our key", got="another text")
    try:
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        raise ContractError(expected="an approval signed with our key", got="another text") from None
    if said["decision"] != decision.decision_id:
        raise ContractError(expected=f"an approval of {decision.decision_id}", got=f"one of {said['decision']}")
    if moment(now) >= moment(said["until"], "until"):
        raise ContractError(expected="an approval that still holds", got=f"one until {said['until']}")
    return Approval(said["by"], said["id"])


def ask_on_terminal(
    decision: Decision,
    key: bytes,
    now: pd.Timestamp,
    *,
    by: str,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
) -> str | None:
    """Show a decision to the person at the terminal, who types the first characters of its name to approve it.

    Returns
    -------
    str or None
        The token; None where anything else was typed, or nobody sits at a terminal.
    """
    stdin, stdout = stdin or sys.stdin, stdout or sys.stdout
    if not stdin.isatty():
        return None
    stdout.write(f"{plain(decision.because)}\n{json.dumps(decision.plan, indent=1, sort_keys=True)}\n")
    stdout.write(f"To let {decision.playbook} act on {plain(decision.entity)}, type {decision.decision_id[:SEEN]}: ")
    stdout.flush()
    if stdin.readline().strip() != decision.decision_id[:SEEN]:
        return None
    return grant(decision, key, now, by=by)


def plain(text: str) -> str:
    """Write out what would move a terminal's cursor: who approves sees all that is said, and nothing else.

    Examples
    --------
    >>> plain("model-a\\x1b[2Kmodel-b")
    'model-a\\\\x1b[2Kmodel-b'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _checked(key: bytes) -> bytes:
    if len(key) < SHORTEST:
        raise ContractError(expected=f"a key of at least {SHORTEST} bytes", got=f"one of {len(key)}")
    return key


def _signature(key: bytes, body: str) -> str:
    return _text(hmac.new(key, b"approval." + body.encode(), hashlib.sha256).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
