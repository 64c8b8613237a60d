"""Unit tests of rules in promtool's own form, run here: the same file passes `promtool test rules`."""

from __future__ import annotations

__all__ = ["COLUMNS", "UnitTests", "fired_in", "read_unit_tests", "rule_files_of", "rules_tested", "run_unit_tests"]

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from stability.rules.alerts import alert_episodes, alerts_of
from stability.rules.durations import duration, duration_text
from stability.rules.evaluation import Evaluator
from stability.rules.files import Rule, read_rules
from stability.rules.history import History
from stability.rules.notation import label_set, series_of
from stability.rules.templates import expand, number
from stability.rules.vectors import Labels, Vector
from stability.schema import ContractError, load_yaml, nearest

COLUMNS = ("file", "test", "kind", "what", "eval_time", "passed", "expected", "got")
CLOSE = 1e-9  # relative: promtool compares to the last bit, and sums are rounded differently here
_SECOND = 1_000_000
_FILE = ("rule_files", "evaluation_interval", "group_eval_order", "tests")
_TEST = (
    "name",
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
)
_KEYS = {
    "input_series": ("series", "values"),
    "alert_rule_test": ("eval_time", "alertname", "exp_alerts"),
    "promql_expr_test": ("expr", "eval_time", "exp_samples"),
    "exp_alerts": ("exp_labels", "exp_annotations"),
    "exp_samples": ("labels", "value"),
}


@dataclass(frozen=True)
class UnitTests:
    """A file of unit tests.

    Parameters
    ----------
    path : Path
    rules : list of Rule
        Of its `rule_files`.
    interval : int
        Between two evaluations of the rules, microseconds.
    tests : list of dict
        As they stand.
    """

    path: Path
    rules: list[Rule]
    interval: int
    tests: list[dict]

    def __len__(self) -> int:
        """How many expectations there are."""
        return sum(len(test.get(kind) or ()) for test in self.tests for kind in ("alert_rule_test", "promql_expr_test"))


def read_unit_tests(path: str | PathLike) -> UnitTests:
    """Read a file of unit tests, and the rules that it names.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ContractError
        With the file and the test, for what promtool would refuse; for a test without `interval`, of which promtool
        2.42 puts all samples at one moment; and if a rule file cannot be read.
    """
    path = Path(path)
    held = _checked(load_yaml(path), _FILE, "a file of unit tests", path, "file")
    rules = [rule for file in _named_by(held, path) for rule in read_rules(file)]
    every = _length(held.get("evaluation_interval", "1m"), path, "evaluation_interval")
    tests = [_checked(test, _TEST, "a test", path, f"test {k}") for k, test in enumerate(_list(held, "tests", path), 1)]
    return UnitTests(path, rules, every, tests)


def rule_files_of(path: str | PathLike) -> list[Path]:
    """List the rule files that a file of unit tests names, without reading them."""
    path = Path(path)
    return _named_by(_checked(load_yaml(path), _FILE, "a file of unit tests", path, "file"), path)


def _named_by(held: dict, path: Path) -> list[Path]:
    return [file for pattern in _list(held, "rule_files", path) for file in _files(path, str(pattern))]


def run_unit_tests(tests: str | PathLike | UnitTests) -> pd.DataFrame:
    """Run a file of unit tests.

    Parameters
    ----------
    tests : str, path or UnitTests
        As `promtool test rules` reads it.

    Returns
    -------
    DataFrame
        A row an expectation: `file`, `test` (its name or number), `kind` ('alert' or 'expression'), `what` (the alert's
        name or the expression), `eval_time`, `passed` (bool), `expected`, `got` (text).

    Raises
    ------
    ContractError
        As `read_unit_tests`, and for expressions outside of the subset.
    """
    held = tests if isinstance(tests, UnitTests) else read_unit_tests(tests)
    rows = [row for k, test in enumerate(held.tests, 1) for row in _run(held, test, str(test.get("name") or k))]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys((name for name in COLUMNS if name != "passed"), "str") | {"passed": "bool"})


def rules_tested(tests: UnitTests) -> set[str]:
    """Name the alerts that unit tests expect to fire at least once."""
    return {
        str(expected.get("alertname"))
        for test in tests.tests
        for expected in test.get("alert_rule_test") or []
        if expected.get("exp_alerts")
    }


def fired_in(rule: Rule, history: History, times: np.ndarray) -> list[tuple[dict, dict]]:
    """Find the alerts of a rule that fire at the last of its evaluations.

    Parameters
    ----------
    rule : Rule
    history : History
    times : array of int64, shape (times,)
        Evaluations, microseconds.

    Returns
    -------
    list of (labels, annotations)
        Annotations tell of the newest value of the expression.
    """
    vector = Evaluator(history, times).vector(rule.expr)
    still = {one["labels"] for one in alert_episodes(rule, vector, times) if one["end"] is None}
    newest: dict[Labels, tuple[int, Labels, float]] = {}
    for labels, values, present in zip(vector.labels, vector.values, vector.present, strict=True):
        (own,) = alerts_of(rule, Vector([labels], values[None], present[None]), len(times)).labels
        seen = np.flatnonzero(present)
        if own in still and len(seen) and seen[-1] >= newest.get(own, (-1,))[0]:
            newest[own] = (int(seen[-1]), labels, float(values[seen[-1]]))
    return [
        (dict(own), {name: expand(text, dict(labels), value) for name, text in rule.annotations.items()})
        for own, (_, labels, value) in newest.items()
    ]


