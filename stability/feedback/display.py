"""What the verbs of feedback print."""

from __future__ import annotations

__all__ = ["print_evaluation", "print_import", "print_list", "print_mail", "run_server"]

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from stability.feedback.evaluation import Judgement, held_out_predictions, judge, read_labelled

SHOWN = 200  # misses listed: more are no list


def print_evaluation(file: Path | None) -> None:
    """Judge a labelled set, or the development set by nested folds, and print what came out."""
    if file is not None:
        from stability.feedback.model import classifier

        frame = read_labelled(file)
        found = judge(frame, classifier().predict(frame["text"].tolist()))
        print(f"{file}: {len(frame):,} messages, judged by the model of the development set")
        _print(found)
        return
    from stability.feedback.development import read_development

    frame = read_development()
    labels, chosen = held_out_predictions(frame)
    for author in sorted(set(frame["author"])):
        rows = (frame["author"] == author).to_numpy()
        part = frame[rows].reset_index(drop=True)
        print(f"Author {author}: {len(part):,} messages, nested folds by line (a message and its parallel in one)")
        _print(judge(part, labels[rows].reset_index(drop=True), groups=part["group"].to_numpy()))
    print("Chosen in the outer folds:", "; ".join(json.dumps(choice) for choice in chosen))


def _print(found: Judgement) -> None:
    for name, estimate in found.estimates.items():
        print(f"  {name:<44} {estimate.value:.4f} [{estimate.lo:.4f}, {estimate.hi:.4f}]")
    for name, count in found.counts.items():
        print(f"  {name:<44} {count:,}")
    if len(found.misses):
        print("  missed (row, kind, characters, share that was taken out):")
    for miss in found.misses.head(SHOWN).itertuples():
        print(f"    row {miss.row}, {miss.kind}, [{miss.start}, {miss.end}), {miss.covered:.0%}")


def print_import(source: Path, channel: str | None, entity: str | None) -> None:
    """Take a source in and say how much of it was new."""
    from stability.feedback.intake import Intake
    from stability.feedback.sources import read_source

    _tell(Intake().take(read_source(source, channel=channel, entity=entity)))


def print_mail(host: str, port: int, folder: str, *, plain: bool) -> None:
    """Take in what an IMAP mailbox holds."""
    from stability.feedback.intake import Intake
    from stability.feedback.mailbox import read_mailbox

    _tell(Intake().take(read_mailbox(host, port, folder=folder, plain=plain)))


def _tell(counts: dict[str, int]) -> None:
    print(f"{counts['new']:,} new, {counts['known']:,} known already, {counts['waiting']:,} waiting in the spool")


def print_list(category: str | None, limit: int, *, overdue: bool, as_json: bool) -> None:
    """List messages, the newest first."""
    from stability.feedback.clocks import due
    from stability.feedback.development import CATEGORIES
    from stability.feedback.intake import Intake
    from stability.schema import one_of

    store = Intake().store
    store.drain()
    frame = due(store.frame())
    if category is not None:
        frame = frame[frame["category"] == one_of(category, CATEGORIES, "category")]
    if overdue:
        frame = frame[frame["overdue"]]
    frame = frame.sort_values("timestamp", ascending=False).head(limit)
    if as_json:
        print(frame.to_json(orient="records", date_format="iso", force_ascii=False))
        return
    for row in frame.itertuples():
        state = (
            "answered" if pd.notna(row.answered_at) else "OVERDUE" if row.overdue else f"due {row.due:%Y-%m-%d %H:%M}"
        )
        kind = f"{row.category}{'' if row.sure else '?'}/{row.urgency}"
        print(f"{row.timestamp:%Y-%m-%d %H:%M} {row.feedback_id} {row.channel:<6} {kind} {state}: {row.text[:100]}")
    if not len(frame):
        print("No messages.")


def run_server(host: str, port: int, send: Callable[..., bool] | None = None) -> None:
    """Serve until interrupted."""
    import uvicorn

    from stability.feedback.intake import Intake
    from stability.feedback.service import feedback_service

    uvicorn.run(feedback_service(Intake(), send=send), host=host, port=port, log_level="warning", access_log=False)
