"""Looks at a test part: distinct configurations count once, whoever looked, and a look cannot be taken back."""

import mlflow
import nbformat
import pytest
from nbclient import NotebookClient
from workbenches import CHECKOUT

from stability.schema import ContractError
from stability.workbench import looks, runner, tracking
from stability.workbench.spec import load_plan

CELLS = (
    "k = 1\ndataset = ''\noptions = {}\noutput = ''",
    """import mlflow
from stability.workbench import tracking
tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, estimates={'g.e': (1.0, 0.5, 1.5)})
    tracking.log_test_part('the second half', dataset, options)""",
)


@pytest.fixture
def bench(workbench):
    workbench.notebook("looks.ipynb", CELLS)
    for name in ("sample", "simulated"):
        (workbench.folder / "data" / name).symlink_to(CHECKOUT / "data" / name)
    return workbench


def night(bench, k=1, name="exp", fresh=False, steps=None, data="sample"):
    steps = steps or {"look": {"notebook": "looks.ipynb", "parameters": {"k": k}}}
    path = bench.spec(steps, name=name, dataset=data, headline=["g.e"])
    facts = runner.run(load_plan(path), fresh=fresh)
    assert facts.status == "finished", [s.error for s in facts.steps]
    (part,) = facts.test_parts
    assert part["part"] == "the second half"
    return part["configurations"]


def by_hand(bench, k=1):
    """As JupyterLab runs it: every cell in a fresh kernel, no run of the runner's in the environment."""
    nb = nbformat.read(bench.folder / "notebooks" / "looks.ipynb", 4)
    nb.cells[0].source = CELLS[0].replace("k = 1", f"k = {k}").replace("''", "'sample'", 1)
    NotebookClient(nb).execute()


@pytest.mark.usefixtures("forked_kernels")
def test_distinct_configurations_are_counted_over_nights_experiments_and_hands(bench):
    assert night(bench) == 1
    assert night(bench) == 1, "a skipped step looks at nothing new"
    assert night(bench, name="same", fresh=True) == 1, "under another name neither"
    assert night(bench, k=2, name="other") == 2
    page = (bench.latest("other") / "index.html").read_text()
    assert "<b>2 distinct configurations</b>" in page
    assert "the second half" in page
    by_hand(bench, k=3)
    assert night(bench, k=1) == 3

    # What is needed belongs to the configuration: other steps before it are another way to look.
    bench.notebook("plain.ipynb", ("j = 1",))
    steps = {
        "before": {"notebook": "plain.ipynb", "parameters": {"j": 2}},
        "look": {"notebook": "looks.ipynb", "needs": ["before"]},
    }
    assert night(bench, name="chain", steps=steps) == 4

    # Other data are another test part.
    assert night(bench, data="simulated") == 1

    # A look outlives its run.
    client = tracking.open_store()
    for name in ("exp", "same", "other", "chain"):
        experiment = client.get_experiment_by_name(name).experiment_id
        runs = client.search_runs([experiment])
        looks.keep(client, experiment, runs)
        looks.keep(client, experiment, runs)
        for run in runs:
            client.delete_run(run.info.run_id)
            client._tracking_client.store._hard_delete_run(run.info.run_id)
    assert night(bench, fresh=True) == 4


def test_what_counts_as_the_same(bench):
    file = bench.folder / "notebooks" / "looks.ipynb"
    plain = looks.configuration(file, {}, {})
    assert looks.configuration(file, {"k": 1, "output": "/x", "dataset": "files", "options": {"a": 1}}, {}) == plain
    assert looks.configuration_by_hand([*CELLS, CELLS[1]]) == plain
    nb = nbformat.read(file, 4)
    nb.cells.append(nbformat.v4.new_markdown_cell("words"))
    nbformat.write(nb, file)
    assert looks.configuration(file, {}, {}) == plain
    assert looks.configuration(file, {"k": 2}, {}) != plain
    assert looks.configuration(file, {}, {"before": plain}) != plain


def test_without_a_run_it_says_what_is_missing(bench):
    with pytest.raises(ContractError, match="start_run"):
        tracking.log_test_part("the second half", "sample")
    mlflow.set_tracking_uri(None)
