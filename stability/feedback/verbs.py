"""`stability feedback ...`: what users say, from a terminal. Nothing heavy is imported before a verb needs it."""

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
