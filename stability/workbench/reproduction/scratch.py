"""Room for a repetition below `runs/`, with git worktrees in it; what a killed one left is removed by the next."""

from __future__ import annotations

__all__ = ["checkout", "scratch"]

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stability.schema import home
from stability.workbench.provenance import git
from stability.workbench.reproduction.recorded import CannotReproduceError

ALIVE = ".alive"  # locked by its process for as long as that lives


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this process's own that is gone afterwards, however the block ends; first removes dead ones."""
    root = home() / "runs" / ".reproductions"
    root.mkdir(parents=True, exist_ok=True)
    _bury(root)
    folder = root / f"{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    with (folder / ALIVE).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _remove(folder)


def checkout(folder: Path, sha: str, diff: bytes) -> Path:
    """Lay the recorded commit out as a worktree in a folder, and the recorded difference over it.

    The user's own working tree and index are not touched.

    Raises
    ------
    CannotReproduceError
        When the commit is not in this repository any more, or the difference does not fit on it.
    """
    tree = folder / "worktree"
    try:
        git(home(), "cat-file", "-e", f"{sha}^{{commit}}")
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"commit {sha} is not in the repository {home()} ({_words(error)}): git fetch, or find its clone"
        raise CannotReproduceError(message) from error
    try:
        git(home(), "worktree", "add", "--detach", "--force", str(tree), sha)
        if diff:
            patch = folder / "recorded.diff"
            patch.write_bytes(diff)
            git(tree, "apply", "--whitespace=nowarn", str(patch))
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotReproduceError(f"the recorded code cannot be laid out: {_words(error)}") from error
    # The recorded code looks for snapshots in its own folder; they are verified when they are read.
    (tree / "runs").mkdir(exist_ok=True)
    snapshots = tree / "runs" / ".snapshots"
    if not snapshots.exists():
        snapshots.symlink_to(home() / "runs" / ".snapshots", target_is_directory=True)
    return tree


def _bury(root: Path) -> None:
    for folder in root.iterdir():
        with contextlib.suppress(OSError), (folder / ALIVE).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)


def _remove(folder: Path) -> None:
    # The folders first: git forgets a worktree whose folder is gone, whatever state that was in.
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        git(home(), "worktree", "prune")


def _words(error: Exception) -> str:
    said = getattr(error, "stderr", b"") or str(error).encode()
    return (said.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
