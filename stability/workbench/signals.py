"""How a command ends when it is asked to: once, and with everything written down."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["terminate_as_interrupt"]

LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM (cron, systemd, kill) and SIGHUP (a closed terminal) end a night as Ctrl-C does: with all marked.

    Only the first signal interrupts; while the night writes down how it ended, further ones are a request that is
    being fulfilled already. What is ignored from outside (`nohup`, `&` in a script) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def interrupt(*_: Any) -> None:
        nonlocal asked
        if asked:
            LOG.warning("ending already: everything is being marked")
            return
        asked = True
        raise KeyboardInterrupt

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
