"""What a text line looks like: a template that people write, or a regular expression, kept from running wild."""

from __future__ import annotations

__all__ = ["COMMON", "Pattern", "compile_pattern", "guess", "in_time"]

import re
import signal
import string
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from stability.records.stamps import STAMP, strptime_regex
from stability.schema import ContractError

LONGEST_PATTERN = 2_000  # characters of a pattern
PATIENCE = 20.0  # s that a block of lines may take to match: thousands of times what a sane pattern needs
ENOUGH = 0.5  # share of the probed lines that a guessed template must match
#: Templates of widespread programs, the most telling first; their names may stand for them.
COMMON = {
    "web": '{client} {ident} {user} [{timestamp}] "{request}" {status} {message}',
    "python": "{timestamp} - {logger} - {level} - {message}",
    "loguru": "{timestamp} | {level} | {message}",
    "logback": "{timestamp} [{thread}] {level} {logger} - {message}",
    "nginx-error": "{timestamp} [{level}] {message}",
    "cri": "{timestamp} {stream} {flag} {message}",
    "level": "{timestamp} {level} {message}",
    "vllm": "{level} {timestamp} {message}",
    "vllm-process": "({process}) {level} {timestamp} {message}",
    # Triton, TensorFlow and Kubernetes: the level's letter stands before month and day
    "glog": r"(?P<level>[IWEF])(?P<timestamp>\d{4} \d\d:\d\d:\d\d\.\d{1,9})\s+(?P<thread>\d+) (?P<at>[^\]]*)\]"
    r" (?P<message>.*)",
    "brackets": "[{timestamp}] [{level}] {message}",
    "bracketed": "[{timestamp}] {level} {message}",
    "plain": "{timestamp} {message}",
}
# In the guessed templates a level is one of these: any word would do for "2026-01-01 00:00:00 Started the pump".
LEVELS = (
    r"(?i:trace|debug|verbose|fine(?:r|st)?|config|info(?:rmation)?|notice|warn(?:ing)?|err(?:or)?|severe|crit(?:ical)?"
    r"|alert|emerg(?:ency)?|panic|fatal|dpanic)"
)
NARROW = {"level": LEVELS, "stream": "(?:stdout|stderr)", "flag": "[FP]", "status": r"\d{3}"}


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern.

    Parameters
    ----------
    regex : re.Pattern
        Matches a whole line; its named groups are the fields.
    said : str
        As it was written.
    timestamp_format : str or None
        strptime pattern of the moment, where the template names one.
    """

    regex: re.Pattern
    said: str
    timestamp_format: str | None = None


def compile_pattern(text: str) -> Pattern:
    """Compile a template such as ``{timestamp} {level} [{entity}] {message}``, a name of `COMMON`, or an expression.

    Parameters
    ----------
    text : str
        In a template, a field in braces runs to the next sign that stands behind it, blanks match any number of
        blanks, ``{timestamp:%d.%m.%Y %H:%M:%S}`` names the form of the moment, and ``{_}`` is passed over. A text with
        ``(?P<name>...)`` is a regular expression. Both must cover the line from its begin to its end.

    Returns
    -------
    Pattern

    Raises
    ------
    ContractError
        When it cannot be compiled, has no ``timestamp`` or no ``message``, or nests repetitions such that some lines
        would take longer than a life to match.

    Examples
    --------
    >>> pattern = compile_pattern("{timestamp} {level} [{entity}] {message}")
    >>> pattern.regex.fullmatch("2026-01-02 03:04:05,678  WARN [web-1] slow: 3 s").groupdict()
    {'timestamp': '2026-01-02 03:04:05,678', 'level': 'WARN', 'entity': 'web-1', 'message': 'slow: 3 s'}
    >>> compile_pattern(r"(?P<timestamp>\\S+) (?P<message>(a+)+b)")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: column 'pattern': expected a repetition ... Remedy: ...
    """
    if not isinstance(text, str) or not text.strip():
        _refuse("a template such as '{timestamp} {level} {message}'", repr(text))
    if len(text) > LONGEST_PATTERN:
        _refuse(f"at most {LONGEST_PATTERN:,} characters", f"{len(text):,}")
    text = COMMON.get(text, text)
    expression, form = (text, None) if "(?P<" in text else _from_template(text, {})
    try:
        regex = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ContractError(column="pattern", expected="a regular expression", got=f"{text!r} ({error})") from error
    for field in ("timestamp", "message"):
        if field not in regex.groupindex:
            there = ", ".join(regex.groupindex) or "none"
            remedy = "name it: {timestamp} {message}, or (?P<timestamp>...) (?P<message>...)"
            _refuse(f"a field {field!r}", f"the fields {there}", remedy)
    if "(?P<" in text:
        _refuse_nested(re._parser.parse(expression), text)
    return Pattern(regex, text, form)


def guess(lines: Sequence[str]) -> Pattern | None:
    """Find the template of `COMMON` that the most lines follow; None where none fits half of them.

    Examples
    --------
    >>> guess(["2026-01-01 00:00:00 INFO up", "2026-01-01 00:00:01 ERROR down"]).said
    '{timestamp} {level} {message}'
    >>> guess(["once upon a time"]) is None
    True
    """
    begun = [line for line in lines if line.strip() and not line[:1].isspace()]
    best, most = None, ENOUGH * len(begun)
    for text in COMMON.values():
        regex = re.compile(text if "(?P<" in text else _from_template(text, NARROW)[0])
        hits = sum(regex.fullmatch(line) is not None for line in begun)
        if hits > most or (hits == most and best is None and hits):
            best, most = Pattern(regex, text), hits
    return best


@contextmanager
def in_time(label: str, pattern: Pattern) -> Iterator[None]:
    """Break off a search that never ends, in the main thread of a system that has alarms; elsewhere only run.

    Raises
    ------
    ContractError
        When the block takes longer than 20 s.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def late(*_) -> None:
        raise ContractError(
            file=label,
            column="pattern",
            expected=f"a block of lines to match within {PATIENCE:g} s",
            got=f"{pattern.said!r}, which takes longer",
            remedy="say what a field must not contain, [^ ]+ instead of .*, or use a template",
        )

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _from_template(text: str, narrow: dict[str, str]) -> tuple[str, str | None]:
    """Write a template's regular expression, and the form of its moment where one is named."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ContractError(column="pattern", expected="fields in braces", got=f"{text!r} ({error})") from error
    found, seen, form = [], set(), None
    for place, (literal, field, spec, _) in enumerate(parts):
        found.append(r"\s+".join(re.escape(piece) for piece in re.split(r"\s+", literal)))
        if field is None:
            continue
        follows = parts[place + 1][0] if place + 1 < len(parts) else ""
        if place + 1 < len(parts) and not follows:
            _refuse("a sign between two fields", f"{text!r}")
        if field != "_" and (not field.isidentifier() or field in seen):
            _refuse("fields of letters, digits and _, each once", f"{{{field}}} in {text!r}")
        seen.add(field)
        if field == "timestamp":
            form = spec or None
        inner = strptime_regex(spec) if field == "timestamp" and spec else narrow.get(field) or _inside(field, follows)
        found.append(f"({inner})" if field == "_" else f"(?P<{field}>{inner})")
    return "".join(found), form


def _inside(field: str, follows: str) -> str:
    """What a field may hold: up to the sign that stands behind it."""
    if field == "timestamp":
        return STAMP
    if field == "message":
        return ".*?" if follows.strip() else ".*"
    if field == "level":
        return r"[^\W\d_]+|\d"
    if not follows:
        return ".*"
    return r"\S+?" if follows[0].isspace() else rf"[^{re.escape(follows[0])}]*"


def _refuse(expected: str, got: str, remedy: str | None = None) -> None:
    raise ContractError(column="pattern", expected=expected, got=got, remedy=remedy)


def _refuse_nested(tree, text: str, inside: bool = False) -> None:
    """Refuse a repetition without an end inside of another one: (a+)+ tries every way to cut a line into pieces."""
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            endless = argument[1] is re._parser.MAXREPEAT or argument[1] > 100
            if endless and inside:
                expected = "a repetition of what has a bounded length"
                remedy = "write (?:a b)* as [^x]* or the like, or use a template"
                _refuse(expected, f"one inside of another in {text!r}, which may never end", remedy)
            _refuse_nested(argument[2], text, inside or endless)
        elif name == "SUBPATTERN":
            _refuse_nested(argument[3], text, inside)
        elif name == "BRANCH":
            for branch in argument[1]:
                _refuse_nested(branch, text, inside)
        elif name in ("ASSERT", "ASSERT_NOT"):
            _refuse_nested(argument[1], text, inside)
