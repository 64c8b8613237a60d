"""What is known about a metric, and where the workbench's folder is that says so."""

from __future__ import annotations

__all__ = ["Metric", "base_name", "home", "metric", "metric_registry"]

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic.dataclasses import dataclass

from stability.schema.declarations import load_yaml
from stability.schema.errors import ContractError
from stability.schema.tables import NAME

REGISTRY = Path("data") / "metrics.yaml"


def home() -> Path:
    """Find the workbench's folder: data/, experiments/, notebooks/, runs/ and mlflow.db are below it.

    Returns
    -------
    pathlib.Path
        The environment's STABILITY_HOME, else the checkout that the package stands in.

    Raises
    ------
    ContractError
        If data/metrics.yaml is not there.
    """
    named = os.environ.get("STABILITY_HOME")
    folder = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[2]
    if not (folder / REGISTRY).is_file():
        raise ContractError(
            file=folder,
            expected=f"the workbench's folder, with {REGISTRY}",
            got="a folder without it" if folder.is_dir() else "no folder",
            remedy="set STABILITY_HOME to the checkout, or install the package from it with pip install -e .",
        )
    return folder


@dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", strict=True))
class Metric:
    """One metric: how it is measured, in what unit, within which bounds, and which direction is bad.

    Parameters
    ----------
    name : str
        Column name; valid in PromQL and in Python.
    instrument : {'gauge', 'counter', 'histogram'}
        A counter only grows, but for restarts; a histogram is a bucket's count that only grows.
    unit : str
        UCUM: '1' (ratio or plain number), 's', 'By', 'Hz', 'Cel', '{request}', ...
    lower, upper : float or None
        Bounds of what is physically possible, in the unit; None where there is none.
    bad : {'high', 'low', 'both'} or None
        Which extreme hurts; None where neither does by itself.
    otel : str or None
        Name in the OpenTelemetry semantic conventions.
    description : str
        One sentence.
    promql : str or None
        The query that gives it, by job and instance, from the stock exporter.
    """

    name: Annotated[str, pydantic.Field(pattern=f"^{NAME}$")]
    instrument: Literal["gauge", "counter", "histogram"] = "gauge"
    unit: Annotated[str, pydantic.Field(min_length=1)] = "1"
    lower: pydantic.FiniteFloat | None = None
    upper: pydantic.FiniteFloat | None = None
    bad: Literal["high", "low", "both"] | None = None
    otel: str | None = None
    description: str = ""
    promql: str | None = None

    @pydantic.model_validator(mode="after")
    def _sane(self):
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(f"lower {self.lower:g} is not below upper {self.upper:g}")
        if self.instrument == "counter" and not base_name(self.name).endswith(("_total", "_count", "_sum")):
            raise ValueError("a counter's name ends in _total (or _count, _sum of a histogram)")
        return self


def metric_registry() -> dict[str, Metric]:
    """Read data/metrics.yaml.

    Returns
    -------
    dict of str to Metric
        By name, in the file's order; a new dict of shared entries.

    Raises
    ------
    ContractError
        With the file, the metric and the field, where an entry is wrong.
    """
    path = home() / REGISTRY
    return dict(_read_registry(path, path.stat().st_mtime_ns))


def base_name(name: str) -> str:
    """Name of the metric of which a column is one dimension: the part before the first double underscore.

    Examples
    --------
    >>> base_name("system_network_errors_total__device_eth0")
    'system_network_errors_total'
    """
    return name.split("__", 1)[0] or name


def metric(name: str) -> Metric:
    """Look up what is known about a column.

    A column of one dimension, `<metric>__<label>_<value>`, and a rate, `<counter without _total>_per_second`, take
    after the metric that they come from. A name that is nowhere is a unitless gauge; ending in `_total` it is a
    counter, because that is what the naming contract means by it.

    Parameters
    ----------
    name : str
        Column name.

    Returns
    -------
    Metric
        Under the name asked for.

    Raises
    ------
    ContractError
        If the name is none that a column may have.

    Examples
    --------
    >>> metric("process_resident_memory_bytes").unit
    'By'
    >>> metric("system_network_receive_bytes_per_second").unit
    'By/s'
    >>> metric("something_of_mine").instrument
    'gauge'
    """
    known, base = metric_registry(), base_name(name)
    entry = known.get(name) or known.get(base)
    if entry is not None:
        return replace(entry, name=name)
    counter = known.get(f"{base.removesuffix('_per_second')}_total") if base.endswith("_per_second") else None
    if counter is not None:
        unit = "1" if counter.unit == "s" else f"{counter.unit}/s"
        said = f"Per second: {counter.description}"
        return Metric(name, unit=unit, lower=0, bad=counter.bad, otel=counter.otel, description=said)
    try:
        return Metric(name, instrument="counter", lower=0) if base.endswith("_total") else Metric(name)
    except pydantic.ValidationError:
        raise ContractError(
            expected="the name of a metric: letters, digits and underscores, no digit first", got=repr(name)
        ) from None


@cache
def _read_registry(path: Path, changed: int) -> dict[str, Metric]:
    # `changed`, the file's time of change, is part of the cache's key: an edited registry is read again.
    entries = load_yaml(path)
    if not isinstance(entries, dict):
        raise ContractError(file=path, expected="a mapping of metric name to its entry", got=type(entries).__name__)
    return {name: _read_entry(path, name, entry) for name, entry in entries.items()}


def _read_entry(path: Path, name: object, entry: object) -> Metric:
    if not isinstance(entry, dict) or "name" in entry:
        raise ContractError(file=path, column=str(name), expected="a mapping of fields without a name", got=repr(entry))
    for field in ("instrument", "unit", "description"):
        if field not in entry:
            raise ContractError(
                file=path, column=str(name), expected=f"the field {field!r}", got=f"only {', '.join(entry)}"
            )
    try:
        return Metric(**{"name": name, **entry})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the entry"
        raise ContractError(
            file=path, column=str(name), expected=f"{field}: {first['msg']}", got=repr(first["input"])
        ) from error
