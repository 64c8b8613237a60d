"""Objectives in OpenSLO's YAML: which requests are good, which share of them was promised, over how long."""

from __future__ import annotations

__all__ = ["Objective", "Query", "read_objectives"]

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from stability.schema import ContractError, load_documents, nearest

VERSION = "openslo/v1"
KINDS = ("SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
METHODS = ("Occurrences", "Timeslices", "RatioTimeslices")
SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}  # months and longer have no fixed length
LARGEST = 1_000_000  # bytes of a file of promises
FIELDS = {
    "SLO": (
        "description",
        "service",
        "indicator",
        "indicatorRef",
        "timeWindow",
        "budgetingMethod",
        "objectives",
        "alertPolicies",
    ),
    "SLI": ("description", "ratioMetric", "thresholdMetric"),
    "ratioMetric": ("counter", "good", "bad", "total", "raw", "rawType"),
    "objective": ("displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow"),
    "window": ("duration", "isRolling", "calendar"),
}


@dataclass(frozen=True)
class Query:
    """Where a count comes from.

    Parameters
    ----------
    source : str
        Kind of the source, such as `Prometheus`.
    query : str
        In the source's own language.
    """

    source: str
    query: str


@dataclass(frozen=True)
class Objective:
    """One promise.

    Parameters
    ----------
    name : str
        Of the SLO; followed by the display name of the objective where the SLO has several.
    service : str
        Whose promise it is.
    target : float in (0, 1)
        Share of good requests, or of good slices.
    window : float
        s over which it holds; a rolling window ends at each moment.
    method : {'Occurrences', 'Timeslices', 'RatioTimeslices'}
        Whether requests are counted, slices that are good, or the mean of the slices' shares.
    slice_target : float or None
        Share of good requests from which on a slice is good.
    slice_seconds : float or None
        Length of a slice, s.
    good, bad, total : Query or None
        The counts; of good and bad at least one is there.
    description : str
        As authored.
    """

    name: str
    service: str
    target: float
    window: float
    method: str = "Occurrences"
    slice_target: float | None = None
    slice_seconds: float | None = None
    good: Query | None = None
    bad: Query | None = None
    total: Query | None = None
    description: str = ""


def read_objectives(path: str | PathLike) -> list[Objective]:
    """Read the SLOs of an OpenSLO file.

    Parameters
    ----------
    path : path
        YAML, one document or several; kinds other than SLO and SLI may stand there and say nothing here.

    Returns
    -------
    list of Objective
        In the file's order.

    Raises
    ------
    ContractError
        For a file that is missing or no YAML, a field that is unknown or stands twice, a promise without meaning (a
        target outside of (0, 1), a calendar window, a threshold metric), or an indicator that is not there; it names
        file, document and field.

    References
    ----------
    OpenSLO specification v1, github.com/OpenSLO/OpenSLO.
    """
    path = Path(path)
    documents = _documents(path)
    indicators: dict[str, dict] = {}
    for place, one in enumerate(documents, start=1):
        if one["kind"] == "SLI":
            name = _named(one, path, place)
            if name in indicators:
                where = f"document {place}: metadata.name"
                raise ContractError(file=path, column=where, expected="an indicator once", got=name)
            indicators[name] = _spec(one, "SLI", path, place)
    found = []
    for place, one in enumerate(documents, start=1):
        if one["kind"] == "SLO":
            found += _objectives(one, indicators, path, place)
    if not found:
        raise ContractError(file=path, expected="at least one document of kind SLO", got=f"{len(documents)} documents")
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ContractError(file=path, column="metadata.name", expected="a name once", got=twice)
    return found


def _documents(path: Path) -> list[dict]:
    if path.is_file() and path.stat().st_size > LARGEST:
        raise ContractError(file=path, expected=f"at most {LARGEST:,} bytes", got=f"{path.stat().st_size:,}")
    documents = [one for one in load_documents(path) if one is not None]
    for place, one in enumerate(documents, start=1):
        where = f"document {place}"
        if not isinstance(one, dict):
            raise ContractError(file=path, column=where, expected="a mapping", got=type(one).__name__)
        if one.get("apiVersion") != VERSION:
            raise ContractError(file=path, column=f"{where}: apiVersion", expected=VERSION, got=one.get("apiVersion"))
        if one.get("kind") not in KINDS:
            kind = str(one.get("kind"))
            raise ContractError(
                file=path, column=f"{where}: kind", expected="a kind", got=kind, remedy=nearest(kind, KINDS)
            )
    return documents


def _named(document: dict, path: Path, place: int) -> str:
    name = _mapping(document.get("metadata")).get("name")
    if not isinstance(name, str) or not name:
        raise ContractError(file=path, column=f"document {place}: metadata.name", expected="a name", got=name)
    return name


def _mapping(said: Any) -> Mapping:
    return said if isinstance(said, Mapping) else {}


def _spec(document: dict, kind: str, path: Path, place: int) -> dict:
    return _fields(document.get("spec"), kind, path, f"document {place}: spec")


def _fields(said: Any, kind: str, path: Path, where: str) -> dict:
    if not isinstance(said, Mapping):
        raise ContractError(file=path, column=where, expected="a mapping", got=type(said).__name__)
    unknown = next((name for name in said if name not in FIELDS[kind]), None)
    if unknown is not None:
        raise ContractError(
            file=path,
            column=f"{where}.{unknown}",
            expected="a field of OpenSLO",
            got=str(unknown),
            remedy=nearest(str(unknown), FIELDS[kind]),
        )
    return dict(said)


