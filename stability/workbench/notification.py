"""The verdict of a night, sent to whoever the environment names; a message that cannot be sent is no reason to fail.

`STABILITY_NOTIFY` holds one or several addresses in the form of apprise (https://github.com/caronc/apprise/wiki), such
as `mailto://...`, `slack://...`, `ntfy://...`, separated by blanks or new lines. They are secrets: they come from the
environment alone, kernels do not get them, and nothing of them but their kind is ever printed.
"""

import logging
import os
import socket
import threading
import time
from pathlib import Path

from stability.schema import redact, unlogged
from stability.workbench.facts import RunFacts
from stability.workbench.reporting.changes import changes
from stability.workbench.reporting.formats import duration, interval, last_line, moment, value

__all__ = ["ADDRESSES", "message", "send"]

ADDRESSES = "STABILITY_NOTIFY"
LOG = logging.getLogger(__name__)
ATTEMPTS = 2
PAUSE = 2.0  # seconds between two attempts
# Each attempt is bounded by apprise (4 s to connect, 4 s to be answered); all of it by this, whatever a service does.
DEADLINE = 30.0  # seconds
MOST_FAILURES = 10  # steps named one by one
TALKATIVE = ("apprise", "urllib3", "requests")  # they write addresses into their logs


def message(facts: RunFacts, folder: Path) -> tuple[str, str]:
    """Give title and text of a night's message.

    Parameters
    ----------
    facts
        Of the night, when it is over.
    folder
        Its folder, where the page lies.
    """
    failed = [s for s in facts.steps if s.status == "failed"]
    done = sum(s.status in ("finished", "skipped") for s in facts.steps)
    title = f"{facts.name} {facts.status if facts.status == 'finished' else facts.status.upper()}"
    when = f"started {moment(facts.started)}, took {duration(facts.seconds)}"
    lines = [f"{done} of {len(facts.steps)} steps are done, {len(failed)} failed; {when}."]
    lines += [f"- {s.key}: {redact(last_line(s.error or 'no message', 200))}" for s in failed[:MOST_FAILURES]]
    lines += [f"- and {len(failed) - MOST_FAILURES} more" for _ in failed[MOST_FAILURES : MOST_FAILURES + 1]]
    found = changes(facts)
    moved = {change.name: change for change in found.metrics} if found else {}
    for name in facts.headline:
        if name not in facts.metrics:
            lines.append(f"{name}: no value")
            continue
        metric = facts.metrics[name]
        said = f"{name}: {value(name, metric)} {interval(metric)}".strip()
        if name in moved:
            said += (
                f" ({moved[name].difference} since {moved[name].since or 'the night before'}, {moved[name].verdict})"
            )
        lines.append(said)
    if found and found.inputs:
        lines.append(f"Changed since the night before: {', '.join(change.what for change in found.inputs[:6])}.")
    lines.append(f"Page: {socket.gethostname()}:{folder / 'index.html'}")
    return title, "\n".join(lines)


def send(title: str, text: str, *, bad: bool = False) -> bool:
    """Send a message to every address of the environment; give whether all of them took it, and never raise.

    An address that does not answer is tried again once, beside the others; nothing is waited for longer than
    `DEADLINE`.

    Parameters
    ----------
    title, text
        What to say, as plain text.
    bad
        Whether it tells of a failure: services that know colours, sounds or priorities choose them by that.
    """
    addresses = os.environ.get(ADDRESSES, "").split()
    if not addresses:
        return True
    taken = [False] * len(addresses)

    def one(number: int) -> None:
        taken[number] = _deliver(addresses[number], title, text, bad=bad)

    threads = [threading.Thread(target=one, args=[n], daemon=True) for n in range(len(addresses))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for number in [n for n, ok in enumerate(taken) if not ok]:
        kind = addresses[number].partition("://")[0] if "://" in addresses[number] else "no address"
        LOG.warning("the message was not delivered to address %d of %s (%s)", number + 1, ADDRESSES, kind[:20])
    return all(taken)


def _deliver(address: str, title: str, text: str, *, bad: bool) -> bool:
    try:
        import apprise

        with unlogged(*TALKATIVE):
            service = apprise.Apprise()
            kind = apprise.NotifyType.FAILURE if bad else apprise.NotifyType.SUCCESS
            if not service.add(address):
                return False
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(PAUSE)
                if service.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
                    return True
    except Exception:  # noqa: BLE001  its text may hold the address
        return False
    return False
