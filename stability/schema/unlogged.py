"""Where an address is a secret: what a thread has a library do there is in no log."""

from __future__ import annotations

__all__ = ["unlogged"]

import contextlib
import logging
import threading
from collections.abc import Iterator

_HERE = threading.local()


class _Unlogged(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_HERE, "depth", 0)


_FILTER = _Unlogged()


@contextlib.contextmanager
def unlogged(*libraries: str) -> Iterator[None]:
    """Keep libraries from logging what this thread has them do; what other threads have them do is logged as ever.

    Parameters
    ----------
    *libraries : str
        Names of packages that are imported already, such as "httpx", which logs each address that is asked.

    Examples
    --------
    >>> log = logging.getLogger("httpx")
    >>> with unlogged("httpx"):
    ...     log.filter(logging.makeLogRecord({}))
    False
    >>> bool(log.filter(logging.makeLogRecord({})))
    True
    """
    known = [name for name in list(logging.root.manager.loggerDict) if name.partition(".")[0] in libraries]
    for name in {*libraries, *known}:
        logging.getLogger(name).addFilter(_FILTER)  # once, however often it is asked for
    _HERE.depth = getattr(_HERE, "depth", 0) + 1
    try:
        yield
    finally:
        _HERE.depth -= 1
