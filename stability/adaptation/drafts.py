"""Proposals that wait for a person: files like those of accepted policies, which nothing reads until then."""

from __future__ import annotations

__all__ = ["accept_draft", "drafts", "keep_drafts", "policies", "withdraw"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stability.adaptation.acceptance import POLICIES, accept
from stability.adaptation.alarm_labels import attributed
from stability.adaptation.proposals import Proposal
from stability.detection import Accepted, read_accepted
from stability.records.privacy import KeyStore
from stability.schema import ContractError, home, load_yaml, one_of, write_yaml

FOLDER = "runs/feedback/proposals"
NOBODY = "nobody yet"


def keep_drafts(proposals: Sequence[Proposal], *, now: pd.Timestamp | None = None) -> list[Path]:
    """Write proposals that change something; earlier ones of the same detector go.

    Parameters
    ----------
    proposals : sequence of Proposal
        Of one detector.
    now : Timestamp, optional

    Returns
    -------
    list of Path
        Their stems are the names by which they are accepted.
    """
    folder, at = home() / FOLDER, pd.Timestamp.now("UTC") if now is None else now
    kept = []
    for one in proposals:
        if one.change is not None:
            name = f"{one.family}-{one.detector}-{at:%Y-%m-%d}"
            told = {"by": NOBODY, "why": "proposed", "name": name, "path": folder / f"{name}.yaml", "now": at}
            kept.append(accept(one, **told))
    mine = {one.detector for one in proposals}
    for path, told in _read(folder).items():
        if told.detector in mine and path not in kept:
            path.unlink(missing_ok=True)
    return kept


def drafts() -> dict[str, Accepted]:
    """Give the proposals that wait, by name."""
    return {path.stem: told for path, told in _read(home() / FOLDER).items()}


def policies() -> dict[str, Accepted]:
    """Give the accepted policies, also those that were taken back, by name."""
    return {told.name: told for told in _read(home() / POLICIES).values()}


def accept_draft(name: str, *, why: str, by: str = "", now: pd.Timestamp | None = None) -> Path:
    """Make a proposal the policy of its detector, in ``policies/<detector>.yaml``.

    Parameters
    ----------
    name : str
        As `drafts` gives it.
    why : str
        Scrubbed as what users say.
    by : str
        Who accepts it, kept as a pseudonym; the account's name without it.
    now : Timestamp, optional

    Returns
    -------
    Path

    Raises
    ------
    ContractError
        For a proposal that there is not, with the nearest, and without a reason.
    """
    known = drafts()
    path = home() / FOLDER / f"{one_of(name, known, 'proposal')}.yaml"
    decided = _decided("accepted", "why", why, by, now)
    return _written(load_yaml(path), decided, path, home() / POLICIES / f"{known[name].detector}.yaml")


def withdraw(name: str, *, why: str, by: str = "", now: pd.Timestamp | None = None) -> Path:
    """Take an accepted policy back: its file stays where it is named, and changes nothing any more.

    Parameters
    ----------
    name : str
        As `policies` gives it.
    why, by, now
        As for `accept_draft`.

    Returns
    -------
    Path

    Raises
    ------
    ContractError
        For a policy that there is not, with the nearest; one that was taken back before; and without a reason.
    """
    known, files = policies(), {told.name: path for path, told in _read(home() / POLICIES).items()}
    path = files[one_of(name, known, "accepted policy")]  # whatever its file is called
    if not known[name].rules:
        raise ContractError(file=path, expected="a policy that changes something", got="one that was taken back")
    return _written(load_yaml(path) | {"change": {}}, _decided("withdrawn", "withdrawn_why", why, by, now), path, path)


def _decided(what: str, reason: str, why: str, by: str, now: pd.Timestamp | None) -> dict[str, str]:
    """Who decided, when and why."""
    if not why.strip():
        raise ContractError(column="why", expected="some words", got=repr(why))
    at = pd.Timestamp.now("UTC") if now is None else now
    who, said = attributed(by, why, KeyStore())
    return {f"{what}_by": who, f"{what}_at": at.isoformat(timespec="seconds"), reason: said}


def _written(told: dict[str, Any], decided: dict[str, str], source: Path, target: Path) -> Path:
    """Write a policy whole, with what its source says above it; evidence that was there stays."""
    told["evidence"] = told.get("evidence", {}) | decided
    Accepted.model_validate(told)
    write_yaml(target, told, above=source)
    return target


def _read(folder: Path) -> dict[Path, Accepted]:
    return {path: read_accepted(path) for path in sorted(folder.glob("*.yaml"))}
