"""`stability rules ...`: fault rules from a terminal. Nothing heavy is imported before a verb needs it."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Fault rules in Prometheus's form: checked, measured, mined, exported.", no_args_is_help=True)

Rules = Annotated[Path | None, typer.Argument(help="A rule file or a folder of them; data/rules without it.")]
Dataset = Annotated[str | None, typer.Option(help="A name of `stability data list`: its metrics must be the rules'.")]


@app.command()
def check(path: Rules = None, dataset: Dataset = None) -> None:
    """Look at rules and run their unit tests.

    Exit 0 when all is well, 1 when something was found, 2 when a file is none of rules.
    """
    from stability.rules.display import print_check

    raise typer.Exit(print_check(path, dataset))


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="Folder for the files; made if need be.")],
    path: Rules = None,
    dataset: Annotated[
        str | None, typer.Option(help="Rules without a unit test get one that is cut out of this dataset.")
    ] = None,
) -> None:
    """Write rule files and unit tests that `promtool check rules` and `promtool test rules` accept.

    Exit 0 when they are written, 2 when the rules or their tests are wrong.
    """
    from stability.rules.display import print_export

    print_export(path, output, dataset)


@app.command()
def score(
    dataset: Annotated[str, typer.Option(help="A name of `stability data list` with telemetry and faults.")],
    path: Rules = None,
    late: Annotated[str, typer.Option(help="How long after a fault an episode still belongs to it.")] = "10s",
) -> None:
    """Backtest rules against fault records: recall, precision, false episodes a day, and which are of no use.

    Exit 0 when it was measured, 2 when rules or data are wrong.
    """
    from stability.rules.measured import print_scores

    print_scores(path, dataset, late)


@app.command()
def mine(
    dataset: Annotated[str, typer.Option(help="A name of `stability data list` with telemetry and faults.")],
    path: Rules = None,
    budget: Annotated[float, typer.Option(help="False episodes a day that a rule may have.")] = 24.0,
    share: Annotated[float, typer.Option(help="Share of the record to learn from; the rest judges.")] = 0.5,
    window: Annotated[list[str] | None, typer.Option(help="Range of a feature; may be given again.")] = None,
    late: Annotated[str, typer.Option(help="How long after a fault an episode still belongs to it.")] = "10s",
    output: Annotated[Path | None, typer.Option(help="File for the rules that are proposed.")] = None,
) -> None:
    """Propose rules from labelled history, and measure on its later part what they add.

    Exit 0 when it was measured, 2 when rules or data are wrong.
    """
    from stability.rules.measured import print_mined

    print_mined(path, dataset, budget, share, window or ["10s"], late, output)
