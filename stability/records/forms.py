"""The forms of log files: each line, document or entry becomes a mapping of fields, and what does not is told."""

from __future__ import annotations

__all__ = ["FORMS", "SEVERITIES", "Parsed", "detect", "flatten", "parse_json", "parse_syslog", "parse_text"]

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from stability.records.lines import UTF16
from stability.records.patterns import Pattern
from stability.records.stamps import STAMP

FORMS = ("auto", "text", "json", "syslog", "journald", "table")
#: RFC 5424, section 6.2.1, in the words of syslog(3).
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
DEEPEST = 12  # levels of nested JSON that become dotted names
Parsed = Iterator[tuple[int, dict | None, str]]  # row, fields or None where the line has none, the line

# Structured data in brackets, whose values escape ] and " by a backslash.
_DATA = r'-|(?:\[[^\s=\]"]+(?: +[^\s=\]"]+="(?:[^"\\]|\\.)*")*\])+'
_NEW = re.compile(
    r"<(?P<pri>\d{1,3})>\d{1,2} (?P<timestamp>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<msgid>\S+)"
    rf" (?P<data>{_DATA})(?: \ufeff?(?P<message>.*))?\Z",
    re.S,
)
_OLD = re.compile(
    rf"(?:<(?P<pri>\d{{1,3}})>)?(?P<timestamp>{STAMP}) (?P<host>\S+)"
    r" (?:(?P<app>[^\s:\[\]]{1,128})(?:\[(?P<pid>[^\]\s]*)\])?: ?)?(?P<message>.*)\Z",
    re.S,
)
# A line that begins so belongs to the line before: indented ones, and what tracebacks are made of.
_CONTINUED = re.compile(
    r"\s|$|Traceback \(most recent call last\)|During handling of the above|The above exception was|Caused by[: ]"
    r"|Suppressed: |\.\.\. \d+ more|at [\w.$<>/]+\(|goroutine \d+ |[})\]]+[;,]?\s*$"
)
# The last line of a traceback names the error; it counts only right below an indented line.
_ERROR = re.compile(r"[\w.$]+(?:: |:?$)")


def detect(probe: bytes) -> str:
    """Tell a file's form from its first bytes.

    Examples
    --------
    >>> detect(b'{"time": 1, "msg": "up"}\\n'), detect(b"<13>1 2026-01-01T00:00:00Z h a - - - up")
    ('json', 'syslog')
    >>> detect(b"Jan  1 00:00:00 web-1 sshd[7]: up\\n"), detect(b"2026-01-01 00:00:00 INFO up\\n")
    ('syslog', 'text')
    >>> detect(b"__CURSOR=s=1;i=2\\n"), detect(b"timestamp,entity,message\\n")
    ('journald', 'table')
    """
    if probe.startswith(b"PAR1"):
        return "table"
    encoding = "utf-16" if probe[:2] in UTF16 else "utf-8"
    text = probe.removeprefix(b"\xef\xbb\xbf").decode(encoding, errors="replace").lstrip()
    first = text.split("\n", 1)[0].strip()
    if text[:1] in ("{", "["):
        if '"__REALTIME_TIMESTAMP"' in text:
            return "journald"
        if text[0] == "{" or re.match(r"\[\s*[{\]]", text):
            return "json"
    if re.match(r"(?:__CURSOR|__REALTIME_TIMESTAMP|_[A-Z_]+|MESSAGE)=", first):
        return "journald"
    if _NEW.match(first) or re.match(r"<\d{1,3}>", first):
        return "syslog"
    if (old := _OLD.match(first)) and (old["pid"] is not None or (old["app"] and not first[0].isdigit())):
        return "syslog"
    names = {name.strip().strip('"').lower() for name in re.split(r"[,;\t|]", first)}
    if names & {"timestamp", "time", "ts", "@timestamp", "date"} and names & {"message", "msg", "log"}:
        return "table"
    return "text"


def parse_text(lines: Iterable[tuple[int, str]], pattern: Pattern) -> Parsed:
    """Read lines by a pattern."""
    match = pattern.regex.fullmatch
    for row, line in lines:
        found = match(line.rstrip())
        yield row, None if found is None else found.groupdict(), line


