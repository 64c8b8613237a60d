"""`stability feedback label, labels, ...`: labels of alarms and what they teach; joined to what users say by `cli`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def label(
    alarms: Annotated[
        Path, typer.Argument(help="A night's alarms.parquet or firings.parquet, a CSV of alarms, a watch's folder.")
    ],
    alarm_id: Annotated[list[str] | None, typer.Argument(help="Which; or a filter, or --all.")] = None,
    confirmed: Annotated[bool, typer.Option("--confirmed", help="They were worth an alarm.")] = False,
    discarded: Annotated[bool, typer.Option("--discarded", help="They were not.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="Looked at, and nobody can tell.")] = False,
    reason: Annotated[str, typer.Option(help="Why, in words; personal data are taken out.")] = "",
    entity: Annotated[str | None, typer.Option(help="All alarms of this one.")] = None,
    detector: Annotated[str | None, typer.Option(help="All alarms of this one; a rule's is rule:NAME.")] = None,
    between: Annotated[tuple[str, str] | None, typer.Option(help="All that begin within two moments (UTC).")] = None,
    every: Annotated[bool, typer.Option("--all", help="All alarms.")] = False,
    by: Annotated[str, typer.Option(help="Who says so, kept as a pseudonym; the account's name without it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which alarms, label none.")] = False,
) -> None:
    """Say of alarms whether they were worth one; the newest label of an alarm holds. Exit 0 when all were labelled."""
    from stability.adaptation.display import print_label

    said = {"confirmed": confirmed, "discarded": discarded, "unsure": unsure}
    common = {"entity": entity, "detector": detector, "between": between}
    print_label(alarms, alarm_id or [], said, common, every=every, reason=reason, by=by, dry_run=dry_run)


@app.command()
def labels(
    alarms: Annotated[Path | None, typer.Argument(help="List these alarms with their labels; as for `label`.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines, without a limit.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write all labels ever given, .parquet or .csv.")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Take in labels given elsewhere, .parquet or .csv.")
    ] = None,
) -> None:
    """List labels of alarms, and count them. Exit 2 when a file is wrong; then nothing of it was taken in."""
    from stability.adaptation.display import print_labels

    print_labels(alarms, limit, as_json=as_json, export=export, taken=import_)


@app.command()
def propose(
    step: Annotated[
        Path | None,
        typer.Argument(help="Folder of a night's step of 03-detect; without it the proposals that wait are shown."),
    ] = None,
    detector: Annotated[str | None, typer.Option(help="Whose; the step's own without it.")] = None,
) -> None:
    """Propose changes of an alarm policy from labels, each backtested on alarms that it was not learnt from.

    Nothing changes until somebody accepts one. Exit 1 when there are too few labels, 2 when the folder is wrong.
    """
    from stability.adaptation.display import print_proposals

    if not print_proposals(step, detector):
        raise typer.Exit(1)


@app.command()
def propose_rules(
    rules: Annotated[Path, typer.Argument(help="The rule file, or the folder, of which firings were labelled.")],
    telemetry: Annotated[Path, typer.Argument(help="What they fired on: a night's telemetry.parquet, or your file.")],
    output: Annotated[Path | None, typer.Option(help="File for the rules as they would be, all of them.")] = None,
) -> None:
    """Propose another threshold or a longer wait of rules from labels on their firings, each backtested.

    The rules stay as they are: what is written to --output is reviewed like any change of a rule file. Exit 1 when
    there is nothing to propose, 2 when rules or data are wrong.
    """
    from stability.adaptation.display import print_rule_proposals

    if not print_rule_proposals(rules, telemetry, output):
        raise typer.Exit(1)


@app.command()
def accept(
    name: Annotated[str, typer.Argument(help="A proposal, as `stability feedback propose` names it.")],
    why: Annotated[str, typer.Option(help="The reason, for the record.")],
    by: Annotated[str, typer.Option(help="Who decides, kept as a pseudonym; the account's name without it.")] = "",
) -> None:
    """Make a proposal the policy of its detector: policies/DETECTOR.yaml, which nights and watches name."""
    from stability.adaptation.drafts import accept_draft

    print(f"{accept_draft(name, why=why, by=by)}: accepted; `accepted` of a watch's detector or of 03-detect names it")


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="An accepted policy.")],
    why: Annotated[str, typer.Option(help="The reason, for the record.")],
    by: Annotated[str, typer.Option(help="Who decides, kept as a pseudonym; the account's name without it.")] = "",
) -> None:
    """Take an accepted policy back: its file stays where it is named, and changes nothing any more."""
    from stability.adaptation.drafts import withdraw as taken_back

    print(f"{taken_back(name, why=why, by=by)}: withdrawn; alarms are raised as before it")
