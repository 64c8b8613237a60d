"""The pages, the note and the summary of a run: known numbers in, exact strings out; nothing foreign gets through."""

import base64
import datetime as dt
import importlib.resources
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image
from pygments.styles import get_style_by_name

from stability.schema import ContractError
from stability.workbench.facts import Metric, RunFacts, StepFacts
from stability.workbench.reporting import (
    PAGE_LIMIT,
    check_metric,
    formats,
    history,
    index_page,
    note_markdown,
    notebook_page,
    read_summary,
    report_cells,
    summary,
    templating,
    write_text_atomic,
)
from stability.workbench.reporting.cells import Cell, Piece, plain_answer
from stability.workbench.reporting.cleaning import clean_html, markdown_html
from stability.workbench.reporting.formulas import formula

STARTED = dt.datetime(2026, 11, 23, 3, 0, 7, 123456, tzinfo=dt.timezone(dt.timedelta(hours=1)))
HOSTILE = "<script>alert('x')</script>\"><img src=https://evil.example/a.png onerror=alert(1)>&amp;`$x$`|*b*"
INLINE = {"a", "b", "code", "em", "span", "strong", "wbr"}
VOID = {"meta", "link", "img", "br", "hr", "wbr", "circle", "polygon", "polyline", "col"}


class Page(HTMLParser):
    """A page as a list of tags and its visible text; checks as it goes that tags are balanced."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open, self.styles = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"twice: {names}"
        self.tags.append((tag, dict(attrs)))
        self.texts.append("" if tag in INLINE else " ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag
        self.texts.append("" if tag in INLINE else " ")

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.texts).append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def parsed(html):
    """Parse a page and hold it to what every page promises: nothing runs, nothing loads, everything is labelled."""
    page = Page(html)
    for tag, attrs in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "video", "audio", "source"}, tag
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "srcset", "poster", "background", "data"} or (tag == "link" and name == "href"):
                assert value.startswith("data:"), (tag, name, value[:80])
            if name == "href":
                assert not re.match(r"\s*(javascript|data|vbscript):", value, re.IGNORECASE) or tag == "link", value
            if name == "style":
                assert "url(" not in value.lower()
                assert not re.search(r"\b(position|display|background|visibility|opacity)\s*:", value), value
        if tag == "img":
            assert attrs["alt"].strip(), attrs
        if tag == "th":
            assert attrs["scope"] in {"col", "row"}
    for style in page.styles:
        assert "url(" not in style
        assert "@import" not in style
    return page


def whole(html):
    """As `parsed`, for a whole page."""
    page = parsed(html)
    assert html.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert "@media print" in page.styles[0]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for attrs in page.all("a") if attrs.get("href", "").startswith("#")]
    assert set(targets) <= set(ids)
    return page


def png(width=60, height=40, seed=0):
    """A picture that does not compress, as base64."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shown(data=None, text=None, **metadata):
    """A code cell's displayed output."""
    said = {"text/plain": "plain" if text is None else text}
    return new_output("display_data", {**(data or {}), **said}, metadata=metadata)


def cell(source="x = 1", outputs=(), tags=(), **metadata):
    made = new_code_cell(source, outputs=list(outputs), execution_count=1)
    made.metadata.update(tags=list(tags), **metadata)
    return made


