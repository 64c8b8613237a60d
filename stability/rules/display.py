"""What the verbs of rules print."""

from __future__ import annotations

__all__ = ["default_rules", "print_check", "print_export"]

from pathlib import Path

from stability.rules.checks import check_rules, unit_test_files
from stability.rules.exporting import export
from stability.rules.files import read_rules
from stability.schema import home


def default_rules() -> Path:
    """Folder of the rules that ship."""
    return home() / "data" / "rules"


def print_check(path: Path | None, dataset: str | None) -> int:
    """Print what is wrong with rules; the exit code, 0 where nothing is.

    Parameters
    ----------
    path : Path or None
        As for `read_rules`; the rules that ship without it.
    dataset : str or None
        Whose metrics the rules may use; the metric registry's without it.
    """
    path = path or default_rules()
    metrics, source = None, "data/metrics.yaml"
    if dataset is not None:
        from stability import datasets

        metrics, source = list(datasets.load(dataset)["telemetry"].columns), f"the dataset {dataset}"
    findings = check_rules(path, metrics=metrics, source=source)
    errors, notes = findings[findings["level"] == "error"], findings[findings["level"] == "note"]
    for row in errors.itertuples():
        place = f"{row.file}:{row.line}" if row.line else row.file
        print(f"{place}: {row.rule + ': ' if row.rule else ''}{row.finding}")
    if len(notes):
        print(
            f"{notes['finding'].nunique()} metrics are none of {source}; each has a guard that says when it is absent."
        )
    rules = read_rules(path)
    if len(errors):
        print(f"{len(errors)} errors in {len(rules)} rules.")
        return 1
    print(f"{len(rules)} rules: nothing is wrong; {findings.attrs['expectations']} expectations of unit tests hold.")
    return 0


def print_export(path: Path | None, output: Path, dataset: str | None = None) -> None:
    """Export rules with their unit tests, and print where they are.

    Parameters
    ----------
    path : Path or None
        As for `read_rules`; the rules that ship without it.
    output : Path
        Folder; made if need be.
    dataset : str or None
        In whose telemetry rules may fire that no unit test expects to; they get a test that is cut out of it.
    """
    path = path or default_rules()
    rules, telemetry = read_rules(path), None
    if dataset is not None:
        from stability import datasets

        telemetry = datasets.load(dataset)["telemetry"]
    written = export(rules, output, tests=unit_test_files(path), telemetry=telemetry)
    for file in written:
        print(file)
    print(f"{len(rules)} rules. promtool check rules and promtool test rules read them.")
