"""The pages of a run: its front page, a page a notebook, and the note that MLflow shows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from stability.schema import ContractError, redact
from stability.workbench.facts import RunFacts, StepFacts
from stability.workbench.reporting.cells import Cell, plain_answer, read_cells, render_cell
from stability.workbench.reporting.changes import Changes, changes
from stability.workbench.reporting.fitting import PAGE_LIMIT, fit
from stability.workbench.reporting.formats import duration, interval, last_line, moment, plain, value
from stability.workbench.reporting.history import before, sparkline
from stability.workbench.reporting.templating import render

__all__ = ["index_page", "note_markdown", "notebook_page"]

# Word and colour class of a status; a skipped step is as good as the run that it repeats.
STATUS = {
    "finished": ("finished", "good"),
    "failed": ("failed", "bad"),
    "skipped": ("unchanged", "calm"),
    "blocked": ("not run", "bad"),
    "waiting": ("not run", "bad"),
    "running": ("not finished", "warn"),
}
NOTE_LIMIT = 8_000  # characters; MLflow cuts a tag there, in the middle of a word
TRACEBACK_LINES = 200  # the last lines of a traceback, which name the cause
LONGEST_VALUE = 1_000  # characters of a parameter or a provenance entry


def notebook_page(
    executed_notebook_path: str | Path,
    title: str,
    *,
    step: StepFacts | None = None,
    back: str | None = None,
    limit: int = PAGE_LIMIT,
) -> str:
    """Give the page of an executed notebook: text, pictures and tables, the code folded.

    Parameters
    ----------
    executed_notebook_path : str or Path
        The `.ipynb`; the page is meant to lie beside it.
    title : str
        Heading of the page, usually `run / step`.
    step : StepFacts, optional
        Status, time, parameters and error for the head of the page: a killed kernel leaves no word of it.
    back : str, optional
        Relative address of the run's page.
    limit : int
        Largest size in bytes; beyond it pictures get fewer colours, long texts are cut, the largest parts are
        left out, and the page says so.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ContractError
        If there is no readable notebook and no failed step to tell why.
    """
    missing = None
    try:
        cells = read_cells(executed_notebook_path)
    except ContractError as error:
        if step is None or not step.error:
            raise
        cells, missing = [], str(error)
    heads = [piece.content for cell in cells for piece in cell.pieces if piece.kind == "markdown"]
    values = {
        "title": title,
        "step": step,
        "status": STATUS[step.status] if step else None,
        "error": last_line(step.error or "") if step else "",
        "traceback": _tail(step.traceback) if step else "",
        "parameters": _listed(step.parameters) if step else [],
        "failed_cell": next((cell for cell in cells if cell.failed), None),
        "own_heading": any(line.startswith("# ") for text in heads for line in text.splitlines()),
        "missing": missing,
        "notebook": quote(Path(executed_notebook_path).name),
        "back": back,
    }

    def draw(notes: list[str]) -> str:
        shown = [Markup(render_cell(cell, demote=1, code=True)) for cell in cells]  # noqa: S704 - rendered with escaping
        return render("notebook.html.j2", cells=shown, notes=notes, **values)

    return fit(cells, draw, limit)


def index_page(run: RunFacts, *, folder: str | Path | None = None, limit: int = PAGE_LIMIT) -> str:
    """Give the front page of a run: did it work, what was learnt, how do we know, how to look further.

    Parameters
    ----------
    run : RunFacts
        The facts. A step's page is linked when its folder holds `notebook.html`, and its reported cells are read from
        `notebook.ipynb` there, so both are written before this page.
    folder : str or Path, optional
        Where the page will lie; links are relative to it. Default: the run's folder, which holds `steps/<step>`.
    limit : int
        Largest size in bytes, as for `notebook_page`.

    Returns
    -------
    str
        HTML.
    """
    evidence = {step.key: _reported(step) for step in run.steps}
    view = _view(run, folder, evidence)

    def draw(notes: list[str]) -> str:
        shown = {
            key: [Markup(render_cell(cell, demote=2)) for cell in cells]  # noqa: S704 - rendered with escaping
            for key, cells in evidence.items()
            if cells
        }
        return render("index.html.j2", evidence=shown, notes=notes, **view)

    return fit([cell for cells in evidence.values() for cell in cells], draw, limit)


def note_markdown(run: RunFacts, *, folder: str | Path | None = None) -> str:
    """Give the front page's facts as markdown, for the note of the parent run in MLflow.

    Parameters
    ----------
    run : RunFacts
        The facts.
    folder : str or Path, optional
        Where the page lies, to say so.

    Returns
    -------
    str
        At most 8,000 characters, as many as MLflow keeps; long tables are shortened, with a word on where the rest is.
    """
    view = _view(run, folder, {step.key: _reported(step) for step in run.steps})
    page = str(Path(folder, "index.html")) if folder else "index.html of the run's folder"
    for rows in (1_000, 100, 50, 25, 12, 6, 3, 0):
        note = render("note.md.j2", rows=rows, page=page, **view)
        if len(note) <= NOTE_LIMIT:
            return note
    return note[: NOTE_LIMIT - 2].rstrip() + " …"


def _reported(step: StepFacts) -> list[Cell]:
    """Read a step's reported cells; a notebook that cannot be read has failed, and its failure is told elsewhere."""
    path = step.folder / "notebook.ipynb" if step.folder else None
    if path is None or not path.is_file():
        return []
    try:
        return [cell for cell in read_cells(path) if cell.reported and cell.outputs]
    except ContractError:
        return []


