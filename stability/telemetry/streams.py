"""A file's bytes on their way to a table, a piece at a time: counted, unpacked, and brought to UTF-8."""

from __future__ import annotations

__all__ = ["Pipe", "Tap", "beginning", "empty", "fetch", "text_of", "unpacked", "without_comments"]

import codecs
import hashlib
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator

from stability.schema import ContractError
from stability.telemetry.signatures import EXPECTED, foreign, refuse_encoding
from stability.telemetry.sources import CHUNK, GZIP, MARK, PARQUET, Source, failure

# First bytes by which a text says its own encoding.
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
TAIL = 31  # zlib's word for: a gzip header, and the checksum at the end


class Tap:
    """The bytes of a file as they are stored, each time from the beginning.

    Parameters
    ----------
    source : Source
    advance : callable, optional
        Told the number of bytes read since it was told last, during the first reading only.
    """

    def __init__(self, source: Source, advance: Callable[[int], object] | None = None):
        self.source, self.advance = source, advance
        self.sha256, self.size = "", 0  # of the last reading that came to the end

    def __iter__(self) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        try:
            with self.source.system.open(self.source.path, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    if self.advance:
                        self.advance(len(chunk))
                    yield chunk
        except Exception as error:  # noqa: BLE001 - each protocol's library has its own kinds of error
            raise failure(error, self.source.label, self.source.path) from None
        self.sha256, self.size, self.advance = digest.hexdigest(), size, None


def fetch(source: Source) -> bytes:
    """Read a whole file, unpacked where it is gzip: for tables that are small.

    Raises
    ------
    ContractError
        The file cannot be read, is empty, ends early, or is text in another encoding than UTF-8.
    """
    content = b"".join(unpacked(Tap(source), source.label))
    if not content.removeprefix(MARK).strip():
        raise empty(source.label)
    if not content.startswith(PARQUET):
        refuse_encoding(content, source.label)
    return content


def empty(label: str) -> ContractError:
    """Say that a file holds nothing."""
    expected = "a header and at least one row"
    return ContractError(file=label, expected=expected, got="an empty file", remedy="remove or replace it")


class Pipe(io.RawIOBase):
    """Pieces of bytes as the stream that a parser reads."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks, self._left = iter(chunks), memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer) -> int:
        """Fill a buffer with the next bytes; 0 at the end."""
        while not self._left:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def unpacked(chunks: Iterable[bytes], label: str) -> Iterator[bytes]:
    """Unpack gzip, of one or several members; other bytes pass as they are.

    Raises
    ------
    ContractError
        The packed file ends early or is damaged.

    Examples
    --------
    >>> import gzip
    >>> b"".join(unpacked([gzip.compress(b"time,"), gzip.compress(b"cpu")], "cpu.csv.gz"))
    b'time,cpu'
    """
    chunks = iter(chunks)
    first = next(chunks, b"")
    if not first.startswith(GZIP):
        yield from itertools.chain([first] if first else [], chunks)
        return
    packer = zlib.decompressobj(TAIL)
    try:
        for chunk in itertools.chain([first], chunks):
            left = chunk
            while left:
                if packer.eof:
                    left = left.lstrip(b"\0")  # tapes and disks fill their last block
                    if not left:
                        break
                    packer = zlib.decompressobj(TAIL)
                piece = packer.decompress(left, CHUNK)
                if piece:
                    yield piece
                left = packer.unused_data if packer.eof else packer.unconsumed_tail
    except zlib.error as error:
        raise _cut(label, str(error)) from None
    if not packer.eof:
        raise _cut(label, "it ends before its end mark")


def _cut(label: str, said: str) -> ContractError:
    expected, got = "the end of a whole gzip file", f"a file cut short or damaged ({said})"
    return ContractError(file=label, expected=expected, got=got, remedy="fetch it again")


def text_of(chunks: Iterable[bytes], label: str, encoding: str | None = None) -> Iterator[bytes]:
    """Bring text to UTF-8 without a byte order mark, and refuse what is no text.

    Parameters
    ----------
    chunks : iterable of bytes
    label : str
        The file's name in errors.
    encoding : str, optional
        Python's name of the encoding. Default: what the byte order mark says, else UTF-8.

    Yields
    ------
    bytes
        Whole characters.

    Raises
    ------
    ContractError
        A byte that the encoding does not have, a zero byte, or an encoding that nobody knows.

    Examples
    --------
    >>> b"".join(text_of([b"M\\xfcn", b"chen"], "a.csv", "latin-1")).decode()
    'München'
    """
    chunks = iter(chunks)
    first = next(chunks, b"")
    mark = next((mark for mark in MARKS if first.startswith(mark)), b"")
    name = encoding or MARKS.get(mark, "utf-8")
    try:
        found = codecs.lookup(name)
        decoder = codecs.getincrementaldecoder(name)("strict")
        found.encode("a")[0].decode(name)
    except (LookupError, TypeError, AttributeError):
        remedy = "utf-8, utf-16, latin-1, cp1252, ..."
        raise ContractError(
            column="encoding", expected="an encoding of Python", got=repr(name), remedy=remedy
        ) from None
    if not encoding or found.name.replace("_", "-") in ("utf-8", "utf-16-le", "utf-16-be"):
        first = first[len(mark) :]
    place = 0
    for chunk in itertools.chain([first], chunks, [None]):
        try:
            text = decoder.decode(b"" if chunk is None else chunk, chunk is None)
        except UnicodeError as error:
            at = f" at position {place + error.start:,}" if isinstance(error, UnicodeDecodeError) else ""
            said = f"a byte that {name.upper()} does not have{at}"
            for _ in chunks:  # a packed file that is damaged gives no text either, and says so at its end
                pass
            raise _no_text(first, label, said) from None
        if "\0" in text:
            raise _no_text(first, label, "bytes that are no text")
        place += len(chunk or b"")
        if text:
            yield text.encode()


def beginning(first: bytes, encoding: str | None = None) -> bytes:
    """The first signs of a text in UTF-8, whatever its encoding."""
    mark = next((mark for mark in MARKS if first.startswith(mark)), b"")
    try:
        return first[len(mark) :][:4096].decode(encoding or MARKS.get(mark, "utf-8"), errors="ignore").encode()
    except (LookupError, UnicodeError):
        return b""


def _no_text(begin: bytes, label: str, said: str) -> ContractError:
    remedy = "name its encoding, encoding='latin-1' ('cp1252', 'utf-16-le'), export the file again, or convert it:"
    said, remedy = foreign(begin) or (said, f"{remedy} iconv -f LATIN1 -t UTF-8")
    return ContractError(file=label, expected=EXPECTED, got=said, remedy=remedy)


def without_comments(chunks: Iterable[bytes], sign: str) -> Iterator[bytes]:
    """Leave out the lines that begin with a sign.

    Examples
    --------
    >>> b"".join(without_comments([b"# made by hand\\ntime,c", b"pu\\n#end"], "#"))
    b'time,cpu\\n'
    """
    mark, left = sign.encode(), b""
    for chunk in chunks:
        lines = (left + chunk).splitlines(keepends=True)
        left = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        yield b"".join(line for line in lines if not line.startswith(mark))
    if left and not left.startswith(mark):
        yield left
