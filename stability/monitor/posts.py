"""How detectors come to their posts: from a file or learnt, kept in files of the watch, and told who is linked."""

from __future__ import annotations

__all__ = ["begun", "kept", "linked"]

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from stability.detection import Desk
from stability.detection import load as load_detector
from stability.monitor.sentries import Sentry, learn, posted
from stability.schema import ContractError

if TYPE_CHECKING:
    from stability.monitor.chain import Watch
    from stability.monitor.declaration import DetectorPart


def begun(watch: Watch, part: DetectorPart, history: pd.DataFrame) -> Sentry:
    """Take a detector from its file, or let it learn.

    Parameters
    ----------
    watch : Watch
        Notes its threshold, and how that was chosen.
    part : DetectorPart
    history : DataFrame
        A panel of what was before the start, counters as they are read.

    Raises
    ------
    ContractError
        Where there is nothing to learn from, or the file is none of a detector.
    """
    if part.file is not None:
        detector, limit, how = load_detector(watch.told.place(part.file)), part.threshold, "declared"
    else:
        stamps = history.index.get_level_values("timestamp")
        own = history[stamps > stamps.max() - pd.Timedelta(part.learn)] if len(history) else history
        if own.empty:
            remedy = "start later, or give a fitted detector's file"
            raise ContractError(file="history", expected=f"{part.learn} before the start", got="none", remedy=remedy)
        taught = {"false_alarms_per_day": part.false_alarms_per_day, "policy": part.policy}
        detector, limit, how = learn(part.name, part.settings, own, metrics=part.metrics, **taught)
    watch.note("detector", name=detector.name, threshold=limit, chosen_by=how, metrics=detector.metrics_)
    return posted(watch, part, detector, limit)


def kept(folder: Path, sentry: Sentry) -> Sentry:
    """Write what a detector has learnt into a file of its own, once.

    Parameters
    ----------
    folder : Path
        Of all of them; checkpoints name the file.
    sentry : Sentry
    """
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.npz")))
    sentry.base = f"{sentry.name}-{number:04}.npz"
    sentry.detector.save(folder / sentry.base)
    return sentry


def linked(sentries: Iterable[Sentry], topology: pd.DataFrame) -> None:
    """Let those know of another topology whose policy asks who is connected; what goes on does.

    Parameters
    ----------
    sentries : iterable of Sentry
    topology : DataFrame
        The contract's table.
    """
    for one in sentries:
        if one.policy.together:
            one.desk.near = Desk(one.policy, one.name, topology).near
