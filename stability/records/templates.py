"""Log lines become templates, templates become counts: mined on history, frozen afterwards."""

from __future__ import annotations

__all__ = ["OTHER", "LogTemplates", "template_counts"]

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from stability.records.privacy import scrub
from stability.schema import ContractError, validate

OTHER = "other"  # the template of lines that history did not have, or too few of
ANY = "<*>"
LARGEST = 50_000_000  # cells of a table of counts
TOKENS = 64  # of a line that are compared; the rest of a longer one says little
# Parts that vary in every program alike, the narrowest first; what is left is told apart by the tree.
MASKS = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\.\d)(?::\d{1,5})?"), "<ip>"),
    (re.compile(r"\b(?:0x[0-9a-fA-F]+|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}|[0-9a-f]{8,})\b"), "<hex>"),
    (re.compile(r"(?<![A-Za-z_<])[-+]?\d+(?:[.,:]\d+)*(?![A-Za-z_]*>)"), "<num>"),
)
_PLACEHOLDER = re.compile(r"\[(email|phone|ip|mac|card|iban|token|credentials)\]")
_VARIES = re.compile(r"[\d<]")


@dataclass
class _Group:
    """A template: its tokens, and how many lines of history it had."""

    name: str
    tokens: list[str]
    lines: int = 0
    level: str | None = None


@dataclass
class _Node:
    """A place of the tree: children by token, groups at the leaves."""

    children: dict[str, _Node] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)


