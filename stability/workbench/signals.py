"""How a command ends when it is asked to: once, and with everything written down."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["Ending", "terminate_as_interrupt"]

LOG = logging.getLogger(__name__)


class Ending:
    """Whether somebody asked the command to end, and where that may interrupt it.

    An exception out of a signal can come between any two instructions: within a library's lock, which then stays
    locked, or within a finalizer, which swallows it, and nobody is interrupted. So whoever holds such things defers
    the interruption and asks with :meth:`check` where it does no harm.
    """

    def __init__(self) -> None:
        self.asked = False
        self._deferred = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal within the block only be remembered; :meth:`check` interrupts."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def check(self) -> None:
        """Interrupt here, if somebody asked for it.

        Raises
        ------
        KeyboardInterrupt
        """
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, *_: Any) -> None:
        if self.asked:
            LOG.warning("ending already: everything is being marked")
            return
        self.asked = True
        if not self._deferred:
            raise KeyboardInterrupt


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[Ending]:
    """Let SIGTERM (cron, systemd, kill) and SIGHUP (a closed terminal) end a night as Ctrl-C does: with all marked.

    Only the first signal interrupts; while the night writes down how it ended, further ones are a request that is
    being fulfilled already. What is ignored from outside (`nohup`, `&` in a script) stays ignored.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, ending._ask)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