def written(folder, cells):
    """A notebook in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), folder / "notebook.ipynb")
    return folder / "notebook.ipynb"


def markdown(text):
    return shown({"text/markdown": text})


def a_run(folder, **changes):
    """A night of three steps: one unchanged, one finished, one failed before a fourth could start."""
    explore, detect, broken = (folder / "steps" / name for name in ("explore", "detect", "broken"))
    written(
        explore,
        [
            new_markdown_cell("# Explore\n\n## Load of a week"),
            cell(outputs=[shown({"image/png": png(seed=1)})], tags=["report"]),
        ],
    )
    written(
        detect,
        [
            new_markdown_cell("# Detect"),
            cell(outputs=[markdown("Found **9 of 11** faults with $k = 3$.")], tags=["report"]),
            cell(outputs=[markdown("not for the front page")]),
            new_markdown_cell("## Alarms by entity"),
            cell(
                outputs=[
                    shown(
                        {
                            "text/html": "<table><thead><tr><th></th><th>n</th></tr></thead><tbody><tr><th>web</th>"
                            "<td>4</td></tr></tbody></table>"
                        }
                    )
                ],
                tags=["report"],
            ),
        ],
    )
    written(broken, [cell("1/0", [new_output("error", ename="E", evalue="e", traceback=["E: e"])])])
    for page in (explore, detect, broken):
        (page / "notebook.html").write_text("a page")
    (detect / "scores.parquet").write_bytes(b"")
    metrics = {"detect.f1": Metric(0.61849, 0.5812, 0.6671), "detect.alarms": Metric(12345, kind="count")}
    earlier = [
        {
            "started": f"2026-11-{day}T02:00:00Z",
            "metrics": {"detect.f1": {"value": f, "lo": f - 0.045, "hi": f + 0.045}},
        }
        for day, f in ((20, 0.5), (21, 0.55), (22, 0.6))
    ]
    facts = {
        "name": "nightly",
        "question": "Are faults found soon enough?",
        "status": "failed",
        "started": STARTED,
        "seconds": 131.7,
        "steps": [
            StepFacts(
                "explore",
                "notebooks/01.ipynb",
                "skipped",
                0.02,
                "a" * 32,
                repeats="2026-11-22T02:00:00+00:00",
                folder=explore,
            ),
            StepFacts(
                "detect", "notebooks/03.ipynb", "finished", 96.2, "b" * 32, attempts=1, folder=detect, metrics=metrics
            ),
            StepFacts(
                "broken[k=0.1]",
                "notebooks/04.ipynb",
                "failed",
                3.0,
                "c" * 32,
                "KeyError: 'cpu'",
                "Traceback\n\x1b[31mKeyError\x1b[0m: 'cpu'",
                2,
                folder=broken,
                in_summary=False,
                metrics={"child.score": Metric(1.0, 0.5, 1.5)},
            ),
            StepFacts("last", "notebooks/05.ipynb"),
        ],
        "headline": ["detect.f1", "detect.alarms", "detect.delay_seconds"],
        "metrics": metrics,
        "dataset": {"name": "simulated", "options": {"files": ["a"]}, "sha256": "2c26b46b68ff" + "0" * 52},
        "provenance": {
            "git_sha": "3d1f0f2c8e7b" + "1" * 28,
            "dirty": "true",
            "lock": "fcde2b2edba5" + "2" * 52,
            "seed": 7,
            "platform": "Linux-6.1",
            "command": "stability run experiments/nightly.yaml",
            "store": "postgresql://night:s3cret@db/mlflow",
        },
        "parent_run_id": "d" * 32,
        "history": earlier,
    }
    return RunFacts(**{**facts, **changes})


# The front page ------------------------------------------------------------


def test_front_page_says_what_happened_in_exact_strings(tmp_path):
    page = whole(index_page(a_run(tmp_path)))
    for text in (
        "Run of 2026-11-23 02:00 UTC nightly Are faults found soon enough?",
        "Failed Of 4 steps, 1 failed and 1 not run. broken[k=0.1]",
        "1 finished 1 failed 1 unchanged 1 not run took 2 min 12 s data simulated 2c26b46b68ff",
        "code 3d1f0f2c8e7b + uncommitted changes lock fcde2b2edba5 seed 7 on Linux-6.1",
        (
            "detect.f1 0.618 [0.581, 0.667] before 0.600 [0.555, 0.645] the intervals overlap: not distinguishable "
            "4 runs since 2026-11-20, 1 failed, 0.500 to 0.618"
        ),
        "detect.alarms 12 345",
        "detect.delay_seconds no value",
        "broken[k=0.1] after 3.0 s and 2 attempts, its notebook KeyError: 'cpu'",
        "explore unchanged repeats 2026-11-22 02:00 UTC 20 ms 0 notebook " + "a" * 32,
        "detect finished 1 min 36 s 1 notebook " + "b" * 32,
        "last not run 0 s 0 none",
        "detect.f1 0.618 [0.581, 0.667] estimate 0.600 [0.555, 0.645] detect",
        "broken[k=0.1] child.score 1.0 [0.5, 1.5] estimate",
        "mlflow ui --backend-store-uri postgresql://night:***@db/mlflow",
        f'tracking.load_table("{"b" * 32}", "scores")',
        "code (git) 3d1f0f2c8e7b" + "1" * 28 + ", with uncommitted changes",
        'data options {"files": ["a"]}',
        "MLflow parent run " + "d" * 32,
    ):
        assert text in page.text
    assert "s3cret" not in page.text


def test_front_page_gives_the_answer_first_and_then_the_evidence_in_order(tmp_path):
    html = index_page(a_run(tmp_path))
    page = whole(html)
    order = [
        "What went wrong",
        "What this run says",
        "9 of 11",
        "Steps",
        "Pictures and tables",
        "Load of a week",
        "All metrics",
        "How to look further",
        "Where it comes from",
    ]
    places = [page.text.index(text) for text in order]
    assert places == sorted(places)
    assert page.text.count("9 of 11") == 1
    assert "not for the front page" not in page.text
    assert html.index("data:image/png") > html.index("Pictures and tables")
    figure = next(image for image in page.all("img") if image["src"].startswith("data:image/png"))
    assert figure["alt"] == "Figure 1: Load of a week"


def test_front_page_links_to_the_pages_that_exist(tmp_path):
    run = a_run(tmp_path)
    (run.steps[0].folder / "notebook.html").unlink()
    links = {unquote(a["href"]) for a in whole(index_page(run)).all("a")}
    assert "steps/detect/notebook.html" in links
    assert "steps/explore/notebook.html" not in links
    elsewhere = whole(index_page(run, folder=tmp_path / "steps")).all("a")
    assert "detect/notebook.html" in {a["href"] for a in elsewhere}


def test_status_is_a_word_and_not_a_colour_alone(tmp_path):
    page = index_page(a_run(tmp_path))
    for kind, word in (("good", "finished"), ("bad", "failed"), ("calm", "unchanged"), ("bad", "not run")):
        assert f'<span class="status {kind}">{word}</span>' in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"status": "running"},
            "Not finished 2 of 4 steps are done. If nothing is running now, the night was interrupted.",
        ),
        ({"status": "failed", "steps": []}, "Failed Of 0 steps, none failed, but the run did."),
    ],
)
def test_verdict_of_an_unfinished_run(tmp_path, changes, sentence):
    assert sentence in whole(index_page(a_run(tmp_path, **changes))).text


def test_verdict_of_a_finished_run(tmp_path):
    run = a_run(tmp_path, status="finished")
    run.steps = run.steps[:2]
    page = whole(index_page(run)).text
    assert "Finished All 2 steps are done; 1 of them unchanged, and not run again." in page
    assert "What went wrong" not in page
    run.steps = run.steps[1:]
    assert "Finished The one step is done." in whole(index_page(run)).text


def test_front_page_of_a_run_about_which_little_is_known():
    bare = RunFacts("bare", "", "failed", STARTED, steps=[StepFacts("a", "a.ipynb", "failed", error="OSError: no")])
    page = whole(index_page(bare)).text
    assert "OSError: no" in page
    assert "data none" in page
    assert "What this run says" not in page


def test_a_failed_steps_answer_is_not_told_as_a_result(tmp_path):
    run = a_run(tmp_path)
    run.steps[1].status, run.steps[1].error = "failed", "DeadKernelError: died"
    page = whole(index_page(run)).text
    assert "What this run says" not in page
    assert page.index("failed: what it had shown before") < page.index("9 of 11")


def test_the_answer_is_what_begins_in_bold_wherever_the_notebook_draws_its_conclusion(tmp_path):
    run = a_run(tmp_path)
    table = shown({"text/html": "<table><tr><td>4</td></tr></table>", "text/plain": "4"})
    said = [[markdown("1000 of 1,000 agree.")], [table], [markdown("**80% are found.** Chance finds 3%.")]]
    written(run.steps[1].folder, [cell(outputs=outputs, tags=["report"]) for outputs in said])
    page = whole(index_page(run)).text
    evidence = page.index("Pictures and tables")
    assert page.index("What this run says") < page.index("80% are found. Chance finds 3%.") < evidence
    assert page.count("80% are found") == 1
    assert page.index("1000 of 1,000 agree.") > evidence


def test_of_an_answer_for_many_cases_the_front_page_tells_the_bold_sentences():
    told = [Piece("markdown", f"**Case {n}: forest is recommended.** {'The numbers. ' * 40}") for n in range(4)]
    assert plain_answer(Cell("a", told)) == "\n\n".join(f"**Case {n}: forest is recommended.**" for n in range(4))
    assert plain_answer(Cell("a", told[:1])) == told[0].content.strip()
    assert plain_answer(Cell("a", [Piece("markdown", "No bold sentence. " * 100)])) is None


# Sparklines ------------------------------------------------------------


def nights(*values):
    return [
        {
            "started": f"2026-11-{1 + i:02d}T02:00:00Z",
            "metrics": {} if v is None else {"a.b": dict(zip(("value", "lo", "hi"), v, strict=True))},
        }
        for i, v in enumerate(values)
    ]


def test_sparkline_points_are_where_the_numbers_are():
    line = history.sparkline("a.b", Metric(2.0, 1.0, 3.0), nights((0.0, -1.0, 1.0), (1.0, 0.0, 2.0)))
    # x: 4, 120, 236 over a width of 240 with margins of 4; y: 44 for -1 (lowest lo) to 4 for 3 (highest hi), 10 a unit.
    assert line.lines == ["4,34 120,24 236,14"]
    assert line.bands == ["4,24 120,14 236,4 236,24 120,34 4,44"]
    assert line.last == (236.0, 14.0)
    assert line.dots == []
    assert line.label == "a.b in 3 runs since 2026-11-01: 0 to 2"


def test_sparkline_has_gaps_where_a_night_has_no_value():
    line = history.sparkline("a.b", None, nights(None, (1.0, 0.5, 1.5), None, (2.0, 1.5, 2.5), (2.0, 1.5, 2.5)))
    assert line.last is None
    assert line.dots == [(4.0, 34.0)]  # nights before the first value do not count
    assert [len(points.split()) for points in line.lines] == [2]
    assert [len(points.split()) for points in line.bands] == [4]


def test_sparkline_of_counts_has_no_band_and_a_constant_lies_in_the_middle():
    line = history.sparkline("a.b", Metric(5, kind="count"), nights((5, None, None)))
    assert line.bands == []
    assert line.lines == ["4,24 236,24"]


@pytest.mark.parametrize(
    "past", [[], nights(None), [{}], [{"metrics": {"a.b": {"value": "x"}}}], [{"metrics": {"a.b": 3}}]]
)
def test_no_sparkline_below_two_nights(past):
    assert history.sparkline("a.b", Metric(1.0, 0.5, 1.5), past) is None


def test_sparkline_shows_thirty_nights():
    line = history.sparkline("a.b", Metric(1.0, 0.5, 1.5), nights(*[(1.0, 0.5, 1.5)] * 28) * 2)
    assert len(line.lines[0].split()) == 30


# The page of a notebook ------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook that a kernel really ran: a picture, a table, a styled table, a warning, an error."""
    cells = [
        new_markdown_cell("# Real\n\nStrength $F = 1 - \\frac{a}{b}$, and\n\n$$d_t = |x_{t+1} - \\mu_t|$$\n\n## Load"),
        cell("k = 3", tags=["parameters"]),
        cell(
            "import pandas as pd\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\n"
            "ax.plot([0, 1]); ax.set_ylabel('load (ratio)');",
            tags=["report"],
            alt="Load rises from 0 to 1",
            caption="Load of one host",
        ),
        cell("frame = pd.DataFrame({'n': [1, 2]}, index=pd.Index(['a', 'b'], name='entity')); frame"),
        cell("frame.style.map(lambda v: 'background-color: #abcdef')"),
        cell("import sys; print('to stderr', file=sys.stderr)"),
        cell("frame.nothing"),
        cell("print('never')"),
    ]
    notebook = new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # a kernel inherits it, and would show no picture
        with pytest.raises(CellExecutionError):
            NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    folder = tmp_path_factory.mktemp("executed")
    nbformat.write(notebook, folder / "notebook.ipynb")
    return folder / "notebook.ipynb"


