"""`stability testbed ...`: the service from a terminal. Nothing heavy is imported before a verb needs it."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="A small real inference service to watch, record, break and repair.", no_args_is_help=True)

Home = Annotated[Path | None, typer.Option(help="Folder of the service's files; runs/.testbed without it.")]


@app.command()
def up(
    home: Home = None,
    backup: Annotated[Path | None, typer.Option(help="Begin with what `stability testbed backup` left there.")] = None,
) -> None:
    """Start the service, and wait until all of it is healthy."""
    from stability.testbed import control

    _show(control.up(home or control.default_home(), backup))


@app.command()
def down(home: Home = None) -> None:
    """Stop everything and remove its files, also after a supervisor that was killed."""
    from stability.testbed import control

    killed = control.down(home or control.default_home())
    print("The testbed is down." + (f" Killed: {', '.join(killed)}." if killed else ""))


@app.command()
def status(home: Home = None) -> None:
    """Say who runs, who answers, what is at work: exit 1 when something does not answer."""
    from stability.testbed import control

    found = control.status(home or control.default_home())
    _show(found)
    if not found["healthy"]:
        raise typer.Exit(1)


@app.command()
def load(
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="Requests/s, mean of a day of ten minutes.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals, items, and what users write.")] = 1,
    home: Home = None,
) -> None:
    """Let users come until the testbed is down; they do not wait for answers before they ask again."""
    from stability.testbed import control

    control.ask(home or control.default_home(), "/load", rate=rate, seed=seed)
    print(f"Users ask {rate:g} times a second. `stability testbed status` shows where their metrics are.")


@app.command()
def inject(
    mode: Annotated[str, typer.Argument(help="What befalls it; `stability testbed modes` lists all.")],
    entity: Annotated[str | None, typer.Option(help="Whom; the first that it may befall without it.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=900, help="How long.")] = 60,
    intensity: Annotated[float, typer.Option(min=0.01, max=3, help="1 is what the mode means by itself.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Chooses between variants, where a mode has some.")] = 0,
    home: Home = None,
) -> None:
    """Begin a fault or a look-alike; it ends by itself, or by what repairs it."""
    from stability.schema import ContractError, nearest
    from stability.testbed import control
    from stability.testbed.modes import BENIGN, FAILURE_MODES

    known = FAILURE_MODES | BENIGN
    if mode not in known:
        raise ContractError("testbed", expected="a mode", got=repr(mode), remedy=nearest(mode, known))
    whom = entity or known[mode].on[0]
    event = {"mode": mode, "entity": whom, "seconds": seconds, "intensity": intensity, "seed": seed}
    control.ask(home or control.default_home(), "/inject", event)
    print(f"{mode} of {whom} for {seconds:g} s. `stability testbed undo` ends it before.")


@app.command()
def undo(home: Home = None) -> None:
    """End whatever is at work."""
    from stability.testbed import control

    print(f"Ended: {control.ask(home or control.default_home(), '/undo')['undone']}.")


@app.command()
def modes() -> None:
    """List the failure modes and their look-alikes."""
    from stability.testbed.modes import BENIGN, FAILURE_MODES

    for title, kinds in (("Failure modes", FAILURE_MODES), ("Look-alikes", BENIGN)):
        print(f"{title}:")
        for name, mode in kinds.items():
            print(f"  {name:28} {', '.join(mode.on)}\n      {mode.meaning}")


@app.command()
def act(
    verb: Annotated[str, typer.Argument(help="start, stop, restart, reload, rollback or clean.")],
    name: Annotated[str, typer.Argument(help="gateway, model-a, model-b, feature-store, ...")],
    home: Home = None,
) -> None:
    """Do something to one process."""
    from stability.testbed import control

    control.ask(home or control.default_home(), f"/processes/{name}/{verb}")
    print(f"{verb} of {name}: done.")


@app.command()
def scale(
    replicas: Annotated[int, typer.Argument(min=1, max=4, help="How many model servers.")], home: Home = None
) -> None:
    """Have so many replicas of the model server."""
    from stability.testbed import control

    control.ask(home or control.default_home(), f"/scale/{replicas}")
    print(f"{replicas} replicas.")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Gets models, configuration, features.")], home: Home = None
) -> None:
    """Copy the service's own data: models, configuration and feature store."""
    from stability.testbed import control

    control.ask(home or control.default_home(), "/backup", folder=str(folder.resolve()))
    print(f"Backed up in {folder}.")


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="As backup made it.")], home: Home = None) -> None:
    """Put back what was backed up, and restart whoever holds it, one after the other."""
    from stability.testbed import control

    control.ask(home or control.default_home(), "/restore", folder=str(folder.resolve()))
    print(f"Restored from {folder}.")


@app.command()
def drill(
    folder: Annotated[
        Path | None, typer.Argument(help="A backup; without it the running service is backed up.")
    ] = None,
    home: Home = None,
) -> None:
    """Start the service from a backup in a scratch place, compare its answers, and measure what would be lost.

    Exit 0 when all was as before, 1 when something was not, 2 when there is nothing to drill.
    """
    from stability.testbed.recovery import drill as done

    told = done(folder, home)
    for sentence in told.findings:
        print(f"- {sentence}")
    if told.findings:
        print(f"The backup is not good: {len(told.findings)} findings.")
        raise typer.Exit(1)
    lost = "nothing to compare with" if told.rpo_s is None else f"RPO {told.rpo_s:.1f} s"
    print(
        f"The backup is good: {told.files} files, {told.blocks:,} blocks of features, {told.alike} of {told.answers} "
        f"answers as before. RTO {told.rto_s:.1f} s; {lost}; it is {told.age_s:.0f} s old."
    )


@app.command()
def record(
    plan: Annotated[Path, typer.Argument(help="What befalls the service, such as data/scenarios/testbed-short.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder of the recording; what is there of it already is kept.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Of all draws; the plan's own without it.")] = None,
    after: Annotated[float, typer.Option(min=0, help="Seconds of other recordings before it on the clock.")] = 0,
    segments: Annotated[str | None, typer.Option(help="Numbers of the segments to make now, such as 0,1.")] = None,
    others: Annotated[float, typer.Option(min=0, max=1, help="Share of the cores that other work may take.")] = 0.25,
) -> None:
    """Carry out a plan, and write the contract's tables of what was seen."""
    from stability.schema import ContractError
    from stability.testbed.plan import read_plan
    from stability.testbed.recording import record as make

    try:
        numbers = None if segments is None else [int(number) for number in segments.split(",")]
    except ValueError:
        raise ContractError("segments", expected="numbers such as 0,1", got=repr(segments)) from None
    make(read_plan(plan), out, seed, after=after, segments=numbers, others=others)


def _show(status: dict) -> None:
    for name, process in status["processes"].items():
        told = "healthy" if process["healthy"] else "does not answer" if process["pid"] else "is stopped"
        print(f"  {name:14} 127.0.0.1:{process['port']:<6} {told}")
    for event in status["at_work"]:
        print(f"  at work: {event['mode']} of {event['entity']}, {event['seconds']:g} s x {event['intensity']:g}")
