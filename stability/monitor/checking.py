"""Whether a watch could start: what a start does, short of learning and acting, and without a trace of it."""

from __future__ import annotations

__all__ = ["check_watch"]

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stability.detection import load as load_detector
from stability.fmea.files import read_worksheet
from stability.monitor.chain import Watch
from stability.monitor.declaration import Declaration
from stability.monitor.exposition import listening
from stability.monitor.following import source_of
from stability.monitor.names import declared_names, rules_of
from stability.monitor.sentries import posted, ruled, those_of
from stability.remediation.playbooks import read_playbooks
from stability.schema import ContractError


def check_watch(told: Declaration, now: pd.Timestamp) -> list[str]:
    """Look whether everything that a declaration names can be used, and whether its source answers.

    Parameters
    ----------
    told : Declaration
    now : Timestamp

    Returns
    -------
    list of str
        What there is, and then each rule that is left out, with why.

    Raises
    ------
    ContractError, ConnectionError
        What a start would refuse; what the source says comes last, since a start waits for it.
    """
    names, rules = declared_names(told), rules_of(told)
    source, away = source_of(told)(told), None
    try:
        source.check(now)
        if not source.metrics:
            due = source.due(now)
            list(source.read(due - told.step_us, due))  # names of the columns
    except (ContractError, ConnectionError) as error:
        away = error
    with tempfile.TemporaryDirectory() as scratch:
        watch = Watch(told, source.metrics, folder=Path(scratch), beside=source.beside)
        try:
            left_out = {} if away or watch.alerts is None else watch.alerts.left_out
            _check_judges(watch, names, answers=away is None)
        finally:
            watch.close()
    if told.repair is not None:
        read_playbooks(told.place(told.repair.playbooks), modes=_modes(watch))
    if told.serve is not None:
        listening(told.serve.host, 0).server_close()  # the port may be that of the watch, which runs
    if away is not None:
        raise away
    first = f"the source answers; {len(names)} detectors, {len(rules)} rules; state in {told.folder}"
    return [first, *(f"rule {name} is left out: {why}" for name, why in left_out.items())]


def _check_judges(watch: Watch, names: Sequence[str], *, answers: bool) -> None:
    """Look at detectors, as far as they are known before they learn, and at the predictor."""
    for part, name in zip(watch.told.detectors, names, strict=True):
        if part.file is None:
            ruled(watch.told, part, name, 1.0)
            if answers and part.metrics is not None:
                those_of(part.metrics, watch.rated)
        elif answers:
            posted(watch, part, load_detector(watch.told.place(part.file)), part.threshold)
    if watch.told.predictor is not None:
        from stability.monitor.foresight import Foresight

        Foresight(watch.told, watch.ring.panel(), watch.topology)


def _modes(watch: Watch) -> set[str]:
    """Failure modes that anybody knows: a playbook of another one would never be asked for."""
    own, rules = watch.incidents, [] if watch.alerts is None else watch.alerts.rules
    known = set(read_worksheet().index) | {
        rule.labels["failure_mode"] for rule in rules if "failure_mode" in rule.labels
    }
    known |= set() if own.worksheet is None else set(own.worksheet.index)
    return known | set(own.localizer.signatures_.modes_)
