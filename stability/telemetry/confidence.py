"""What must not be told: secrets come from the environment, and addresses are shown without them."""

from __future__ import annotations

__all__ = ["PLACEHOLDER", "filled", "filled_options", "shown_address"]

import os
import re
from collections.abc import Mapping

from stability.schema import ContractError

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")  # ${NAME} stands for the environment's variable NAME
_SECRET = re.compile(r"(?i)secret|pass(?!ive)|token|credential|private|connection_string|account_key|sas")


def filled(text: str, *, what: str = "the address") -> str:
    """Put the environment's values into a text that names them as ``${NAME}``.

    Raises
    ------
    ContractError
        A variable is not set; `what` says what names it.

    Examples
    --------
    >>> filled("plain")
    'plain'
    """

    def value(found: re.Match) -> str:
        got = os.environ.get(found[1], "")
        if not got:
            expected = f"{found[1]} in the environment, which {what} names"
            raise ContractError(expected=expected, got="none", remedy="set it")
        return got

    return PLACEHOLDER.sub(value, text)


def filled_options(options: Mapping[str, object], *, name: str = "storage") -> dict[str, object]:
    """Put the environment's values into options; refuse a secret that stands in them as it is.

    Options travel: into specs, logs and the store of runs. So a secret is named there, never written.

    Examples
    --------
    >>> filled_options({"endpoint_url": "http://127.0.0.1:9000", "anon": True})
    {'endpoint_url': 'http://127.0.0.1:9000', 'anon': True}
    >>> filled_options({"secret": "abc"})
    Traceback (most recent call last):
    ...
    stability.schema.ContractError: column 'storage': expected the name of a variable for 'secret', got a value. Remedy:
    write '${NAME}' and set NAME in the environment, or leave it to the store's own variables.
    """
    result = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            result[key] = filled_options(value, name=name)
        elif isinstance(value, str):
            if _SECRET.search(str(key)) and not PLACEHOLDER.fullmatch(value):
                remedy = "write '${NAME}' and set NAME in the environment, or leave it to the store's own variables"
                expected = f"the name of a variable for {key!r}"
                raise ContractError(column=name, expected=expected, got="a value", remedy=remedy)
            result[key] = filled(value, what=f"{name}={{{key!r}: ...}}")
        else:
            result[key] = value
    return result


def shown_address(text: str) -> str:
    """Write an address as messages and reports may show it: without user, password and query.

    Examples
    --------
    >>> shown_address("https://me:secret@host/a.csv?X-Amz-Signature=abc"), shown_address("data/a?.csv")
    ('https://host/a.csv', 'data/a?.csv')
    >>> shown_address("simplecache::https://me:p@ss@host/a.csv?X-Amz-Signature=abc")
    'simplecache::https://host/a.csv'
    """
    if "://" not in text:
        return text
    bare = re.sub(r"(://)[^/\s]*@", r"\1", text)
    return re.sub(r"\?[^\s]*=[^\s]*$", "", bare) if re.search(r"(?i)https?://", bare) else bare
