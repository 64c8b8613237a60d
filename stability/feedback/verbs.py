"""`stability feedback ...`: what users say, from a terminal. Nothing heavy is imported before a verb needs it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="What users say: taken in, scrubbed, classified, routed, answered.", no_args_is_help=True)


@app.command()
def evaluate(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV: text, language, category, urgency, spans (JSON); our development set without it."),
    ] = None,
) -> None:
    """Judge the classifier and the scrubbing on a labelled set: macro F1, urgency, personal data missed.

    Without a file by nested folds on the development set. Exit 0 when it was measured, 2 when the file is wrong.
    """
    from stability.feedback.display import print_evaluation

    print_evaluation(file)


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="mbox, Maildir, .csv, .jsonl, .json (chat payloads), .txt (calls), a folder of them.")
    ],
    channel: Annotated[str | None, typer.Option(help="How the messages came; by the file's form without it.")] = None,
    entity: Annotated[str | None, typer.Option(help="What they are about, where they do not say.")] = None,
) -> None:
    """Take messages in: what is here already is left out. Exit 0 when all were read, 2 when the source is wrong."""
    from stability.feedback.display import print_import

    print_import(source, channel, entity)


@app.command()
def mail(
    host: Annotated[
        str, typer.Argument(help="IMAP server; user and password come from STABILITY_IMAP_USER, _PASSWORD.")
    ],
    folder: Annotated[str, typer.Option(help="Mailbox to read; nothing in it is changed.")] = "INBOX",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 993,
    plain: Annotated[bool, typer.Option("--plain", help="Without TLS; loopback only.")] = False,
) -> None:
    """Take in what an IMAP mailbox holds. Exit 0 when it was read, 1 when the server did not answer."""
    from stability.feedback.display import print_mail

    print_mail(host, port, folder, plain=plain)


@app.command("list")
def list_(
    category: Annotated[str | None, typer.Option(help="One category; all without it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 30,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is over its time.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """List messages, the newest first: category, urgency, when an answer is due."""
    from stability.feedback.display import print_list

    print_list(category, limit, overdue=overdue, as_json=as_json)


@app.command()
def link(
    alarms: Annotated[
        Path, typer.Argument(help="A night's alarms.parquet or firings.parquet, a CSV of alarms, a watch's folder.")
    ],
    topology: Annotated[Path | None, typer.Option(help="Table topology (Parquet): who calls whom.")] = None,
) -> None:
    """Link messages to alarms by time, text and topology, with a probability. Exit 0 when all was read, 2 when not."""
    from stability.feedback.display import print_links

    print_links(alarms, topology)


@app.command()
def answer(
    feedback_id: Annotated[str, typer.Argument(help="The message, as `stability feedback list` names it.")],
    text: Annotated[str, typer.Argument(help="The answer; - reads it from standard input.")],
    again: Annotated[
        bool, typer.Option("--again", help="Also where an earlier try perhaps went out: you have looked.")
    ] = False,
) -> None:
    """Answer a message through its channel, at most once: e-mail (STABILITY_SMTP_HOST), chat, the form's page, a call.

    Exit 0 when it went out, stands on the page or waits for a call; 1 when it did not, or perhaps did.
    """
    from stability.feedback.display import print_answer

    if not print_answer(feedback_id, _text(text), again=again):
        raise typer.Exit(1)


@app.command()
def fixed(
    alarm_id: Annotated[str, typer.Argument(help="The incident's alarm.")],
    text: Annotated[str, typer.Argument(help='What to say, such as "Fixed in 2.4.1."; - reads standard input.')],
    verdicts: Annotated[
        Path, typer.Option(help="Who judged its repair: a watch's folder, a repair record, a table of actions.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would be told, send nothing.")] = False,
) -> None:
    """Tell all who wrote about an incident that it is over; only once its last repair is verified.

    Exit 0 when all were told, 1 when somebody was not or perhaps was, 2 when the repair is not verified.
    """
    from stability.feedback.display import print_fixed

    if not print_fixed(alarm_id, _text(text), verdicts, dry_run=dry_run):
        raise typer.Exit(1)


@app.command()
def calls(
    done: Annotated[str | None, typer.Option(help="This one was called, or its answer did arrive.")] = None,
) -> None:
    """List answers that wait for somebody to call, and those of which nobody knows whether they went out."""
    from stability.feedback.display import print_calls

    print_calls(done)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Parquet; a watch reads it under `beside: {feedback: ...}`.")],
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Categories as recordings call them, for localizers taught by these.")
    ] = False,
) -> None:
    """Write complaints, without their texts, as the contract's table: evidence for localizers and the watch."""
    from stability.feedback.display import print_export

    print_export(file, as_recorded=as_recorded)


def _text(told: str) -> str:
    return sys.stdin.read() if told == "-" else told