def test_notebook_page_shows_pictures_tables_and_what_went_wrong(executed):
    step = StepFacts(
        "real",
        "notebooks/real.ipynb",
        "failed",
        4.2,
        "f" * 32,
        "AttributeError: nothing",
        attempts=1,
        parameters={"k": 3, "files": ["a", "b"]},
    )
    html = notebook_page(executed, "nightly / real", step=step, back="../../index.html")
    page = whole(html)
    assert page.text.startswith("nightly / real, failed ← the run nightly / real Failed AttributeError: nothing")
    picture = next(image for image in page.all("img") if image["src"].startswith("data:image/png"))
    assert picture["alt"] == "Load rises from 0 to 1"
    assert Image.open(io.BytesIO(base64.b64decode(picture["src"].split(",")[1]))).width > 300
    assert "Figure 1. Load of one host" in page.text
    assert {"scope": "col", "class": "index-name"} in page.all("th")  # pandas' second header row has become the first
    assert "entity n a 1 b 2" in page.text
    assert html.count('style="background-color: #abcdef') == 2
    assert '<pre class="output-text stderr" aria-label="standard error">to stderr' in html
    assert 'class="ansi-red-fg"' in html
    assert "AttributeError" in page.text
    assert "&#39;DataFrame&#39; object has no attribute &#39;nothing&#39;" in html
    failing = next(a["href"][1:] for a in page.all("a") if a["href"].startswith("#"))
    assert html.index(f'id="{failing}"') < html.index('class="traceback"')
    assert "files" in page.text
    assert '["a", "b"]' in page.text
    assert html.count("<details open>") == 1  # the code that failed
    assert "Parameters and their defaults: k = 3" in page.text
    formulas = [image["alt"] for image in page.all("img") if image.get("class") == "tex"]
    assert formulas == [r"F = 1 - \frac{a}{b}", r"d_t = |x_{t+1} - \mu_t|"]
    assert "$" not in page.text


