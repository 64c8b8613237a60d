"""What the verbs of feedback print."""

from __future__ import annotations

__all__ = [
    "print_answer",
    "print_calls",
    "print_evaluation",
    "print_export",
    "print_fixed",
    "print_import",
    "print_links",
    "print_list",
    "print_mail",
    "run_server",
]

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from sklearn.metrics import f1_score

from stability.feedback.evaluation import Judgement, held_out_predictions, judge, read_labelled
from stability.feedback.store import FeedbackStore, printable

SHOWN = 200  # misses listed: more are no list


def print_evaluation(file: Path | None) -> None:
    """Judge a labelled set, or the development set by nested folds, and print what came out."""
    from stability.feedback.development import development_folder, read_development
    from stability.feedback.model import classifier

    if file is not None:
        frame = read_labelled(file)
        found = judge(frame, classifier().predict(frame["text"].tolist()))
        print(f"{file}: {len(frame):,} messages, judged by the model of the development set")
        _print(found)
        return
    frame = read_development()
    labels, chosen = held_out_predictions(frame)
    count = frame["author"].nunique()
    print(f"{len(frame):,} messages of {count} authors, nested folds: read by models that saw none of their author's")
    print("  The rules that find personal data were written with most of these texts in sight: others will do worse.")
    _print(judge(frame, labels, groups=frame["group"].to_numpy()))
    for author, part in frame.groupby("author"):
        right = f1_score(part["category"], labels.loc[part.index, "category"], average="macro")
        print(f"  author {author}: {len(part):,} messages, macro F1 {right:.2f}")
    print("Chosen in the outer folds (strength, temperature):", "; ".join(json.dumps(choice) for choice in chosen))
    held = read_development(development_folder().with_name("held-out"))
    print(f"{len(held):,} messages of another author, from which nothing is learnt, read by the model in use")
    _print(judge(held, classifier().predict(held["text"].tolist())))


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

    intake = Intake()
    read = read_source(source, channel=channel, entity=entity, aside=intake.store.set_aside)
    _tell(intake.take(read), intake.store)


def print_mail(host: str, port: int, folder: str, *, plain: bool) -> None:
    """Take in what an IMAP mailbox holds."""
    from stability.feedback.intake import Intake
    from stability.feedback.mailbox import take_mailbox

    intake = Intake()
    _tell(take_mailbox(intake, host, port, folder=folder, plain=plain), intake.store)


def _tell(counts: dict[str, int], store: FeedbackStore) -> None:
    print(f"{counts['new']:,} new, {counts['known']:,} known already, {counts['waiting']:,} waiting in the spool")
    if counts["aside"]:
        print(f"{counts['aside']:,} cannot be read and are kept in {store.quarantine}:")
    for place, reason in store.aside[:SHOWN]:
        print(f"  {printable(place)}: {printable(reason)}")


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
        shown = printable(row.text)[:100]
        print(f"{row.timestamp:%Y-%m-%d %H:%M} {row.feedback_id} {printable(row.channel):<6} {kind} {state}: {shown}")
    if not len(frame):
        print("No messages.")


def print_answer(feedback_id: str, text: str, *, again: bool) -> bool:
    """Answer a message; whether nobody has to look after it."""
    from stability.feedback.answering import answer
    from stability.feedback.intake import Intake

    intake = Intake()
    return _told([answer(intake.store, intake.contacts, feedback_id, text, again=again)])


def print_fixed(alarm_id: str, text: str, verdicts: Path, *, dry_run: bool) -> bool:
    """Tell everybody of an incident that it is over; whether nobody has to look after anyone."""
    from stability.feedback.answering import answer_fixed
    from stability.feedback.incidents import read_verdicts
    from stability.feedback.intake import Intake

    intake = Intake()
    done = answer_fixed(intake.store, intake.contacts, alarm_id, text, read_verdicts(verdicts), dry_run=dry_run)
    if not done:
        print("Nobody waits for this answer.")
    return _told(done) or dry_run


def print_calls(done: str | None) -> None:
    """List answers that wait for a person, or settle one."""
    from stability.feedback.answering import call_list, settle
    from stability.feedback.intake import Intake

    intake = Intake()
    if done is not None:
        settle(intake.store, done)
        print(f"{done}: told")
        return
    waiting = call_list(intake.store, intake.contacts)
    for row in waiting.itertuples():
        where = row.address if isinstance(row.address, str) else "no address"
        line = f"{row.feedback_id} {row.channel} {where}, {row.state} since {row.begun_at[:16]}: {row.answer}"
        print(printable(line))
    if waiting.empty:
        print("Nobody waits for a call.")


def print_links(alarms: Path, topology: Path | None) -> None:
    """Link the messages of the store to alarms, and say which links are new."""
    from stability.feedback.incidents import read_alarms
    from stability.feedback.linking import link_store
    from stability.feedback.store import FeedbackStore
    from stability.schema import read_table

    known = None if topology is None else read_table(topology, "topology").reset_index()
    written = link_store(FeedbackStore(), read_alarms(alarms), known)
    for row in written.itertuples():
        where = f"{row.alarm_id} ({row.entity})" if isinstance(row.alarm_id, str) else "no alarm"
        print(printable(f"{row.feedback_id} -> {where}, {row.probability:.0%}"))
    print(f"{written['alarm_id'].notna().sum():,} linked, {written['alarm_id'].isna().sum():,} of no alarm")


def print_export(file: Path, *, as_recorded: bool) -> None:
    """Write the store's complaints as a table that localizers and the watch read."""
    from stability.feedback.burst import evidence
    from stability.feedback.development import SIMULATED
    from stability.feedback.store import FeedbackStore
    from stability.schema import write_table

    store = FeedbackStore()
    store.drain()
    names = {ours: theirs for theirs, ours in reversed(SIMULATED.items())} if as_recorded else None
    table = evidence(store.frame(), names)
    write_table(table, file, "feedback")
    print(f"{len(table):,} complaints, without their texts, in {file}")


def _told(done: list) -> bool:
    for one in done:
        print(printable(f"{one.feedback_id}: {one.state}{f' by {one.way}' if one.way else ''}, {one.detail}"))
    return all(one.state not in ("not sent", "perhaps") for one in done)


def run_server(host: str, port: int, send: Callable[..., bool] | None = None) -> None:
    """Serve until interrupted."""
    import uvicorn

    from stability.feedback.intake import Intake
    from stability.feedback.service import feedback_service

    uvicorn.run(feedback_service(Intake(), send=send), host=host, port=port, log_level="warning", access_log=False)