class LogTemplates:
    """Drain: a tree of fixed depth sorts lines by length and first words, groups at its leaves by similarity.

    Parameters
    ----------
    similarity : float
        Share of equal words from which a line belongs to a group.
    depth : int
        Words at a line's begin that the tree sorts by.
    children : int
        Words that a place of the tree tells apart; further ones share one branch.
    most : int
        Templates with counts of their own, the most frequent ones of history; the others are `OTHER`.

    Attributes
    ----------
    templates_ : DataFrame
        Index template (`t001`, ... in the order of first occurrence, so a name never changes when more lines come);
        text, level (of its first line), lines (of history), kept (whether it has a count of its own).
    fitted_on_ : dict
        Entities and last moment of the history.

    Notes
    -----
    He, Zhu, Zheng and Lyu (2017), "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS,
    doi 10.1109/ICWS.2017.13. While history is read, a line's group depends on the lines before it alone. Afterwards
    nothing changes any more: a line belongs to a template if all of its constant words are there. Numbers, addresses
    and identifiers are masked first (`MASKS`), and what `privacy.scrub` finds, since templates are kept. Of a message
    of several lines the first one counts.

    Examples
    --------
    >>> lines = ["login of anna failed", "login of ben failed", "disk 7 is full", "login of cleo failed"]
    >>> logs = pd.DataFrame({"timestamp": pd.date_range("2026-01-01", periods=4, freq="1min", tz="UTC"),
    ...                      "entity": "a", "level": None, "message": lines})
    >>> templates = LogTemplates().fit(logs[:3])
    >>> templates.templates_["text"].tolist()
    ['login of <*> failed', 'disk <num> is full']
    >>> templates.assign(logs).tolist()
    ['t001', 't001', 't002', 't001']
    """

    def __init__(self, *, similarity: float = 0.5, depth: int = 2, children: int = 100, most: int = 40):
        if not 0 < similarity <= 1:
            raise ContractError(column="similarity", expected="a share above 0, up to 1", got=repr(similarity))
        for name, value in {"depth": depth, "children": children, "most": most}.items():
            if not isinstance(value, int) or value < 1:
                raise ContractError(column=name, expected="a whole number of at least 1", got=repr(value))
        self.similarity, self.depth, self.children, self.most = similarity, depth, children, most

    def fit(self, logs: pd.DataFrame) -> LogTemplates:
        """Find the templates of history.

        Parameters
        ----------
        logs : DataFrame
            Table of logs, in the order of time.

        Raises
        ------
        ContractError
            Without a line that has a message.
        """
        self.fit_assign(logs)
        return self

    def fit_assign(self, logs: pd.DataFrame) -> pd.Series:
        """Find the templates of history, and say which each line had when it came: what an online reader would say.

        Returns
        -------
        Series of str, shape (lines,)
        """
        logs = validate(logs, "logs")
        if not logs["message"].notna().any():
            raise ContractError(expected="log lines with messages to find templates in", got=f"{len(logs)} without any")
        self._root, self._groups, self.fitted_on_ = _Node(), [], {}
        return self.go_on(logs)

    def go_on(self, logs: pd.DataFrame, *, at_most: int | None = None) -> pd.Series:
        """Learn further lines, after those of before or as the first, and say which template each had when it came.

        Parameters
        ----------
        logs : DataFrame
            Table of logs, in the order of time.
        at_most : int, optional
            Templates that are told apart; a line that would need another is `OTHER`, and nothing is learnt of it.

        Returns
        -------
        Series of str, shape (lines,)
        """
        logs = validate(logs, "logs")
        if not hasattr(self, "_root"):
            self._root, self._groups, self.fitted_on_ = _Node(), [], {}
        self._known = {}
        levels = logs["level"].where(logs["level"].notna(), None)
        pairs = zip(logs["message"], levels, strict=True)
        names = [self._learn(_tokens(text), level, at_most) for text, level in pairs]
        self.fitted_on_ = {
            "entities": sorted({*logs["entity"].unique(), *self.fitted_on_.get("entities", ())}),
            "until": logs["timestamp"].max().isoformat(),
        }
        self._tell()
        return pd.Series(names, index=logs.index, name="template", dtype="str")

    def _tell(self) -> None:
        kept = {g.name for g in sorted(self._groups, key=lambda g: -g.lines)[: self.most]}
        self.templates_ = pd.DataFrame(
            [(g.name, " ".join(g.tokens), g.level, g.lines, g.name in kept) for g in self._groups],
            columns=["template", "text", "level", "lines", "kept"],
        ).set_index("template")

    def assign(self, logs: pd.DataFrame, *, every: bool = False) -> pd.Series:
        """Say which template of history each line has; `OTHER` where it has none or one that is not kept.

        Parameters
        ----------
        logs : DataFrame
            Table of logs.
        every : bool
            Name templates that are not kept, too: then `OTHER` is what history did not have.

        Returns
        -------
        Series of str, shape (lines,)
        """
        if not hasattr(self, "templates_"):
            raise ContractError(expected="templates that were fitted", got="new ones", remedy="call fit(history) first")
        logs = validate(logs, "logs")
        kept = set(self.templates_.index[self.templates_["kept"]])
        texts = logs["message"].fillna("")
        found = {text: self._find(_tokens(text)) for text in texts.unique()}
        names = texts.map({text: name if every or name in kept else OTHER for text, name in found.items()})
        return names.astype("str").rename("template")

    def _leaf(self, tokens: tuple[str, ...], *, grow: bool) -> _Node | None:
        """Walk down by the number of words and the first of them; grow the tree on the way, or end at None."""
        node = self._root
        for step in (str(len(tokens)), *tokens[: self.depth]):
            inner = node is not self._root
            key = ANY if inner and _VARIES.search(step) else step
            if key not in node.children:
                full = inner and len(node.children) >= self.children
                key = ANY if full or not grow else key
                if key not in node.children:
                    if not grow:
                        return None
                    node.children[key] = _Node()
            node = node.children[key]
        return node

    def _learn(self, tokens: tuple[str, ...], level: str | None, at_most: int | None) -> str:
        full = at_most is not None and len(self._groups) >= at_most
        node = self._leaf(tokens, grow=not full)
        best, most = None, (0.0, -1)
        for group in node.groups if node else ():
            equal = sum(a == b for a, b in zip(group.tokens, tokens, strict=True))
            score = (equal / max(1, len(tokens)), group.tokens.count(ANY))
            if score[0] >= self.similarity and score > most:
                best, most = group, score
        if best is None and full:
            return OTHER
        if best is None:
            best = _Group(f"t{len(self._groups) + 1:03d}", list(tokens), level=level)
            node.groups.append(best)
            self._groups.append(best)
        best.tokens = [a if a == b else ANY for a, b in zip(best.tokens, tokens, strict=True)]
        best.lines += 1
        return best.name

    def _find(self, tokens: tuple[str, ...]) -> str:
        if tokens not in self._known:
            node = self._leaf(tokens, grow=False)
            groups = node.groups if node else []
            fits = [g for g in groups if all(a in (b, ANY) for a, b in zip(g.tokens, tokens, strict=True))]
            self._known[tokens] = min(fits, key=lambda g: (g.tokens.count(ANY), g.name)).name if fits else OTHER
        return self._known[tokens]

    # ---- kept ----------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Give settings and templates as numbers, text, lists and None: what JSON holds."""
        if not hasattr(self, "templates_"):
            raise ContractError(expected="templates that were fitted", got="new ones", remedy="call fit(history) first")
        names = ("similarity", "depth", "children", "most")
        found: dict[str, Any] = {"settings": {name: getattr(self, name) for name in names}}
        where, places = {}, [((), self._root)]
        while places:
            path, node = places.pop()
            where |= {group.name: path for group in node.groups}
            places += [((*path, step), inner) for step, inner in node.children.items()]
        found["groups"] = [[g.name, g.tokens, g.lines, g.level, list(where[g.name])] for g in self._groups]
        return found | {"fitted_on": self.fitted_on_}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> LogTemplates:
        """Read what `to_dict` gave.

        Examples
        --------
        >>> logs = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-01T00:00:30Z"]),
        ...                      "entity": "a", "level": "INFO", "message": "request 7 done"})
        >>> LogTemplates.from_dict(LogTemplates().fit(logs).to_dict()).assign(logs).tolist()
        ['t001']
        """
        found = cls(**kept["settings"])
        found._root, found._groups, found._known = _Node(), [], {}
        for name, tokens, lines, level, path in kept["groups"]:
            node = found._root
            for step in path:
                node = node.children.setdefault(step, _Node())
            found._groups.append(_Group(name, list(tokens), lines, level))
            node.groups.append(found._groups[-1])
        found.fitted_on_ = dict(kept["fitted_on"])
        found._tell()
        return found


