"""What a rule file must hold beyond its grammar: labels, runbooks, guards, known metrics, tests that can fail."""

from __future__ import annotations

__all__ = ["FINDINGS", "NEEDED", "SEVERITIES", "check_rules", "require_metrics", "unit_test_files"]

import difflib
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from os import PathLike
from pathlib import Path

import pandas as pd
import promql_parser as promql

from stability.rules.expressions import check_expression, guards_of, metrics_of
from stability.rules.files import Rule, is_unit_test, read_rules
from stability.rules.templates import expand, expand_labels
from stability.rules.unit_tests import UnitTests, read_unit_tests, rule_files_of, rules_tested, run_unit_tests
from stability.schema import ContractError, base_name, metric_registry, nearest

NEEDED = ("failure_mode", "severity", "component")
SEVERITIES = (
    "page",
    "ticket",
    "critical",
    "warning",
    "info",
)  # the two of the SRE workbook, and Prometheus's usual ones
RUNBOOK = "runbook"
FINDINGS = ("file", "line", "rule", "level", "finding")
NEAR = 0.9  # likeness (difflib) from which on an unknown name is taken for a slip of the pen
TESTS = "tests"  # folder beside rule files that holds their unit tests


def check_rules(
    path: str | PathLike, *, metrics: Collection[str] | None = None, source: str = "data/metrics.yaml"
) -> pd.DataFrame:
    """Look at a rule file, or a folder of them: what is wrong, and which unit tests fail.

    Parameters
    ----------
    path : str or path
        As for `read_rules`. Unit tests are files of promtool's form beside it or in `tests/` below.
    metrics : collection of str, optional
        The metrics that there are, such as the columns of a dataset; the metric registry's without it.
    source : str
        Where they come from, for the findings.

    Returns
    -------
    DataFrame
        A row a finding: `file`, `line`, `rule` (the alert's name), `level` ('error', 'note'), `finding`. Without errors
        all is well. `attrs["expectations"]` is how many expectations of unit tests were looked at.

    Raises
    ------
    ContractError
        If a file cannot be read as rules at all (see `read_rules`).

    Notes
    -----
    Looked at: the subset of expressions; labels `failure_mode`, `severity`, `component`; the annotation `runbook`; a
    guard by absent() for each metric, in the rule itself or in another one of the folder; texts that can be written
    out; a unit test that expects the rule to fire; and that every unit test passes. A metric that `metrics` lacks is an
    error. Against the registry, which cannot know every exporter, it is an error when it nearly is a known
    name (of the registry or of its queries), else a note: its guard tells when it is absent.
    """
    rules = read_rules(path)
    good = [rule for rule in rules if _refused(rule) is None]
    tests, unread = _read_tests(path)
    rows = [
        *((rule.file, rule.line, rule.alert, "error", finding) for rule in rules for finding in _findings(rule)),
        *((rule.file, rule.line, rule.alert, "error", finding) for rule, finding in _unguarded(good)),
        *((rule.file, rule.line, rule.alert, *found) for rule in good for found in _named(rule, metrics, source)),
        *unread,
        *_tested(tests, rules, {rule.alert for rule in rules} - {rule.alert for rule in good}),
    ]
    table = pd.DataFrame(rows, columns=list(FINDINGS)).astype({"line": "int64"})
    table = table.astype({name: "str" for name in FINDINGS if name != "line"})
    table.attrs["expectations"] = sum(map(len, tests))
    return table


def require_metrics(rules: Sequence[Rule], metrics: Collection[str], source: str = "the telemetry") -> None:
    """Refuse rules that need a metric which is not there: such a rule never fires, and reads as healthy.

    Parameters
    ----------
    rules : sequence of Rule
    metrics : collection of str
        The metrics that there are, such as the columns of a panel.
    source : str
        Where they come from, for the error.

    Raises
    ------
    ContractError
        With the nearest name, for the first rule and metric that lacks.

    Examples
    --------
    >>> require_metrics([Rule("g", "Down", "upp == 0")], ["up"])
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: rule 'Down': expected a metric of the telemetry, got 'upp'. Remedy: did you mean
    'up'? There are: up.
    """
    for rule in rules:
        for name in metrics_of(rule.expr):
            if name not in metrics:
                raise ContractError(
                    file=f"rule {rule.alert!r}",
                    expected=f"a metric of {source}",
                    got=repr(name),
                    remedy=nearest(name, metrics),
                )