def _run(held: UnitTests, test: dict, name: str) -> Iterator[tuple]:
    path, where = held.path, f"test {name}"
    if "interval" not in test:
        remedy = "write interval: 1m; promtool 2.42 would put all samples at one moment"
        raise ContractError(file=path, column=where, expected="the interval of its series", got="none", remedy=remedy)
    interval = _length(test["interval"], path, where)
    series = []
    for one in _items(test, "input_series", path, where):
        try:
            series.append(series_of(str(one.get("series", "")), str(one.get("values", "")), interval))
        except ContractError as error:
            raise ContractError(
                file=path, column=where, expected=error.expected, got=error.got, remedy=error.remedy
            ) from None
    history = History(series)
    alerts = {rule.alert: rule for rule in held.rules}
    for one in _items(test, "alert_rule_test", path, where):
        alert, moment = str(one.get("alertname")), _length(one.get("eval_time", "0"), path, where, zero=True)
        if alert not in alerts:
            remedy = nearest(alert, alerts)
            raise ContractError(file=path, column=where, expected="a rule's alert", got=repr(alert), remedy=remedy)
        times = np.arange(moment // held.interval + 1, dtype=np.int64) * held.interval
        got = sorted(_alert(*pair) for pair in fired_in(alerts[alert], history, times))
        expected = sorted(
            _alert(_texts(item.get("exp_labels")), _texts(item.get("exp_annotations")))
            for item in _items(one, "exp_alerts", path, where)
        )
        yield _row(path, name, "alert", alert, moment, got == expected, _joined(expected), _joined(got))
    for one in _items(test, "promql_expr_test", path, where):
        expr, moment = str(one.get("expr")), _length(one.get("eval_time", "0"), path, where, zero=True)
        vector = Evaluator(history, np.array([moment], dtype=np.int64)).vector(expr)
        there = [k for k in range(len(vector)) if vector.present[k, 0]]
        got = {vector.labels[k]: float(vector.values[k, 0]) for k in there}
        expected = {
            label_set(str(item.get("labels", "{}"))): float(item.get("value", 0))
            for item in _items(one, "exp_samples", path, where)
        }
        same = got.keys() == expected.keys() and all(
            np.isclose(got[key], expected[key], rtol=CLOSE, atol=0, equal_nan=True) for key in got
        )
        yield _row(path, name, "expression", expr, moment, same, _sampled(expected), _sampled(got))


def _row(path, name, kind, what, moment, passed, expected, got) -> tuple:
    return str(path), name, kind, what, duration_text(pd.Timedelta(moment, "us")), bool(passed), expected, got


def _alert(labels: dict[str, str], annotations: dict[str, str]) -> str:
    held = {name: text for name, text in labels.items() if name != "alertname" and text}
    return f"{_braced(held)} {_braced(annotations)}"


def _braced(texts: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}={text!r}" for name, text in sorted(texts.items())) + "}"


def _joined(alerts: list[str]) -> str:
    return "; ".join(alerts) or "nothing"


def _sampled(samples: dict) -> str:
    return "; ".join(f"{_braced(dict(key))} {number(value)}" for key, value in sorted(samples.items())) or "nothing"


def _texts(held: object) -> dict[str, str]:
    return {str(name): _yaml_text(text) for name, text in (held or {}).items()}


def _yaml_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else number(value) if isinstance(value, float) else str(value)


def _length(text: object, path: Path, where: str, *, zero: bool = False) -> int:
    try:
        found = duration(str(text)) // pd.Timedelta("1us")
    except ContractError as error:
        raise ContractError(file=path, column=where, expected=error.expected, got=error.got) from None
    if not found and not zero:
        raise ContractError(file=path, column=where, expected="a duration above 0", got=repr(text))
    return int(found)


def _list(held: dict, key: str, path: Path) -> list:
    found = held.get(key) or []
    if not isinstance(found, list):
        raise ContractError(file=path, column=key, expected="a list", got=repr(found))
    return found


def _items(held: dict, key: str, path: Path, where: str) -> list[dict]:
    return [_checked(item, _KEYS[key], f"an item of {key}", path, where) for item in _list(held, key, path)]


def _checked(held: object, keys: tuple[str, ...], kind: str, path: Path, where: str) -> dict:
    if not isinstance(held, dict):
        raise ContractError(file=path, column=where, expected=f"{kind}: {', '.join(keys)}", got=repr(held))
    for key in held:
        if key not in keys:
            remedy = nearest(str(key), keys)
            raise ContractError(file=path, column=where, expected=f"a key of {kind}", got=repr(key), remedy=remedy)
    return held


def _files(path: Path, pattern: str) -> list[Path]:
    found = sorted(path.parent.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
    if not found:
        raise ContractError(file=path, column="rule_files", expected="rule files", got=f"none at {pattern!r}")
    return found
