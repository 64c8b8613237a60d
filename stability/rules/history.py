"""Samples as Prometheus holds them: series with labels, times, values and staleness markers; made of a panel."""

from __future__ import annotations

__all__ = ["History", "Series", "grid_of", "history_of", "labels_by_entity"]

import itertools
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pandas as pd
import promql_parser as promql
import pyarrow as pa
import pyarrow.compute as pc

from stability.rules.expressions import selector_key, written
from stability.rules.files import LABEL
from stability.rules.vectors import NAME, Labels
from stability.schema import ContractError, nearest, validate
from stability.telemetry.grid import micros, stamps_of

MOST = 5_000_000  # evaluations: a day of seconds is 86,400; beyond stands a wrong stamp or a step in the wrong unit
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Series:
    """The samples of one series.

    Parameters
    ----------
    labels : Labels
        The metric's name among them.
    times : array of int64, shape (n,)
        Microseconds since 1970, rising.
    values : array of float64, shape (n,)
    stale : array of bool, shape (n,)
        Markers: from this time on the series is not there, until its next value.
    """

    labels: Labels
    times: np.ndarray
    values: np.ndarray
    stale: np.ndarray

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and values without the markers, which a range does not hold."""
        if not self.stale.any():
            return self.times, self.values
        return self.times[~self.stale], self.values[~self.stale]


@dataclass
class History:
    """All series, found by their labels.

    Parameters
    ----------
    series : list of Series
    lookback : int
        Microseconds for which a value serves when none follows.
    entities : mapping of str to Labels
        Entity -> what its series are labelled with.
    """

    series: list[Series]
    lookback: int = 300_000_000
    entities: Mapping[str, Labels] = field(default_factory=dict)
    _by_name: dict[str, list[Series]] = field(default_factory=dict, repr=False)
    _found: dict[tuple, list[Series]] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for one in self.series:
            self._by_name.setdefault(dict(one.labels).get(NAME, ""), []).append(one)

    def select(self, selector: promql.VectorSelector) -> list[Series]:
        """Find the series that a selector selects, offset or not.

        Parameters
        ----------
        selector : promql_parser.VectorSelector

        Raises
        ------
        ContractError
            If a regular expression is none of RE2's.
        """
        key = selector_key(selector)
        if key not in self._found:
            candidates = self.series if selector.name is None else self._by_name.get(selector.name, [])
            for matcher in selector.matchers.matchers:
                texts = [dict(one.labels).get(matcher.name, "") for one in candidates]
                taken = _matching(matcher, texts, selector)
                candidates = [one for one, fits in zip(candidates, taken, strict=True) if fits]
            self._found[key] = candidates
        return self._found[key]


def history_of(
    telemetry: pd.DataFrame,
    labels: str | Mapping[str, Mapping[str, str]] | None = None,
    lookback: str | float | timedelta = "5min",
) -> History:
    """Make series of a panel: one for each metric of which an entity has a value.

    Parameters
    ----------
    telemetry : DataFrame
        A panel: index (entity, timestamp), a column a metric. NaN is a staleness marker.
    labels : str or mapping, optional
        As for `stability.rules.evaluate`.
    lookback : str, float or timedelta

    Raises
    ------
    ContractError
        If the panel breaks its contract, or an entity does not fit the template.
    """
    panel = validate(telemetry, "telemetry", source="telemetry")
    entity = panel.index.get_level_values("entity")
    stamps = stamps_of(panel)
    codes, names = pd.factorize(entity)
    by_entity = labels_by_entity([str(name) for name in names], labels)
    values = panel.to_numpy(dtype=np.float64)
    borders = np.flatnonzero(np.diff(codes, prepend=-1))
    series = []
    for a, b in itertools.pairwise([*borders, len(panel)]):
        block, own = values[a:b], by_entity[str(entity[a])]
        missing = np.isnan(block)
        for column, name in enumerate(panel.columns):
            if missing[:, column].all():
                continue
            held = tuple(sorted([*own, (NAME, str(name))]))
            column_values = np.array(block[:, column])  # its own: a view may be read-only, and kernels compile twice
            series.append(Series(held, stamps[a:b], column_values, np.ascontiguousarray(missing[:, column])))
    return History(series, micros(lookback, "lookback"), by_entity)


def labels_by_entity(
    entities: Sequence[str], labels: str | Mapping[str, Mapping[str, str]] | None
) -> dict[str, Labels]:
    """Label each entity.

    Parameters
    ----------
    entities : sequence of str
    labels : str, mapping or None
        A template of the entity's name in labels; or entity -> labels; None is '{entity}'.

    Returns
    -------
    dict of str to Labels

    Raises
    ------
    ContractError
        If an entity does not fit, has no labels, or has those of another.

    Examples
    --------
    >>> labels_by_entity(["web/a:9100"], "{job}/{instance}")
    {'web/a:9100': (('instance', 'a:9100'), ('job', 'web'))}
    """
    if labels is None:
        return {one: (("entity", one),) for one in entities}
    made = _by_template(entities, labels) if isinstance(labels, str) else _by_mapping(entities, labels)
    owners: dict[Labels, str] = {}
    for one, own in made.items():
        for name, _ in own:
            if not LABEL.fullmatch(name) or name == NAME:
                raise ContractError(column="labels", expected="names of labels", got=repr(name))
        if owners.setdefault(own, one) != one:
            got = f"{dict(own)} for {owners[own]!r} and {one!r}"
            raise ContractError(column="labels", expected="labels that tell entities apart", got=got)
    return made


def grid_of(telemetry: pd.DataFrame, step: str | float | timedelta | None = None) -> np.ndarray:
    """Times of evaluation: from the first timestamp on, every step, up to the last.

    Parameters
    ----------
    telemetry : DataFrame
        A panel.
    step : str, float or timedelta, optional
        The usual distance of the panel's timestamps without it.

    Returns
    -------
    array of int64
        Microseconds since 1970.

    Raises
    ------
    ContractError
        If there are more than a person can have meant.
    """
    panel = validate(telemetry, "telemetry", source="telemetry")
    stamps = stamps_of(panel)
    if not len(stamps):
        return _NONE
    first, last = int(stamps.min()), int(stamps.max())
    width = micros(step, "step") if step is not None else _usual_step(panel, stamps)
    count = (last - first) // width + 1
    if count > MOST:
        got = f"{count:,} of {pd.Timedelta(width, 'us')} between {pd.Timestamp(first, unit='us')} and the last row"
        raise ContractError(
            column="step", expected=f"at most {MOST:,} evaluations", got=got, remedy="give a longer step, or less time"
        )
    return first + np.arange(count, dtype=np.int64) * width


def _usual_step(telemetry: pd.DataFrame, stamps: np.ndarray) -> int:
    apart = np.diff(stamps)[np.diff(telemetry.index.codes[0]) == 0]
    return int(np.median(apart)) if len(apart) else 1_000_000


def _matching(matcher: promql.Matcher, texts: list[str], selector: promql.VectorSelector) -> np.ndarray:
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        same = np.array([text == matcher.value for text in texts], dtype=bool)
    else:
        # RE2, as Prometheus's own: no pattern takes longer than the text is long.
        try:
            found = pc.match_substring_regex(pa.array(texts, pa.string()), f"^(?:{matcher.value})$")
        except pa.ArrowInvalid as error:
            raise ContractError(
                expected="a regular expression of RE2", got=f"{matcher.value!r} in {written(selector)!r}: {error}"
            ) from None
        same = np.asarray(found, dtype=bool)
    return same if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re) else ~same


def _by_template(entities: Sequence[str], template: str) -> dict[str, Labels]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ContractError(column="labels", expected="'{job}/{instance}'", got=f"{template!r}: {error}") from None
    fields = [name for _, name, _, _ in parts if name is not None]
    if not fields or any(not LABEL.fullmatch(name) for name in fields) or len(set(fields)) < len(fields):
        raise ContractError(
            column="labels", expected="a template of plain label names, such as '{job}/{instance}'", got=repr(template)
        )
    # Each field takes as little as it can, so that the last one takes the rest.
    pattern = "".join(re.escape(text) + (f"(?P<{name}>.+?)" if name else "") for text, name, _, _ in parts)
    made = {}
    for one in entities:
        found = re.fullmatch(pattern, one)
        if found is None:
            raise ContractError(column="entity", expected=f"names of the form {template!r}", got=repr(one))
        made[one] = tuple(sorted(found.groupdict().items()))
    return made


def _by_mapping(entities: Sequence[str], labels: Mapping[str, Mapping[str, str]]) -> dict[str, Labels]:
    made = {}
    for one in entities:
        if one not in labels:
            raise ContractError(
                column="labels", expected=f"the labels of {one!r}", got="none", remedy=nearest(one, labels)
            )
        made[one] = tuple(sorted((str(name), str(text)) for name, text in labels[one].items() if str(text)))
    return made
