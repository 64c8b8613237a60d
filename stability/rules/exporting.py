"""Rules for a Prometheus server: rule files and unit tests that promtool accepts, written whole."""

from __future__ import annotations

__all__ = ["export", "rule_file_text"]

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from os import PathLike
from pathlib import Path

import pandas as pd
import yaml

from stability.rules.checks import unit_test_files
from stability.rules.drafting import draft_unit_tests
from stability.rules.durations import duration_text
from stability.rules.files import Rule
from stability.rules.unit_tests import read_unit_tests, rule_files_of, rules_tested, run_unit_tests
from stability.schema import ContractError, load_yaml, written_whole

HEADER = "# Written by `stability rules export`.\n"
DRAFTS = "drafted_test.yaml"
WIDE = 1_000_000  # characters of a line: an expression is not folded


def export(
    rules: Sequence[Rule],
    folder: str | PathLike,
    *,
    tests: Iterable[str | PathLike] | None = None,
    telemetry: pd.DataFrame | None = None,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
) -> list[Path]:
    """Write rules and their unit tests into a folder: one rule file for each that they came from.

    Everything is written to a draft first and run there, so that a folder never holds tests that fail. Files that an
    earlier export wrote and this one does not are removed; others stay.

    Parameters
    ----------
    rules : sequence of Rule
    folder : str or path
        Made if need be.
    tests : iterable of str or path, optional
        Files of unit tests in promtool's form; what lies beside the rules' files, or in `tests/` there, without it.
        Only those are written all of whose rules are exported, in files named `*test*.yaml`.
    telemetry : DataFrame, optional
        A panel in which rules fire: one that no unit test expects to fire gets a test that is cut out of it, see
        `draft_unit_tests`.
    labels : str or mapping, optional
        Of the panel's entities, as for `evaluate`.

    Returns
    -------
    list of Path
        The files, rules first.

    Raises
    ------
    ContractError
        If there is no rule, or a unit test fails.
    """
    rules, folder = list(rules), Path(folder)
    if not rules:
        raise ContractError(expected="rules to export", got="none")
    if folder.exists() and not folder.is_dir():
        raise ContractError(file=folder, expected="a folder", got="a file")
    sources = {Path(rule.file).resolve(): name for rule, name in zip(rules, _names(rules), strict=True)}
    texts = {
        name: rule_file_text(list(own)) for name, own in groupby(_by_name(rules, sources), lambda r: sources[_at(r)])
    }
    tests = _found(rules) if tests is None else list(tests)
    for test in map(Path, tests):
        named = [file.resolve() for file in rule_files_of(test)]
        if set(named) <= sources.keys():
            texts[_test_name(test, texts)] = _test_text(test, [sources[file] for file in named])
    if telemetry is not None:
        texts |= _drafts(rules, sources, tests, telemetry, labels)
    with tempfile.TemporaryDirectory() as draft:
        for name, text in texts.items():
            (Path(draft) / name).write_text(text, encoding="utf-8")
        for name in texts:
            if name not in sources.values():
                _refuse_failures(Path(draft) / name, name)
    _clear(folder, set(texts))
    for name, text in texts.items():
        with written_whole(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in texts]


def rule_file_text(rules: Sequence[Rule]) -> str:
    """Write rules as one Prometheus rule file.

    Parameters
    ----------
    rules : sequence of Rule

    Returns
    -------
    str
        YAML.

    Examples
    --------
    >>> print(rule_file_text([Rule("host", "Down", "up == 0", labels={"severity": "page"})]), end="")
    # Written by `stability rules export`.
    groups:
    - name: host
      rules:
      - alert: Down
        expr: up == 0
        labels:
          severity: page
    """
    groups: dict[str, dict] = {}
    for rule in rules:
        group = groups.setdefault(rule.group, {"name": rule.group})
        if rule.interval is not None:
            group["interval"] = duration_text(rule.interval)
        group.setdefault("rules", []).append(_rule(rule))
    return HEADER + _yaml({"groups": list(groups.values())})


def _rule(rule: Rule) -> dict:
    held = {"alert": rule.alert, "expr": rule.expr}
    if rule.wait:
        held["for"] = duration_text(rule.wait)
    if rule.keep_firing_for:
        held["keep_firing_for"] = duration_text(rule.keep_firing_for)
    return held | {
        name: dict(texts) for name, texts in (("labels", rule.labels), ("annotations", rule.annotations)) if texts
    }


def _at(rule: Rule) -> Path:
    return Path(rule.file).resolve()


def _names(rules: Sequence[Rule]) -> list[str]:
    """A file's name for each rule: that of the file that it came from, told apart where two share one."""
    taken: dict[str, Path] = {}
    names: dict[Path, str] = {}
    for rule in rules:
        path = _at(rule)
        if path in names:
            continue
        stem = Path(rule.file).stem if rule.file else "rules"
        # Whatever is named *test*.yaml is taken for unit tests.
        stem = stem.replace("test", "tst")
        name, k = f"{stem}.yaml", 2
        while name in taken:
            name, k = f"{stem}-{k}.yaml", k + 1
        taken[name], names[path] = path, name
    return [names[_at(rule)] for rule in rules]


def _by_name(rules: Sequence[Rule], sources: dict[Path, str]) -> list[Rule]:
    order = list(dict.fromkeys(sources.values()))
    return sorted(rules, key=lambda rule: order.index(sources[_at(rule)]))


def _found(rules: Sequence[Rule]) -> list[Path]:
    folders = dict.fromkeys(_at(rule).parent for rule in rules if rule.file)
    return [test for folder in folders for test in unit_test_files(folder)]


def _drafts(rules, sources, tests, telemetry, labels) -> dict[str, str]:
    """Name and text of the file of drafted tests, where there are any."""
    fired = {alert for test in tests for alert in rules_tested(read_unit_tests(test))}
    held = draft_unit_tests([rule for rule in rules if rule.alert not in fired], telemetry, labels=labels)
    if held is None:
        return {}
    drafted = {check["alertname"] for test in held["tests"] for check in test["alert_rule_test"]}
    named = list(dict.fromkeys(sources[_at(rule)] for rule in rules if rule.alert in drafted))
    return {DRAFTS: HEADER + _yaml({"rule_files": named} | held)}


def _test_name(test: Path, taken: dict) -> str:
    stem = test.stem if "test" in test.stem else f"{test.stem}_test"
    name, k = f"{stem}.yaml", 2
    while name in taken:
        name, k = f"{stem}-{k}.yaml", k + 1
    return name


def _test_text(test: Path, named: list[str]) -> str:
    return HEADER + _yaml(load_yaml(test) | {"rule_files": list(dict.fromkeys(named))})


def _yaml(held: object) -> str:
    return yaml.safe_dump(held, sort_keys=False, allow_unicode=True, width=WIDE)


def _refuse_failures(path: Path, name: str) -> None:
    results = run_unit_tests(path)
    failed = results[~results["passed"]]
    if len(failed):
        first = failed.iloc[0]
        raise ContractError(
            file=name,
            column=f"test {first.test}",
            expected=f"of {first.what} at {first.eval_time}: {first.expected}",
            got=first.got,
            remedy="mend the rule or its test; nothing was written",
        )


def _clear(folder: Path, kept: set[str]) -> None:
    for file in folder.glob("*.yaml") if folder.is_dir() else ():
        if file.name not in kept and file.is_file() and file.read_text(encoding="utf-8").startswith(HEADER):
            file.unlink()