def test_a_killed_kernels_notebook_says_nothing_but_its_page_does(tmp_path):
    path = written(tmp_path, [cell("import os; os.kill(os.getpid(), 9)")])
    step = StepFacts(
        "a", "a.ipynb", "failed", 2.0, error="DeadKernelError: Kernel died", traceback="line\n" * 500 + "end"
    )
    page = whole(notebook_page(path, "a", step=step)).text
    assert "Failed DeadKernelError: Kernel died" in page
    assert "What went wrong [... 301 lines before ...] line" in page
    assert "line end" in page


def test_a_step_without_a_notebook_still_has_a_page(tmp_path):
    step = StepFacts("a", "a.ipynb", "failed", error="OSError: no space left")
    page = whole(notebook_page(tmp_path / "notebook.ipynb", "a", step=step)).text
    assert "OSError: no space left" in page
    assert "There is no executed notebook to show" in page
    with pytest.raises(ContractError, match="expected an executed notebook"):
        notebook_page(tmp_path / "notebook.ipynb", "a")


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"cells": 3}', "\x00\xff"])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, content):
    (tmp_path / "n.ipynb").write_text(content)
    with pytest.raises(ContractError, match=r"n\.ipynb: expected an executed notebook"):
        report_cells(tmp_path / "n.ipynb")


def test_marks_widgets_progress_bars_and_returned_plots_are_left_out(tmp_path):
    bar = " 50%|#####     | 5/10 [00:01<00:01,  4.9it/s]"
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    path = written(
        tmp_path,
        [
            new_markdown_cell(
                "<span>An Exception was encountered</span>", metadata={"tags": ["papermill-error-cell-tag"]}
            ),
            new_raw_cell("<b>raw</b>"),
            cell(
                outputs=[
                    shown(widget, text=bar),
                    shown(widget, text="IntSlider(value=3)"),
                    new_output("stream", name="stderr", text=f"\r{bar}"),
                    new_output("stream", name="stderr", text=f"\r{bar.replace('50', '100')}\nlast words\n"),
                    shown(text="<Axes: title={'center': 'Load'}>"),
                    shown({"application/javascript": "alert(1)"}, text=""),
                    new_output("stream", name="stdout", text="step 1\rstep 2\n"),
                ],
            ),
        ],
    )
    page = whole(notebook_page(path, "t")).text
    assert page.startswith(
        "t Executed notebook t Code 1: x = 1 x = 1 An interactive widget is left out here. last words step 2"
    )
    for gone in ("Exception", "raw", "it/s", "IntSlider", "Axes", "alert", "step 1"):
        assert gone not in page


def test_attached_pictures_are_shown_and_missing_ones_said(tmp_path):
    attached = new_markdown_cell("![a plan](attachment:plan.png)", attachments={"plan.png": {"image/png": png()}})
    path = written(
        tmp_path, [attached, new_markdown_cell("![gone](attachment:gone.png) ![far](https://x.example/a.png)")]
    )
    page = whole(notebook_page(path, "t"))
    assert [image["alt"] for image in page.all("img")] == ["a plan"]
    assert "attachment:gone.png" in page.text


def test_svg_pictures_are_shown_as_pictures_only(tmp_path):
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><rect width="9" height="9"/></svg>'
    path = written(tmp_path, [cell(outputs=[shown({"image/svg+xml": svg})])])
    image = whole(notebook_page(path, "t")).all("img")[0]
    assert base64.b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")).decode() == svg


