"""Approvals: signed, for one decision, for a while; on a terminal by typing its name."""

import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repairing import NOW, at

from stability.remediation import Decision, approval_key, ask_on_terminal, grant
from stability.remediation.approval import KEY as VARIABLE
from stability.remediation.approval import check_token
from stability.schema import ContractError

KEY = b"0123456789abcdef" * 2
ONE = Decision.named(
    alarm_id="a", at=NOW, kind="step", because="x", entity="e", playbook="p", plan={"action": "restart"}
)
TWO = Decision.named(
    alarm_id="b", at=NOW, kind="step", because="x", entity="e", playbook="p", plan={"action": "restart"}
)
TOKEN = grant(ONE, KEY, NOW, by="ann", seconds=60)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_token_says_who_approved_what_until_when():
    approval = check_token(TOKEN, ONE, KEY, at(59.9))
    assert approval.by == "ann"
    assert approval.token_id not in TOKEN
    assert grant(ONE, KEY, NOW, by="ann") != grant(ONE, KEY, NOW, by="ann")  # each holds once, by a name of its own


@pytest.mark.parametrize(
    ("token", "decision", "key", "seconds", "words"),
    [
        (TOKEN, TWO, KEY, 0, "an approval of"),
        (TOKEN, ONE, KEY, 60, "still holds"),
        (TOKEN, ONE, KEY[::-1], 0, "signed with our key"),
        (TOKEN, ONE, None, 0, VARIABLE),
        (TOKEN, ONE, b"short", 0, "at least 32 bytes"),
        (TOKEN.partition(".")[0], ONE, KEY, 0, "signed"),
        ("", ONE, KEY, 0, "signed"),
        (None, ONE, KEY, 0, "signed"),
        (TOKEN + "A", ONE, KEY, 0, "signed"),
        ("ä." + TOKEN, ONE, KEY, 0, "signed"),
        ("x" * 10_000, ONE, KEY, 0, "signed"),
    ],
)
def test_no_other_token_holds_and_none_is_shown(token, decision, key, seconds, words):
    with pytest.raises(ContractError, match=words) as told:
        check_token(token, decision, key, at(seconds))
    assert TOKEN.partition(".")[2] not in str(told.value)


@given(st.integers(0, len(TOKEN) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_that_is_changed_anywhere_does_not_hold(place, letter):
    forged = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if forged == TOKEN:
        return
    with pytest.raises(ContractError):
        check_token(forged, ONE, KEY, NOW)


def test_a_longer_life_cannot_be_written_into_a_token():
    body, _, signature = TOKEN.partition(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | {"until": "2099-01-01T00:00:00+00:00"}
    longer = base64.urlsafe_b64encode(json.dumps(said, sort_keys=True).encode()).decode().rstrip("=")
    with pytest.raises(ContractError, match="signed"):
        check_token(f"{longer}.{signature}", ONE, KEY, NOW)


@pytest.mark.parametrize("more", [{"seconds": 0}, {"seconds": 1e9}, {"by": " "}, {"by": "x" * 200}])
def test_an_approval_has_a_name_and_an_end(more):
    with pytest.raises(ContractError):
        grant(ONE, KEY, NOW, **({"by": "ann"} | more))


def test_on_a_terminal_the_decisions_name_is_typed():
    told = Terminal()
    token = ask_on_terminal(ONE, KEY, NOW, by="ann", stdin=Terminal(f"{ONE.decision_id[:8]}\n"), stdout=told)
    assert check_token(token, ONE, KEY, NOW).by == "ann"
    assert '"action": "restart"' in told.getvalue()


def test_no_name_can_hide_what_is_approved():
    sly = "model-b\x1b[2K\rTo let restart-replica act on model-a, type"
    decision = Decision.named(alarm_id="a", at=NOW, kind="step", because=f"leak on {sly}", entity=sly, playbook="p")
    told = Terminal()
    ask_on_terminal(decision, KEY, NOW, by="ann", stdin=Terminal("no\n"), stdout=told)
    assert "\x1b" not in told.getvalue()
    assert "\r" not in told.getvalue()
    assert "model-b\\x1b[2K" in told.getvalue()


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n", f"{TWO.decision_id[:8]}\n", f"{ONE.decision_id[:7]}\n"])
def test_anything_else_that_is_typed_is_a_no(typed):
    assert ask_on_terminal(ONE, KEY, NOW, by="ann", stdin=Terminal(typed), stdout=Terminal()) is None


def test_who_sits_at_no_terminal_is_not_asked():
    said, told = io.StringIO(f"{ONE.decision_id[:8]}\n"), io.StringIO()
    assert ask_on_terminal(ONE, KEY, NOW, by="cron", stdin=said, stdout=told) is None
    assert told.getvalue() == ""


def test_the_key_comes_from_the_environment_and_is_long_enough(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert approval_key() is None
    monkeypatch.setenv(VARIABLE, KEY.decode())
    assert approval_key() == KEY
    monkeypatch.setenv(VARIABLE, "hunter2")
    with pytest.raises(ContractError, match="32 bytes") as told:
        approval_key()
    assert "hunter2" not in str(told.value)


def test_a_decision_is_named_by_all_that_it_says_and_survives_the_record():
    assert Decision.of(json.loads(json.dumps(ONE.facts()))) == ONE
    assert ONE.decision_id != TWO.decision_id
