"""What a backup says of itself: every file with its checksum, every table with its rows, and what is not in it."""

from __future__ import annotations

__all__ = ["MANIFEST", "Entry", "Manifest", "Sample", "Told", "differences", "read_manifest", "read_told"]

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Literal, NamedTuple

import pydantic
from pydantic.dataclasses import dataclass

from stability.schema import ContractError

MANIFEST = "manifest.json"
FORMAT = 1
NAMED = 5  # files or tables named in a message; the others are counted
STRICT = pydantic.ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class Entry:
    """One file of a backup.

    Parameters
    ----------
    kind : {'file', 'same', 'link'}
        Content of its own; another name of a file before it (hard link); a symbolic link.
    size : int
        Bytes; 0 for links.
    sha256 : str
        Of the content; empty for links.
    target : str
        For links: of `same` a path in the backup, of `link` its text.
    mtime : float
        Unix seconds.
    """

    kind: Literal["file", "same", "link"]
    size: int = 0
    sha256: str = ""
    target: str = ""
    mtime: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Sample:
    """One run, as the store had it: what a drill has to read again.

    Parameters
    ----------
    run_id : str
    metrics : dict of str to float
        Latest values, without NaN.
    params : int
        How many.
    artifact : str or None
        A file of its artifacts, as a path in the backup; None where it has none.
    artifact_path : str or None
        The same as MLflow names it.
    """

    run_id: str
    metrics: dict[str, float]
    params: int
    artifact: str | None = None
    artifact_path: str | None = None


@dataclass(frozen=True, config=STRICT)
class Manifest:
    """All that is known of a backup when it is made.

    Parameters
    ----------
    moment : float
        Unix seconds just before the first database was read: everything that was there then is in the backup.
    newest : float
        Unix seconds of the newest record or file in it.
    home : str
        The workbench's folder, to which addresses in the store point.
    store : {'sqlite', 'postgresql'}
    versions : dict of str to str
        Of what wrote the store.
    entries : dict of str to Entry
        Path, relative and with forward slashes, to what it is.
    rows : dict of str to dict of str to int
        Of each database (its path in the backup) the rows of each table.
    runs : int
    sample : Sample or None
        None where the store has no run.
    erasures : list of dict
        `moment` and `pseudonym` of all erasures that were known then, to the workbench or to any earlier backup: an
        older backup forgets them again when it is restored.
    left_out : list of str
        What is not in it and why, in sentences.
    """

    moment: float
    newest: float
    home: str
    store: Literal["sqlite", "postgresql"]
    versions: dict[str, str]
    entries: dict[str, Entry]
    rows: dict[str, dict[str, int]]
    runs: int
    sample: Sample | None = None
    erasures: list[dict[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    format: Literal[1] = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries.values())

    def to_json(self) -> bytes:
        """Write it as JSON, one key a line."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_manifest(text: bytes, source: str) -> Manifest:
    """Read what `Manifest.to_json` wrote.

    Parameters
    ----------
    text : bytes
    source : str
        The backup's name, for the error.

    Raises
    ------
    ContractError
        If it is none.
    """
    try:
        return pydantic.TypeAdapter(Manifest).validate_python(json.loads(text))
    except (ValueError, RecursionError) as error:
        got = str(error).splitlines()[0]
        if isinstance(error, pydantic.ValidationError):
            first = error.errors()[0]
            got = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ContractError(
            file=source,
            expected=f"a manifest of format {FORMAT}",
            got=got,
            remedy="take another one (stability backup list), or the version of this package that made it",
        ) from error


class Told(NamedTuple):
    """What a backup says that is asked without reading it: of which folder it is, and who was erased until then."""

    home: str
    erasures: list[dict[str, str]]


def read_told(text: bytes) -> Told | None:
    """Read that much of a manifest, also of one of another format, or whose checksum is not what it was.

    Examples
    --------
    >>> read_told(b'{"home": "/srv/it", "erasures": [{"moment": "2026-11-29", "pseudonym": "p-1"}], "format": 0}').home
    '/srv/it'
    >>> read_told(b'{"home') is None
    True
    """
    try:
        said = json.loads(text)
        erasures = [{"moment": str(e["moment"]), "pseudonym": str(e["pseudonym"])} for e in said["erasures"]]
        return Told(str(said["home"]), erasures)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def differences(expected: Mapping[str, object], found: Mapping[str, object], what: str) -> list[str]:
    """Say in sentences where two mappings differ; nothing where they are equal.

    Parameters
    ----------
    expected, found : mapping
        Name to anything comparable.
    what : str
        What a name names, such as `file`.

    Examples
    --------
    >>> differences({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 5, "e": 6}, "table")
    ['2 tables are missing: c, d', '1 table is not as it was: b', '1 table was not there: e']
    """
    kinds = (
        ("is missing", "are missing", expected.keys() - found.keys()),
        (
            "is not as it was",
            "are not as they were",
            {name for name in expected.keys() & found.keys() if expected[name] != found[name]},
        ),
        ("was not there", "were not there", found.keys() - expected.keys()),
    )
    said = []
    for one, many, names in kinds:
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            verb = f"s {many}" if len(names) > 1 else f" {one}"
            said.append(f"{len(names)} {what}{verb}: {', '.join(sorted(names)[:NAMED])}{more}")
    return said
