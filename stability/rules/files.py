"""Prometheus's alerting rule files as they are: read whole, or refused with file and line."""

from __future__ import annotations

__all__ = ["LABEL", "Rule", "is_unit_test", "read_rules", "rule_files"]

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from pathlib import Path

import pandas as pd
import yaml

from stability.rules.durations import duration
from stability.schema import ContractError, load_yaml, nearest

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_GROUP_KEYS = ("name", "interval", "rules")
_RULE_KEYS = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_TEST_KEYS = {"tests", "rule_files"}  # a file that has one of them holds unit tests of rules
_TOP = re.compile(r"^[\"']?(\w+)[\"']?\s*:", re.M)  # keys at the margin; the files need not be read for that
# libyaml, where PyYAML was built with it, is ten times as fast
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NONE = pd.Timedelta(0)
_HELD = frozenset({"alertname", "__name__"})  # labels that Prometheus sets itself


@dataclass(frozen=True)
class Rule:
    """One alerting rule, as a Prometheus rule file writes it.

    Parameters
    ----------
    group : str
        Name of its group.
    alert : str
        Its name, unique among the rules that are read together.
    expr : str
        PromQL; the alert is active for each series that the expression gives.
    wait : Timedelta
        `for`: how long it must have been active before it fires.
    keep_firing_for : Timedelta
        How long it fires on once the expression gives nothing.
    labels : dict of str to str
        Added to the series' own; `failure_mode`, `severity` and `component` are read from here.
    annotations : dict of str to str
        Texts for people; `runbook` says what to do.
    interval : Timedelta or None
        How often its group is evaluated; None where the file leaves it to the server.
    file : str
        Where it stands.
    line : int
        Its first line, counted from 1.
    """

    group: str
    alert: str
    expr: str
    wait: pd.Timedelta = _NONE
    keep_firing_for: pd.Timedelta = _NONE
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    interval: pd.Timedelta | None = None
    file: str = ""
    line: int = 0


def read_rules(path: str | PathLike) -> list[Rule]:
    """Read the alerting rules of a file, or of every rule file in a folder.

    Parameters
    ----------
    path : str or path
        A Prometheus rule file, or a folder: its `*.yaml` and `*.yml` without those of folders below it; unit tests of
        rules, known by their keys, are left out.

    Returns
    -------
    list of Rule
        In the order of files by name, of groups and rules as they stand.

    Raises
    ------
    ContractError
        With file and line, for what Prometheus would refuse (unknown keys, durations, names of labels, groups that
        stand twice), for an alert's name that stands twice in any of the files, and for recording rules and `limit`,
        which are not evaluated here. What an expression may hold is looked at by `check_expression`.

    References
    ----------
    Prometheus documentation, "Alerting rules". https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
    """
    rules: list[Rule] = []
    seen: dict[str, Rule] = {}
    for file in rule_files(path):
        for rule in _unchanged(file):
            if rule.alert in seen:
                first = seen[rule.alert]
                raise ContractError(
                    file=file,
                    row=rule.line,
                    expected="each alert's name once",
                    got=f"{rule.alert!r} again, first in {first.file}, line {first.line}",
                    remedy="name them apart, for instance by their windows or severities",
                )
            seen[rule.alert] = rule
            rules.append(rule)
    return rules


