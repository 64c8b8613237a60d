"""The catalogue: one entry a dataset, one way to load, check and fetch each."""

from __future__ import annotations

__all__ = [
    "LIVE",
    "Dataset",
    "catalogue",
    "check",
    "fetch",
    "fingerprint",
    "load",
    "names",
    "reach",
    "rehearse",
    "snapshot",
]

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from stability.datasets import ai4i, azure_pdm, causrca, cmapss, live, nab, petshop, shipped, smd, snapshots, user
from stability.datasets.period import Period, clip, period
from stability.datasets.snapshots import Snapshot
from stability.datasets.sources import Dataset
from stability.schema import TABLES, ContractError, nearest

_ALL = (
    *(shipped.TESTBED, shipped.SIMULATED, shipped.SAMPLE, nab.NAB, smd.SMD, petshop.PETSHOP, causrca.CAUSRCA),
    *(cmapss.CMAPSS, azure_pdm.AZURE_PDM, ai4i.AI4I, user.FILES, live.PROMETHEUS, live.SQL, snapshots.SNAPSHOT),
)
DATASETS: dict[str, Dataset] = {d.name: d for d in _ALL}
# What moves, each with the look at it that needs no reading of it all; a run reads a snapshot.
LIVE = {user.FILES.name: user.digests, live.PROMETHEUS.name: live.reach_metrics, live.SQL.name: live.reach_database}
PERIOD = ("start", "end")  # options of a live source that `window` and `as_of` fill in


def names() -> list[str]:
    """Names of the datasets, the default one first.

    Examples
    --------
    >>> names()
    ['testbed', 'simulated', 'sample', 'nab', 'smd', 'petshop', 'causrca', 'cmapss', 'azure_pdm', 'ai4i', 'files',
     'prometheus', 'sql', 'snapshot']
    """
    return list(DATASETS)


def catalogue() -> pd.DataFrame:
    """List the datasets.

    Returns
    -------
    DataFrame
        A row a dataset: name, what, labels, licence, citation, origin, options (of `load`), files (how many it is
        made of; known are also those that options name), here (whether all of them are there).
    """
    return pd.DataFrame(
        {
            "name": d.name,
            "what": d.description,
            "labels": d.labels,
            "licence": d.licence,
            "citation": d.citation,
            "origin": d.origin,
            "options": ", ".join(_options(d)),
            "files": "-" if d.files is None else d.count(),
            "here": "-" if d.files is None else "yes" if d.is_here() else "no",
        }
        for d in DATASETS.values()
    )


def load(name: str, **options) -> dict[str, pd.DataFrame]:
    """Load a dataset as tables of the contract.

    Parameters
    ----------
    name : str
        A name of `names()`.
    **options
        The loader's own, such as `files` of nab; `catalogue()` lists them.

    Returns
    -------
    dict of str to DataFrame
        By contract: `telemetry` (but for ai4i, which has no time); `faults`, `windows`, `topology`, `logs`, `states`,
        `alarms`, `parts` (what the origin's protocol uses a span for), `rul` where there are any.

    Raises
    ------
    ContractError
        For an unknown name or option, and for a file that is missing or altered.

    Examples
    --------
    >>> sorted(load("sample"))[-1]
    'topology'
    """
    dataset = _checked(name, options)
    _complete(dataset, options)
    return _Tables(dataset.load(**options), name)