def _answer(cells: list[Cell]) -> tuple[int, str | None]:
    """Find the cell that answers the notebook's question, wherever it draws its conclusion, and what it says.

    It is the first that begins in bold, or else the first of all.
    """
    said = [plain_answer(cell) for cell in cells]
    bold = (place for place, text in enumerate(said) if text and text.startswith("**"))
    place = next(bold, 0)
    return place, said[place] if said else None


def _view(run: RunFacts, folder: str | Path | None, evidence: dict[str, list[Cell]]) -> dict[str, Any]:
    """Collect what page and note have in common, every number already written out."""
    answers = []
    for step in run.steps:
        # For a matrix the compare step answers.
        told = step.in_summary and step.status in ("finished", "skipped")
        place, answer = _answer(evidence[step.key]) if told else (-1, None)
        if answer:
            answers.append({"step": step, "markdown": answer})
            evidence[step.key] = evidence[step.key][:place] + evidence[step.key][place + 1 :]
    changed = changes(run)
    counts = {status: sum(step.status == status for step in run.steps) for status in STATUS}
    owners = {name: step.key for step in run.steps if step.in_summary for name in step.metrics}
    return {
        "run": run,
        "verdict": _verdict(run, counts),
        "counts": counts,
        "status": STATUS,
        "headline": [_card(name, run, changed) for name in run.headline],
        "changed": changed,
        "test_parts": [_test_part(part) for part in run.test_parts],
        "answers": answers,
        "links": {step.key: _link(step, folder) for step in run.steps},
        "failures": [
            {
                "step": step,
                "line": last_line(step.error or step.traceback or "no message"),
                "traceback": _tail(step.traceback),
            }
            for step in run.steps
            if step.status == "failed"
        ],
        "metrics": [_row(name, metric, owners.get(name, ""), run) for name, metric in sorted(run.metrics.items())],
        "child_metrics": [
            _row(name, metric, step.key, None)
            for step in run.steps
            if not step.in_summary
            for name, metric in sorted(step.metrics.items())
        ],
        "data_name": str(run.dataset.get("name") or "none"),
        "code_sha": str(run.provenance.get("git_sha") or "unknown"),
        "dirty": str(run.provenance.get("dirty")).lower() == "true",
        "lock": str(run.provenance.get("lock") or ""),
        "seed": run.provenance.get("seed"),
        "platform": str(run.provenance.get("platform") or ""),
        "data_sha": str(run.dataset.get("sha256") or ""),
        "provenance": _provenance(run),
        "store": redact(str(run.provenance.get("store", ""))),
        "example": _table_example(run),
    }


def _verdict(run: RunFacts, counts: dict[str, int]) -> dict[str, str]:
    total = len(run.steps)
    done = counts["finished"] + counts["skipped"]
    if run.status == "running":
        return {
            "word": "Not finished",
            "kind": "warn",
            "sentence": f"{done} of {total} steps are done. If nothing is running now, the night was interrupted.",
        }
    if run.status == "finished" and done == total:
        repeated = counts["skipped"]
        sentence = f"All {total} steps are done" if total != 1 else "The one step is done"
        sentence += f"; {repeated} of them unchanged, and not run again." if repeated else "."
        return {"word": "Finished", "kind": "good", "sentence": sentence}
    lost = [f"{counts['failed']} failed"] if counts["failed"] else []
    idle = counts["blocked"] + counts["waiting"] + counts["running"]
    lost += [f"{idle} not run"] if idle else []
    sentence = f"Of {total} step{'s' * (total != 1)}, {' and '.join(lost) or 'none failed, but the run did'}."
    return {"word": "Failed", "kind": "bad", "sentence": sentence}


