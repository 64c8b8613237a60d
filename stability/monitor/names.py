"""Names that things go by in a watch, each of which is there once: scores go by a detector's, alarms by a rule's."""

from __future__ import annotations

__all__ = ["declared_names", "each_once", "rules_of"]

from collections.abc import Iterable, Mapping
from inspect import signature
from os import PathLike
from typing import Any

from stability.detection import DETECTORS, Detector
from stability.detection import load as load_detector
from stability.monitor.declaration import Declaration
from stability.rules import read_rules
from stability.rules.files import Rule
from stability.schema import ContractError, nearest


def rules_of(told: Declaration) -> list[Rule]:
    """Read the rules of all files that a declaration names.

    Parameters
    ----------
    told : Declaration

    Returns
    -------
    list of Rule
        In the order of the files; none where no rules are declared.

    Raises
    ------
    ContractError
        As `read_rules`; for a name that stands in two of the files: what fires goes by it.
    """
    rules: list[Rule] = []
    seen: dict[str, Rule] = {}
    for one in [] if told.rules is None else told.rules.files:
        for rule in read_rules(told.place(one)):
            if rule.alert in seen:
                first = seen[rule.alert]
                got = f"{rule.alert!r} again, first in {first.file}, line {first.line}"
                remedy = "name them apart, or name the file once in rules.files"
                raise ContractError(
                    file=rule.file, row=rule.line, expected="each alert's name once", got=got, remedy=remedy
                )
            seen[rule.alert] = rule
            rules.append(rule)
    return rules


def declared_names(told: Declaration) -> list[str]:
    """Name the detectors of a declaration, before any of them learns: those in files go by what they are.

    Parameters
    ----------
    told : Declaration

    Raises
    ------
    ContractError
        As `detection.load`; for two of one kind.
    """
    names = [
        load_detector(told.place(part.file)).name if part.name is None else _made(part.name, part.settings).name
        for part in told.detectors
    ]
    each_once(names, told.name)
    return names


def _made(name: str, settings: Mapping[str, Any]) -> Detector:
    kind, known = DETECTORS[name], list(signature(DETECTORS[name]).parameters)
    if unknown := next((one for one in settings if one not in known), None):
        expected, remedy = f"a setting of {name}", nearest(str(unknown), known)
        raise ContractError(column="detectors.settings", expected=expected, got=repr(unknown), remedy=remedy)
    return kind(**settings)


def each_once(names: Iterable[str], watch: str | PathLike) -> None:
    """Refuse detectors of which two have one name: scores, alarms and files would be taken for each other's.

    Parameters
    ----------
    names : iterable of str
        Of detectors, and of a predictor.
    watch : str or path
        Name of the declaration, or its state.

    Raises
    ------
    ContractError
        With the first name that is there twice.

    Examples
    --------
    >>> each_once(["novelty", "cusum"], "shop")
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            expected, got = "each kind of detector once", f"{name!r} twice"
            remedy = "leave one of them out, or give it a watch of its own; move a state away that has both"
            raise ContractError(file=watch, column="detectors", expected=expected, got=got, remedy=remedy)
        seen.add(name)
