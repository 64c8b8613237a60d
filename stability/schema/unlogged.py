"""Where an address is a secret: what a library does with it is in no log."""

from __future__ import annotations

__all__ = ["unlogged"]

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterator

_LOCK = threading.Lock()
_AT_IT: Counter[str] = Counter()  # library -> how many have it silent now


class _Unlogged(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _AT_IT[record.name.partition(".")[0]]


_FILTER = _Unlogged()


@contextlib.contextmanager
def unlogged(*libraries: str) -> Iterator[None]:
    """Keep libraries from logging, in every thread, until the last who asked for it is done.

    Some do their work in threads of their own, so that nobody can tell whose address it is.

    Parameters
    ----------
    *libraries : str
        Names of packages that are imported already, such as "httpx", which logs each address that is asked.

    Examples
    --------
    >>> log = logging.getLogger("httpx")
    >>> with unlogged("httpx"):
    ...     bool(log.filter(logging.makeLogRecord({"name": "httpx"})))
    False
    >>> bool(log.filter(logging.makeLogRecord({"name": "httpx"})))
    True
    """
    with _LOCK:
        known = [name for name in list(logging.root.manager.loggerDict) if name.partition(".")[0] in libraries]
        for name in {*libraries, *known}:
            logging.getLogger(name).addFilter(_FILTER)  # once, however often it is asked for
        _AT_IT.update(libraries)
    try:
        yield
    finally:
        with _LOCK:
            _AT_IT.subtract(libraries)
