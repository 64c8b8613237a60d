"""The data that come with the workbench: simulated, so that the first night needs no download."""

from __future__ import annotations

__all__ = ["SAMPLE", "SIMULATED"]

import functools
from pathlib import Path

import pandas as pd

from stability.datasets.sources import Dataset, intact
from stability.schema import ContractError, home, read_table

SUMS = "SHA256SUMS"


def _files(name: str) -> dict[str, str]:
    """Name of each file below the workbench's folder, and its sha256."""
    folder = Path("data") / name
    sums = home() / folder / SUMS
    if not sums.is_file():
        expected = f"the checksums of dataset '{name}'"
        raise ContractError(file=sums, expected=expected, got="none", remedy="git checkout data")
    pairs = (line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip())
    return {str(folder / file.strip()): digest for digest, file in pairs}


def _load(name: str) -> dict[str, pd.DataFrame]:
    paths = [intact(home() / file, [digest], name) for file, digest in _files(name).items()]
    return {path.stem: read_table(path, path.stem) for path in paths}


def _digests(name: str) -> dict[str, str]:
    return {file: digest for file, digest in _files(name).items() if intact(home() / file, [digest], name)}


def _dataset(name: str, description: str) -> Dataset:
    return Dataset(
        name=name,
        description=description,
        licence="MIT, as the workbench",
        citation="stability.simulate; data/README.md says how it was made",
        labels="faults with all their times, root entity and root metrics",
        origin=f"python -m stability.simulate, data/{name}",
        load=_plain(name),
        files=functools.partial(_files, name),
        digests=functools.partial(_digests, name),
        fetch=lambda: home() / "data" / name,
    )


def _plain(name: str):
    """A loader without options."""
    return lambda: _load(name)


SIMULATED = _dataset("simulated", "a fleet that serves AI models, simulated: telemetry, logs, states, topology, faults")
SAMPLE = _dataset("sample", "a day of a smaller such fleet, for a first look and for tests")
