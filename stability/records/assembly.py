"""From parsed lines to rows: what belongs to the line before, what is no log line, which field is which column."""

from __future__ import annotations

__all__ = ["ALIASES", "SHOWN", "Maker", "Tally"]

import re
import string
from collections.abc import Iterator

import pandas as pd

from stability.records import forms
from stability.records.lines import Opened, text_lines, whole
from stability.records.options import LogOptions
from stability.records.patterns import COMMON, Pattern
from stability.schema import ContractError, nearest
from stability.telemetry.sources import Source

SHOWN = 5  # offending lines that an error lists
_LOG = re.compile(r"(?:\.(?:log|jsonl|ndjson|json|out|err|journal|export))+(?:[.-]\d{1,10})?$")
GLOG = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
#: Names that widespread loggers give to the four columns, in the order in which they are looked for.
ALIASES = {
    "timestamp": (
        "timestamp", "@timestamp", "time", "ts", "datetime", "date", "asctime", "Timestamp", "Time", "eventTime",
        "event_time", "time_local", "t", "TimeGenerated", "created", "ingestionTime", "_source.@timestamp",
    ),
    "level": (
        "level", "severity", "levelname", "log.level", "loglevel", "log_level", "lvl", "severityText", "severity_text",
        "SeverityText", "level_name", "Level", "priority", "_source.log.level", "_source.level",
    ),
    "entity": (
        "entity", "host", "hostname", "host.name", "service", "service.name", "kubernetes.pod.name",
        "kubernetes.pod_name", "pod", "container", "container_name", "instance", "app", "resource.service.name",
        "Host", "Computer", "logStreamName", "_source.host.name",
    ),
    "message": (
        "message", "msg", "log", "event", "text", "body", "Body", "MESSAGE", "Message", "@message", "textPayload",
        "jsonPayload.message", "_source.message",
    ),
}  # fmt: skip


class Tally:
    """Joins lines that belong together, counts what is no log line, and refuses too much of it.

    Parameters
    ----------
    options : LogOptions
    """

    def __init__(self, options: LogOptions):
        self.options = options
        self.lines = self.continued = self.unmatched = self.undecodable = self.matched = 0
        self.first: list[tuple[int, str]] = []
        self._open: tuple[int, dict, list[str]] | None = None
        self._indented = False

    def read(self, file: Opened) -> Iterator[tuple[int, str]]:
        """Give a file's lines, counted."""
        for row, line, mended in text_lines(file, self.options.encoding, self.options.undecodable):
            self.lines += 1
            self.undecodable += mended
            yield row, line

    def whole(self, file: Opened) -> bytes:
        """Give a file's content in UTF-8, counted."""
        content, mended = whole(file, self.options.encoding, self.options.undecodable)
        self.undecodable += mended
        return content

    def joined(self, parsed: forms.Parsed) -> Iterator[tuple[int, dict]]:
        """Give the records of a file, each with all of its lines."""
        for row, found, line in parsed:
            if found is not None:
                self.matched += 1
                self.lines += not line
                done, self._open = self._take(), (row, found, [])
                self._indented = False
                if done:
                    yield done
            elif self._continues(line):
                self.continued += 1
                self._open[2].append(line)
                self._indented = line[:1].isspace()
            elif line.strip():
                self.unmatched += 1
                if len(self.first) < SHOWN:
                    self.first.append((row, line))
                if self.options.unmatched == "keep":
                    done, self._open = self._take(), None
                    if done:
                        yield done
                    yield row, {"message": line, "timestamp": None, "unmatched": True}
        if done := self._take():
            yield done

    def _continues(self, line: str) -> bool:
        if self._open is None or self.options.multiline == "none":
            return False
        return self.options.multiline == "all" or forms.belongs_to_line_before(line, self._indented)

    def _take(self) -> tuple[int, dict] | None:
        if self._open is None:
            return None
        row, found, more = self._open
        if more:
            found = {**found, "message": "\n".join([found.get("message") or "", *more]).rstrip()}
        return row, found

    def judge(self, label: str, form: str, pattern: Pattern | None) -> None:
        """Refuse a file with more lines that are none than the policy allows."""
        share = self.unmatched / max(1, self.unmatched + self.matched)
        if not self.unmatched or (self.options.unmatched != "error" and share <= self.options.tolerated):
            return
        what = f"lines as {pattern.said!r} describes them" if pattern else f"lines in the form {form!r}"
        remedy = "unmatched='drop' or 'keep' where they do not matter, multiline='all' where they belong to the line"
        remedy += " before, or another pattern"
        if self.options.unmatched != "error":
            what = f"at most {self.options.tolerated:.1%} of lines that are not {what.removeprefix('lines ')}"
            remedy = "name the pattern that most lines follow, or a higher share in tolerated=..."
        more = f" (and {self.unmatched - 1:,} more lines, {share:.1%} of all)" if self.unmatched > 1 else ""
        rows = [row for row, _ in self.first]
        raise ContractError(
            file=label,
            row=rows[0] if len(rows) == 1 else rows,
            expected=what,
            got=f"{self.first[0][1][:200]!r}{more}",
            remedy=remedy,
        )


