"""Where the rows of a CSV file begin: lines to skip, separator, header, and names where there is none."""

from __future__ import annotations

__all__ = ["DELIMITERS", "Frame", "frame_of", "head_of"]

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stability.schema import ContractError
from stability.telemetry.options import Options

DELIMITERS = ",;\t|"
HEAD = 1 << 16  # bytes in which the header is looked for, more where a line is longer
LIMIT = 1 << 24  # bytes of one line beyond which a file is no table
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # what Excel reads in a first line of its own


@dataclass(frozen=True)
class Frame:
    """How a file's rows are written, and the rows.

    Parameters
    ----------
    delimiter : str
    names : tuple of str
        Of all columns, stripped; empty for a column without a name.
    rows : iterator of bytes
        UTF-8 text of the rows below the header.
    """

    delimiter: str
    names: tuple[str, ...]
    rows: Iterator[bytes]


def frame_of(chunks: Iterable[bytes], label: str, options: Options) -> Frame:
    """Find the header of a CSV file, and what lies below it.

    Parameters
    ----------
    chunks : iterable of bytes
        UTF-8 text in whole characters.
    label : str
        The file's name in errors.
    options : Options
        Holds skip, names, delimiter.

    Returns
    -------
    Frame

    Raises
    ------
    ContractError
        There is nothing.

    Examples
    --------
    >>> frame = frame_of([b'sep=;\\n"Time";"up, or not"\\n1767225600;1\\n'], "up.csv", Options())
    >>> frame.names, b"".join(frame.rows)
    (('Time', 'up, or not'), b'1767225600;1\\n')
    """
    chunks = _begin_small(iter(chunks))
    head, last = _head(chunks, b"", HEAD)
    while True:
        lines = _LINE.findall(head.decode())
        if last or (len(lines) > max(options.skip, default=0) + 1 and len(lines) > 1):
            found = _split(lines, options, whole=last)
            if found is not None:
                break
        if last or len(head) > LIMIT:
            raise ContractError(
                file=label, expected="a header and at least one row", got="an empty file" if not head.strip() else
                "none below the lines that are skipped", remedy="remove or replace it",
            )  # fmt: skip
        head, last = _head(chunks, head, len(head) * 4)
    delimiter, names, body = found
    if not options.names:
        row = next(csv.reader(itertools.islice(body, 50), delimiter=delimiter), [])
        if len(row) == len(names) + 1 and not row[-1].strip():
            names = [*names, ""]  # a separator at the end of each row, but not of the header
    return Frame(delimiter, tuple(names), itertools.chain(["".join(body).encode()], chunks))


def head_of(content: bytes, options: Options) -> bytes | None:
    """What has to stand above later rows of a CSV file, so that they are read as in the whole of it.

    Parameters
    ----------
    content : bytes
        The beginning of the file, in whole lines.
    options : Options
        Holds skip, comment, names.

    Returns
    -------
    bytes or None
        The lines that are left out, the header, and an empty line for each row above one that is left out; None where
        there is no row below them yet.

    Examples
    --------
    >>> head_of(b"sep=;\\n# by hand\\ntime;up\\ns;-\\n1767225600;1\\n", Options(skip=[3], comment="#"))
    b'sep=;\\ntime;up\\ns;-\\n'
    """
    head, first, begun = [], True, bool(options.names)
    lines = content.splitlines(keepends=True)
    if options.comment:
        lines = [line for line in lines if not line.startswith(options.comment.encode())]
    for number, line in enumerate(lines, start=1):
        if number in options.skip or not line.strip():
            head.append(line)
            continue
        named, first = first and _SEPARATOR.fullmatch(line.decode("latin-1")), False
        if named or not begun:
            head.append(line)
            begun = begun or not named
        elif number > max(options.skip, default=0):
            return b"".join(head)
        else:
            head.append(b"\n")
    return None


def _begin_small(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut the first piece behind a line near its beginning: the header needs no more."""
    first = next(chunks, b"")
    cut = first.find(b"\n", HEAD) + 1
    yield from (piece for piece in (first[:cut], first[cut:]) if piece)
    yield from chunks


def _head(chunks: Iterator[bytes], head: bytes, size: int) -> tuple[bytes, bool]:
    """Read on until there is enough to look at; says whether this is all."""
    parts = [head]
    while sum(map(len, parts)) <= size:
        piece = next(chunks, None)
        if piece is None:
            return b"".join(parts), True
        parts.append(piece)
    return b"".join(parts), False


def _split(lines: list[str], options: Options, *, whole: bool) -> tuple[str, list[str], list[str]] | None:
    """Take the header off the lines; None where it is not all there."""
    kept = [line for number, line in enumerate(lines, start=1) if number not in options.skip]
    start = next((at for at, line in enumerate(kept) if line.strip()), None)
    if start is None:
        return None
    kept = kept[start:]
    named = _SEPARATOR.fullmatch(kept[0])
    if named:
        kept = kept[1:]
        if not kept:
            return None
    delimiter = options.delimiter or (named[1] if named else _guess(kept[0]))
    if options.names:
        return delimiter, [name.strip() for name in options.names], kept
    reader = csv.reader(kept, delimiter=delimiter)
    header = next(reader)
    if reader.line_num == len(kept) and not whole:
        return None
    return delimiter, [name.strip() for name in header], kept[reader.line_num :]


def _guess(line: str) -> str:
    """The separator that stands most often outside of quotes."""
    return max(DELIMITERS, key=_QUOTED.sub("", line).count)
