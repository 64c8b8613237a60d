"""The data that come with the workbench, recorded and simulated: the first night needs no download."""

from __future__ import annotations

__all__ = ["SAMPLE", "SIMULATED", "SUMS", "TESTBED", "behind"]

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stability.datasets.sources import Dataset, intact
from stability.schema import ContractError, home, read_table, validate
from stability.telemetry import is_counter

SUMS = "SHA256SUMS"
RECORDINGS = "testbed"
USE = ("test", "train")  # of the recordings with even and with odd numbers, everywhere and for ever


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
    return {path.stem: read_table(path, path.stem) for path in paths if path.suffix == ".parquet"}


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


def _numbers(recordings: Sequence[int] | None) -> list[int]:
    """Numbers of the recordings that are asked for, in order; all that are there without."""
    there = sorted(int(sums.parent.name) for sums in (home() / "data" / RECORDINGS).glob(f"[0-9]*/{SUMS}"))
    if recordings is None and there:
        return there
    wanted = [recordings] if isinstance(recordings, int) else list(recordings or [0])
    if strange := [number for number in wanted if number not in there]:
        expected = f"numbers of recordings in {home() / 'data' / RECORDINGS}: {', '.join(map(str, there)) or 'none'}"
        raise ContractError(column="recordings", expected=expected, got=repr(strange[0]))
    return sorted(set(wanted))


def _recorded(recordings: Sequence[int] | None = None) -> dict[str, pd.DataFrame]:
    """Load recordings of the testbed, which lie one behind the other on the service's clock.

    Parameters
    ----------
    recordings : sequence of int, optional
        Their numbers; all that are there without it. Odd ones are for training, even ones for testing.

    Returns
    -------
    dict
        telemetry, states, logs, feedback, topology, faults, benign, and `parts`, which says what each span is for.
    """
    numbers = _numbers(recordings)
    found = {number: _load(f"{RECORDINGS}/{number}") for number in numbers}
    tables = behind(list(found.values()))
    spans = []
    for number in numbers:
        panel = found[number]["telemetry"]
        stamps = panel.index.get_level_values("timestamp")
        what = {"part": USE[number % 2], "start": stamps.min(), "end": stamps.max(), "name": f"recording {number}"}
        spans += [{"entity": entity, **what} for entity in panel.index.unique("entity")]
    return tables | {"parts": validate(pd.DataFrame(spans), "parts")}


def behind(pieces: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Put the tables of recordings, or of the segments of one, behind each other in time; all have one topology.

    The processes of a piece were just started, so that their counters hold what came before it. A counter goes on from
    where it stood last in the pieces before, up to its first restart, as if its first second had been like its second,
    or had brought nothing where there is no second: a seam is no event.

    Parameters
    ----------
    pieces : sequence of mappings
        Tables by the name of their contract, the same in each.

    Returns
    -------
    dict of str to DataFrame

    Raises
    ------
    ContractError
        As `schema.validate`, such as of two pieces that overlap.
    """
    tables = {}
    for name, first in pieces[0].items():
        parts = [first] if name == "topology" else [piece[name] for piece in pieces]
        if name == "telemetry":
            parts = list(_counting_on(parts))
        keyed = first.index.names != [None]
        table = pd.concat(parts, ignore_index=not keyed)
        tables[name] = validate(table.sort_index() if keyed else table, name)
    return tables


def _counting_on(panels: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    stood: dict[tuple[str, str], float] = {}
    for given in panels:
        panel = given.copy()
        entities = panel.index.get_level_values("entity")
        rows = {entity: np.flatnonzero(entities == entity) for entity in entities.unique()}
        for name in filter(is_counter, panel.columns):
            values = np.array(panel[name], dtype="float64")
            for entity, places in rows.items():
                own = places[~np.isnan(values[places])]
                if not len(own):
                    continue
                if (entity, name) in stood:
                    steps = np.diff(values[own])
                    falls = np.flatnonzero(steps < 0)
                    step = max(steps[0], 0.0) if len(steps) else 0.0
                    values[own[: falls[0] + 1 if len(falls) else None]] += stood[entity, name] + step - values[own[0]]
                stood[entity, name] = values[own[-1]]
            panel[name] = values
        yield panel


def _of_each(function):
    """What is known of the files of several recordings, from what is known of those of one."""

    def together(recordings: Sequence[int] | None = None) -> dict[str, str]:
        parts = [function(f"{RECORDINGS}/{number}") for number in _numbers(recordings)]
        return {file: digest for part in parts for file, digest in part.items()}

    return together


TESTBED = Dataset(
    name=RECORDINGS,
    description="a real inference service on loopback, broken on purpose: telemetry, logs, states, feedback, faults",
    licence="MIT, as the workbench",
    citation="stability.testbed; data/README.md says how it was made",
    labels="faults with all their times, root entity and root metrics; harmless events that look like them",
    origin="stability testbed record, data/testbed",
    load=_recorded,
    files=_of_each(_files),
    digests=_of_each(_digests),
    fetch=lambda recordings=None: home() / "data" / RECORDINGS,
)
