"""What the command line shows: the plan, the night while it runs, the data there are."""

import contextlib
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stability.schema import ContractError, home
from stability.workbench.facts import RunFacts, StepFacts
from stability.workbench.spec import DatasetSpec, Plan

if TYPE_CHECKING:
    from stability.workbench.retention import Pruned

__all__ = [
    "print_catalogue",
    "print_check",
    "print_erasure",
    "print_expiry",
    "print_plan",
    "print_promotion",
    "print_pruned",
    "show_run",
]

SETTLED = ("finished", "failed", "skipped", "blocked")
COLOUR = {
    "finished": "green",
    "failed": "bold red",
    "skipped": "cyan",
    "blocked": "red",
    "running": "yellow",
    "waiting": "dim",
}


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """Print every task with what it needs and its limits, in an order in which they could run."""
    console = console or Console()
    data = plan.experiment.dataset
    console.print(f"[bold]{escape(plan.name)}[/]  {escape(plan.experiment.question)}", highlight=False)
    if data:
        known = f"sha256 {plan.data_sha256[:12]}" if plan.data_sha256 else _moves(data)
        console.print(f"data: {escape(data.name)}, {escape(known)}", highlight=False)
        if data.options:
            written = yaml.safe_dump(data.options, sort_keys=False, allow_unicode=True, width=100)
            console.print(escape(textwrap.indent(written.rstrip(), "  ")), highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("step", "notebook", "parameters", "needs", "timeout", "retries"):
        table.add_column(column, overflow="fold", justify="right" if column in ("timeout", "retries") else "left")
    for task in plan.tasks:
        parameters = ", ".join(f"{k}={v!r}" for k, v in task.parameters.items())
        cells = (task.key, task.notebook.name, parameters, ", ".join(task.needs))
        table.add_row(*map(escape, cells), f"{task.timeout:g} s", str(task.retries))
    console.print(table)
    workers = plan.experiment.workers
    console.print(f"{len(plan.tasks)} notebooks, {workers} at a time; nothing was run.", highlight=False)


def _moves(data: DatasetSpec) -> str:
    window = f"window {data.window}, as of {data.as_of or 'now'}" if data.window or data.as_of else "all of it"
    return f"{window}; a run takes a snapshot"


def show_run(plan: Plan, *, fresh: bool, workers: int | None) -> int:
    """Run a plan with one live display on a terminal and one line a step elsewhere; give the exit code."""
    from stability.workbench.runner import run

    console = Console()
    with _display(plan, console) as listener:
        facts = run(plan, fresh=fresh, workers=workers, listener=listener)
    _verdict(facts, console)
    return 0 if facts.status == "finished" else 1


@contextlib.contextmanager
def _display(plan: Plan, console: Console) -> Iterator:
    if console.is_terminal and not os.environ.get("CI"):
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield _Board(plan, live).show
        return
    done: list[str] = []

    def line(facts: RunFacts, step: StepFacts) -> None:
        if step.status in SETTLED:
            done.append(step.key)
            console.print(f"[{len(done)}/{len(facts.steps)}] {_line(step)}", highlight=False, soft_wrap=True)

    yield line


class _Board:
    """One table a step and one bar, redrawn in place."""

    def __init__(self, plan: Plan, live: Live) -> None:
        self.live = live
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self.task = self.bar.add_task(plan.name, total=len(plan.tasks))

    def show(self, facts: RunFacts, _: StepFacts) -> None:
        """Redraw after a change."""
        grid = Table.grid()
        for step in facts.steps:
            grid.add_row(f"  {_line(step)}")
        self.bar.update(self.task, completed=sum(s.status in SETTLED for s in facts.steps))
        grid.add_row(self.bar)
        self.live.update(grid)


def _line(step: StepFacts) -> str:
    text = f"[{COLOUR[step.status]}]{step.status:9}[/] {escape(step.key)}"
    if step.status == "skipped" and step.repeats:
        return f"{text}  unchanged since {step.repeats}"
    if step.status in ("finished", "failed") and step.seconds:
        text += f"  {step.seconds:.1f} s" + (f", attempt {step.attempts}" if step.attempts > 1 else "")
    return f"{text}  {escape(step.error)}" if step.error else text


def _verdict(facts: RunFacts, console: Console) -> None:
    from stability.workbench.reporting import formats

    for name in facts.headline:
        if name in facts.metrics:
            metric = facts.metrics[name]
            shown = f"{formats.value(name, metric)} {formats.interval(metric)}".strip()
            console.print(f"  {name:28} {escape(shown)}", highlight=False)
    console.print(
        f"{escape(facts.name)} [{COLOUR[facts.status]}]{facts.status}[/] in {formats.duration(facts.seconds)}",
        highlight=False,
    )
    page = home() / "runs" / facts.name / "latest" / "index.html"
    console.print(f"Report: {escape(str(page))}\nMLflow: make report", highlight=False, soft_wrap=True)


def print_pruned(found: "Pruned", *, dry_run: bool) -> None:
    """Print what a pruning removed, or would remove."""
    console, root = Console(), home()
    kinds = {
        "night": found.nights,
        "night, but for its summary": found.emptied,
        "run in the store": found.runs,
        "version of a model that nobody promoted": found.models,
        "snapshot": found.snapshots,
        "environment": found.environments,
    }
    for kind, entries in kinds.items():
        for entry in entries:
            shown = os.path.relpath(entry, root) if isinstance(entry, Path) else entry
            console.print(f"{kind}: {escape(shown)}", highlight=False, soft_wrap=True)
    for name in found.busy:
        console.print(f"left alone, a night of it runs: {escape(name)}", highlight=False)
    total = sum(map(len, kinds.values()))
    verb = "would go" if dry_run else "went"
    console.print(f"{total} {verb}, {found.size / 1e6:.1f} MB in files." if total else "Nothing to remove.")


def print_promotion(name: str, *, undo: bool, dry_run: bool, **options: Any) -> int:
    """Promote a version of a model, or take a promotion back; print why, and give the exit code."""
    from stability.workbench import champions

    console = Console()
    if undo and options["version"] is not None:
        raise ContractError(column="--version", expected="none with --undo", got=options["version"])
    if undo:
        done = champions.undo(name, dry_run=dry_run, why=options["why"], by=options["by"])
    else:
        done = champions.promote(name, dry_run=dry_run, **options)
    if len(done.table):
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in (
            "measure",
            "challenger",
            "champion" if done.before else "base rate",
            "difference",
            "95 % interval",
        ):
            table.add_column(column, justify="left" if column == "measure" else "right")
        for measure, row in done.table.iterrows():
            cells = [f"{row['challenger']:.4f}", f"{row['rival']:.4f}", f"{row['difference']:+.4f}"]
            table.add_row(str(measure), *cells, f"{row['lo']:+.4f} to {row['hi']:+.4f}")
        console.print(table)
    console.print(escape(done.sentence), highlight=False, soft_wrap=True)
    if done.attempts > 1:
        console.print(
            f"These test rows have decided about {done.attempts} versions: a winner among many is lucky, too."
        )
    became = "would be" if dry_run else "is"
    if done.moved:
        before = f"in place of version {done.before}" if done.before else "the first one"
        said = f"[green]{escape(done.name)} {done.version} {became} the champion{' again' * undo}[/], {before}"
    else:
        stays = f"version {done.before} stays" if done.before else "there is no champion"
        said = f"[red]{escape(done.name)} {done.version} {'would be' if dry_run else 'was'} refused[/]; {stays}"
    console.print(f"{said}.", highlight=False)
    if done.run_id:
        console.print(f"On record in the experiment {champions.EXPERIMENT}: run {done.run_id}", highlight=False)
    return 0 if done.moved else 1


def print_catalogue() -> None:
    """Print the catalogue of datasets, a paragraph each."""
    from stability import datasets

    console = Console()
    for row in datasets.catalogue().to_dict("records"):
        name, what = escape(row.pop("name")), escape(row.pop("what"))
        console.print(f"[bold]{name}[/]: {what}", highlight=False)
        for key, said in row.items():
            if str(said):
                console.print(f"    {key:9} {escape(str(said))}", highlight=False, soft_wrap=True)


def print_check(name: str | None) -> int:
    """Check one dataset, or every one that is here; give the exit code."""
    from stability import datasets

    if name is not None and name not in datasets.names():
        datasets.check(name)  # raises, and says which there are
    console, code = Console(), 0
    rows = datasets.catalogue()
    here = list(rows.loc[rows["here"] != "no", "name"])  # what was never downloaded is not broken
    for known in [name] if name else here:
        try:
            said, mark = str(datasets.check(known)), "green]intact"
            if rows.loc[rows["name"] == known, "files"].item() == "-":
                mark = "dim]yours "  # nobody knows checksums of what is not shipped
        except ContractError as error:
            said, mark, code = str(error), "red]broken", 1
        console.print(f"[{mark}[/] {escape(known)}: {escape(said)}", highlight=False, soft_wrap=True)
    return code


def print_erasure(who: str, *, dry_run: bool) -> None:
    """Erase a subject and print what was changed, what may still show it, and what cannot be reached."""
    from stability.records import privacy

    done = privacy.erase(who, dry_run=dry_run)
    console = Console()

    def say(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    rows = sum(count for _, count in done.changed)
    key = "its key " + ("would be" if dry_run else "is") + " destroyed" if done.key_destroyed else "it has no key"
    texts = f"{rows:,} rows in {len(done.changed):,} tables " + ("would lose" if dry_run else "lost") + " their texts"
    say(f"{done.pseudonym}: {key}; {texts}" + (f"; {done.moment}" if done.moment else "; nothing was done"))
    for table, count in done.changed:
        say(f"  {table}: {count:,} rows")
    if done.pages:
        say("These pages and notebooks show its name or such a text; delete them with their runs:")
        for page in done.pages:
            say(f"  {page}")
    say("Out of reach from here: " + "; ".join(done.unreachable))


def print_expiry(older_than: str, tables: list[str], *, dry_run: bool) -> None:
    """Delete rows that are too old and print how many went from which table."""
    from stability.records import privacy

    done = privacy.expire(older_than, tables=tables, dry_run=dry_run)
    rows, verb = sum(count for _, count in done.changed), "would be deleted" if dry_run else "deleted"
    console = Console()
    console.print(f"before {done.before:%Y-%m-%d %H:%M} UTC: {rows:,} rows {verb}", highlight=False)
    for table, count in done.changed:
        console.print(f"  {escape(table)}: {count:,} rows", highlight=False, soft_wrap=True)
