"""`stability ...`: the workbench's verbs. Nothing heavy is imported before a verb needs it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stability.adaptation.verbs import app as adaptation
from stability.backup.verbs import app as backup
from stability.feedback.verbs import app as feedback
from stability.monitor.verbs import watch
from stability.rules.verbs import app as rules
from stability.testbed.verbs import app as testbed

__all__ = ["app", "main"]

WRONG = 2  # exit code of a wrong spec, file or option

app = typer.Typer(
    help="Keep AI systems, and anything with telemetry, stable.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Which data there are, where they come from, whether they are intact.", no_args_is_help=True)
app.add_typer(data, name="data")
feedback.add_typer(adaptation)  # what is said of alarms, beside what users say
app.add_typer(feedback, name="feedback")
app.add_typer(backup, name="backup")
app.add_typer(rules, name="rules")
app.add_typer(testbed, name="testbed")
app.command("watch")(watch)


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(help="A declaration, such as experiments/nightly.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, run nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, also where nothing changed.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Notebooks at a time.")] = None,
) -> None:
    """Execute an experiment.

    Exit 0 when every step finished, 1 when one failed or the store did not answer, 2 when the declaration or its data
    are wrong, 130 when interrupted.
    """
    from stability.workbench.display import print_plan, show_run
    from stability.workbench.spec import load_plan

    plan = load_plan(spec)
    if dry_run:
        from stability.workbench.data import rehearse

        rehearse(plan.experiment.dataset, plan.path)
        print_plan(plan)
        return
    raise typer.Exit(show_run(plan, fresh=fresh, workers=workers))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="An experiment, such as nightly; all that ran without it.")] = None,
    within: Annotated[
        str | None, typer.Option(help="Exit 1 when no night has finished for so long, such as 26h.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """Say what ran last and how it ended: exit 1 when nothing finished `--within` a time, for a dead-man's switch."""
    from stability.workbench.health import print_status

    raise typer.Exit(print_status(name, within, as_json=as_json))


@app.command()
def reproduce(
    run_id: Annotated[str, typer.Argument(help="A step's run or a night's (then every step), as MLflow shows it.")],
    tolerance: Annotated[float, typer.Option(help="Relative; timings are exempt.")] = 1e-9,
) -> None:
    """Run what a run recorded again, without any cache, and compare every metric: exit 0 when equal, else 1."""
    from stability.workbench.reproduction import show

    raise typer.Exit(show(run_id, tolerance=tolerance))


@app.command()
def prune(
    keep_days: Annotated[float, typer.Option(min=0, help="Nights that began longer ago go.")] = 90,
    keep_runs: Annotated[int, typer.Option(min=1, help="So many nights of each experiment stay.")] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and how many bytes; keep it.")] = False,
) -> None:
    """Remove nights that are too old or too many, with their runs; what a promoted model came from stays."""
    from stability.workbench.display import print_pruned
    from stability.workbench.retention import prune as remove

    print_pruned(remove(keep_days=keep_days, keep_runs=keep_runs, dry_run=dry_run), dry_run=dry_run)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="A registered model, such as fault-predictor-azure_pdm.")],
    version: Annotated[str | None, typer.Option(help="Its number; the challenger without it.")] = None,
    gate: Annotated[str, typer.Option(help="`better`, or for one that is not more complex `not-worse`.")] = "better",
    margin: Annotated[float, typer.Option(min=0, help="PR-AUC that `not-worse` may cost.")] = 0.02,
    block: Annotated[str | None, typer.Option(help="Blocks of time that are drawn again, such as 7D.")] = None,
    why: Annotated[str, typer.Option(help="The reason, for the record.")] = "",
    by: Annotated[str, typer.Option(help="Who decides; the account's name without it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, write nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Give the champion's place back to the one before.")] = False,
) -> None:
    """Make a challenger the champion if it is better on the same test rows: exit 0 when it moved, 1 when refused."""
    from stability.workbench.display import print_promotion

    options = {"version": version, "gate": gate, "margin": margin, "block": block, "why": why, "by": by}
    raise typer.Exit(print_promotion(model, undo=undo, dry_run=dry_run, **options))


@data.command("list")
def data_list() -> None:
    """List every dataset: what it is, its licence, what is labelled, whether it is here."""
    from stability.workbench.display import print_catalogue

    print_catalogue()


@data.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="A name of `stability data list`.")]) -> None:
    """Download a dataset from its origin, with checksums; files that are here and intact are kept."""
    from stability import datasets

    print(datasets.fetch(name))


@data.command("check")
def data_check(
    name: Annotated[str | None, typer.Argument(help="One dataset; all that are here without it.")] = None,
) -> None:
    """Verify the files of a dataset against their checksums: exit 1 when one is missing or altered."""
    from stability.workbench.display import print_check

    raise typer.Exit(print_check(name))


@data.command("erase")
def data_erase(
    who: Annotated[str, typer.Argument(help="A subject: its pseudonym, or its name as it came.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
) -> None:
    """Forget a person or a host: destroy the key of its pseudonym, take its texts out of all stored tables."""
    from stability.workbench.display import print_erasure

    print_erasure(who, dry_run=dry_run)


@data.command("expire")
def data_expire(
    older_than: Annotated[str, typer.Argument(help="How long rows are kept, such as 90d.")],
    tables: Annotated[str, typer.Option(help="Which tables, separated by commas.")] = "logs,feedback",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
) -> None:
    """Delete the rows of stored tables that are older than a length of time."""
    from stability.workbench.display import print_expiry

    print_expiry(older_than, [name.strip() for name in tables.split(",")], dry_run=dry_run)


@feedback.command("serve")
def feedback_serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8790,
    host: Annotated[str, typer.Option(help="Loopback; another address needs a proxy with TLS in front.")] = "127.0.0.1",
) -> None:
    """Serve the form, the JSON endpoint and the chat webhook; tell STABILITY_NOTIFY; until interrupted."""
    from stability.feedback.display import run_server
    from stability.workbench.notification import send

    run_server(host, port, send)


@feedback.command("route")
def feedback_route() -> None:
    """Tell STABILITY_NOTIFY of messages that nobody was told of, and of answers that are overdue."""
    from stability.feedback.clocks import escalate, route
    from stability.feedback.store import FeedbackStore
    from stability.workbench.notification import send

    store = FeedbackStore()
    print(f"{route(store, send):,} routed, {escalate(store, send):,} overdue")


def main() -> None:
    """Run the command line; an error that a user can mend is a sentence and exit code 2, never a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted; everything that was running is marked.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        said = _said(error)
        if said is None:
            raise
        print(f"stability: {said}", file=sys.stderr)
        sys.exit(WRONG if isinstance(error, ValueError) else 1)


def _said(error: Exception) -> str | None:
    """What an error tells the user; None of a defect of ours, which keeps its traceback."""
    from stability.schema import ContractError
    from stability.workbench.runner import RunnerBusyError

    # A server that does not answer is the user's to start, and the error names it.
    if isinstance(error, ContractError | RunnerBusyError | ConnectionError):
        return str(error)
    # By their names: importing MLflow for a sentence would take seconds.
    if {"mlflow.exceptions.MlflowException", "sqlalchemy.exc.SQLAlchemyError"} & {
        f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__
    }:
        from stability.schema import redact
        from stability.workbench.publishing import brief
        from stability.workbench.tracking import store_uri

        return f"the store {redact(store_uri())} did not answer: {brief(error)}"
    return None


if __name__ == "__main__":
    main()
