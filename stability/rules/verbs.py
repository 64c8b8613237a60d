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
    output: Annotated[Path, typer.Option(help="Folder for the files; made if need be.")], path: Rules = None
) -> None:
    """Write rule files and unit tests that `promtool check rules` and `promtool test rules` accept.

    Exit 0 when they are written, 2 when the rules or their tests are wrong.
    """
    from stability.rules.display import print_export

    print_export(path, output)