def _objectives(document: dict, indicators: dict, path: Path, place: int) -> list[Objective]:
    name, where = _named(document, path, place), f"document {place}: spec"
    spec = _spec(document, "SLO", path, place)
    service = spec.get("service")
    if not isinstance(service, str) or not service:
        raise ContractError(file=path, column=f"{where}.service", expected="whose promise it is", got=service)
    if "indicator" in spec:
        inline = spec["indicator"] if isinstance(spec["indicator"], Mapping) else {}
        indicator = _fields(inline.get("spec"), "SLI", path, f"{where}.indicator.spec")
    else:
        known = str(spec.get("indicatorRef"))
        if known not in indicators:
            remedy = nearest(known, indicators)
            raise ContractError(file=path, column=f"{where}.indicatorRef", expected="an SLI", got=known, remedy=remedy)
        indicator = indicators[known]
    counts = _counts(indicator, path, f"{where}.indicator")
    method = spec.get("budgetingMethod", METHODS[0])
    if method not in METHODS:
        raise ContractError(file=path, column=f"{where}.budgetingMethod", expected=", ".join(METHODS), got=str(method))
    window = _window(spec.get("timeWindow"), path, f"{where}.timeWindow")
    several = spec.get("objectives")
    if not isinstance(several, Sequence) or isinstance(several, str) or not several:
        raise ContractError(file=path, column=f"{where}.objectives", expected="a list with an objective", got=several)
    made = []
    for number, one in enumerate(several, start=1):
        at = f"{where}.objectives[{number}]"
        said = _fields(one, "objective", path, at)
        sliced = method != METHODS[0]
        full = name if len(several) == 1 else f"{name}: {said.get('displayName') or number}"
        made.append(
            Objective(
                name=full,
                service=service,
                target=_target(said, path, at),
                window=window,
                method=method,
                slice_target=_share(said.get("timeSliceTarget"), path, f"{at}.timeSliceTarget")
                if method == "Timeslices"
                else None,
                slice_seconds=_duration(said.get("timeSliceWindow"), path, f"{at}.timeSliceWindow") if sliced else None,
                description=str(spec.get("description", "")).strip(),
                **counts,
            )
        )
    return made


def _counts(indicator: dict, path: Path, where: str) -> dict[str, Query]:
    if "ratioMetric" not in indicator:
        raise ContractError(
            file=path,
            column=where,
            expected="a ratioMetric: requests that are good among all",
            got=", ".join(indicator) or "nothing",
            remedy="count what is under the threshold as good, for instance by a bucket of a histogram",
        )
    ratio = _fields(indicator["ratioMetric"], "ratioMetric", path, f"{where}.ratioMetric")
    found = {}
    for kind in ("good", "bad", "total"):
        if kind in ratio:
            source = _mapping(_mapping(ratio[kind]).get("metricSource"))
            query = _mapping(source.get("spec")).get("query")
            if not isinstance(query, str) or not query.strip():
                raise ContractError(
                    file=path, column=f"{where}.ratioMetric.{kind}", expected="metricSource.spec.query", got=query
                )
            found[kind] = Query(str(source.get("type", "")), query.strip())
    if "total" not in found or not {"good", "bad"} & set(found):
        raise ContractError(
            file=path, column=f"{where}.ratioMetric", expected="total, and good or bad", got=", ".join(found)
        )
    return found


def _window(said: Any, path: Path, where: str) -> float:
    if not isinstance(said, Sequence) or isinstance(said, str) or len(said) != 1:
        raise ContractError(file=path, column=where, expected="a list with one window", got=said)
    one = _fields(said[0], "window", path, f"{where}[1]")
    if one.get("calendar") is not None or one.get("isRolling", True) is not True:
        raise ContractError(
            file=path,
            column=f"{where}[1]",
            expected="a rolling window",
            got=", ".join(f"{name}: {value!r}" for name, value in one.items()),
            remedy="say isRolling: true; what is left of a month then does not jump at its first day",
        )
    return _duration(one.get("duration"), path, f"{where}[1].duration")


def _duration(said: Any, path: Path, where: str) -> float:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", str(said))
    if not match:
        raise ContractError(
            file=path, column=where, expected="a number of minutes m, hours h, days d or weeks w, such as 28d", got=said
        )
    return int(match[1]) * SECONDS[match[2]]


def _target(said: dict, path: Path, where: str) -> float:
    if "op" in said or "value" in said:
        raise ContractError(
            file=path, column=where, expected="a target of a ratio", got="op and value, which belong to thresholds"
        )
    if ("target" in said) == ("targetPercent" in said):
        raise ContractError(file=path, column=where, expected="either target or targetPercent", got=", ".join(said))
    if "target" in said:
        return _share(said["target"], path, f"{where}.target")
    percent = said["targetPercent"]
    number = percent / 100 if isinstance(percent, int | float) and not isinstance(percent, bool) else percent
    return _share(number, path, f"{where}.targetPercent")


def _share(said: Any, path: Path, where: str) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < 1:
        raise ContractError(file=path, column=where, expected="a share between 0 and 1, both excluded", got=said)
    return float(said)
