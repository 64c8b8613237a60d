"""Entities that are gone: whose rows have left the ring, and of which nothing is open, are let go everywhere."""

from __future__ import annotations

__all__ = ["gone", "let_go"]

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stability.monitor.chain import Watch

SHARE = 0.1  # of the entities that are held: fewer are waited for, since each time whoever is left moves up
NAMED = 20  # in the journal


def gone(watch: Watch) -> list[str]:
    """Name who has said nothing for as long as the ring holds, while nothing of it is open.

    Open is an alarm, also a suppressed one, a firing, an incident that is about it, a repair without its verdict.

    Parameters
    ----------
    watch : Watch

    Returns
    -------
    list of str
        None before the ring holds the declared history.
    """
    ring = watch.ring
    if not len(ring.times) or watch.moment - ring.times[0] < watch.reach:
        return []
    heard = np.zeros(len(ring.entities), dtype=bool)
    for metric in ring.values:
        heard |= ~np.isnan(metric).all(axis=1)
    silent = [name for name, one in zip(ring.entities, heard, strict=True) if not one]
    # After a start the ring has only those whose rows are still on the disk; a checkpoint knew the others, too.
    known = {str(name) for name in watch.rates.state()["entities"]}.union(*(one.desk.desks for one in watch.sentries))
    if watch.predictor is not None:
        known |= watch.predictor.sentry.desk.desks.keys()
    silent += sorted(known - set(ring.entities))
    if not silent:
        return []
    used = {one.entity for one in watch.open_alarms} | watch.incidents.in_use()
    if watch.alerts is not None:
        used |= {one.entity for one in (*watch.alerts.firing.values(), *watch.alerts.over)}
    return [name for name in silent if name not in used]


def let_go(watch: Watch) -> list[str]:
    """Let go of those who are gone, once they are many enough: one that comes back later begins anew.

    Only the memory of what a detector learnt of it from the history before the start stays, as does its file.

    Returns
    -------
    list of str
        Who was let go.
    """
    names = gone(watch)
    if len(names) <= SHARE * len(watch.ring.entities):
        return []
    watch.ring.drop(names)
    if watch.scored is not None:
        watch.scored.drop(names)
    watch.rates.forget(names)
    for sentry in watch.sentries:
        sentry.forget(names)
    if watch.predictor is not None:
        watch.predictor.forget(names, watch.ring.panel())
    watch.note("let_go", entities=len(names), names=names[:NAMED])
    return names