def _tokens(text: str) -> tuple[str, ...]:
    """Cut a message's first line into words, what varies masked, and what identifies people or opens doors."""
    line = (text if isinstance(text, str) else "").strip().split("\n", 1)[0]
    for mask, word in MASKS:
        line = mask.sub(word, line)
    return tuple(_scrubbed(line).split(None, TOKENS)[:TOKENS])


@lru_cache(maxsize=10_000)  # masked lines repeat
def _scrubbed(line: str) -> str:
    return _PLACEHOLDER.sub(r"<\1>", scrub(line))


def template_counts(logs: pd.DataFrame, step: str, templates: LogTemplates) -> pd.DataFrame:
    """Count the lines of each template in each step of time: a panel that detectors and features take.

    Parameters
    ----------
    logs : DataFrame
        Table of logs.
    step : str
        Length of a step as pandas writes it, such as ``"5min"``.
    templates : LogTemplates
        Fitted on history.

    Returns
    -------
    DataFrame
        Index (entity, timestamp); the value at time t is of ``(t - step, t]``, so it was known at t. Columns
        ``log_lines`` (all), ``log_<template>_<words>`` (a kept template), ``log_other`` (the rest). 0 where an entity
        said nothing between the first and the last line of the table. ``attrs["fitted_on"]`` says which data shaped
        the templates.

    Raises
    ------
    ContractError
        For a step that is none, without lines, and where the table would be too large.

    Examples
    --------
    >>> logs = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-01T00:00:30Z", "2026-01-01T00:02:00Z"]),
    ...                      "entity": "a", "level": "INFO", "message": "request 7 done"})
    >>> counts = template_counts(logs, "1min", LogTemplates().fit(logs))
    >>> counts["log_t001_request_done"].tolist()
    [1.0, 1.0]
    """
    logs = validate(logs, "logs")
    try:
        width = pd.Timedelta(step) // pd.Timedelta("1us")
    except (ValueError, TypeError):
        width = 0
    if not isinstance(width, int) or width <= 0:
        raise ContractError(column="step", expected="a length of time such as '5min'", got=repr(step))
    if logs.empty:
        raise ContractError(expected="log lines to count", got="none")
    found = templates.assign(logs)
    names = {name: _column(name, row.text) for name, row in templates.templates_.iterrows() if row.kept}
    names[OTHER] = f"log_{OTHER}"
    stamps = logs["timestamp"].dt.as_unit("us").astype("int64").to_numpy()
    ends = -(-stamps // width)
    steps = int(ends.max() - ends.min()) + 1
    entities, who = np.unique(logs["entity"].to_numpy(dtype=object), return_inverse=True)
    cells = len(entities) * steps * (len(names) + 1)
    if cells > LARGEST:
        remedy = "a longer step, fewer templates (most=...), or entities and days in parts"
        raise ContractError(expected=f"a table of at most {LARGEST:,} cells", got=f"{cells:,}", remedy=remedy)
    which = found.map({name: place for place, name in enumerate(names)}).to_numpy(dtype="int64")
    counts = np.zeros((len(entities) * steps, len(names) + 1))
    row = who * steps + (ends - ends.min())
    np.add.at(counts, (row, which + 1), 1)
    np.add.at(counts, (row, 0), 1)
    times = pd.to_datetime((ends.min() + np.arange(steps)) * width, unit="us", utc=True)
    index = pd.MultiIndex.from_product([entities, times], names=["entity", "timestamp"])
    panel = validate(pd.DataFrame(counts, index=index, columns=["log_lines", *names.values()]), "telemetry")
    panel.attrs["fitted_on"] = dict(templates.fitted_on_)
    return panel


def _column(name: str, text: str) -> str:
    """Name a template's count by its first three plain words."""
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", " ", text))[:3]
    return "_".join(["log", name, *(word.lower() for word in words)])
