"""What `stability backup` prints."""

__all__ = ["print_created", "print_drill", "print_list", "print_restored", "print_verified"]

import time
from pathlib import Path

from stability.backup.creation import create
from stability.backup.drills import drill
from stability.backup.keeping import Keep, horizon
from stability.backup.places import backups, chosen, root_of, verify
from stability.backup.restoring import restore
from stability.workbench.reporting.formats import duration


def print_created(place: Path | None, kind: str | None, keep: Keep) -> None:
    """Create a backup and say what is in it and what is not."""
    done = create(place, kind=kind, keep=keep)
    manifest, repository = done.manifest, done.backup.repository
    print(
        f"{done.backup.name} ({repository.kind}): {len(manifest.entries):,} files, {manifest.size / 1e6:.1f} MB, "
        f"{manifest.runs:,} runs, in {duration(done.seconds)}; read again, and every checksum compared."
    )
    for name in done.removed:
        print(f"removed: {name}")
    for sentence in (*manifest.left_out, *done.warnings):
        print(f"- {sentence}")
    print(f"- {horizon(keep)}")


def print_restored(name: str | None, into: Path, place: Path | None, *, replace: bool) -> None:
    """Restore a backup and say where it is."""
    done = restore(name, into=into, place=place, replace=replace)
    print(
        f"{done.backup.name} is restored in {done.place}: {len(done.manifest.entries):,} files, {done.manifest.runs:,} "
        f"runs; {done.moved:,} addresses of artifacts point there now."
    )
    if done.aside:
        print(f"- what was there is in {done.aside}: remove it when nothing is missed")
    if done.erased:
        print(f"- were erased once, and are again now: {', '.join(done.erased)}")
    for sentence in done.warnings:
        print(f"- {sentence}")


def print_drill(name: str | None, place: Path | None, *, server: bool) -> int:
    """Drill a backup, print what was measured, and give the exit code."""
    done = drill(name, place=place, server=server)
    for sentence in done.findings:
        print(f"- {sentence}")
    if done.findings:
        print(f"{done.backup} is not good: {len(done.findings)} findings.")
        return 1
    lost = (
        "the workbench's own store is not here to compare with"
        if done.rpo_s is None
        else f"RPO {duration(done.rpo_s)} ({done.lost_runs:,} runs and {done.lost_files:,} files are newer)"
    )
    print(
        f"{done.backup} is good: {done.files:,} files, {done.rows:,} rows in {done.tables} tables, {done.runs:,} runs; "
        f"MLflow's {'server' if done.server else 'client'} read run {done.run_read}. RTO {duration(done.rto_s)}; "
        f"{lost}; the backup is {duration(done.age_s)} old."
    )
    return 0


def print_verified(name: str | None, place: Path | None) -> None:
    """Verify one backup and say so."""
    backup = chosen(name, place)
    manifest = verify(backup)
    size = f"{manifest.size / 1e6:.1f} MB"
    print(f"{backup.name} is whole: {len(manifest.entries):,} files, {size}, {manifest.runs:,} runs.")


def print_list(place: Path | None) -> None:
    """List the backups."""
    there = backups(place)
    for backup in there:
        print(f"{backup.name}  {backup.repository.kind:8} {duration(max(0.0, time.time() - backup.moment))} ago")
    if not there:
        print(f"No backups in {root_of(place)}: stability backup create makes one.")
