"""Series that are named by labels: in the header of a wide table, or in the columns of a long one."""

from __future__ import annotations

__all__ = ["METRIC", "claim", "column_name", "labels_of", "named_columns", "named_rows", "pattern_of"]

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from stability.schema import ContractError, coerce_column, nearest
from stability.telemetry.layout import ENTITY_NAMES, Roles, fields_of, metric_names
from stability.telemetry.options import Options

METRIC = "value"  # name of a metric that nothing names, as a column of values is usually called
_BRACES = re.compile(r"\s*([^{}]*?)\s*\{(.*)\}\s*", re.DOTALL)
_LABEL = re.compile(
    r"""\s*([A-Za-z_][\w.\-/]*)\s*(?:=|:)\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^,"'{}]*?))\s*(?:,\s*|$)"""
)


def labels_of(text: str) -> tuple[str, dict[str, str]] | None:
    """Read a name and labels as Prometheus, Grafana and Datadog write them.

    Parameters
    ----------
    text : str

    Returns
    -------
    (name, labels) or None
        None where there are no labels. A label ``__name__`` is the name.

    Examples
    --------
    >>> labels_of('up{instance="a:9100", job="node"}')
    ('up', {'instance': 'a:9100', 'job': 'node'})
    >>> labels_of("host:web-1,env:prod")
    ('', {'host': 'web-1', 'env': 'prod'})
    >>> labels_of("cpu usage")
    """
    braces = _BRACES.fullmatch(text)
    name, inner = (braces[1], braces[2]) if braces else ("", text)
    labels, at = {}, 0
    if inner.strip() not in ("", "*"):
        while at < len(inner):
            found = _LABEL.match(inner, at)
            if found is None or found.end() == at:
                return None
            quoted = found[2] if found[2] is not None else found[3]
            labels[found[1]] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found[4]
            at = found.end()
    elif not braces:
        return None
    return labels.pop("__name__", "") or name, labels


