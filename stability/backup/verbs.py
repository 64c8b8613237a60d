"""`stability backup ...`: backups from a terminal. Nothing heavy is imported before a verb needs it."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Back up the workbench's state, restore it, and prove that it can be.", no_args_is_help=True)

Place = Annotated[
    Path | None,
    typer.Option(help="The folder of backups; STABILITY_BACKUPS without it, else backups/."),
]
Name = Annotated[str | None, typer.Argument(help="A backup of `stability backup list`; the newest without it.")]


@app.command()
def create(
    place: Place = None,
    kind: Annotated[
        str | None,
        typer.Option("--as", help="`archive` or `restic`; restic where it is installed and RESTIC_PASSWORD is set."),
    ] = None,
    keep_last: Annotated[int, typer.Option(min=1, help="So many of the newest stay.")] = 3,
    keep_daily: Annotated[int, typer.Option(min=0, help="The newest of each of so many days.")] = 7,
    keep_weekly: Annotated[int, typer.Option(min=0, help="The newest of each of so many weeks.")] = 5,
    keep_days: Annotated[float, typer.Option(help="Older ones go, but for the newest of all.")] = 40.0,
) -> None:
    """Back up the store of runs, artifacts, models, nights, watches, feedback and labels, while they are in use.

    What was written is verified before any older backup is removed. Exit 0 when it is whole, 2 when it cannot be made.
    """
    from stability.backup.display import print_created
    from stability.backup.keeping import Keep

    print_created(place, kind, Keep(last=keep_last, daily=keep_daily, weekly=keep_weekly, days=keep_days))


@app.command()
def restore(
    into: Annotated[Path, typer.Option(help="A new folder, or a workbench without state, such as a fresh checkout.")],
    name: Name = None,
    place: Place = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the state that is there; it is kept in .backup/replaced-....")
    ] = False,
) -> None:
    """Restore a backup: verified before and after, all of it or nothing, and over nothing unless told so.

    Exit 0 when it is restored, 2 when the backup is damaged or the place is taken.
    """
    from stability.backup.display import print_restored

    print_restored(name, into, place, replace=replace)


@app.command()
def drill(
    name: Name = None,
    place: Place = None,
    client: Annotated[
        bool, typer.Option("--client", help="Read with MLflow's client, without starting its server.")
    ] = False,
) -> None:
    """Restore a backup into a scratch place, start MLflow on it, read a run; measure what would be lost and how long.

    Exit 0 when all was as the manifest says, 1 when something was not, 2 when there is no backup.
    """
    from stability.backup.display import print_drill

    raise typer.Exit(print_drill(name, place, server=not client))


@app.command()
def verify(name: Name = None, place: Place = None) -> None:
    """Hash every file of a backup against its manifest: exit 0 when all are whole, 2 when one is not."""
    from stability.backup.display import print_verified

    print_verified(name, place)


@app.command("list")
def list_(place: Place = None) -> None:
    """List the backups, newest last."""
    from stability.backup.display import print_list

    print_list(place)
