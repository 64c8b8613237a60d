"""What the command line shows of a repetition: a line a step, and a table of what differs."""

from __future__ import annotations

__all__ = ["show"]

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stability.workbench.reproduction.comparing import TOLERANCE, Difference
from stability.workbench.reproduction.recorded import Target
from stability.workbench.reproduction.repeating import Result, reproduce

COLOUR = {"equal": "green", "different": "bold red", "failed": "bold red", "impossible": "bold red"}


def show(run_id: str, *, tolerance: float = TOLERANCE, console: Console | None = None) -> int:
    """Reproduce a run, tell how it goes, and give the exit code: 0 when every step is equal, else 1."""
    console = console or Console()
    count, number = 0, 0

    def begin(targets: list[Target]) -> None:
        nonlocal count
        count = len(targets)
        what = "one step" if count == 1 else f"{count} steps"
        console.print(
            f"Reproducing {what} from the record of {run_id}, without any cache.", highlight=False, soft_wrap=True
        )

    def say(text: str) -> None:
        console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    def done(result: Result) -> None:
        nonlocal number
        number += 1
        console.print(f"[{number}/{count}] {_line(result)}", highlight=False, soft_wrap=True)
        for text in [*result.contradictions, *result.notes]:
            say(text)
        if result.found:
            console.print(_table(result.found))

    results = reproduce(run_id, tolerance=tolerance, begin=begin, say=say, done=done)
    unequal = [r.key for r in results if r.status != "equal"]
    within = f"a relative tolerance of {tolerance:g}" if tolerance else "a tolerance of zero"
    if unequal:
        console.print(
            f"[bold red]Not reproduced[/], within {within}: {escape(', '.join(unequal))}",
            highlight=False,
            soft_wrap=True,
        )
    else:
        console.print(f"[green]Equal[/] within {within}; timings are exempt.", highlight=False)
    return 1 if unequal else 0


def _line(result: Result) -> str:
    text = f"[{COLOUR[result.status]}]{result.status:10}[/] {escape(result.key)}"
    if result.status in ("failed", "impossible"):
        return f"{text}: {escape(result.problem)}"
    exempt = f", {result.timings} of them timings" if result.timings else ""
    differ = f", {len(result.found)} differ" if result.found else ""
    tables = f"{result.tables} tables with the same bytes"
    return f"{text}  {result.metrics} metrics{exempt}{differ}; {tables}; {result.seconds:.1f} s"


def _table(found: list[Difference]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("  metric", "recorded", "reproduced", "difference"):
        table.add_column(column, overflow="fold", justify="left" if "metric" in column else "right")
    for difference in found:
        name, *cells = difference.cells()
        table.add_row(f"  {escape(name)}", *map(escape, cells))
    return table
