"""A proposal becomes a policy when a person accepts it: a file that says what it changes, and on what evidence."""

from __future__ import annotations

__all__ = ["POLICIES", "accept"]

from os import PathLike
from pathlib import Path

import pandas as pd

from stability.adaptation.backtest import Backtest
from stability.adaptation.proposals import Proposal
from stability.detection import Accepted
from stability.evaluation import Estimate
from stability.records.privacy import scrub_message
from stability.schema import ContractError, declared, home, write_yaml

POLICIES = "policies"  # under the workbench's folder
DIGITS = 6  # significant ones of a number that people are to read


def accept(
    proposal: Proposal,
    *,
    by: str,
    why: str,
    name: str | None = None,
    path: str | PathLike | None = None,
    now: pd.Timestamp | None = None,
) -> Path:
    """Write a proposal as the policy of its detector; what was there before is replaced, whole or not at all.

    Nothing else changes: who wants it names the file, as ``accepted`` of a watch's detector or of `03-detect`.

    Parameters
    ----------
    proposal : Proposal
    by : str
        Who accepts it, as pseudonym.
    why : str
        Scrubbed, as `by` is, of personal data that are known as such.
    name : str, optional
        What stands in `suppressed_by` of the alarms that it silences; family, detector and day without it.
    path : str or path, optional
        Without it ``policies/<detector>.yaml`` under the workbench's folder.
    now : Timestamp, optional

    Returns
    -------
    Path

    Raises
    ------
    ContractError
        When the proposal changes nothing, nobody accepts it, or its name, or the detector's, can be no file's.
    """
    if proposal.change is None:
        remedy = "label more alarms, or accept another one"
        raise ContractError(column="proposal", expected="a change", got=str(proposal), remedy=remedy)
    if proposal.family == "rule":
        remedy = "adaptation.rule_proposals.changed puts it into the rules, and their file is reviewed like any other"
        raise ContractError(column="proposal", expected="a change of a detector", got=str(proposal), remedy=remedy)
    for column, text in (("by", by), ("why", why)):
        if not isinstance(text, str) or not text.strip():
            raise ContractError(column=column, expected="some words", got=repr(text))
    at = pd.Timestamp.now("UTC") if now is None else now
    name = name or f"{proposal.family}-{proposal.detector}-{at:%Y-%m-%d}"
    by, why = scrub_message(by), scrub_message(why.strip())
    evidence = {"accepted_by": by, "accepted_at": at.isoformat(timespec="seconds"), "why": why}
    evidence |= {"labels": dict(proposal.labels), "backtest": _plain(proposal.backtest)}
    told = {"name": name, "detector": proposal.detector, "change": _rounded(proposal.change), "evidence": evidence}
    declared(Accepted, told)
    path = home() / POLICIES / f"{proposal.detector}.yaml" if path is None else Path(path)
    write_yaml(path, told, above=f"{proposal}\nTo take it back: stability feedback withdraw {name} --why ...")
    return path


def _plain(backtest: Backtest) -> dict:
    said = "blocks of time, each judged by what was chosen and learnt on the others; intervals of 95 %"
    told = {"protocol": f"{backtest.blocks} {said}"}
    for key, value in backtest._asdict().items():
        if isinstance(value, Estimate):
            told[key] = {part: None if one != one else _round(one) for part, one in value._asdict().items()}
        elif key != "blocks":
            told[key] = value
    return told


def _rounded(value):
    """Numbers with few digits, in plain types."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return _round(value) if isinstance(value, float) else value


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