def test_latex_outputs_are_typeset(tmp_path):
    path = written(
        tmp_path, [cell(outputs=[shown({"text/latex": r"$\displaystyle x^2$"}), shown({"text/latex": "$x^3$"})])]
    )
    alts = [image["alt"] for image in whole(notebook_page(path, "t")).all("img")]
    assert alts[-1] == "x^3"


def test_report_cells_are_those_tagged_in_their_order(tmp_path):
    path = written(
        tmp_path,
        [
            new_markdown_cell("## Second level"),
            cell(outputs=[markdown("# one"), shown({"image/png": png()})], tags=["report"]),
            cell(outputs=[markdown("no")]),
            new_markdown_cell("two", metadata={"tags": ["report"]}),
            cell(outputs=[], tags=["report"]),
            cell("secret = 1", outputs=[shown(text="three")], tags=["x", "report"]),
        ],
    )
    fragments = report_cells(path)
    pages = [parsed(fragment) for fragment in fragments]
    assert [page.text for page in pages] == ["one one", "two", "three"]
    assert "<h3>one</h3>" in fragments[0]
    assert pages[0].all("img")[0]["alt"] == "Figure 1: one"
    assert "secret" not in "".join(fragments)


# Size ------------------------------------------------------------


def test_a_page_of_large_pictures_is_recoded_below_the_limit(tmp_path):
    ramp = np.linspace(0, 255, 700 * 500).reshape(500, 700)
    noise = np.random.default_rng(0).normal(0, 3, (4, 500, 700, 3))
    cells = []
    for layer in noise:
        file = io.BytesIO()
        Image.fromarray(np.clip(ramp[..., None] + layer, 0, 255).astype(np.uint8)).save(file, "PNG")
        cells.append(cell(outputs=[shown({"image/png": base64.b64encode(file.getvalue()).decode()})]))
    html = notebook_page(written(tmp_path, cells), "t")
    page = whole(html)
    assert len(html.encode()) <= PAGE_LIMIT
    assert len(page.all("img")) == 4
    assert "with 128 colours and at most 1800 pixels wide" in page.text
    assert "left out" not in page.text


def test_what_cannot_be_made_smaller_is_left_out_largest_first(tmp_path):
    cells = [
        cell(outputs=[shown({"image/gif": base64.b64encode(bytes(n * 300_000)).decode()}, alt=f"picture {n}")])
        for n in (1, 3, 2)
    ]
    html = notebook_page(written(tmp_path, cells), "t")
    page = whole(html)
    assert len(html.encode()) <= PAGE_LIMIT
    assert [image["alt"] for image in page.all("img")] == ["picture 1", "picture 2"]
    assert "To keep this page below 2 MB it shows 1 part left out. The notebook itself is whole." in page.text
    assert "A picture of 1.20 MB is left out here: picture 3" in page.text


def test_floods_of_text_and_tables_do_not_flood_the_page(tmp_path):
    rows = "".join(f"<tr><td>{i}</td></tr>" for i in range(30_000))
    cells = [
        cell(outputs=[new_output("stream", name="stdout", text="".join(f"line {i}\n" for i in range(300_000)))]),
        cell(outputs=[shown({"text/html": f"<table>{rows}</table>"}, text="[30000 rows x 1 columns]")]),
        cell("# " + "x" * 3_000_000),
        cell("1/0", [new_output("error", ename="E", evalue="v", traceback=["frame\n" * 400_000 + "E: v"])]),
    ]
    html = notebook_page(written(tmp_path, cells), "t")
    page = whole(html)
    assert len(html.encode()) <= PAGE_LIMIT
    assert "line 0" in page.text
    assert "line 299999" in page.text
    assert "[30000 rows x 1 columns]" in page.text
    assert "E: v" in page.text
    assert "characters left out" in page.text


def test_the_front_page_keeps_below_its_limit_too(tmp_path):
    run = a_run(tmp_path)
    noisy = [cell(outputs=[shown({"image/png": png(500, 400, seed)})], tags=["report"]) for seed in range(3)]
    written(run.steps[0].folder, noisy)
    html = index_page(run)
    page = whole(html)
    assert len(html.encode()) <= PAGE_LIMIT
    assert "To keep this page below 2 MB" in page.text
    assert len(index_page(run, limit=300_000).encode()) <= 300_000


def test_the_note_keeps_below_what_mlflow_keeps(tmp_path):
    run = a_run(tmp_path)
    run.steps += [
        StepFacts(f"many[i={i}]", "n.ipynb", "failed", 1.0, "e" * 32, f"ValueError: {'x' * 500}") for i in range(300)
    ]
    run.metrics |= {f"many.m{i}": Metric(i, kind="count") for i in range(500)}
    note = note_markdown(run)
    assert len(note) <= 8_000
    assert "more steps: see the page." in note
    assert "more metrics: see the page." in note


# Nothing foreign gets through ------------------------------------------------------------


