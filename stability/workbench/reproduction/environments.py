"""The interpreter of a repetition: the present one where the lock is the same, else one of the recorded lock."""

from __future__ import annotations

__all__ = ["Interpreter", "interpreter"]

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stability.schema import home
from stability.workbench.doors import tool
from stability.workbench.provenance import lock_sha256
from stability.workbench.reproduction.recorded import CannotReproduceError
from stability.workbench.tracking import locked

READY = ".ready"
LINES = 15  # of what a failed installation printed last


@dataclass(frozen=True)
class Interpreter:
    """A Python, and how it differs from the recorded one."""

    python: Path
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A short name for a file or a kernel."""
        return hashlib.sha256(str(self.python).encode()).hexdigest()[:8]


def interpreter(lock: str, text: bytes | None, version: str, say: Callable[[str], None]) -> Interpreter:
    """Find or build the environment that a run had.

    Parameters
    ----------
    lock
        Sha256 of the recorded lock, `none` where there was none.
    text
        The recorded lock, None where the store has lost it.
    version
        The recorded Python, such as 3.11.2.
    say
        Told what takes long.

    Raises
    ------
    CannotReproduceError
        When the lock is lost or altered, or the environment cannot be built.
    """
    here = platform.python_version()
    same_minor = _minor(version) == _minor(here)
    present = here if same_minor else f"{_minor(version)} of some patch"
    notes = () if version == here else (f"Python {present}, was {version}",)
    if lock == lock_sha256() and same_minor:
        return Interpreter(Path(sys.executable), notes)
    if lock == "none":
        raise CannotReproduceError("the run had no requirements.lock, and there is one now: its environment is unknown")
    if text is None:
        raise CannotReproduceError("the recorded requirements.lock is gone from the store, and the present one differs")
    if hashlib.sha256(text).hexdigest() != lock:
        raise CannotReproduceError(f"the recorded requirements.lock is altered: its sha256 is no longer {lock}")
    return Interpreter(_built(lock, text, _minor(version), say), notes)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _built(lock: str, text: bytes, minor: str, say: Callable[[str], None]) -> Path:
    """Build the environment as the Makefile does, once for each lock; it stays for the next repetition."""
    here = minor == _minor(platform.python_version())
    folder = home() / "runs" / ".environments" / (lock if here else f"{lock}-{minor}")
    python = folder / "bin" / "python"
    with locked(folder.with_name(f".{folder.name}.lock")):
        if (folder / READY).is_file():
            return python
        say(f"building an environment from the recorded lock {lock[:12]} in {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        requirements = folder / "requirements.lock"
        requirements.write_bytes(text)
        base = sys.executable if here else minor
        _run(tool("uv"), "venv", "--quiet", "--allow-existing", "--python", base, str(folder))
        _run(tool("uv"), "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements))
        (folder / READY).touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **_wheels()})
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LINES:])
        raise CannotReproduceError(f"the recorded environment cannot be built: {' '.join(command[:3])} said\n{tail}")


def _wheels() -> dict[str, str]:
    """uv does not read pip's settings: hand it the folders of wheels that pip knows, as the Makefile does."""
    if os.environ.get("UV_FIND_LINKS"):
        return {}
    pip = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    known = os.environ.get("PIP_FIND_LINKS") or subprocess.run(pip, capture_output=True, text=True).stdout
    return {"UV_FIND_LINKS": ",".join(known.split())} if known.split() else {}