def _card(name: str, run: RunFacts, changed: Changes | None) -> dict[str, Any]:
    metric = run.metrics.get(name)
    moved = next((change for change in changed.metrics if change.name == name), None) if changed else None
    return {
        "name": name,
        "value": value(name, metric) if metric else "no value",
        "interval": interval(metric) if metric else "",
        "known": metric is not None,
        "before": before(name, run.history, metric.kind if metric else "estimate"),
        "moved": moved,
        "line": sparkline(name, metric, run.history, failed=run.status not in ("finished", "running")),
    }


def _row(name: str, metric: Any, step: str, run: RunFacts | None) -> dict[str, Any]:
    past = before(name, run.history, metric.kind) if run else None
    return {
        "name": name,
        "value": value(name, metric),
        "interval": interval(metric),
        "kind": metric.kind,
        "step": step,
        "before": " ".join(past).strip() if past else "",
    }


def _test_part(part: dict[str, Any]) -> dict[str, Any]:
    """Say how often a test part has been looked at: what is chosen after many looks looks better than it is."""
    looks, versions = part["configurations"], part["packages"]
    said = f"{looks} distinct configuration{'s' * (looks != 1)}"
    if versions > 1:
        said += f", under {versions} versions of the package"
    steps = dict.fromkeys(step.split("[")[0] for step in part["steps"])
    return {"part": part["part"], "data": part["data"][:12], "steps": ", ".join(steps), "said": said}


def _link(step: StepFacts, folder: str | Path | None) -> str | None:
    if step.folder is None or not (step.folder / "notebook.html").is_file():
        return None
    base = Path(folder) if folder else step.folder.parents[1]
    return quote(Path(os.path.relpath(step.folder / "notebook.html", base)).as_posix())


def _table_example(run: RunFacts) -> dict[str, Any] | None:
    """Find a table that is really there; the last step's are the most processed."""
    for step in reversed(run.steps):
        tables = sorted(step.folder.glob("*.parquet")) if step.folder and step.run_id else []
        if tables and step.status in ("finished", "skipped"):
            return {"step": step, "table": tables[-1].stem}
    return None


def _tail(traceback: str | None) -> str:
    lines = (traceback or "").rstrip().splitlines()
    kept = [line[:LONGEST_VALUE] for line in lines[-TRACEBACK_LINES:]]
    return "\n".join(([f"[... {len(lines) - len(kept)} lines before ...]"] if len(lines) > len(kept) else []) + kept)


def _listed(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(str(key), _written(entry)) for key, entry in values.items()]


def _written(entry: Any) -> str:
    text = redact(plain(entry if isinstance(entry, str) else json.dumps(entry, default=str, ensure_ascii=False)))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} … ({len(text):,} characters)"


def _provenance(run: RunFacts) -> list[tuple[str, str]]:
    known = dict(run.provenance)
    state = {"true": ", with uncommitted changes", "false": "", "unknown": ", unknown whether changed"}
    dirty = state.get(str(known.pop("dirty", "unknown")).lower(), "")
    known.pop("diff", None)  # kept whole with the parent run
    rows = [
        ("code (git)", f"{known.pop('git_sha', None) or 'unknown'}{dirty}"),
        ("data", str(run.dataset.get("name", ""))),
        ("data options", _written(run.dataset.get("options") or {})),
        *((f"data {key}", _written(run.dataset[key])) for key in ("window", "as_of", "period") if key in run.dataset),
        ("data sha256", str(run.dataset.get("sha256") or "unknown")),
        ("lock sha256", str(known.pop("lock", None) or "unknown")),
        ("MLflow parent run", run.parent_run_id or "none"),
        ("started", moment(run.started)),
        ("took", duration(run.seconds)),
    ]
    return rows + [(key.replace("_", " "), _written(entry)) for key, entry in known.items()]