def test_hostile_facts_are_text(tmp_path):
    run = a_run(
        tmp_path, name=HOSTILE, question=HOSTILE, headline=[HOSTILE], dataset={"name": HOSTILE, "sha256": HOSTILE}
    )
    run.provenance = dict.fromkeys(("git_sha", "store", "command", "platform", "seed", HOSTILE), HOSTILE)
    run.metrics = {HOSTILE: Metric(1.0, 0.5, 1.5)}
    run.history = [{"started": HOSTILE, "metrics": {HOSTILE: {"value": 1.0, "lo": 0.5, "hi": 1.5}}}]
    for step in run.steps:
        step.key = step.notebook = step.repeats = step.run_id = step.traceback = HOSTILE
        step.error = HOSTILE if step.status == "failed" else None
    run.steps[2].metrics = {HOSTILE: Metric(1.0, 0.5, 1.5)}
    assert whole(index_page(run)).text.count("<script>alert('x')</script>") > 15
    note = note_markdown(run)
    assert "<script" not in note
    assert "<img" not in note
    step = run.steps[2]
    step.parameters = {HOSTILE: HOSTILE}
    page = whole(
        notebook_page(written(tmp_path / "x", [new_markdown_cell("a")]), HOSTILE, step=step, back="../index.html")
    )
    assert page.text.count("<script>alert('x')</script>") > 5


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/pixel.png'>",
    "<img srcset='https://evil.example/pixel.png 1x' src='data:image/png;base64,AA=='>",
    "<img src='data:text/html;base64,PHNjcmlwdD4='>",
    "<svg onload=alert(1)><image href='https://evil.example/a'/></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<style>body { background: url(https://evil.example/a) }</style>",
    "<link rel=stylesheet href=https://evil.example/a.css>",
    "<div style='background: url(https://evil.example/a); position: fixed; top: 0'>over</div>",
    "<td style='background-image:url(//evil.example)'>x</td>",
    "<a href='javascript:alert(1)'>go</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>go</a>",
    "<iframe src='https://evil.example'></iframe>",
    "<object data='https://evil.example'></object><embed src='https://evil.example'>",
    "<form action='https://evil.example'><input name=a><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<video poster='https://evil.example/a' src='https://evil.example/b'></video>",
    "</div></main></body><h1>mine</h1>",
    "<!--><script>alert(1)</script>-->",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'></textarea>",
    "<b id='failures' class='verdict'>x</b><p id=cell-1>",
    "![x](https://evil.example/a.png)",
    "[x](javascript:alert(1))",
    "<table background='https://evil.example/a'><tr><th>x</th></tr></table>",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_outputs_do_nothing(tmp_path, attack):
    outputs = [
        shown({"text/html": attack}, text=attack),
        markdown(attack),
        shown({"image/png": f'AA=="{attack}'}, alt=attack, caption=attack),
        shown({"text/latex": attack}),
        shown(text=attack),
        new_output("stream", name="stdout", text=attack),
        new_output("error", ename="E", evalue=attack, traceback=[attack, f"\x1b[31m{attack}"]),
    ]
    cells = [new_markdown_cell(attack), cell(attack, outputs, ["report"])]
    path = written(tmp_path / "steps" / "a", cells)
    page = whole(notebook_page(path, "t", step=StepFacts("a", "a.ipynb", "failed", error=attack)))
    assert "plain" not in page.text
    run = RunFacts("r", "q", "finished", STARTED, steps=[StepFacts("a", "a.ipynb", "finished", folder=path.parent)])
    whole(index_page(run))
    for fragment in report_cells(path):
        parsed(fragment)


@given(
    st.lists(
        st.sampled_from("<>&\"'`=/ \n\t!-")
        | st.sampled_from(
            [
                "script",
                "img",
                "src",
                "style",
                "svg",
                "math",
                "a",
                "href",
                "on",
                "x",
                "javascript:",
                "<!--",
                "-->",
                "]]>",
                "<![CDATA[",
                "</",
                "&lt;",
                "\x00",
                "table",
                "tr",
                "td",
            ]
        ),
        max_size=25,
    ).map("".join)
)
def test_any_text_leaves_the_cleaner_balanced_and_harmless(text):
    parsed(f"<div>{clean_html(text)}</div>")
    parsed(f"<div>{markdown_html(text)}</div>")


def test_what_is_not_text_for_a_reader_goes_with_all_that_it_holds():
    buried = "<style>b {}</style><script>1</script><svg><text>2</text></svg><select><option>3</select><title>4</title>"
    assert clean_html(f"{buried}<b>seen</b>") == "<b>seen</b>"


def test_links_stay_and_only_links_that_a_reader_may_follow():
    html = clean_html("<a href='https://doi.org/10.1'>doi</a><a href='#x'>x</a><a href='vbscript:x'>v</a>")
    assert [a.get("href") for a in parsed(html).all("a")] == ["https://doi.org/10.1", "#x", None]


# Formulas ------------------------------------------------------------


@pytest.mark.parametrize(
    "tex",
    [
        r"x_t",
        r"\frac{a}{b}",
        r"\max_{t \le T} |x|",
        r"\lVert x \rVert",
        r"\bigl( a \bigr)",
        r"\operatorname{Var}(R_t)",
        r"x \in \mathbb{R}^d",
        r"\hat{\sigma}^2 = \sum_{i=1}^{n} (x_i - \bar{x})^2",
        r"\text{if } x > 0",
        r"a \ge b \implies c",
    ],
)
def test_usual_formulas_are_drawn(tex):
    page = parsed(formula(tex))
    (image,) = page.all("img")
    assert image["alt"] == tex
    svg = base64.b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    left, top, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    points = [float(v) for v in re.findall(r"-?\d+", re.search(r' d="([^"]+)"', svg)[1])]
    xs, ys = points[::2], points[1::2]
    assert left <= min(xs)
    assert max(xs) <= left + width
    assert top <= min(ys)
    assert max(ys) <= top + height


