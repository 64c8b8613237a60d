"""What a file is when it is no table: known by its first bytes, so that an error can name it and the way out."""

from __future__ import annotations

__all__ = ["EXPECTED", "PROBE", "foreign", "refuse_documents", "refuse_encoding"]

import re

from stability.schema import ContractError
from stability.telemetry.objects import JSON

PROBE = 1 << 16  # bytes in which a foreign encoding gives itself away
EXPECTED = "CSV in UTF-8, plain or gzip, or Parquet"
# First bytes of files that people take for tables -> what they are, what to do. The longest signature first.
BINARY = {
    b"SQLite format 3\0": ("an SQLite database", "read its table with SQL"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV in UTF-8"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"\x28\xb5\x2f\xfd": ("a file packed by zstd", "unpack it, or pack it with gzip"),
    b"\xfd7zXZ": ("a file packed by xz", "unpack it, or pack it with gzip"),
    b"BZh": ("a file packed by bzip2", "unpack it, or pack it with gzip"),
}
WIDE = ("UTF-16", "convert it: iconv -f UTF-16 -t UTF-8")
DOCUMENTS = (
    (rb"version https://git-lfs", "a pointer of Git LFS instead of the file", "fetch the file: git lfs pull"),
    (
        rb"(?i)<(?:!doctype|html|\?xml)",
        "HTML or XML, as servers send with an error",
        "look into it, and fetch it again",
    ),
    (JSON, "JSON", "write it as CSV with a header, a row a moment"),
)


def refuse_encoding(content: bytes, label: str) -> None:
    """Refuse what is not UTF-8 text.

    Parameters
    ----------
    content : bytes
        The whole file, unpacked.
    label : str
        The file's name in the error.

    Raises
    ------
    ContractError
        Naming what the file is, where that is known.
    """
    probe, said, remedy = content[:PROBE], "", "export the file again, or convert it: iconv -f LATIN1 -t UTF-8"
    try:
        # A character that the probe cuts in two is no fault.
        probe.decode("utf-8") if len(content) <= PROBE else probe[: probe.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError as error:
        said = f"a byte that UTF-8 does not have, at position {error.start}"
    if b"\0" in content:
        said = "bytes that are no text"
    if not said:
        return
    said, remedy = foreign(content) or (said, remedy)
    raise ContractError(file=label, expected=EXPECTED, got=said, remedy=remedy)


def foreign(content: bytes) -> tuple[str, str] | None:
    """Tell by its first bytes what a file is that is no text in UTF-8, and what to do; None where nobody knows.

    Examples
    --------
    >>> foreign(b"PAR1"), foreign(b"BZh91AY")
    (None, ('a file packed by bzip2', 'unpack it, or pack it with gzip'))
    """
    probe = content[:PROBE]
    known = [found for signature, found in BINARY.items() if content.startswith(signature)]
    # Text in which every second byte is zero, marked as such or not.
    zeros = max(probe[0::2].count(0), probe[1::2].count(0)), min(probe[0::2].count(0), probe[1::2].count(0))
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or (zeros[0] > len(probe) // 3 and not zeros[1]):
        known.append(WIDE)
    return known[0] if known else None


def refuse_documents(content: bytes, label: str) -> None:
    """Refuse text that is no table: a page, a pointer, JSON; parameters and errors as in `refuse_encoding`."""
    for pattern, said, remedy in DOCUMENTS:
        if re.match(pattern, content.lstrip()):
            raise ContractError(file=label, expected="a table with a header", got=said, remedy=remedy)
