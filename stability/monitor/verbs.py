"""`stability watch`: the chain on live metrics, from a terminal. Nothing heavy is imported before it is needed."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["watch"]


def watch(
    declaration: Annotated[Path, typer.Argument(help="Such as experiments/watch/testbed.yaml.")],
    check: Annotated[
        bool, typer.Option("--check", help="Look whether everything is there and answers; watch nothing.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Go through what is due and stop.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="A line for each alarm instead of the table.")] = False,
) -> None:
    """Follow a Prometheus, or files that grow: alarms, causes, priority, and repair as far as the declaration lets it.

    Everything is kept in runs/watch/<name>: state, journal (JSON lines), a page for each incident. Killed and started
    again it goes on where it was. Exit 1 with --once when the source did not answer, or a detector could not judge.
    """
    import sys

    from stability.monitor.declaration import read_watch
    from stability.monitor.following import Follower

    told = read_watch(declaration)
    if check:
        import pandas as pd

        from stability.monitor.checking import check_watch

        print("\n".join(f"{told.name}: {said}" for said in check_watch(told, pd.Timestamp.now("UTC"))))
        return
    follower = Follower(told)
    show = not plain and sys.stdout.isatty()
    try:
        _follow(follower, once=once, show=show)
    finally:
        follower.close()
    failing = {} if follower.watch is None else follower.watch.failing
    wrong = [follower.trouble] if follower.trouble else [f"{name}: {said}" for name, said in failing.items()]
    if once and wrong:
        print(f"stability: {'; '.join(wrong)}", file=sys.stderr)
        raise typer.Exit(1)


def _follow(follower, *, once: bool, show: bool) -> None:
    import contextlib
    import signal

    from rich.live import Live

    from stability.monitor.exposition import Exposition
    from stability.monitor.screen import screen

    stopped = []

    def stop(number, _) -> None:  # when the step is over
        stopped.append(True)
        if number == signal.SIGINT:  # whoever asks a second time does not wait for it
            signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with contextlib.ExitStack() as stack:
        served = None
        if follower.told.serve is not None:
            served = Exposition(follower, follower.told.serve)
            stack.callback(served.close)
            print(f"{served.url}/metrics and /healthz", flush=True)
        answers = _answers(follower.told)
        if answers is not None:
            stack.callback(lambda: answers.close(follower.watch) if follower.watch is not None else None)
        live = stack.enter_context(Live(screen(follower), auto_refresh=False)) if show else None
        known: dict[str, str] = {}

        def after(step) -> None:
            if answers is not None and follower.watch is not None:
                answers.after(follower.watch, step)
            if served is not None:
                served.after(step)
            if live is not None and step is None:
                live.update(screen(follower), refresh=True)
            if live is None and step is not None:
                _lines(step)
            if live is None and step is None:
                _tell_wrong(_wrong(follower, known, once=once), known)
            if once and step is None:
                stopped.append(True)

        with contextlib.suppress(KeyboardInterrupt):
            follower.run(until=lambda: bool(stopped), after=after)


def _answers(told):
    """Who tells users that an incident is over, where the declaration says so."""
    from functools import partial

    from stability.monitor.answers import Answers, tell_verified

    if told.feedback is None:
        return None
    topology = told.place(told.topology) if told.topology else None
    dry_run = told.repair.mode == "dry-run"
    return Answers(partial(tell_verified, told.folder, told.feedback.fixed, topology=topology, dry_run=dry_run))


def _wrong(follower, known: dict[str, str], *, once: bool) -> dict[str, str]:
    """What is wrong with a watch, each by what it is known by; a look at what is due ends with its trouble, anyway."""
    wrong = [follower.refused] if follower.refused else []
    wrong += [follower.trouble] if follower.trouble and not once else []
    alerts = None if follower.watch is None else follower.watch.alerts
    left_out = {} if alerts is None else alerts.left_out
    wrong += [f"rule {name} is left out: {why}" for name, why in left_out.items()]
    told = dict(zip(wrong, wrong, strict=True))
    if follower.trouble and "ill" in known:  # which hides whether it is over
        told["ill"] = known["ill"]
    elif follower.watch is not None and not follower.trouble and follower.ill and not once:
        told["ill"] = follower.ill  # its seconds go on, and it is one thing
    return told


def _tell_wrong(wrong: dict[str, str], known: dict[str, str]) -> None:
    """Tell what has become wrong, or is no longer, since the last time, which is `known`."""
    import sys

    import pandas as pd

    from stability.remediation.approval import plain

    at = pd.Timestamp.now("UTC").isoformat(timespec="seconds")
    for said in [said for one, said in wrong.items() if one not in known]:
        print(plain(f"{at} {said}"), file=sys.stderr, flush=True)
    for said in [said for one, said in known.items() if one not in wrong]:
        print(plain(f"{at} over: {said}"), file=sys.stderr, flush=True)
    known.clear()
    known.update(wrong)


def _lines(step) -> None:
    import pandas as pd

    from stability.remediation.approval import plain

    at = pd.Timestamp(step.moment, unit="us", tz="UTC").isoformat()
    for one in step.alarms:
        if not one.suppressed_by:
            what = "over" if one.end is not None else one.severity
            print(plain(f"{at} {what} {one.entity} {one.detector}: {one.reason}"), flush=True)
    for one in step.told:
        if line := _line(one):
            print(plain(f"{at} {line}"), flush=True)


def _line(told: dict) -> str:
    """An entry of the journal, of a look, an action or a verdict, as a line; "" for others."""
    if told["kind"] in ("incident", "look") and told["looks"]:
        last = told["looks"][-1]
        what = f"{last['failure_mode']} of {last['entity']}" if last["entity"] else "no fault"
        said = f"look {len(told['looks'])}: {what}, {last['probability']:.0%}"
        decision = told["decision"]
        return said + (f"; decided: {decision['kind']}, because {decision['because']}" if told["decided"] else "")
    if told["kind"] == "acted":
        return f"{told['action']} of {told['entity']}: {told['status']}, {told['detail']}"
    if told["kind"] == "verdict":
        return f"verdict on {told['entity']}: {told['verdict'].replace('_', ' ')}"
    return ""