def test_a_formula_sits_on_its_line():
    raised, lowered = (
        formula(tex)[formula(tex).index("vertical-align:") + 16 :].split("em")[0] for tex in ("x", "x_y")
    )
    assert float(lowered) < float(raised) <= 0


def test_lines_of_a_formula_are_lines_of_the_page():
    html = markdown_html("$$\\begin{aligned} a &= b \\\\\\\\ c &= d \\end{aligned}$$")
    assert [image["alt"] for image in parsed(html).all("img")] == ["a = b", "c = d"]
    assert html.count('class="formula"') == 2


@pytest.mark.parametrize("tex", [r"\begin{cases} a \end{cases}", r"\frac{a", r"\nosuch", "x" * 5000, r"\sum_{" * 50])
def test_what_cannot_be_drawn_is_shown_as_source(tex):
    assert formula(tex) == f'<code class="tex">{tex}</code>'


def test_dollars_in_code_are_not_formulas():
    assert markdown_html("`$HOME` and $x$").count("<img") == 1


# The note ------------------------------------------------------------


def test_the_note_has_the_facts_of_the_page(tmp_path):
    run = a_run(tmp_path)
    note = note_markdown(run, folder=tmp_path)
    for text in (
        "**Failed**: Of 4 steps, 1 failed and 1 not run. 1 finished, 1 failed, 1 unchanged, 1 not run; took",
        "took 2 min 12 s, started 2026-11-23 02:00 UTC.",
        r"| detect.f1 | 0.618 | \[0.581, 0.667\] | 0.600 \[0.555, 0.645\] |",
        r"- **broken\[k=0.1\]** after 3.0 s: KeyError: 'cpu'",
        "**detect** Found **9 of 11** faults with $k = 3$.",
        f"| explore | unchanged, repeats 2026-11-22 02:00 UTC | 20 ms | 0 | {'a' * 32} |",
        "| last | not run | 0 s | 0 |  |",
        "- code (git): 3d1f0f2c8e7b" + "1" * 28 + ", with uncommitted changes",
    ):
        assert text in note
    page = whole(index_page(run)).text
    numbers = re.findall(r"\d+\.\d+", note.split("### Where")[0].replace("\\", ""))
    assert len(numbers) > 12
    assert all(number in page for number in numbers)
    assert "s3cret" not in note


# summary.json ------------------------------------------------------------


def test_summary_is_exactly_this(tmp_path):
    run = a_run(tmp_path)
    content = summary(run)
    assert content == {
        "name": "nightly",
        "status": "failed",
        "started": "2026-11-23T02:00:07Z",
        "seconds": 131.7,
        "steps": {
            "explore": {"status": "skipped", "seconds": 0.02, "run_id": "a" * 32, "error": None},
            "detect": {"status": "finished", "seconds": 96.2, "run_id": "b" * 32, "error": None},
            "broken[k=0.1]": {"status": "failed", "seconds": 3.0, "run_id": "c" * 32, "error": "KeyError: 'cpu'"},
            "last": {"status": "failed", "seconds": 0.0, "run_id": None, "error": "not run: the night was interrupted"},
        },
        "metrics": {
            "detect.f1": {"value": 0.61849, "lo": 0.5812, "hi": 0.6671},
            "detect.alarms": {"value": 12345, "lo": None, "hi": None},
        },
    }
    path = write_text_atomic(tmp_path / "summary.json", json.dumps(content, allow_nan=False))
    assert read_summary(path) == content
    run.history.append(read_summary(path))
    assert "before 0.618 [0.581, 0.667]" in whole(index_page(run)).text


@pytest.mark.parametrize("status", ["waiting", "running"])
def test_a_summary_written_in_the_middle_of_the_night_is_already_true(tmp_path, status):
    run = a_run(tmp_path, status="running")
    run.steps = [*run.steps[:2], StepFacts("now", "n.ipynb", status, 5.0, "e" * 32)]
    content = summary(run)
    assert content["status"] == "failed"
    assert content["steps"]["now"]["status"] == "failed"
    assert content["steps"]["now"]["error"] == "not run: the night was interrupted"
    run.steps, run.status = run.steps[:2], "finished"
    assert summary(run)["status"] == "finished"
    run.status = "running"
    assert summary(run)["status"] == "failed"


def test_a_run_cannot_claim_to_have_finished_with_a_failed_step(tmp_path):
    assert summary(a_run(tmp_path, status="finished"))["status"] == "failed"


nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Metric(0.5), "an estimate carries lo and hi"),
        (Metric(0.5, 0.4, None), "together or not at all"),
        (Metric(0.5, 0.6, 0.7), "lo <= value <= hi"),
        (Metric(0.5, 0.7, 0.3), "lo <= value <= hi"),
        (Metric(nan, nan, nan), "value"),
        (Metric(0.5, nan, 0.6), "lo"),
        (Metric(0.5, 0.4, inf), "hi"),
        (Metric(inf, kind="timing"), "value"),
        (Metric(1, 0, 2, "count"), "carries no interval"),
        (Metric(1.0, 0.5, 2.0, "timing"), "carries no interval"),
        (Metric(0.5, kind="count"), "a count is a whole number"),
        (Metric(-1, kind="count"), "not below zero"),
        (Metric(-0.1, kind="timing"), "not below zero"),
        (Metric(0.5, kind="score"), "kind"),
        (Metric("0.5x", 0.4, 0.6), "value"),
    ],
)
def test_dishonest_metrics_are_refused(tmp_path, metric, said):
    with pytest.raises(ContractError, match=said) as refused:
        check_metric("detect.f1", metric, source="step 'detect'")
    assert "step 'detect'" in str(refused.value)
    assert "detect.f1" in str(refused.value)
    with pytest.raises(ContractError):
        summary(a_run(tmp_path, metrics={"detect.f1": metric}))


