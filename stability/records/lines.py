"""A file's bytes as a stream: unpacked, hashed and counted on the way, never more than a piece of it in memory."""

from __future__ import annotations

__all__ = ["UTF16", "Opened", "opened", "text_lines", "whole"]

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from stability.schema import ContractError
from stability.telemetry.signatures import PROBE
from stability.telemetry.sources import CHUNK, GZIP, PARQUET, Source

LONGEST = 1 << 20  # bytes of a line: a longer one is no log line but a file of another form
_COLOUR = re.compile("\x1b\\[[0-9;]*m")  # what a terminal would show as colour
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # how Windows marks its text files


@dataclass
class Opened:
    """A file while it is read.

    Parameters
    ----------
    stream : io.BufferedReader
        The unpacked bytes.
    label : str
        The file's name in messages.
    size : int
        Bytes read so far, as stored.
    sha256 : hashlib's object
        Over the bytes read so far, as stored.
    """

    stream: io.BufferedReader
    label: str
    size: int = 0
    sha256: object = field(default_factory=hashlib.sha256)

    def probe(self) -> bytes:
        """Give the first bytes, at most 64 KiB, without moving on."""
        return self.stream.peek(PROBE)[:PROBE]

    def drain(self) -> None:
        """Read to the end of the stored bytes, so that the hash is of the whole file."""
        while self.stream.read(CHUNK):
            pass


class _Counted(io.RawIOBase):
    """Bytes that tell how many they were."""

    def __init__(self, inner, told: Callable[[bytes], None]):
        self.inner, self.told = inner, told

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self.inner.read(len(buffer))
        self.told(piece)
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def opened(source: Source, advance: Callable[[int], object] | None = None) -> Iterator[Opened]:
    """Open a file for reading from its start, unpacked where it is gzip.

    Parameters
    ----------
    source : Source
    advance : callable, optional
        Told the number of stored bytes read since it was told last.

    Yields
    ------
    Opened

    Raises
    ------
    ContractError
        The file cannot be read, is empty, or is a gzip file that ends early.
    """
    file = Opened(None, source.label)

    def told(piece: bytes) -> None:
        file.size += len(piece)
        file.sha256.update(piece)
        if advance:
            advance(len(piece))

    try:
        with source.system.open(source.path, "rb") as inner:
            file.stream = io.BufferedReader(_Counted(inner, told), CHUNK)
            if file.stream.peek(2)[:2] == GZIP:
                file.stream = io.BufferedReader(gzip.GzipFile(fileobj=file.stream), CHUNK)
            if not file.probe().strip():
                raise ContractError(
                    file=source.label,
                    expected="at least one line",
                    got="an empty file",
                    remedy="remove or replace it",
                )
            yield file
    except ContractError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        said = "the end of a whole gzip file", f"a file cut short or damaged ({error})"
        raise ContractError(file=source.label, expected=said[0], got=said[1], remedy="fetch it again") from error
    except OSError as error:
        raise ContractError(file=source.label, expected="a readable file", got=str(error) or repr(error)) from error


def text_lines(file: Opened, encoding: str, undecodable: str) -> Iterator[tuple[int, str, bool]]:
    """Give a text's lines without their ends and without colours.

    Parameters
    ----------
    file : Opened
    encoding : str
        Name of the encoding; a mark at the file's begin that says UTF-16 is believed.
    undecodable : {"error", "replace"}
        What becomes of bytes that the encoding does not have.

    Yields
    ------
    row : int
        The line's number, from 1.
    line : str
    mended : bool
        Whether bytes of it were replaced.

    Raises
    ------
    ContractError
        For bytes that are no text, an unknown encoding, and a line of more than 1 MB.
    """
    probe = file.probe()
    if probe[:2] in UTF16:
        wrapper = io.TextIOWrapper(file.stream, encoding="utf-16", newline="\n")
        try:
            yield from _decoded(wrapper, file.label)
        finally:
            wrapper.detach()  # else the stream is closed with it
        return
    _refuse_no_text(probe, encoding, file.label)
    row = 0
    while raw := file.stream.readline(LONGEST + 1):
        row += 1
        if len(raw) > LONGEST:
            _refuse_long(file.label, row)
        raw = raw.removeprefix(b"\xef\xbb\xbf") if row == 1 else raw
        try:
            yield row, _plain(raw.decode(encoding)), False
        except UnicodeDecodeError as error:
            if undecodable == "error":
                _refuse_bytes(file.label, row, encoding, error)
            yield row, _plain(raw.decode(encoding, errors="replace")), True


def whole(file: Opened, encoding: str, undecodable: str) -> tuple[bytes, int]:
    """Read a file that is no list of lines, in UTF-8 whatever it was written in; Parquet as it is.

    Returns
    -------
    content : bytes
    mended : int
        Lines of which bytes were replaced.

    Raises
    ------
    ContractError
        As :func:`text_lines`, but for the length of a line.
    """
    probe = file.probe()
    content = file.stream.read()
    if content.startswith(PARQUET):
        return content, 0
    if probe[:2] in UTF16:
        encoding = "utf-16"
    else:
        _refuse_no_text(probe, encoding, file.label)
    try:
        return content.decode(encoding).encode(), 0
    except UnicodeDecodeError as error:
        if undecodable == "error":
            _refuse_bytes(file.label, content.count(b"\n", 0, error.start) + 1, encoding, error)
    text = content.decode(encoding, errors="replace")
    return text.encode(), sum("\ufffd" in line for line in text.split("\n"))


def _decoded(lines: io.TextIOWrapper, label: str) -> Iterator[tuple[int, str, bool]]:
    row = 0
    try:
        while line := lines.readline(LONGEST + 1):
            row += 1
            if len(line) > LONGEST:
                _refuse_long(label, row)
            yield row, _plain(line), False
    except UnicodeDecodeError as error:
        raise ContractError(file=label, row=row + 1, expected="text in UTF-16", got=str(error)) from error


def _plain(line: str) -> str:
    """Take the end of the line off, and colours."""
    return (_COLOUR.sub("", line) if "\x1b" in line else line).rstrip("\r\n")


def _refuse_no_text(probe: bytes, encoding: str, label: str) -> None:
    if b"\0" in probe:
        remedy = "export it as text: `journalctl -o export` for a journal, `zcat` or `xz -d` for a packed file"
        raise ContractError(file=label, expected="a log in text", got="bytes that are no text", remedy=remedy)
    try:
        "".encode(encoding)
    except LookupError:
        raise ContractError(column="encoding", expected="an encoding that Python knows", got=repr(encoding)) from None


def _refuse_bytes(label: str, row: int, encoding: str, error: UnicodeDecodeError) -> NoReturn:
    line = error.object[error.object.rfind(b"\n", 0, error.start) + 1 : error.start]
    remedy = "encoding='latin-1' (or what it was written in), or undecodable='replace'"
    got = f"a byte that it does not have, at position {len(line)} of the line"
    raise ContractError(file=label, row=row, expected=f"text in {encoding}", got=got, remedy=remedy) from error


def _refuse_long(label: str, row: int) -> None:
    raise ContractError(
        file=label,
        row=row,
        expected=f"lines of at most {LONGEST:,} bytes",
        got="a longer one",
        remedy="is it a log at all? One JSON document is read with form='json'",
    )