def unit_test_files(path: str | PathLike) -> list[Path]:
    """List the unit tests of rules: files of promtool's form beside them, and in the folder `tests` there.

    Parameters
    ----------
    path : str or path
        A folder of rule files, or one file: then the tests that name it.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    places = [place for place in (folder, folder / TESTS) if place.is_dir()]
    found = [file for place in places for file in sorted(place.iterdir()) if file.suffix in (".yaml", ".yml")]
    tests = [file for file in found if is_unit_test(file)]
    if path.is_dir():
        return tests
    own = path.resolve()
    return [file for file in tests if any(named.resolve() == own for named in rule_files_of(file))]


def _refused(rule: Rule) -> str | None:
    try:
        check_expression(rule.expr)
    except ContractError as error:
        return str(error)
    return None


def _findings(rule: Rule) -> Iterator[str]:
    refused = _refused(rule)
    if refused is not None:
        yield refused
    for name in NEEDED:
        if not rule.labels.get(name):
            yield f"no label {name!r}"
    severity = rule.labels.get("severity")
    if severity and severity not in SEVERITIES:
        yield f"severity {severity!r} is none of {', '.join(SEVERITIES)}"
    if not rule.annotations.get(RUNBOOK, "").strip():
        yield f"no annotation {RUNBOOK!r} that says what to do"
    yield from _templates(rule)


def _named(rule: Rule, metrics: Collection[str] | None, source: str) -> Iterator[tuple[str, str]]:
    """Level and text of what is to be said of a rule's metrics."""
    for name in metrics_of(rule.expr):
        if metrics is not None:
            if name not in metrics:
                yield "error", f"{name!r} is no metric of {source}: {nearest(name, metrics)}"
            continue
        known = _known()
        if name in known or base_name(name) in known:
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
        if close:
            yield "error", f"{name!r} is no metric of {source}: did you mean {close[0]!r}?"
        else:
            yield "note", f"{name!r} is no metric of {source}"


@cache
def _known() -> frozenset[str]:
    """Names of the registry, and those of the exporters that its queries read."""
    read = set()
    for one in metric_registry().values():
        if one.promql:
            promql.walk(promql.parse(one.promql), lambda node: read.add(getattr(node, "name", None)))
    histograms = {name.removesuffix("_bucket") for name in read if name and name.endswith("_bucket")}
    parts = {f"{name}_{part}" for name in histograms for part in ("sum", "count")}
    return frozenset(metric_registry()) | {name for name in read if name} | parts


def _templates(rule: Rule) -> Iterator[str]:
    try:
        expand_labels(rule.labels, {})
        for text in rule.annotations.values():
            expand(text, {}, 0.0)
    except ContractError as error:
        yield str(error)


def _unguarded(rules: Sequence[Rule]) -> Iterator[tuple[Rule, str]]:
    """Metrics that rules read and no rule asks whether they are there."""
    guarded = {name for rule in rules for name in guards_of(rule.expr)}
    for rule in rules:
        for name in metrics_of(rule.expr, guarded=False):
            if name not in guarded:
                yield rule, f"{name!r} has no guard: nothing fires when it is absent; add a rule with absent({name})"


def _read_tests(path: str | PathLike) -> tuple[list[UnitTests], list[tuple]]:
    """Unit tests, and findings for the files that hold none that can be read."""
    tests, unread = [], []
    for file in unit_test_files(path):
        try:
            tests.append(read_unit_tests(file))
        except ContractError as error:
            unread.append((str(file), 0, "", "error", str(error)))
    return tests, unread


def _tested(tests: Sequence[UnitTests], rules: Sequence[Rule], refused: Collection[str]) -> Iterator[tuple]:
    """Unit tests that fail, and rules that none expects to fire."""
    fired: set[str] = set()
    for held in tests:
        fired |= rules_tested(held)
        try:
            results = run_unit_tests(held)
        except ContractError as error:
            yield str(held.path), 0, "", "error", str(error)
            continue
        for row in results[~results["passed"]].itertuples():
            said = f"test {row.test} at {row.eval_time}: expected {row.expected}; got {row.got}"
            yield row.file, 0, row.what, "error", said
    for rule in rules:
        if rule.alert not in fired and rule.alert not in refused:
            yield rule.file, rule.line, rule.alert, "error", "no unit test expects it to fire"
