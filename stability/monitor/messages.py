"""Messages on their way: a step does not wait for a service that takes half a minute to say no."""

from __future__ import annotations

__all__ = ["Messenger"]

from concurrent.futures import Future, ThreadPoolExecutor

from stability.remediation.telling import Send

PATIENCE = 0.2  # s that a step waits for a message: one that is taken at once is told at once


class Messenger:
    """Sends in a thread of its own, one message after the other.

    A message that is still on its way counts as not taken yet; asked for it again, it is not sent again, and says what
    became of it. So whoever repeats what was not taken hears of each message once.

    Parameters
    ----------
    send : callable
        As `stability.workbench.notification.send`.
    """

    def __init__(self, send: Send) -> None:
        self.send = send
        self.workers = ThreadPoolExecutor(1, thread_name_prefix="message")
        self.on_its_way: dict[tuple[str, str, bool], Future[bool]] = {}

    def __call__(self, title: str, text: str, *, bad: bool = False) -> bool:
        """Whether it was taken, as far as is known; what `send` raises is no."""
        key = (title, text, bad)
        if key not in self.on_its_way:
            self.on_its_way[key] = self.workers.submit(self.send, title, text, bad=bad)
        one = self.on_its_way[key]
        try:
            taken = bool(one.result(timeout=PATIENCE))
        except TimeoutError:
            if not one.done():
                return False
            taken = False  # it was the service's own
        except Exception:  # noqa: BLE001  its text may hold an address
            taken = False
        del self.on_its_way[key]
        return taken

    def close(self) -> None:
        """Wait for what is on its way, as long as its sender lets it take."""
        self.workers.shutdown(wait=True)