def pattern_of(template: str) -> re.Pattern:
    """Turn a template of names into the pattern that takes such names apart.

    Raises
    ------
    ContractError
        It has no field, one twice, or one that is no plain word.

    Examples
    --------
    >>> pattern_of("{metric} on {entity}").fullmatch("cpu user on web-1").groupdict()
    {'metric': 'cpu user', 'entity': 'web-1'}
    """
    fields = fields_of(template)
    if not fields or len(set(fields)) < len(fields) or not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in fields):
        raise ContractError(
            column="series",
            expected="'labels', or a template of names such as '{metric} {entity}', each field once",
            got=repr(template),
        )
    parts = re.split(r"\{([^{}]*)\}", template)
    shaped = "".join(f"(?P<{part}>.+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    return re.compile(rf"\s*{shaped}\s*")


def column_name(name: str, labels: Mapping[str, str], dimensions: Sequence[str]) -> str:
    """Append the dimensions that a series has to the name of its column.

    Examples
    --------
    >>> column_name("node_disk_read_bytes_total", {"device": "sda", "job": "node"}, ["device"])
    'node_disk_read_bytes_total__device_sda'
    """
    kept = [label for label in dimensions if labels.get(label)]
    return "".join(
        [name, *(f"__{re.sub('[^a-zA-Z0-9_]', '_', f'{label}_{labels[label]}')}" for label in kept)],
    )


def claim(
    owners: dict, place: tuple[str, str], name: str, labels: Mapping[str, str], dimensions: Sequence[str], file: str
) -> None:
    """Note which series fills a column of an entity, and refuse a second one."""
    other, theirs = owners.setdefault(place, (name, labels))
    if (other, theirs) == (name, labels):
        return
    column, entity = place
    differ = sorted(key for key in labels.keys() | theirs.keys() if labels.get(key) != theirs.get(key))
    if other != name:
        remedy = f"give the queries {other!r} and {name!r} names that do not end in a dimension"
    elif set(differ) <= set(dimensions):
        remedy = "their values make the same name: tell them apart before (in PromQL with label_replace)"
    else:
        more = [label for label in differ if label not in dimensions]
        remedy = (
            f"keep them apart with dimensions={[*dimensions, *more]!r}, put {more[0]!r} into entity=, "
            f"or add them up (in PromQL: sum without ({', '.join(more)}) (...))"
        )
    told = ", ".join(f"{key} {theirs.get(key, '')!r} and {labels.get(key, '')!r}" for key in differ)
    raise ContractError(
        file=file,
        column=column,
        expected=f"one series for {entity!r}",
        got=f"two, which differ in {told}",
        remedy=remedy,
    )


def named_columns(roles: Roles, options: Options, file) -> tuple[list[tuple[str, str, str]], set[str]]:
    """Tell of each column of a wide table whose header names series which entity it is of, and which metric.

    Parameters
    ----------
    roles : Roles
    options : Options
        Holds series, entity, dimensions, columns.
    file : Source

    Returns
    -------
    series : list of (column, entity, metric)
    names : set of str
        The metrics' own names, which `columns` may map.

    Raises
    ------
    ContractError
        A name does not fit, a label of the entity is missing, or two columns are one series.
    """
    read = _reader(options)
    found = {}
    for name in roles.metrics:
        parts = read(name)
        if parts is None:
            shape = 'labels, such as cpu{instance="a"}' if options.series == "labels" else repr(options.series)
            raise ContractError(
                file=file.label,
                column=name,
                expected=f"a column's name with {shape}, as series= says",
                got="another name",
                remedy=f"leave it out with columns={{{name!r}: None}}, or mend series=",
            )
        found[name] = parts
    kept = _kept({metric for metric, _ in found.values()}, options, file.label)
    owners: dict = {}
    result = []
    for name, (metric, labels) in found.items():
        if metric in kept:
            entity = _entity(labels, options, file, name)
            column = column_name(kept[metric], labels, options.dimensions)
            claim(owners, (column, entity), metric, labels, options.dimensions, file.label)
            result.append((name, entity, column))
    return result, {metric for metric, _ in found.values()}


def named_rows(
    frame: pd.DataFrame, roles: Roles, options: Options, file
) -> tuple[pd.Series, pd.Series | None, set[str]]:
    """Tell of each row of a table which entity it is of, and in a long one which metric.

    Parameters
    ----------
    frame : DataFrame of shape (n, ...)
        Has the columns ``roles.labels``, and ``roles.metric`` where there is one.
    roles, options, file
        As for `named_columns`.

    Returns
    -------
    entity : Series of str, shape (n,)
    metric : Series of str, shape (n,), or None
        Missing where `columns` leaves the metric out; None in a wide table.
    names : set of str
        The metrics' own names, which `columns` may map.

    Raises
    ------
    ContractError
        As `named_columns`.
    """
    keys = [*([roles.metric] if roles.metric else []), *roles.labels]
    if not keys:
        entity = _entity({}, options, file, roles.value or roles.timestamp)
        metric = _kept({METRIC}, options, file.label).get(METRIC)
        return pd.Series(entity, index=frame.index, dtype="str"), pd.Series(metric, index=frame.index), {METRIC}
    texts = pd.DataFrame(
        {key: coerce_column(frame[key], "str", source=file.label).fillna("").str.strip() for key in keys}
    )
    codes = texts.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    read = _reader(options) if options.series else lambda text: None
    series = []
    for cells in texts.iloc[first].to_dict("records"):
        metric, labels = (METRIC if roles.layout == "long" else ""), {}
        if roles.metric:
            metric, labels = read(cells[roles.metric]) or (cells[roles.metric], {})
        for key in roles.labels:
            name, more = (labels_of(cells[key]) if options.series == "labels" else None) or ("", {})
            labels |= {key: cells[key]} | more
            metric = name or metric
        series.append((metric, {key: text for key, text in labels.items() if text != ""}))
    entities = [
        _entity(labels, options, file, metric, int(frame.index[at]) + 1)
        for (metric, labels), at in zip(series, first, strict=True)
    ]
    entity = pd.Series(np.array(entities, dtype="O")[codes], index=frame.index, dtype="str")
    if roles.layout == "wide":
        return entity, None, set()
    kept = _kept({metric for metric, _ in series}, options, file.label)
    owners: dict = {}
    columns = []
    for (metric, labels), who in zip(series, entities, strict=True):
        columns.append(column_name(kept[metric], labels, options.dimensions) if metric in kept else None)
        if metric in kept and (options.series or options.dimensions):
            claim(owners, (columns[-1], who), metric, labels, options.dimensions, file.label)
    metrics = pd.Series(np.array(columns, dtype="O")[codes], index=frame.index, dtype="str")
    return entity, metrics, {metric for metric, _ in series}


def _kept(metrics: set[str], options: Options, label: str) -> dict[str, str]:
    return metric_names(sorted(metrics), options, file=label)


def _reader(options: Options) -> Callable[[str], tuple[str, dict[str, str]] | None]:
    """How a name becomes a metric and labels."""
    if options.series == "labels":

        def read(text: str) -> tuple[str, dict[str, str]] | None:
            found = labels_of(text)
            return None if found is None else (found[0] or METRIC, found[1])

        return read
    pattern = pattern_of(options.series)

    def take_apart(text: str) -> tuple[str, dict[str, str]] | None:
        found = pattern.fullmatch(text)
        if found is None:
            return None
        labels = found.groupdict()
        return labels.pop("metric", METRIC), labels

    return take_apart


def _entity(labels: Mapping[str, str], options: Options, file, name: str, row: int | None = None) -> str:
    """Name the entity of a series by the template, or by its label with a usual name."""
    place = {"stem": file.stem, "name": file.name, "parent": file.parent}
    template = options.entity
    if template is None:
        usual = next((label for label in ENTITY_NAMES if labels.get(label)), None)
        return labels[usual] if usual else place["stem"]
    if "{" not in template:
        template = f"{{{template}}}"
    known = {**place, **labels}
    for field in fields_of(template):
        if not known.get(field):
            had = ", ".join(f"{key}={value!r}" for key, value in sorted(labels.items())) or "no label"
            raise ContractError(
                file=file.label,
                row=row,
                column=name or None,
                expected=f"the label {field!r} of entity={options.entity!r}",
                got=f"a series with {had}",
                remedy=f"make entity= of what is there; {nearest(field, known)}",
            )
    return re.sub(r"\{([^{}]*)\}", lambda found: known[found[1]], template)
