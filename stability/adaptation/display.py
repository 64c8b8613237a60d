"""What the verbs of labels and proposals print."""

from __future__ import annotations

__all__ = ["print_label", "print_labels", "print_proposals", "print_rule_proposals"]

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stability.adaptation.alarm_labels import LABELS, AlarmLabels
from stability.adaptation.labelled import chosen_alarms, labelled
from stability.feedback.incidents import read_alarms
from stability.feedback.store import printable
from stability.schema import ContractError

SCORED = ("threshold", "persistence")  # what is proposed from scores alone
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


def print_proposals(step: Path | None, detector: str | None) -> bool:
    """Propose from a step of detection where one is named, then show what waits; whether the labels are enough."""
    from stability.adaptation.drafts import drafts, keep_drafts, policies
    from stability.adaptation.proposals import NotEnough, propose
    from stability.adaptation.recorded import read_recorded

    if step is not None:
        recorded = read_recorded(step, detector)
        # What an alarm looks like by metric is in no table of a night: notebooks propose screens.
        found = propose(recorded.scores, recorded.threshold, AlarmLabels().frame(), families=SCORED, **recorded.rules)
        if isinstance(found, NotEnough):
            print(found)
            return False
        for one in found:
            print(printable(str(one)))
        keep_drafts(found)
    waiting = drafts()
    for name, told in waiting.items():
        print(printable(f"{name} ({told.detector}): {json.dumps(told.change.model_dump(exclude_none=True))}"))
        _evidence(told.evidence)
    print(f"{len(waiting):,} proposals wait; stability feedback accept NAME --why ...")
    for name, told in policies().items():
        print(printable(f"{name} ({told.detector}): {'accepted' if told.rules else 'withdrawn'}"))
    return True


def print_rule_proposals(path: Path, telemetry: Path, output: Path | None) -> bool:
    """Propose changes of rules from labels of their firings, and write the rules so changed; whether there are any."""
    from stability.adaptation.proposals import Proposal
    from stability.adaptation.rule_proposals import changed, propose_rules
    from stability.rules import read_rules
    from stability.rules.exporting import rule_file_text
    from stability.schema import written_whole
    from stability.telemetry import read

    rules = read_rules(path)
    found = propose_rules(rules, read(telemetry), AlarmLabels().frame())
    for name, one in found.items():
        print(printable(f"{name}: {one}"))
        if isinstance(one, Proposal) and one.change is not None:
            print(printable(f"  {one.change['expr']} for {one.change['for']}"))
    if not found:
        how = "stability feedback label firings.parquet --detector rule:NAME ..."
        print(f"None of {len(rules):,} rules has labels: {how}")
    better = [one for one in found.values() if isinstance(one, Proposal) and one.change is not None]
    if better and output is not None:
        with written_whole(output) as file:
            file.write(rule_file_text(changed(rules, better)).encode())
        print(output)
    return bool(better)


def _evidence(told: Mapping[str, Any]) -> None:
    """What a backtest said, as the file has it."""
    test, labels = told.get("backtest", {}), told.get("labels", {})
    if test and test.get("ratio"):
        ratio, lost = test["ratio"], test["lost_share"]
        said = f"false alarms {test['false_before']} -> {test['false_after']}, ratio {_spelled(ratio)}"
        print(f"  {said}; real ones lost {test['lost']} of {test['confirmed']}, share {_spelled(lost)}")
        print(f"  {test['protocol']}; {labels.get('confirmed')} confirmed, {labels.get('discarded')} discarded")


def _spelled(told: Mapping[str, float | None]) -> str:
    value, low, high = ("?" if told[part] is None else f"{told[part]:.2f}" for part in ("value", "lo", "hi"))
    return f"{value} ({low} to {high})"


def _some(alarms: pd.DataFrame, source: Path) -> pd.DataFrame:
    if alarms.empty:
        raise ContractError(file=source, expected="an alarm at least", got="none")
    return alarms


def _count(alarms: pd.DataFrame) -> str:
    return f"{alarms['alarm_id'].nunique():,}"