@pytest.mark.parametrize(
    "name", ["f1", "Detect.f1", "detect.F1", "detect.f1.lo", "1detect.f1", "detect.", ".f1", "a.b\n", "a b.c", ""]
)
def test_other_names_are_refused(name):
    with pytest.raises(ContractError, match=r"<group>\.<metric>"):
        check_metric(name, Metric(1.0, 0.5, 1.5))


def test_an_end_that_misses_by_rounding_is_moved_onto_the_value(tmp_path):
    run = a_run(tmp_path, metrics={"a.b": Metric(0.3, 0.1 + 0.2, 0.5)})
    assert summary(run)["metrics"]["a.b"] == {"value": 0.3, "lo": 0.3, "hi": 0.5}


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3), st.floats(0, 1e3))
def test_every_honest_estimate_passes_and_its_strings_agree_with_it(middle, below, above):
    lo, hi = middle - below, middle + above
    check_metric("a.b", Metric(middle, lo, hi))
    value, interval = formats.estimate(middle, lo, hi)
    back = [float(text.replace(formats.THIN, "")) for text in (value, *interval[1:-1].split(", "))]
    half = (hi - lo) / 2
    if half > 0:
        assert all(
            abs(a - b) <= max(0.1 * half, 1e-5 * abs(b)) * (1 + 1e-9)
            for a, b in zip(back, (middle, lo, hi), strict=True)
        )


def test_naive_moments_and_silent_failures_are_refused(tmp_path):
    with pytest.raises(ContractError, match="timezone-aware"):
        summary(a_run(tmp_path, started=STARTED.replace(tzinfo=None)))
    run = a_run(tmp_path)
    run.steps[2].error = "\x1b[31m\n \n"
    assert summary(run)["steps"]["broken[k=0.1]"]["error"] == "no message"


WHOLE = {
    "name": "a",
    "status": "finished",
    "started": "2026-11-23T02:00:07Z",
    "seconds": 1.0,
    "steps": {},
    "metrics": {},
}
LOST = {"status": "failed", "seconds": 1.0, "run_id": None, "error": "x"}


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        '{"name": "a"}',
        json.dumps({**WHOLE, "steps": {"b": LOST}}),
        json.dumps({**WHOLE, "status": "failed", "steps": {"b": {**LOST, "error": None}}}),
        json.dumps({**WHOLE, "started": "2026-11-23T02:00:07"}),
        json.dumps({**WHOLE, "metrics": {"a.b": {"value": math.nan, "lo": None, "hi": None}}}),
        json.dumps({**WHOLE, "metrics": {"a.b": {"value": 1.0, "lo": None, "hi": 2.0}}}),
        json.dumps({**WHOLE, "metrics": {"A.b": {"value": 1.0, "lo": None, "hi": None}}}),
        json.dumps({**WHOLE, "more": 1}),
    ],
)
def test_a_broken_summary_is_refused_on_reading(tmp_path, broken):
    write_text_atomic(tmp_path / "whole.json", json.dumps(WHOLE))
    assert read_summary(tmp_path / "whole.json") == WHOLE
    (tmp_path / "summary.json").write_text(broken)
    with pytest.raises(ContractError, match=r"summary\.json"):
        read_summary(tmp_path / "summary.json")
    with pytest.raises(ContractError, match=r"none\.json"):
        read_summary(tmp_path / "none.json")


def test_a_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_text_atomic(tmp_path / "new" / "a.txt", "erste – 1\n")
    assert path.read_bytes() == "erste – 1\n".encode()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            write_text_atomic(path, "second")
    assert path.read_text() == "erste – 1\n"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]
    write_text_atomic(path, "third")
    assert path.read_text() == "third"


# Looks ------------------------------------------------------------


def luminance(colour):
    """WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_text_colour_is_legible_on_its_ground():
    css = importlib.resources.files("stability.workbench").joinpath("templates/page.css").read_text()
    palette = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))
    for ink in ("ink", "soft", "accent"):
        for ground in ("paper", "wash", "bad-wash", "good-wash", "warn-wash", "calm-wash"):
            assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
    for kind in ("good", "bad", "warn", "calm"):
        for ground in ("paper", f"{kind}-wash"):
            assert contrast(palette[kind], palette[ground]) >= 4.5, (kind, ground)
    terminal = re.findall(r"-fg \{ color: (#[0-9a-f]{6}); \}", css)
    assert len(terminal) >= 9
    assert (
        min(contrast(colour, palette[ground]) for colour in terminal for ground in ("paper", "wash", "warn-wash"))
        >= 4.5
    )
    code = {style["color"] for _, style in get_style_by_name(templating.CODE_STYLE) if style["color"]}
    assert min(contrast(f"#{colour}", palette["wash"]) for colour in code) >= 4.5


def test_an_unknown_name_in_a_template_is_an_error():
    with pytest.raises(Exception, match="is undefined"):
        templating.render("index.html.j2")


def test_pages_are_made_in_threads_too(executed):
    from concurrent.futures import ThreadPoolExecutor

    formula.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        pages = set(pool.map(lambda _: notebook_page(executed, "t"), range(8)))
    assert len(pages) == 1
    assert not Path("notebook.html").exists()
