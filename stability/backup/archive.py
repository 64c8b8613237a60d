"""One stream that holds a backup: a tar whose last file is the manifest, so that a stream cut anywhere is told as such.

The files of a living workbench change: each is copied into memory (or a temporary file) first, and what went into the
stream is exactly what was hashed. JSON lines that are being written end with the last whole line.
"""

from __future__ import annotations

__all__ = ["broken", "on_disk", "pack", "synced", "unpack"]

import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

import pyarrow as pa

from stability.backup.contents import leaves
from stability.backup.manifest import MANIFEST, Entry, Manifest, differences, read_manifest
from stability.schema import ContractError

IN_MEMORY = 64 << 20  # bytes of a file that is copied in memory; larger ones through a temporary file
PIECE = 1 << 20
ATTEMPTS = 3  # at a file that changes while it is read
LARGEST_MANIFEST = 1 << 30  # bytes: some millions of files
# What a damaged stream makes tarfile, zstd and their callers say.
DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, pa.ArrowException, MemoryError)


def pack(
    sink: BinaryIO,
    root: Path,
    paths: Iterable[str],
    staged: Mapping[str, Path],
    describe: Callable[[dict[str, Entry], list[str]], Manifest],
    scratch: Path | None = None,
) -> Manifest:
    """Write files into a stream, and last the manifest.

    Parameters
    ----------
    sink : binary file
    root : path
        The folder that `paths` are relative to.
    paths : iterable of str
        Files and symbolic links.
    staged : mapping of str to path
        Content that comes from elsewhere, such as a database's online copy: its path in the backup and where it lies.
    describe : callable
        (entries, sentences about what could not be taken as it is) -> the manifest.
    scratch : path, optional
        A folder for copies of large files.

    Returns
    -------
    Manifest
    """
    entries: dict[str, Entry] = {}
    notes: list[str] = []
    seen: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE) as tar:
        for name, path in staged.items():
            entries[name] = _add_file(tar, name, path, notes, scratch)
        for name in paths:
            if name in entries:
                continue
            try:
                status = (root / name).lstat()
                same = (status.st_dev, status.st_ino)
                if stat.S_ISLNK(status.st_mode):
                    entries[name] = _add_link(tar, name, tarfile.SYMTYPE, str((root / name).readlink()), status)
                elif same in seen:
                    entries[name] = _add_link(tar, name, tarfile.LNKTYPE, seen[same], status)
                else:
                    entries[name] = _add_file(tar, name, root / name, notes, scratch)
                    if status.st_nlink > 1:
                        seen[same] = name
            except FileNotFoundError:
                notes.append(f"{name} was removed while the backup was made")
        manifest = describe(entries, notes)
        text = manifest.to_json()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mtime, info.mode = len(text), int(manifest.moment), 0o600
        tar.addfile(info, io.BytesIO(text))
    return manifest


def _add_link(tar: tarfile.TarFile, name: str, kind: bytes, target: str, status: os.stat_result) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, target, status.st_mtime
    tar.addfile(info)
    return Entry("link" if kind == tarfile.SYMTYPE else "same", target=target, mtime=status.st_mtime)


def _add_file(tar: tarfile.TarFile, name: str, path: Path, notes: list[str], scratch: Path | None) -> Entry:
    for attempt in range(ATTEMPTS):
        with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=scratch) as copy:
            before, after = _copied(path, copy)
            size = copy.tell()
            grows = path.suffix in (".jsonl", ".ndjson")
            if grows and (whole := _whole_lines(copy, size)) < size:
                notes.append(f"{size - whole} bytes at the end of {name} were no whole line: it was being written")
                size = whole
            steady = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
            if not (steady or grows or attempt == ATTEMPTS - 1):
                continue
            if not (steady or grows):
                notes.append(f"{name} changed each of the {ATTEMPTS} times that it was read")
            digest = _digest(copy, size)
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = size, before.st_mtime, stat.S_IMODE(before.st_mode)
            copy.seek(0)
            tar.addfile(info, copy)
            return Entry("file", size, digest, mtime=before.st_mtime)
    raise AssertionError  # the last attempt returns


