"""Words with units for a warning: what about the features makes the predictor say so, and what is usual."""

from __future__ import annotations

__all__ = ["Usual", "in_words"]

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.features.rolling import length_of
from stability.prediction.explanation.names import FeatureName, called, called_event, read_name
from stability.prediction.explanation.numbers import counted, quantity, span, unit_of, usually
from stability.schema import ContractError

PARTS = {"mean": "mean", "min": "lowest", "max": "highest", "q50": "median"}
TAIL = 0.05  # a value in the outer twentieths of the training rows is none that is usual
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
APART = {
    "operating condition": "what is usual in its operating condition",
    "season": "what its level and seasons predicted",
}
NEAR = {"needs": "what it depends on", "users": "those that depend on it"}
LEAST = 0.02  # of all contributions: what adds less is not worth a line


class Usual:
    """What is usual for each feature: middle, spread, mean and outer twentieths over the training rows.

    Attributes
    ----------
    table : DataFrame of float64, index feature
        Columns middle (median), spread (interquartile range / 1.349), mean, low and high.

    Examples
    --------
    >>> Usual.learn(pd.DataFrame({"load": [1.0, 2.0, 3.0, 4.0, 5.0]})).table.loc["load", ["middle", "low"]].tolist()
    [3.0, 1.2]
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def learn(cls, features: pd.DataFrame, rows: np.ndarray | None = None) -> Usual:
        """Learn from features.

        Parameters
        ----------
        features : DataFrame of float64
        rows : array of bool, optional
            The training part; all rows without it.

        Returns
        -------
        Usual
        """
        own = features if rows is None else features[np.asarray(rows)]
        if own.empty:
            raise ContractError(file="features", expected="rows to learn from what is usual", got="none")
        marks = own.quantile([0.25, 0.5, 0.75, TAIL, 1 - TAIL])
        spread = (marks.loc[0.75] - marks.loc[0.25]) / 1.349
        parts = {"middle": marks.loc[0.5], "spread": spread, "mean": own.mean(), "low": marks.loc[TAIL]}
        return cls(pd.DataFrame(parts | {"high": marks.loc[1 - TAIL]}).astype("float64"))

    def of(self, name: str) -> pd.Series:
        """Of one feature; NaN where it is not known."""
        return self.table.loc[name] if name in self.table.index else pd.Series(np.nan, self.table.columns)


def in_words(
    contributions: pd.Series,
    features: pd.Series,
    usual: Usual,
    *,
    history: pd.DataFrame | None = None,
    templates: Mapping[str, str] | None = None,
    most: int = 4,
) -> list[str]:
    """Say what makes a fault more probable, the strongest reason first.

    Features of one metric are one reason: their contributions are summed, and of those that add much, the one whose
    value is least usual speaks for all.

    Parameters
    ----------
    contributions : Series of float64, index feature
        A row from `explain`.
    features : Series of float64, index feature
        The same row of the features; others may be beside.
    usual : Usual
        Of the training rows.
    history : DataFrame of float64, index timestamp or (entity, timestamp), optional
        Features of the same entity up to this row: then it is said for how long a value has not been usual.
    templates : mapping of name to text, optional
        What log templates look like.
    most : int
        Reasons, at most. What adds less than 2 % of all contributions is none.

    Returns
    -------
    list of str
        Empty where nothing makes a fault more probable.

    Raises
    ------
    ContractError
        When a feature that contributes has no value.

    Examples
    --------
    >>> rows = pd.DataFrame({"rotation__mean__3D": [438.0, 446.0, 454.0], "code_error1__count__1D": [0.0, 0.0, 0.3]})
    >>> now = pd.Series({"rotation__mean__3D": 412.0, "code_error1__count__1D": 2.0})
    >>> in_words(pd.Series({"rotation__mean__3D": 0.5, "code_error1__count__1D": 2.0}), now, Usual.learn(rows))
    ['error1 twice in the last 24 h (fleet mean 0.1)', 'rotation mean over 3 d 412, usually 446 ± 6']
    """
    for name in contributions.index:
        if name not in features.index:
            raise ContractError(file="features", column=name, expected="a value", got="none")
    names = list(features.index)
    read = {name: read_name(name, names) for name in contributions.index}
    own = np.array([f"{one.near} {one.metric}" for one in read.values()], dtype=object)
    sums = contributions.groupby(own).sum()
    floor = LEAST * contributions.abs().sum()
    reasons = []
    for group in sums[sums > max(floor, 0.0)].sort_values(ascending=False, kind="stable").index[:most]:
        name = _speaker(contributions[own == group], features, usual)
        text = _phrase(read[name], name, features, usual, templates or {})
        reasons.append(text + _for_how_long(read[name], name, features, usual, history))
    return reasons


def _speaker(own: pd.Series, features: pd.Series, usual: Usual) -> str:
    """Of the features that add at least half as much as the strongest, the one that is farthest from what is usual."""
    strong = own.index[own >= own.max() / 2]
    table = usual.table.reindex(strong)
    width = (table["high"] - table["low"]).replace(0.0, np.nan).fillna(table["spread"].replace(0.0, np.nan))
    away = ((features[strong] - table["middle"]).abs() / width).fillna(0.0)
    return str(away.index[int(np.argmax(away.to_numpy()))]) if (away > 0).any() else str(own.idxmax())


def _phrase(one: FeatureName, name: str, row: pd.Series, usual: Usual, templates: Mapping[str, str]) -> str:
    value, known = float(row[name]), usual.of(name)
    if one.near:
        inner = _phrase(one._replace(near="", kind=read_name(name.split("_", 2)[2]).kind), name, row, usual, templates)
        return f"{'highest' if one.joined == 'max' else 'mean'} among {NEAR[one.near]}: {inner}"
    if math.isnan(value):
        return f"{_subject(one, templates)} not known"
    if one.kind == "calendar":
        return _moment(one, row)
    if one.statistic == "count_of_all" or (one.kind == "events" and one.statistic == "count"):
        return _events(one, value, known, templates)
    if one.kind == "time since":
        return _since(one, value, known, templates)
    if one.kind in ("own baseline", *APART):
        return _apart(one, value, row, known)
    return _level(one, value, known)


def _subject(one: FeatureName, templates: Mapping[str, str]) -> str:
    if one.kind in ("events", "time since"):
        log = one.metric.removeprefix("log_")
        return f"log line '{templates[log]}'" if log in templates else called_event(one.metric)
    return "all metrics" if one.metric == "all" else called(one.metric)


def _events(one: FeatureName, value: float, known: pd.Series, templates: Mapping[str, str]) -> str:
    what, within = _subject(one, templates), _last(one.window)
    everywhere = one.statistic == "count_of_all"
    usual = f"usually {usually(*known[['middle', 'spread']], '1', low=known['low'], high=known['high'])}"
    usual = usual if everywhere else f"fleet mean {known['mean']:.2g}"
    often = f"{what} {counted(value)}" if value else f"no {what}"
    return f"{often} in the last {within}{' in the whole fleet' * everywhere} ({usual})"


def _last(window: str) -> str:
    return {"1 min": "minute", "1 h": "hour"}.get(text := span(length_of(window) / 1e6), text)


def _since(one: FeatureName, value: float, known: pd.Series, templates: Mapping[str, str]) -> str:
    what, most = _subject(one, templates), length_of(one.window) / 1e6
    usual = f"none for {span(most)}" if known["middle"] >= most else f"{span(known['middle'])} ago"
    lately = f"last {what} {span(value)} ago" if value else f"{what} just now"
    text = f"no {what} for {span(most)} or longer" if value >= most else lately
    return f"{text} (usually {usual})" if math.isfinite(known["middle"]) else text


def _apart(one: FeatureName, value: float, row: pd.Series, known: pd.Series) -> str:
    side = "above" if value >= 0 else "below"
    from_what = APART.get(one.kind, "its own baseline")
    now = float(row.get(f"{one.metric}__last__now", math.nan))
    if one.statistic == "off":
        before, unit = now - value, unit_of(one.metric)
        if math.isfinite(before) and before > 0 and unit != "%":
            share = quantity(round(abs(value) / before, 2), "%")
            return f"{called(one.metric)} {share} {side} {from_what} ({quantity(before, unit)})"
        amount = f"{quantity(abs(value), '%')[:-2]} points" if unit == "%" else quantity(abs(value), unit)
        return f"{called(one.metric)} {amount} {side} {from_what}"
    at = f" {quantity(now, unit_of(one.metric))}," if math.isfinite(now) else ""
    return f"{called(one.metric)}{at} {abs(value):.2g} deviations {side} {from_what}"


def _level(one: FeatureName, value: float, known: pd.Series) -> str:
    unit, what, of_what = unit_of(one.metric), called(one.metric), one.statistic
    if one.kind == "detector score":
        score = "of all metrics" if one.metric == "all" else f"of {what}"
        return _beside(f"anomaly score {score} ({one.statistic.replace('_', ' ')})", value, known, "1")
    if one.window == "now":
        return _beside(what, value, known, unit)
    over = span(length_of(one.window) / 1e6)
    if of_what == "slope":
        times = length_of(one.window) / 1e6
        verb = "rose" if value >= 0 else "fell"
        amount = quantity(abs(value) * times, unit, spread=known["spread"] * times)
        usual = _usual(value * times, known * times, unit)
        return f"{what} {verb} by {amount} in {over}{usual}".replace(" %", " points")
    if of_what == "count":
        return _beside(f"readings of {what} in the last {_last(one.window)}:", value, known, "1")
    if of_what == "std":
        return _beside(f"{what} varying over {over} by", value, known, unit)
    if of_what == "ewma":
        return _beside(f"{what} recently (half-life {over})", value, known, unit)
    part = PARTS.get(of_what, f"{int(of_what[1:])} % quantile" if of_what[1:].isdigit() else of_what)
    return _beside(f"{what} {part} over {over}", value, known, unit)


def _beside(what: str, value: float, known: pd.Series, unit: str) -> str:
    return f"{what} {quantity(value, unit, spread=known['spread'])}{_usual(value, known, unit)}"


def _usual(value: float, known: pd.Series, unit: str) -> str:
    if not math.isfinite(known["middle"]):
        return ""
    text = usually(known["middle"], known["spread"], unit, low=known["low"], high=known["high"])
    as_usual = abs(value - known["middle"]) <= known["spread"]
    return f", as usual ({text})" if as_usual else f", usually {text}"


def _moment(one: FeatureName, row: pd.Series) -> str:
    sin, cos = (float(row.get(f"calendar__{part}__{one.window}", math.nan)) for part in ("sin", "cos"))
    if math.isnan(sin) or math.isnan(cos):
        return "time of day" if one.window == "1D" else "day of the week"
    part = (math.atan2(sin, cos) / (2 * math.pi)) % 1
    if one.window == "7D":
        return f"day of the week: {DAYS[int(part * 7 + 1e-6) % 7]}"
    minutes = round(part * 1440) % 1440
    return f"time of day: {minutes // 60:02d}:{minutes % 60:02d}"


def _for_how_long(one: FeatureName, name: str, row: pd.Series, usual: Usual, history: pd.DataFrame | None) -> str:
    """Since when the value has been beyond what is usual, on the side where it is now."""
    known, value = usual.of(name), float(row[name])
    of_time = one.kind in ("events", "time since", "calendar") or one.statistic in ("slope", "count")
    if history is None or of_time or name not in history or not (value > known["high"] or value < known["low"]):
        return ""
    own = history[name].to_numpy(dtype="float64")
    beyond = own > known["high"] if value > known["high"] else own < known["low"]
    inside = np.flatnonzero(~beyond)
    first = int(inside[-1]) + 1 if len(inside) else 0
    if first >= len(own) - 1:
        return ""
    times = history.index.get_level_values("timestamp")
    lasted = span((times[-1] - times[first]).total_seconds())
    return f", for {'' if first else 'at least '}{lasted}"
