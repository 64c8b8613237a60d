"""Rows from JSON: a list of records, a record a line, or series with their samples, as HTTP interfaces answer."""

from __future__ import annotations

__all__ = ["JSON", "is_json", "rows_of"]

import json
import re
from collections.abc import Iterator

import pandas as pd

from stability.schema import ContractError

JSON = re.compile(rb"\s*(?:\[\s*(?:[\[{]|\])|\{\s*(?:\"|\}))")


def is_json(begin: bytes) -> bool:
    """Tell JSON from CSV by the first signs.

    Examples
    --------
    >>> is_json(b' [{"ts": 1}]'), is_json(b'{"status"'), is_json(b'{instance="a"},time')
    (True, True, False)
    """
    return JSON.match(begin) is not None


def rows_of(content: bytes, label: str) -> pd.DataFrame:
    """Read rows from JSON, whatever interface wrote it.

    The rows are the records of a list, or of one a line. What is wrapped around them is unwrapped: of an object the
    list of objects in it is taken, at whatever depth, if there is one only. A record that holds samples becomes a row
    a sample: two or more lists of one length (CloudWatch's Timestamps and Values), a list of pairs (Prometheus's
    values, Datadog's pointlist), whose parts are called timestamp and value, or a list of objects (Datapoints).
    Objects in a record become columns with a point in their name: ``metric.instance``.

    Parameters
    ----------
    content : bytes
        UTF-8.
    label : str
        The file's name in errors.

    Returns
    -------
    DataFrame
        Cells as JSON has them; text, numbers, booleans, None.

    Raises
    ------
    ContractError
        It is no JSON, or holds no list of records, or several.

    Examples
    --------
    >>> text = b'{"data": {"result": [{"metric": {"job": "a"}, "values": [[1, "0.5"], [2, "0.7"]]}]}}'
    >>> rows_of(text, "a.json").to_dict("records")[1]
    {'metric.job': 'a', 'timestamp': 2, 'value': '0.7'}
    """
    records = _records(_loaded(content, label), label)
    if not records:
        raise ContractError(file=label, expected="at least one record", got="an empty list")
    return pd.DataFrame([row for record in records for row in _samples(_flat(record), label)])


def _loaded(content: bytes, label: str) -> object:
    text = content.decode()
    row, found = None, []
    try:
        try:
            return json.loads(text)
        except ValueError as error:
            problem = error
        for line in filter(str.strip, text.split("\n")):  # not splitlines: a text may hold U+2028
            try:
                found.append(json.loads(line))
            except ValueError as error:
                # Where not even the first line is a document, the whole was meant to be one.
                row, problem = (len(found) + 1, error) if found else (None, problem)
                break
        else:
            return found
    except RecursionError:
        raise ContractError(file=label, expected="JSON of records", got="lists in lists without end") from None
    raise ContractError(
        file=label,
        row=row,
        expected="a whole JSON document" + ", or one a line" * (row is None),
        got=f"another text ({problem})",
        remedy="fetch or export it again",
    )


def _records(found: object, label: str) -> list[dict]:
    """Unwrap what holds the records."""
    if isinstance(found, list) and found and all(isinstance(item, dict) for item in found):
        # A list of one wrapped answer is that answer.
        return found if len(found) > 1 or not _inside(found[0]) else _records(found[0], label)
    if isinstance(found, dict):
        lists = _inside(found)
        if len(lists) == 1:
            return _records(next(iter(lists.values())), label)
        if not lists:
            return [found]
        names = ", ".join(map(repr, lists))
        raise ContractError(file=label, expected="one list of records", got=f"several: {names}",
                            remedy="keep one of them in the file")  # fmt: skip
    if isinstance(found, list) and not found:
        return []
    raise ContractError(file=label, expected="a list of records", got=f"{type(found).__name__} of other things")


def _inside(found: dict, path: str = "") -> dict[str, list]:
    """Lists of objects in an object, by their path; what is in a record that has samples itself is no further one."""
    lists = {}
    for key, value in found.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lists[f"{path}{key}"] = value
        elif isinstance(value, dict):
            lists |= _inside(value, f"{path}{key}.")
    if not path and any(name in found for name in ("Label", "label", "metric")):
        return {}  # a series and its points, not a wrapping
    return lists


def _flat(record: dict, prefix: str = "") -> dict[str, object]:
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _samples(record: dict[str, object], label: str) -> Iterator[dict]:
    """A row a sample, with what the record says of all of them."""
    lists = {key: value for key, value in record.items() if isinstance(value, list) and value}
    plain = {key: value for key, value in record.items() if not isinstance(value, list)}
    pairs = {key: value for key, value in lists.items() if all(isinstance(v, list) and len(v) == 2 for v in value)}
    objects = {key: value for key, value in lists.items() if all(isinstance(v, dict) for v in value)}
    if len(pairs) == 1:
        for moment, value in next(iter(pairs.values())):
            yield {**plain, "timestamp": moment, "value": value}
    elif len(objects) == 1:
        for item in next(iter(objects.values())):
            yield {**plain, **_flat(item)}
    elif len(lists) == 2 and not any(isinstance(v, list | dict) for value in lists.values() for v in value):
        if len({len(value) for value in lists.values()}) > 1:
            said = " and ".join(f"{len(value)} {key}" for key, value in lists.items())
            raise ContractError(file=label, expected="as many stamps as values", got=said)
        for cells in zip(*lists.values(), strict=True):
            yield {**plain, **dict(zip(lists, cells, strict=True))}
    else:
        # Lists of words (groups, tags) say something of the record, no samples; an empty one is a series without any.
        empty = any(isinstance(value, list) and not value for value in record.values())
        samples = {"values", "Values", "pointlist", "Datapoints"} & record.keys()
        if not (empty and samples):
            yield {**plain, **{key: ",".join(map(str, value)) for key, value in lists.items()}}