def _copied(path: Path, copy: IO[bytes]) -> tuple[os.stat_result, os.stat_result]:
    """Copy a file, and give its status before and after."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        before = os.fstat(file.fileno())
        while piece := _read(path, file):
            _write(path, copy, piece)
        return before, os.fstat(file.fileno())


def _read(path: Path, file: BinaryIO) -> bytes:
    try:
        return file.read(PIECE)
    except OSError as error:
        raise _unreadable(path, error) from error


def _write(path: Path, copy: IO[bytes], piece: bytes) -> None:
    try:
        copy.write(piece)
    except OSError as error:  # of the scratch place, not of the file and not of the backup
        raise ContractError(expected=f"room for a copy of {path}", got=str(error), remedy="make room") from error


def _unreadable(path: Path, error: OSError) -> ContractError:
    return ContractError(
        file=path, expected="a file that can be read", got=str(error), remedy="let this account read it"
    )


def _whole_lines(copy: IO[bytes], size: int) -> int:
    """Where the last whole line ends, with or without a newline; all of a file without a newline."""
    end = size
    while end > 0:
        start = max(0, end - PIECE)
        copy.seek(start)
        found = copy.read(end - start).rfind(b"\n")
        if found >= 0:
            return size if _is_row(copy, start + found + 1) else start + found + 1
        end = start
    return size


def _is_row(copy: IO[bytes], start: int) -> bool:
    """Whether what stands there to the end is a whole object: no beginning of one is one, too."""
    copy.seek(start)
    try:
        return isinstance(json.loads(copy.read()), dict | list)
    except (ValueError, RecursionError):
        return False


def _digest(file: IO[bytes], size: int) -> str:
    sha256 = hashlib.sha256()
    file.seek(0)
    while size > 0 and (piece := file.read(min(PIECE, size))):
        sha256.update(piece)
        size -= len(piece)
    return sha256.hexdigest()


def unpack(stream: BinaryIO, source: str, into: Path | None = None, *, durable: bool = False) -> Manifest:
    """Read a stream to its end, hash every file, and compare with the manifest.

    Parameters
    ----------
    stream : binary file
    source : str
        The backup's name, for the error.
    into : path, optional
        An empty folder to write the files into; without it they are only verified.
    durable : bool
        Whether every file is forced onto the disk.

    Returns
    -------
    Manifest

    Raises
    ------
    ContractError
        If the stream is cut, damaged, or holds anything else than its manifest says.
    """
    found: dict[str, Entry] = {}
    folders: set[str] = set()
    links: dict[str, str] = {}
    text = None
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as tar:
            for member in tar:
                name = _inside(member.name, found, folders)
                if name == MANIFEST and member.isreg() and member.size <= LARGEST_MANIFEST:
                    text = tar.extractfile(member).read()
                elif member.isreg():
                    found[name] = _take_file(tar, member, None if into is None else into / name, durable=durable)
                elif member.islnk() or member.issym():
                    links |= {name: member.linkname} if member.issym() else {}
                    found[name] = _take_link(member, name, into, found, links)
                else:
                    raise ValueError(f"{name} is neither a file nor a link")
            for name in links:  # each of two may stay inside, and both together lead out
                _refuse_way_out(name, links)
    except DAMAGE as error:
        if into is not None and isinstance(error, OSError) and error.errno:  # the system's word, not a decoder's
            raise ContractError(
                file=into, expected="a place that a backup can be restored to", got=str(error), remedy="make room there"
            ) from error
        raise broken(source, str(error) or type(error).__name__) from error
    for folder in (".", *sorted(folders)) if durable and into is not None else ():
        synced(into / folder)
    if text is None:
        raise broken(source, f"a stream of {len(found):,} files that ends before its manifest")
    manifest = read_manifest(text, source)
    said = differences(manifest.entries, found, "file")
    if said:
        raise broken(source, "; ".join(said))
    return manifest


def broken(source: str, got: str) -> ContractError:
    """Make the error that says a backup is damaged."""
    return ContractError(
        file=source,
        expected="a backup that is whole",
        got=got.splitlines()[0],
        remedy="take another one (stability backup list), and look after the disk that it lies on",
    )


def _inside(name: str, found: Mapping[str, Entry], folders: set[str]) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{name!r} would lie outside of the place")
    if any((above := found.get(str(parent))) and above.kind == "link" for parent in path.parents):
        raise ValueError(f"{name!r} would be written through a link")
    above = {parent.as_posix() for parent in path.parents[:-1]}
    if path.as_posix() in found or path.as_posix() in folders or any(parent in found for parent in above):
        raise ValueError(f"{name!r} is there twice")
    folders |= above
    return path.as_posix()


def _refuse_way_out(name: str, links: Mapping[str, str]) -> None:
    if leaves(name, links):
        raise ValueError(f"{name} is a link to {links[name]}, outside of the place")


def _take_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path | None, *, durable: bool) -> Entry:
    content, sha256 = tar.extractfile(member), hashlib.sha256()
    if path is None:
        while piece := content.read(PIECE):
            sha256.update(piece)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = (member.mode & 0o777) | 0o200
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            while piece := content.read(PIECE):
                sha256.update(piece)
                file.write(piece)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.utime(path, (member.mtime, member.mtime))
    return Entry("file", member.size, sha256.hexdigest(), mtime=member.mtime)


def _take_link(
    member: tarfile.TarInfo, name: str, into: Path | None, found: dict[str, Entry], links: Mapping[str, str]
) -> Entry:
    target = member.linkname
    if member.islnk():
        if target not in found or found[target].kind != "file":
            raise ValueError(f"{name} is another name of {target}, which is not there")
        if into is not None:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(into / target, into / name)
        return Entry("same", target=target, mtime=member.mtime)
    _refuse_way_out(name, links)
    if into is not None:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).symlink_to(target)
    return Entry("link", target=target, mtime=member.mtime)


def synced(path: Path) -> None:
    """Force a file or a folder onto the disk, so that whoever reads it again reads the disk and not memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def on_disk(folder: Path, manifest: Manifest) -> list[str]:
    """Read what was restored again from the disk, and say where it differs from the manifest.

    Parameters
    ----------
    folder : path
        As `unpack` filled it, before anything in it was changed.
    manifest : Manifest

    Returns
    -------
    list of str
        Sentences; empty when all is as it was.
    """
    expected, found = {}, {}
    for name, entry in manifest.entries.items():
        path = folder / name
        if entry.kind == "link":
            expected[name] = entry.target
            found |= {name: str(path.readlink())} if path.is_symlink() else {}
            continue
        expected[name] = entry.sha256 or manifest.entries[entry.target].sha256
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return differences(expected, found, "file")
