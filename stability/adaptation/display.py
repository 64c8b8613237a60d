"""What the verbs of labels and proposals print."""

from __future__ import annotations

__all__ = ["print_label", "print_labels"]

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from stability.adaptation.alarm_labels import LABELS, AlarmLabels
from stability.adaptation.labelled import chosen_alarms, labelled
from stability.feedback.incidents import read_alarms
from stability.feedback.store import printable
from stability.schema import ContractError

SHOWN = 10  # alarms listed before they are labelled: more are a count


def print_label(
    source: Path,
    names: Sequence[str],
    said: Mapping[str, bool],
    common: Mapping[str, object],
    *,
    every: bool,
    reason: str,
    by: str,
    dry_run: bool,
) -> None:
    """Label the alarms that were named or have something in common, after saying how many they are."""
    told = [label for label, given in said.items() if given]
    if len(told) != 1:
        wanted = " or ".join(f"--{label}" for label in LABELS)
        raise ContractError(expected=f"one of {wanted}", got=" and ".join(f"--{label}" for label in told) or "none")
    ways = [bool(names), any(value is not None for value in common.values()), every]
    if sum(ways) != 1:
        raise ContractError(
            expected="names of alarms, or what they have in common (--entity, --detector, --between), or --all",
            got="none of these" if not any(ways) else "more than one of these",
            remedy=f"stability feedback labels {source} lists the alarms with their names",
        )
    alarms = _some(read_alarms(source), source)
    chosen = chosen_alarms(alarms, names, **common)
    if chosen.empty:
        raise ContractError(file=source, expected="alarms that match", got=f"none of {_count(alarms)}")
    counts = ", ".join(f"{count:,} by {printable(who)}" for who, count in chosen["detector"].value_counts().items())
    print(f"{len(chosen):,} of {_count(alarms)} alarms: {counts}")
    for name in chosen["alarm_id"].head(SHOWN):
        print(f"  {printable(name)}")
    if len(chosen) > SHOWN:
        print(f"  and {len(chosen) - SHOWN:,} more")
    if dry_run:
        print("Nothing was labelled.")
        return
    new = AlarmLabels().label(chosen, told[0], reason=reason, by=by)
    print(f"{len(new):,} labelled {told[0]}, {len(chosen) - len(new):,} were so already")


def print_labels(source: Path | None, limit: int, *, as_json: bool, export: Path | None, taken: Path | None) -> None:
    """List labels that hold, or the alarms of a source beside theirs; before that, take labels in or write them out."""
    store = AlarmLabels()
    if taken is not None:
        counts = store.import_(taken)
        print(f"{counts['new']:,} new, {counts['known']:,} known already")
    if export is not None:
        print(f"{store.export(export):,} labels in {export}")
    if taken is not None or export is not None:
        return
    if source is None:
        rows = store.current().reset_index().sort_values("labelled_at", ascending=False, kind="stable")
        rows = rows.assign(alarm_id=rows["detector"] + " of " + rows["entity"].fillna("all"))
    else:
        rows = labelled(_some(read_alarms(source), source), store.frame())
    if as_json:
        print(rows.to_json(orient="records", date_format="iso", force_ascii=False))
        return
    for row in rows.head(limit).itertuples():
        what = row.label if isinstance(row.label, str) else "not labelled"
        why = f": {row.reason}" if isinstance(row.reason, str) else ""
        print(printable(f"{row.start:%Y-%m-%d %H:%M:%S} {row.alarm_id} {what}{why}"))
    if len(rows) > limit:
        print(f"and {len(rows) - limit:,} more; --limit shows them")
    counts = ", ".join(f"{int((rows['label'] == label).sum()):,} {label}" for label in LABELS)
    of = "" if source is None else f" of {len(rows):,}"
    print(f"{int(rows['label'].notna().sum()):,}{of} alarms labelled: {counts}")


def _some(alarms: pd.DataFrame, source: Path) -> pd.DataFrame:
    if alarms.empty:
        raise ContractError(file=source, expected="an alarm at least", got="none")
    return alarms


def _count(alarms: pd.DataFrame) -> str:
    return f"{alarms['alarm_id'].nunique():,}"