def parse_syslog(lines: Iterable[tuple[int, str]]) -> Parsed:
    """Read RFC 5424 and RFC 3164 lines, with or without their priority, with ISO stamps as rsyslog writes them.

    Fields: timestamp, host, app, pid, level (name of the severity), message.
    """
    for row, line in lines:
        found = _NEW.match(line) or _OLD.match(line.rstrip())
        fields = None if found is None else {k: v for k, v in found.groupdict().items() if v not in (None, "-")}
        if fields is not None and "pri" in fields:
            priority = int(fields["pri"])
            fields["level"] = SEVERITIES[priority % 8]
            if priority > 191:  # facility 23, severity 7
                fields = None
        if fields is not None and "timestamp" not in fields:
            fields = None
        yield row, fields, line


def parse_json(lines: Iterable[tuple[int, str]], prepare: Callable[[dict], dict] | None = None) -> Parsed:
    """Read one JSON object a line; nested keys are joined by dots.

    Parameters
    ----------
    lines : iterable of (int, str)
    prepare : callable, optional
        Applied to each flat object.
    """
    for row, line in lines:
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        fields = flatten(document) if isinstance(document, dict) else None
        yield row, prepare(fields) if prepare and fields is not None else fields, line


def flatten(document: Mapping, prefix: str = "", depth: int = 0) -> dict[str, str]:
    """Turn nested JSON into dotted names and texts; null is left out, lists of texts or of names are joined by commas.

    Examples
    --------
    >>> flatten({"a": {"b": 1, "c": None}, "d": ["x", "y"], "e": True, "f": [{"id": 7, "name": "z"}], "g": []})
    {'a.b': '1', 'd': 'x,y', 'e': 'true', 'f': 'z'}
    """
    flat: dict[str, str] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, str):
            flat[name] = value
        elif isinstance(value, dict) and value and depth < DEEPEST:
            flat |= flatten(value, f"{name}.", depth + 1)
        elif isinstance(value, list) and value and all(isinstance(item, str | int | float) for item in value):
            flat[name] = ",".join(map(str, value))
        elif (
            isinstance(value, list)
            and value
            and all(isinstance(i, dict) and isinstance(i.get("name"), str) for i in value)
        ):
            flat[name] = ",".join(item["name"] for item in value)
        elif value not in (None, [], {}):
            flat[name] = json.dumps(value, ensure_ascii=False)
    return flat


def from_journal(fields: Mapping[str, str]) -> dict[str, str]:
    """Name a journal entry's fields as those of syslog are named; the others keep their names."""
    named = dict(fields)
    stamp = fields.get("__REALTIME_TIMESTAMP") or fields.get("_SOURCE_REALTIME_TIMESTAMP")
    app = fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM")
    priority = fields.get("PRIORITY", "")
    level = SEVERITIES[int(priority)] if priority in tuple("01234567") else None
    new = {"timestamp": stamp, "host": fields.get("_HOSTNAME"), "app": app, "level": level}
    new["message"] = fields.get("MESSAGE")
    return named | {name: value for name, value in new.items() if value is not None}


def from_journal_json(fields: Mapping[str, str]) -> dict[str, str]:
    """As `from_journal`, where bytes that are no text came as a list of their numbers."""
    message = fields.get("MESSAGE", "")
    if re.fullmatch(r"\d{1,3}(?:,\d{1,3})+", message) and all(int(n) < 256 for n in message.split(",")):
        fields = {**fields, "MESSAGE": bytes(map(int, message.split(","))).decode("utf-8", errors="replace")}
    return from_journal(fields)


def belongs_to_line_before(line: str, indented_before: bool) -> bool:
    """Whether a line without a begin of its own continues a traceback or an indented block.

    Examples
    --------
    >>> [belongs_to_line_before(line, before) for line, before in [("  File x", False), ("ValueError: no", True),
    ...  ("ValueError: no", False), ("what is this", False)]]
    [True, True, False, False]
    """
    return bool(_CONTINUED.match(line)) or (indented_before and bool(_ERROR.match(line)))
