"""The version before: of a model in MLflow's registry, of a file behind a link; a folder's state from its backup."""

from __future__ import annotations

__all__ = ["earlier_file", "earlier_model", "files", "models"]

import contextlib
import re
import secrets
import shutil
from pathlib import Path

from stability.remediation.addresses import ask
from stability.remediation.inventory import Files, Models
from stability.remediation.outcomes import Outcome, Task, failed

PREVIOUS = "previous"  # the alias that `stability promote` gives to the version that was in use before


def models(control: Models, task: Task, undo: dict | None = None) -> Outcome:
    """Let the alias of a registered model name the version before, or again the one that it named.

    The version before is the one that bears the alias `previous`, where that is an earlier one; else the newest earlier
    one. Whoever serves it is told, where an address is known.
    """
    import mlflow

    client = mlflow.MlflowClient()
    try:
        now, wanted = earlier_model(control)
        if undo and now != undo["left"]:
            return failed(f"the alias names {now}, and {undo['left']} was left: somebody has changed that since")
        wanted = int(undo["version"]) if undo else wanted
        if wanted is None:
            return failed(f"{control.model} has no version before {now}")
        client.set_registered_model_alias(control.model, control.alias, str(wanted))
    except mlflow.exceptions.MlflowException as error:
        return failed(f"the registry: {error.error_code}: {control.model}, alias {control.alias}")
    back = None if undo else {"version": now, "left": wanted}
    return _told(control.reload, task, f"version {wanted} instead of {now}", back)


def earlier_model(control: Models) -> tuple[int, int | None]:
    """Say which version the alias names, and which one it would go back to; None where there is no earlier one."""
    import mlflow

    client = mlflow.MlflowClient()
    now = int(client.get_model_version_by_alias(control.model, control.alias).version)
    found = client.search_model_versions(f"name = '{control.model.replace(chr(39), '')}'")
    ready = [int(v.version) for v in found if v.status == "READY" and int(v.version) < now]
    # What was in use before is better known than a version in between that perhaps nobody ever promoted.
    used = int(client.get_registered_model(control.model).aliases.get(PREVIOUS, 0))
    return now, used if used in ready else max(ready, default=None)


def files(control: Files, task: Task, undo: dict | None = None) -> Outcome:
    """Let a link point to the version before, or put a folder's files back as they were backed up; or take it back."""
    try:
        if task.action == "restore":
            return _restored(control, task, undo)
        return _linked(control, task, undo)
    except OSError as error:
        return failed(f"{type(error).__name__}: {error.strerror}")


def _linked(control: Files, task: Task, undo: dict | None) -> Outcome:
    link = Path(control.link)
    if not link.is_symlink():
        return failed(f"{link.name} is no link to a version")
    target = link.readlink()
    folder = (link.parent / target).parent
    if undo:
        wanted = str(undo["target"])
        if target.name != undo["left"]:
            return failed(f"{target.name} is in use, and {undo['left']} was left: somebody has changed that since")
        if not (folder / wanted).exists() or Path(wanted).name != wanted:
            return failed(f"no version {wanted!r} any longer")
    else:
        wanted = earlier_file(link)
        if wanted is None:
            return failed(f"no version before {target.name}")
    draft = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    draft.symlink_to(target.with_name(wanted))
    draft.replace(link)
    back = None if undo else {"target": target.name, "left": wanted}
    return _told(control.reload, task, f"{wanted} instead of {target.name}", back)


def earlier_file(link: Path) -> str | None:
    """The neighbour of a link's target that comes before it, in the order of versions; None where there is none.

    Only what differs from the target in nothing but numbers, and what parts them, is a version of the same.
    """
    target = link.readlink()
    folder = (link.parent / target).parent
    link_name = link.name if folder.resolve() == link.parent.resolve() else None
    there = [p.name for p in folder.iterdir() if p.name != link_name]
    name, now, kind = _version(target.name)
    older = {n: _version(n)[1] for n in there if _version(n)[::2] == (name, kind) and _version(n)[1] < now}
    return max(older, key=older.__getitem__, default=None)


def _version(name: str) -> tuple[str, list, str]:
    """Take a name apart: its text before the first digit and its letters after that, the version, the kind of file.

    Examples
    --------
    >>> [_version(name)[::2] for name in ("m-2.10.npz", "v1.4.1", "v1.4.0-rc1", "blue")]
    [('m-', '.npz'), ('v', ''), ('vrc', ''), ('blue', '')]
    >>> sorted(["m-2.10.npz", "m-2.9.1.npz", "m-2.9.npz"], key=lambda name: _version(name)[1])
    ['m-2.9.npz', 'm-2.9.1.npz', 'm-2.10.npz']
    """
    kind = "".join(re.findall(r"\.[A-Za-z]\w*$", name))
    first, *rest = re.split(r"(\d+)", name.removesuffix(kind))
    text = first + "".join(re.findall(r"[^\W\d_]", "".join(rest)))
    return text, [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in rest if part], kind


def _restored(control: Files, task: Task, undo: dict | None) -> Outcome:
    """Put every file of the backup in its place; what was there is kept beside it, and what is new stays."""
    state = Path(control.state)
    source = state.with_name(str(undo["kept"])) if undo else Path(control.backup)
    if undo and (Path(undo["kept"]).name != undo["kept"] or not source.is_dir()):
        return failed("what was there before is no longer kept")
    if not source.is_dir() or not any(source.iterdir()):
        return failed(f"no backup in {source.name}")
    found = [path for path in sorted(source.rglob("*")) if not path.is_dir() or path.is_symlink()]
    if odd := [path.name for path in found if path.is_symlink() or not path.is_file()]:
        return failed(f"the backup holds {odd[0]!r}, which is no plain file")
    goals = {path: (state / path.relative_to(source)).parent.resolve() for path in found}
    if away := [path for path, goal in goals.items() if not goal.is_relative_to(state.resolve())]:
        return failed(f"{away[0].name!r} would be put behind a link, out of {state.name}")
    kept = f".{state.name}.{task.delivery[:32]}.before"
    if not undo and state.is_dir():
        draft = state.with_name(f"{kept}.part")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(state, draft, symlinks=True)
        shutil.rmtree(state.with_name(kept), ignore_errors=True)
        draft.rename(state.with_name(kept))
    back = {"kept": kept} if not undo and state.with_name(kept).is_dir() else None
    for path in found:
        goal = state / path.relative_to(source)
        draft = goal.with_name(f".{goal.name}.{secrets.token_hex(4)}")
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, draft)
            draft.replace(goal)
        except OSError as error:  # some files are put back and others are not: that can be taken back
            with contextlib.suppress(OSError):
                draft.unlink()
            return failed(f"{goal.name}: {type(error).__name__}: {error.strerror}", back)
    return _told(control.reload, task, f"{len(found)} files are put back", back)


def _told(url: str | None, task: Task, done: str, undo: dict | None) -> Outcome:
    if url is None:
        return Outcome("done", done, undo)
    outcome, _ = ask("POST", url, task.timeout, headers={"X-Stability-Delivery": task.delivery})
    return Outcome(outcome.status, f"{done}; whoever serves it {outcome.detail}", undo)
