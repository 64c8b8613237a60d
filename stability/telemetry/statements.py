"""A query's text: one statement that reads, and the parameters that it names."""

from __future__ import annotations

__all__ = ["bindable", "checked_query", "parameters"]

import re

from stability.schema import ContractError

READING = ("SELECT", "WITH", "VALUES", "TABLE")
# What is no SQL although it may look like it: quoted text and names, dollar quotes of PostgreSQL, comments.
_QUOTED = re.compile(
    r"""(?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<name>"(?:[^"]|"")*" | `[^`]*`)
    | (?P<comment>--[^\n]* | /\*.*?\*/)""",
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)(?![:\w])")  # not the :: of a cast, not a clock's 12:30


def checked_query(query: str, *, file: str = "") -> str:
    """Refuse what is not one statement that reads.

    The database is opened for reading only, so this is not what protects it; it is what says so in plain words before
    a connection is made.

    Parameters
    ----------
    query : str
        SQL.
    file : str
        The database's name in errors.

    Returns
    -------
    str
        The statement, without a semicolon at its end.

    Raises
    ------
    ContractError
        It is empty, several statements, or one that does not begin with SELECT, WITH, VALUES or TABLE.

    Examples
    --------
    >>> checked_query("select 1; -- that is all")
    'select 1 -- that is all'
    >>> checked_query("select 1; drop table readings")
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: expected one statement, got several. Remedy: keep the one that reads.
    """
    if not isinstance(query, str):
        raise ContractError(file=file or None, expected="a query in SQL", got=repr(query))
    bare = _QUOTED.sub(lambda found: re.sub(r"\S", " " if found["comment"] else "x", found[0]), query)
    end = bare.find(";")
    if end >= 0 and bare[end:].replace(";", "").strip():
        said = {"expected": "one statement", "got": "several", "remedy": "keep the one that reads"}
        raise ContractError(file=file or None, **said)
    first = re.match(r"[\s(]*(\w*)", bare)[1].upper()
    if first not in READING:
        raise ContractError(
            file=file or None,
            expected=f"a query that reads ({', '.join(READING)})",
            got=repr(first) if first else "none",
            remedy="databases are opened for reading only; let the database's own tools do what is to be changed",
        )
    return query if end < 0 else query[:end] + query[end:].replace(";", "")


def parameters(query: str) -> set[str]:
    """Names of the parameters that a query asks for: ``:start`` is "start".

    Examples
    --------
    >>> sorted(parameters("select ts::date, ':no' from r where ts >= :start and ts < :end -- :neither"))
    ['end', 'start']
    """
    return set(_PARAMETER.findall(_QUOTED.sub(" ", query)))


def bindable(query: str) -> str:
    r"""Write a query as SQLAlchemy's `text` reads it: no colon of a text, name or comment asks for a parameter.

    Examples
    --------
    >>> bindable("select 'a :b' from r where t > :start")
    "select 'a \\:b' from r where t > :start"
    """
    return _QUOTED.sub(lambda found: found[0].replace(":", r"\:"), query)
