"""What a run must remember so that somebody can repeat it: code, difference, lock, platform."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stability.schema import home

__all__ = ["digest", "environment", "file_sha256", "git_facts", "lock_sha256", "package_sha256"]

NO_GIT = {"git_sha": "none", "dirty": "unknown", "diff": ""}


def digest(value: Any) -> str:
    """Sha256 of any JSON value, independent of the order of its keys.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Sha256 of a whole file (MLflow's own digest looks at the first 10,000 rows of a table only)."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def package_sha256() -> str:
    """Sha256 over what the steps' code consists of: the package's sources and the registry that they read."""
    package = Path(__file__).parents[1]
    files = [p for p in package.rglob("*") if p.is_file() and p.suffix in {".py", ".j2", ".css", ".yaml"}]
    return _tree_sha256(package.parent, [*files, home() / "data" / "metrics.yaml"])


def lock_sha256() -> str:
    """Sha256 of `requirements.lock`, or `none` where there is no lock."""
    lock = home() / "requirements.lock"
    return file_sha256(lock) if lock.is_file() else "none"


def _tree_sha256(root: Path, files: Iterable[Path]) -> str:
    return digest({os.path.relpath(f, root): file_sha256(f) for f in sorted(files)})


def git_facts() -> dict[str, str]:
    """Commit, whether the tree differs from it, and the whole difference with files that git does not know yet.

    Returns
    -------
    dict with `git_sha`, `dirty` (`true`, `false`, `unknown`) and `diff` (text of a binary-safe patch against the
    commit). Outside a checkout, or without git, the sha is `none`.
    """
    root = home()

    def git(*arguments: str, **environment: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
        ).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
            return dict(NO_GIT)
        sha = git("rev-parse", "HEAD").strip()
        if not git("status", "--porcelain").strip():
            return {"git_sha": sha, "dirty": "false", "diff": ""}
        # A throw-away index: untracked files belong to the difference, and the user's own index stays untouched.
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            git("read-tree", "HEAD", **index)
            git("add", "--all", **index)
            return {"git_sha": sha, "dirty": "true", "diff": git("diff", "--cached", "--binary", "HEAD", **index)}
    except (OSError, subprocess.CalledProcessError):
        return dict(NO_GIT)


def environment() -> str:
    """One line a distribution that is installed, as `pip freeze` would print it, below the platform."""
    distributions = {f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name}
    return "\n".join([f"# {platform.platform()}, Python {platform.python_version()}", *sorted(distributions)]) + "\n"
