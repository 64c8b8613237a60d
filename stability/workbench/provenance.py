"""What a run must remember so that somebody can repeat it: code, difference, lock, platform."""

import email
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

__all__ = [
    "changed_files",
    "digest",
    "environment",
    "file_sha256",
    "git",
    "git_facts",
    "lock_sha256",
    "package_sha256",
]

NO_GIT = {"git_sha": "none", "dirty": "unknown", "diff": b"", "left_out": []}
LARGEST_UNTRACKED = 10_000_000  # bytes; larger files that git does not know are data, which are recorded by themselves
# Whatever the user's configuration makes of a diff: this one is for `git apply`, to the bit.
PATCH = ["--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"]
PATCH += ["--src-prefix=a/", "--dst-prefix=b/"]
LEADING = {f"GIT_{name}" for name in ("DIR", "WORK_TREE", "INDEX_FILE", "COMMON_DIR", "PREFIX", "NAMESPACE")}
LEADING |= {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"}


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
    files = [p for p in files if ".ipynb_checkpoints" not in p.parts]  # an editor's copies, which nothing imports
    return _tree_sha256(package.parent, [*files, home() / "data" / "metrics.yaml"])


def lock_sha256() -> str:
    """Sha256 of `requirements.lock`, or `none` where there is no lock."""
    lock = home() / "requirements.lock"
    return file_sha256(lock) if lock.is_file() else "none"


def _tree_sha256(root: Path, files: Iterable[Path]) -> str:
    return digest({os.path.relpath(f, root): file_sha256(f) for f in sorted(files)})


def git_facts() -> dict[str, Any]:
    """Commit, whether the tree differs from it, and the whole difference with files that git does not know yet.

    Returns
    -------
    dict with `git_sha`, `dirty` (`true`, `false`, `unknown`), `diff` (bytes of a patch against the commit that `git
    apply` takes back to the bit) and `left_out` (untracked files above `LARGEST_UNTRACKED`, which are data rather than
    code). Outside a checkout, or without git, the sha is `none`.
    """
    root = home()
    try:
        if Path(os.fsdecode(git(root, "rev-parse", "--show-toplevel").strip())).resolve() != root.resolve():
            return dict(NO_GIT)
        sha = git(root, "rev-parse", "HEAD").decode().strip()
        if not git(root, "--no-optional-locks", "status", "--porcelain").strip():
            return {"git_sha": sha, "dirty": "false", "diff": b"", "left_out": []}
        unknown = git(root, "ls-files", "--others", "--exclude-standard", "-z").decode(errors="surrogateescape")
        large = [name for name in unknown.split("\0") if name and _size(root / name) > LARGEST_UNTRACKED]
        # A throw-away index with objects of its own: untracked files belong to the difference, and nothing of the
        # user's is touched.
        with tempfile.TemporaryDirectory() as folder:
            objects = os.fsdecode(git(root, "rev-parse", "--git-path", "objects").strip())
            own = {
                "GIT_INDEX_FILE": str(Path(folder) / "index"),
                "GIT_OBJECT_DIRECTORY": str(Path(folder) / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((root / objects).resolve()),
            }
            Path(own["GIT_OBJECT_DIRECTORY"]).mkdir()
            git(root, "read-tree", "HEAD", **own)
            git(root, "add", "--all", "--", ".", *(f":(exclude,top,literal){name}" for name in large), **own)
            diff = git(root, "diff", "--cached", *PATCH, "HEAD", **own)
        return {"git_sha": sha, "dirty": "true", "diff": diff, "left_out": sorted(large)}
    except (OSError, subprocess.CalledProcessError):
        return dict(NO_GIT)


def changed_files(before: str, now: str) -> list[str]:
    """What two commits differ in: a line a file with the lines added and removed, largest change first.

    Empty where the commits are equal, or one of them is unknown here.
    """
    if before == now or "none" in (before, now):
        return []
    try:
        listed = git(home(), "diff", "--numstat", "-z", "--no-renames", before, now).decode(errors="replace")
    except (OSError, subprocess.CalledProcessError):
        return []
    rows = [row.split("\t", 2) for row in listed.split("\0") if row.count("\t") == 2]
    size = {name: sum(int(n) for n in (added, removed) if n.isdigit()) for added, removed, name in rows}
    return [
        f"{name} (+{added} -{removed})" if added.isdigit() else f"{name} (binary)"
        for added, removed, name in sorted(rows, key=lambda row: (-size[row[2]], row[2]))
    ]


def git(root: Path, *arguments: str, **environment: str) -> bytes:
    """What a git command prints; the variables that a hook of the caller's may have set do not lead it elsewhere.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        Where git is missing or refuses.
    """
    clean = {name: value for name, value in os.environ.items() if name not in LEADING}
    command = ["git", "-C", str(root), "-c", f"core.hooksPath={os.devnull}", *arguments]
    return subprocess.run(command, capture_output=True, check=True, env={**clean, **environment}).stdout


def _size(path: Path) -> int:
    return path.lstat().st_size


def environment() -> str:
    """One line a distribution that is installed, as `pip freeze` would print it, below the platform."""
    pins = {pin for pin in map(_pin, importlib.metadata.distributions()) if pin}
    return "\n".join([f"# {platform.platform()}, Python {platform.python_version()}", *sorted(pins)]) + "\n"


def _pin(distribution: importlib.metadata.Distribution) -> str | None:
    """Name and version; read once, and without the text below the fields: of hundreds it takes a second to parse."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = email.message_from_string(text.partition("\n\n")[0])
    return f"{fields['Name']}=={fields['Version']}" if fields["Name"] else None