class _Tables(dict):
    """Tables by name; what asks for one that a dataset has not, such as telemetry of ai4i, is told which there are."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], dataset: str):
        super().__init__(tables)
        self.dataset = dataset

    def __missing__(self, name: str) -> NoReturn:
        remedy = "`stability data list` tells what each dataset holds" if name in TABLES else nearest(str(name), self)
        got = f"only {', '.join(self)}"
        raise ContractError(f"dataset {self.dataset!r}", expected=f"the table {name!r}", got=got, remedy=remedy)


def fingerprint(name: str, **options) -> str:
    """Sha256 over the bytes that `load` would read and over its options: equal fingerprints, equal tables.

    Raises
    ------
    ContractError
        As `load`.
    """
    dataset = _checked(name, options)
    _complete(dataset, options)
    digests = dataset.digests(**options)
    if dataset is snapshots.SNAPSHOT:
        return options["sha256"]  # its name is its fingerprint
    said = json.dumps({"name": name, "options": options, "files": digests}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def reach(name: str, options: Mapping[str, Any], window: str | None = None, as_of: str | None = None) -> None:
    """Look at a live source before anything starts: its options, whether it is there and answers; nothing is stored.

    Parameters
    ----------
    name : str
        One of `LIVE`.
    options, window, as_of
        As for :func:`snapshot`.

    Raises
    ------
    ContractError
        As :func:`snapshot`, as far as it can be known without reading everything.
    """
    asked, _ = _asked(name, options, window, as_of)
    LIVE[name](**asked)


def snapshot(name: str, options: Mapping[str, Any], window: str | None = None, as_of: str | None = None) -> Snapshot:
    """Read a live source for a stretch of time, and keep what it said under the sha256 of it.

    Parameters
    ----------
    name : str
        One of `LIVE`.
    options : mapping
        Of its loader.
    window, as_of : str, optional
        See `stability.datasets.period.period`.

    Returns
    -------
    Snapshot
        `load("snapshot", sha256=...)` gives its tables.

    Raises
    ------
    ContractError
        As the loader, and when there is no telemetry in the window.
    """
    tables, within = _read(name, options, window, as_of)
    source = {"name": name, "options": dict(options), "window": window, "as_of": as_of}
    return snapshots.take(tables, source, within)


def rehearse(options: Mapping[str, Any], window: str | None = None, as_of: str | None = None) -> None:
    """Read a user's files as a run would, and keep nothing: every column, stamp and cell is looked at.

    Parameters
    ----------
    options : mapping
        Of dataset `files`. Feedback is left out and privacy is not applied: both would make keys of pseudonyms.
    window, as_of
        As for :func:`snapshot`.

    Raises
    ------
    ContractError
        As :func:`snapshot`.
    """
    _read("files", {k: v for k, v in options.items() if k not in ("feedback", "privacy")}, window, as_of)


def _read(
    name: str, options: Mapping[str, Any], window: str | None, as_of: str | None
) -> tuple[dict[str, pd.DataFrame], Period]:
    asked, within = _asked(name, options, window, as_of)
    whole = _checked(name, asked).load(**asked)
    tables = clip(whole, within)
    if "telemetry" in tables and tables["telemetry"].empty:
        at = whole["telemetry"].index.get_level_values("timestamp")
        there = f"rows from {at.min()} to {at.max()}" if len(at) else "no row"
        remedy = "widen window, or set as_of to a moment after which it ended"
        raise ContractError(file=name, expected=f"telemetry {within}", got=there, remedy=remedy)
    return tables, within


def _asked(name: str, options: Mapping[str, Any], window: str | None, as_of: str | None) -> tuple[dict, Period]:
    """Options with the stretch of time filled in where the loader takes it, and that stretch."""
    dataset = _checked(name, dict(options))
    taken = [option for option in PERIOD if option in options]
    if taken:
        remedy = "write window: 7d and as_of: now beside the source"
        raise ContractError(column=taken[0], expected="window and as_of", got=repr(taken[0]), remedy=remedy)
    within = period(window, as_of, pd.Timestamp.now("UTC"))
    _complete(dataset, options, PERIOD)
    filled = {option: getattr(within, option) for option in PERIOD if option in _options(dataset)}
    if any(filled[option] is None for option in filled if option in _required(dataset)):
        raise ContractError(column="window", expected=f"a window for '{name}', such as 7d", got="none")
    return dict(options) | filled, within


def check(name: str) -> str:
    """Verify every file of a dataset against its checksum.

    Returns
    -------
    str
        What was verified, in words.

    Raises
    ------
    ContractError
        For an unknown name, and for the first file that is missing or altered.
    """
    dataset = _checked(name, {})
    if dataset.files is None:
        return "a source of your own; `stability run --dry-run` looks at the one that a spec names"
    pinned, others = dataset.verified()
    said = f"{len(pinned)} files, {sum(p.stat().st_size for p in pinned) / 1e6:.1f} MB, equal to their checksums"
    return said + (f"; {len(others)} more, {', '.join(p.name for p in others)}, not pinned" if others else "")


def fetch(name: str, **options) -> Path:
    """Download a dataset from its origin; files that are here and intact stay as they are.

    Parameters
    ----------
    name : str
        A name of `names()`.
    **options
        Of its loader: what `load` would read with them is fetched; what it is made of without them.

    Returns
    -------
    pathlib.Path
        The folder that holds it.

    Raises
    ------
    ContractError
        For an unknown name or option, a dataset that needs no download or is not downloaded for its licence, or an
        origin that cannot be reached or has changed.
    """
    return _checked(name, options).fetch(**options)


def _checked(name: str, options: dict) -> Dataset:
    if not isinstance(name, str) or name not in DATASETS:
        raise ContractError(expected="the name of a dataset", got=repr(name), remedy=nearest(str(name), DATASETS))
    dataset = DATASETS[name]
    for option in options:
        if option not in _options(dataset):
            what = f"an option of dataset '{name}'"
            raise ContractError(expected=what, got=repr(option), remedy=nearest(option, _options(dataset)))
    return dataset


def _complete(dataset: Dataset, options: Mapping[str, Any], filled: Iterable[str] = ()) -> None:
    """Refuse options without one that the loader cannot be without, but for those that are filled in."""
    for option in _required(dataset):
        if option not in (*options, *filled):
            got = f"only {', '.join(options)}" if options else "none"
            raise ContractError(expected=f"the option {option!r} of '{dataset.name}'", got=got)


def _options(dataset: Dataset) -> list[str]:
    """Names of a loader's options; what a live source takes as `**given` are the tables beside telemetry."""
    taken = inspect.signature(dataset.load).parameters.values()
    return [name for one in taken for name in (user.READERS if one.kind is one.VAR_KEYWORD else [one.name])]


def _required(dataset: Dataset) -> list[str]:
    taken = inspect.signature(dataset.load).parameters.values()
    return [one.name for one in taken if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