class Maker:
    """Turns a block of records into columns: which field is which, and names made of several.

    Parameters
    ----------
    source : Source
    form : str
    pattern : Pattern or None
    options : LogOptions
    """

    def __init__(self, source: Source, form: str, pattern: Pattern | None, options: LogOptions):
        self.source, self.options, self.seen = source, options, set()
        named: dict[str, tuple[str, ...]] = {}
        for theirs, ours in options.columns.items():
            named[ours] = (*named.get(ours, ()), theirs)
        dropped = named.pop(None, ())
        self.names = {
            column: named.get(column) or tuple(n for n in aliases if n not in dropped)
            for column, aliases in ALIASES.items()
        }
        self.own = set(named)
        self.place = {"stem": _stem(source), "name": source.path.rsplit("/", 1)[-1], "parent": source.parent}
        self.entity = _template(options.entity, "entity")
        wanted = options.message
        if wanted is None and "message" not in named:
            if form in ("syslog", "journald"):
                wanted = "{app}: {message}"
            elif pattern is not None and pattern.said == COMMON["web"]:
                wanted = "{request} {status}"
        self.message = _template(wanted, "message")
        letters = GLOG if pattern is not None and pattern.said == COMMON["glog"] else {}
        self.levels = {**letters, **options.levels}

    def frame(self, rows: list[tuple[int, dict]]) -> pd.DataFrame:
        """Make the columns row, timestamp, entity, level, message of a block."""
        for _, found in rows:
            self.seen.update(found)
        made = {
            "row": [row for row, _ in rows],
            "timestamp": [self._first(found, "timestamp") for _, found in rows],
            "entity": [self._entity(row, found) for row, found in rows],
            "level": [self._first(found, "level") for _, found in rows],
            "message": [self._message(found) for _, found in rows],
            "unmatched": ["unmatched" in found for _, found in rows],
        }
        frame = pd.DataFrame(made)
        for name in ("timestamp", "entity", "level", "message"):
            frame[name] = frame[name].astype("str")
        if self.levels:
            frame["level"] = frame["level"].map(lambda level: self.levels.get(level, level)).astype("str")
        return frame

    def _first(self, found: dict, column: str) -> str | None:
        for name in self.names[column]:
            value = found.get(name)
            if value is not None and value != "":
                return value
        return None

    def _entity(self, row: int, found: dict) -> str:
        if self.entity is None:
            value = self._first(found, "entity") or (found.get("host") if "entity" not in self.own else None)
            if value is None and "entity" in self.own and "unmatched" not in found:
                self._refuse_entity(row, self.names["entity"][0], found)
            return (value or self.place["stem"]).strip() or self.place["stem"]
        if "unmatched" in found:
            return self.place["stem"]
        parts = []
        for literal, name in self.entity:
            value = None if name is None else found.get(name) or self.place.get(name)
            if name is not None and not value:
                self._refuse_entity(row, name, found)
            parts += [literal, value or ""]
        return "".join(parts).strip()

    def _refuse_entity(self, row: int, name: str, found: dict) -> None:
        raise ContractError(
            file=self.source.label,
            row=row,
            column=name,
            expected="an entity's name",
            got="no such field, or an empty one",
            remedy=nearest(name, {*found, *self.place} - {"message"}),
        )

    def _message(self, found: dict) -> str | None:
        text = self._first(found, "message")
        if self.message is not None and "unmatched" not in found:
            parts = [(literal, None if name is None else found.get(name)) for literal, name in self.message]
            if all(
                value is not None or name is None for (_, value), (_, name) in zip(parts, self.message, strict=True)
            ):
                text = "".join(literal + (value or "") for literal, value in parts)
        return None if text is None else text.strip("\r\n")


def _template(text: str | None, option: str) -> list[tuple[str, str | None]] | None:
    """Read a field's name or a template of names; dotted names are names, nothing is looked up in objects."""
    if text is None:
        return None
    if "{" not in text:
        return [("", text)]
    try:
        return [(literal, name) for literal, name, _, _ in string.Formatter().parse(text)]
    except ValueError as error:
        expected = "a field, or a template such as '{host}/{app}'"
        raise ContractError(column=option, expected=expected, got=f"{text!r} ({error})") from error


def _stem(source: Source) -> str:
    """Name of the file without its suffixes, those of logs and of their rotation too: app.log.2.gz is app."""
    return _LOG.sub("", source.stem) or source.stem
