"""The catalogue: one entry a dataset, one way to load, check and fetch each."""

from __future__ import annotations

__all__ = ["Dataset", "catalogue", "check", "fetch", "fingerprint", "load", "names"]

import hashlib
import inspect
import json
from pathlib import Path

import pandas as pd

from stability.datasets import nab, shipped, user
from stability.datasets.sources import Dataset
from stability.schema import ContractError, nearest

DATASETS: dict[str, Dataset] = {d.name: d for d in (shipped.SIMULATED, shipped.SAMPLE, nab.NAB, user.FILES)}


def names() -> list[str]:
    """Names of the datasets, the default one first.

    Examples
    --------
    >>> names()
    ['simulated', 'sample', 'nab', 'files']
    """
    return list(DATASETS)


def catalogue() -> pd.DataFrame:
    """List the datasets.

    Returns
    -------
    DataFrame
        A row a dataset: name, what, labels, licence, citation, origin, options (of `load`), files (their number; with
        checksums), here (whether all of them are there).
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
            "files": "-" if d.files is None else str(d.count()),
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
        By contract: always `telemetry`; `faults`, `windows`, `topology`, `logs`, `states` where there are any.

    Raises
    ------
    ContractError
        For an unknown name or option, and for a file that is missing or altered.

    Examples
    --------
    >>> sorted(load("sample"))[-1]
    'topology'
    """
    return _checked(name, options).load(**options)


def fingerprint(name: str, **options) -> str:
    """Sha256 over the bytes that `load` would read and over its options: equal fingerprints, equal tables.

    Raises
    ------
    ContractError
        As `load`.
    """
    dataset = _checked(name, options)
    digests = dataset.digests(**options)
    said = json.dumps({"name": name, "options": options, "files": digests}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


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
        return "a user's own files; `stability run --dry-run` checks those that a spec names"
    found = dataset.verified()
    return f"{len(found)} files, {sum(p.stat().st_size for p in found) / 1e6:.1f} MB, equal to their checksums"


def fetch(name: str) -> Path:
    """Download a dataset from its origin; files that are here and intact stay as they are.

    Returns
    -------
    pathlib.Path
        The folder that holds it.

    Raises
    ------
    ContractError
        For an unknown name, a dataset that needs no download, or an origin that cannot be reached or has changed.
    """
    return _checked(name, {}).fetch()


def _checked(name: str, options: dict) -> Dataset:
    if name not in DATASETS:
        raise ContractError(expected="the name of a dataset", got=repr(name), remedy=nearest(name, DATASETS))
    dataset = DATASETS[name]
    for option in options:
        if option not in _options(dataset):
            what = f"an option of dataset '{name}'"
            raise ContractError(expected=what, got=repr(option), remedy=nearest(option, _options(dataset)))
    return dataset


def _options(dataset: Dataset) -> list[str]:
    return list(inspect.signature(dataset.load).parameters)
