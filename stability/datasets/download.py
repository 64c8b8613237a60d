"""Downloads: to a temporary name, looked at, and only then renamed, so that no file is ever half there."""

from __future__ import annotations

__all__ = ["pull", "pull_archive"]

import contextlib
import functools
import os
import shutil
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import tenacity

from stability.schema import ContractError

Check = Callable[[Path], object]
AT_A_TIME = 8  # downloads; a dataset of hundreds of small files waits for answers most of the time
ATTEMPTS = 3
NESTED = 2  # zips in a zip: NASA's archive has been both


def pull(files: Mapping[str, tuple[Path, Check]], dataset: str) -> None:
    """Download files, several at a time.

    Parameters
    ----------
    files : mapping of str to (Path, callable)
        Address -> where the file belongs, and a check that is given the temporary file and raises ContractError.
    dataset : str
        Whose files they are, for the error.

    Raises
    ------
    ContractError
        For the first file that cannot be had, or is not what it should be. Files that arrived whole stay.
    """
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        waiting = [pool.submit(_pull, address, *place, dataset) for address, place in files.items()]
        for one in waiting:
            try:
                one.result()
            except ContractError:
                pool.shutdown(cancel_futures=True)
                raise


def pull_archive(address: str, folder: Path, checks: Mapping[str, Check], dataset: str) -> None:
    """Download a zip and take files out of it, each under its own check.

    Parameters
    ----------
    address : str
        Of the zip.
    folder : Path
        Where the files belong.
    checks : mapping of str to callable
        Name of a file -> its check. A file may lie in any folder of the zip, or in a zip within it.
    dataset : str
        Whose files they are, for the error.

    Raises
    ------
    ContractError
        Where the zip cannot be had or read, lacks a file, or has one that is not what it should be.
    """
    tell = functools.partial(_unfit, address, dataset)
    with _temporary(folder / "archive.zip") as part:
        _bring(address, part, dataset)
        try:
            with zipfile.ZipFile(part) as archive:
                absent = set(checks) - set(_unpack(archive, folder, checks, tell))
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, NotImplementedError) as error:
            raise tell("a whole zip", str(error)) from error
        if absent:
            raise tell(f"a zip that holds {', '.join(sorted(absent))}", "one without")


def _unpack(
    archive: zipfile.ZipFile, folder: Path, checks: Mapping[str, Check], tell: Callable, depth: int = 1
) -> Iterator[str]:
    for entry in archive.infolist():
        name = PurePosixPath(entry.filename).name  # never a path of the archive's choice
        if name in checks or (name.endswith(".zip") and depth < NESTED):
            with _temporary(folder / name) as part:
                with archive.open(entry) as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
                if name in checks:
                    _keep(part, folder / name, checks[name], tell)
                    yield name
                else:
                    with zipfile.ZipFile(part) as inner:
                        yield from _unpack(inner, folder, checks, tell, depth + 1)


def _keep(part: Path, target: Path, check: Check, tell: Callable) -> None:
    try:
        check(part)
    except ContractError as error:
        raise tell(f"{target.name} with {error.expected}", error.got) from error
    part.replace(target)


def _pull(address: str, target: Path, check: Check, dataset: str) -> None:
    with _temporary(target) as part:
        _bring(address, part, dataset)
        _keep(part, target, check, functools.partial(_unfit, address, dataset))


def _bring(address: str, part: Path, dataset: str) -> None:
    import pooch

    again = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(0.2, max=5),
        retry=tenacity.retry_if_exception_type(OSError),  # requests' errors are OSErrors
        reraise=True,
    )
    try:
        again(pooch.HTTPDownloader(timeout=60), address, str(part), None)
    except (OSError, ValueError) as error:
        raise _unfit(address, dataset, "a download", str(error).split("\n")[0]) from error


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _unfit(address: str, dataset: str, expected: str, got: object) -> ContractError:
    remedy = f"try again, or set STABILITY_DATA_MIRROR to a folder that holds {dataset}/"
    return ContractError(file=address, expected=expected, got=got, remedy=remedy)
