"""The systemd journal's export format: entries of fields, binary-safe, as `journalctl -o export` writes them."""

from __future__ import annotations

__all__ = ["export_entries"]

import io
import re
from collections.abc import Iterator

from stability.schema import ContractError

LARGEST = 64 << 20  # bytes of one field: a core dump in a journal may be larger, a message is not
_NAME = re.compile(rb"[A-Z0-9_]{1,64}\Z")


def export_entries(stream: io.BufferedReader, label: str = "") -> Iterator[tuple[int, dict[str, str]]]:
    """Give the entries of an export, a field that occurs twice by its first value.

    Parameters
    ----------
    stream : io.BufferedReader
        From the begin of an entry.
    label : str
        The file's name in errors.

    Yields
    ------
    row : int
        The entry's number, from 1.
    fields : dict of str to str
        Bytes that are no UTF-8 are replaced: the format allows any.

    Raises
    ------
    ContractError
        For a file that ends within an entry's field, and for what is no export.

    Notes
    -----
    Specification: systemd, "Journal Export Format" (https://systemd.io/JOURNAL_EXPORT_FORMATS). A text field is
    ``NAME=value`` on a line; any other is ``NAME`` on a line, the value's length as 64 bits (little endian), the value
    and a line end. An empty line ends the entry.

    Examples
    --------
    >>> raw = b"MESSAGE\\n\\x03\\0\\0\\0\\0\\0\\0\\0a\\nb\\nPRIORITY=6\\n\\nMESSAGE=c\\n"
    >>> list(export_entries(io.BufferedReader(io.BytesIO(raw))))
    [(1, {'MESSAGE': 'a\\nb', 'PRIORITY': '6'}), (2, {'MESSAGE': 'c'})]
    """
    row, entry = 1, {}
    while line := stream.readline(LARGEST):
        if line == b"\n":
            if entry:
                yield row, entry
                row, entry = row + 1, {}
            continue
        if not line.endswith(b"\n"):
            _refuse_cut(label, row)
        name, sign, value = line[:-1].partition(b"=")
        if not _NAME.match(name):
            expected = "a field's name in capitals, = and its value"
            raise ContractError(file=label, row=row, expected=expected, got=repr(line[:60].decode(errors="replace")))
        if not sign:
            value = _binary(stream, label, row)
        entry.setdefault(name.decode("ascii"), value.decode("utf-8", errors="replace"))
    if entry:
        yield row, entry


def _binary(stream: io.BufferedReader, label: str, row: int) -> bytes:
    head = stream.read(8)
    size = int.from_bytes(head, "little")
    if len(head) == 8 and size > LARGEST:
        expected, got = f"a field of at most {LARGEST:,} bytes", f"one of {size:,}"
        raise ContractError(file=label, row=row, expected=expected, got=got, remedy="journalctl --output-fields=...")
    value = stream.read(size)
    if len(head) < 8 or len(value) < size or stream.read(1) != b"\n":
        _refuse_cut(label, row)
    return value


def _refuse_cut(label: str, row: int) -> None:
    raise ContractError(
        file=label,
        row=row,
        expected="the end of the entry",
        got="the end of the file, or a length that is not the field's",
        remedy="the export was cut short or changed as text: make it again",
    )