def rule_files(path: str | PathLike) -> list[Path]:
    """List the rule files that a path stands for: itself, or those of a folder that are no unit tests.

    Parameters
    ----------
    path : str or path
        A file or a folder.

    Raises
    ------
    ContractError
        If there is nothing, or no rule file in the folder.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.is_dir())
    rules = [file for file in found if not is_unit_test(file)]
    if not rules:
        raise ContractError(
            file=path, expected="rule files, *.yaml or *.yml", got="a folder without one", remedy="check the path"
        )
    return rules


def is_unit_test(path: Path) -> bool:
    """Tell whether a file holds unit tests of rules, as `promtool test rules` reads them, and no rules.

    Parameters
    ----------
    path : Path
        A YAML file.
    """
    keys = set(_TOP.findall(path.read_text(encoding="utf-8", errors="replace")))
    return bool(_TEST_KEYS & keys) and "groups" not in keys


def _unchanged(file: Path) -> tuple[Rule, ...]:
    """Rules of a file, which is read again when it has changed: every file of unit tests names the same few."""
    if not file.is_file():
        return tuple(_rules_of(file))
    told = file.stat()
    return _read(file, told.st_mtime_ns, told.st_size, told.st_ino)


@lru_cache(maxsize=256)
def _read(file: Path, *_state: int) -> tuple[Rule, ...]:
    return tuple(_rules_of(file))


def _rules_of(file: Path) -> Iterator[Rule]:
    load_yaml(file)  # says what is wrong with it as YAML; the nodes below know their lines, and text stays text
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=_LOADER)
    if root is None:
        raise ContractError(file=file, expected="groups of rules", got="an empty file")
    groups = _mapping(root, ("groups",), "a rule file", file).get("groups")
    if groups is None:
        raise ContractError(file=file, expected="the key 'groups'", got="none", remedy="see Prometheus's rule files")
    names: dict[str, int] = {}
    for group in _sequence(groups, "groups", file):
        line = _line(group)
        held = _mapping(group, _GROUP_KEYS, "a group", file)
        name = _text(held.get("name"), "name", file, line)
        if name in names:
            got = f"{name!r} again, first in line {names[name]}"
            raise ContractError(file=file, row=line, expected="each group's name once in a file", got=got)
        names[name] = line
        interval = _duration(held["interval"], "interval", file) if "interval" in held else None
        for rule in _sequence(held["rules"], "rules", file) if "rules" in held else []:
            yield _rule(rule, name, interval, file)


def _rule(node: yaml.Node, group: str, interval: pd.Timedelta | None, file: Path) -> Rule:
    line = _line(node)
    if isinstance(node, yaml.MappingNode) and any(key.value == "record" for key, _ in node.value):
        raise ContractError(
            file=file,
            row=line,
            expected="alerting rules",
            got="a recording rule",
            remedy="write its expression out in the alerts that use it, and leave it to files of its own",
        )
    held = _mapping(node, _RULE_KEYS, "an alerting rule", file)
    return Rule(
        group=group,
        alert=_text(held.get("alert"), "alert", file, line),
        expr=_text(held.get("expr"), "expr", file, line).strip(),
        wait=_duration(held.get("for"), "for", file),
        keep_firing_for=_duration(held.get("keep_firing_for"), "keep_firing_for", file),
        labels=_labels(held.get("labels"), "labels", file, _HELD),
        annotations=_labels(held.get("annotations"), "annotations", file, frozenset()),
        interval=interval,
        file=str(file),
        line=line,
    )


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _mapping(node: yaml.Node, keys: tuple[str, ...], kind: str, file: Path) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise ContractError(file=file, row=_line(node), expected=f"{kind}: {', '.join(keys)}", got=_kind(node))
    held = {}
    for key, value in node.value:
        if key.value not in keys:
            raise ContractError(
                file=file,
                row=_line(key),
                expected=f"a key of {kind}",
                got=repr(key.value) if isinstance(key, yaml.ScalarNode) else _kind(key),
                remedy=nearest(str(key.value), keys),
            )
        held[key.value] = value
    return held


def _sequence(node: yaml.Node, name: str, file: Path) -> list[yaml.Node]:
    if _empty(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise ContractError(file=file, row=_line(node), column=name, expected="a list", got=_kind(node))
    return node.value


def _text(node: yaml.Node | None, name: str, file: Path, line: int) -> str:
    if node is None or _empty(node) or (isinstance(node, yaml.ScalarNode) and not node.value.strip()):
        at = line if node is None else _line(node)
        raise ContractError(file=file, row=at, column=name, expected="text", got="nothing")
    if not isinstance(node, yaml.ScalarNode):
        raise ContractError(file=file, row=_line(node), column=name, expected="text", got=_kind(node))
    return node.value


def _duration(node: yaml.Node | None, name: str, file: Path) -> pd.Timedelta:
    if node is None:
        return _NONE
    try:
        return duration(_text(node, name, file, _line(node)))
    except ContractError as error:
        if error.file is not None:
            raise
        raise ContractError(
            file=file, row=_line(node), column=name, expected=error.expected, got=error.got, remedy=error.remedy
        ) from None


def _labels(node: yaml.Node | None, name: str, file: Path, held: frozenset[str]) -> dict[str, str]:
    if node is None or _empty(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ContractError(file=file, row=_line(node), column=name, expected="names and texts", got=_kind(node))
    labels = {}
    for key, value in node.value:
        if not LABEL.fullmatch(str(key.value)) or key.value in held:
            expected = "a label's name (letters, digits, underscores; no digit first; none that Prometheus sets itself)"
            raise ContractError(file=file, row=_line(key), column=name, expected=expected, got=repr(key.value))
        if not isinstance(value, yaml.ScalarNode):
            raise ContractError(file=file, row=_line(value), column=name, expected="text", got=_kind(value))
        labels[key.value] = "" if _empty(value) else value.value
    return labels


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
