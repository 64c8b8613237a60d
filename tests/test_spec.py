"""Declarations: everything that can be known before the start is checked before the start."""

import itertools

import pytest
from workbenches import LOGS, PLAIN

from stability.workbench.spec import SpecError, declared_parameters, load_plan


@pytest.fixture
def bench(workbench):
    workbench.notebook("plain.ipynb", PLAIN)
    workbench.notebook("logs.ipynb", LOGS)
    workbench.notebook("typed.ipynb", ("i = 1\nf = 1.5\nb = True\ns = 'x'\nl = []\nd = {}\nn = None\na: int = 3", "i"))
    return workbench


STEP = {"a": {"notebook": "plain.ipynb"}}


def test_plan_keeps_the_order_of_the_file_where_needs_allow(bench):
    steps = {
        "c": {"notebook": "plain.ipynb", "needs": ["b"]},
        "a": {"notebook": "plain.ipynb"},
        "b": {"notebook": "plain.ipynb"},
    }
    assert [t.key for t in load_plan(bench.spec(steps)).tasks] == ["b", "c", "a"]


def test_matrix_children_include_and_exclude(bench):
    matrix = {"i": [1, 2], "s": ["x", "y"], "exclude": [{"i": 2, "s": "y"}], "include": [{"i": 9}]}
    steps = {
        "sweep": {"notebook": "typed.ipynb", "matrix": matrix},
        "compare": {"notebook": "plain.ipynb", "needs": ["sweep"]},
    }
    plan = load_plan(bench.spec(steps))
    keys = ["sweep[i=1,s=x]", "sweep[i=1,s=y]", "sweep[i=2,s=x]", "sweep[i=9]"]
    assert [t.key for t in plan.tasks] == [*keys, "compare"]
    assert plan.tasks[-1].needs == tuple(keys)
    assert [t.in_summary for t in plan.tasks] == [False] * 4 + [True]


def test_defaults_of_the_parameters_cell_are_read_not_run(bench):
    found = declared_parameters(bench.folder / "notebooks" / "typed.ipynb")
    assert found == {"i": 1, "f": 1.5, "b": True, "s": "x", "l": [], "d": {}, "n": None, "a": 3}
    bench.notebook("computed.ipynb", ("import os\nx = os.getcwd()", "x"))
    with pytest.raises(SpecError, match="plain assignments of literals"):
        declared_parameters(bench.folder / "notebooks" / "computed.ipynb")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": {}}, "steps"),
        ({"steps": STEP, "headlines": []}, "did you mean 'headline'"),
        ({"steps": {"a": {"notebok": "plain.ipynb"}}}, "notebook"),
        ({"steps": {"a": {"notebook": "plian.ipynb"}}}, "did you mean 'plain.ipynb'"),
        ({"steps": {"A b": {"notebook": "plain.ipynb"}}}, "a step name of lower-case letters"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "needs": ["b"]}}}, "expected the name of a step, got b"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "parameters": {"kk": 1}}}}, "did you mean 'k'"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "parameters": {"k": "1"}}}}, "expected int"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "parameters": {"k": True}}}}, "expected int"),
        ({"steps": {"a": {"notebook": "typed.ipynb", "parameters": {"b": 1}}}}, "expected bool"),
        ({"steps": {"a": {"notebook": "typed.ipynb", "parameters": {"f": "x"}}}}, "expected float"),
        ({"steps": {"a": {"notebook": "typed.ipynb", "parameters": {"n": float("inf")}}}}, "JSON"),
        ({"steps": {"a": {"notebook": "logs.ipynb", "parameters": {"output": "x"}}}}, "the runner sets"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "matrix": {"k": 3}}}}, "a list of values"),
        ({"steps": {"a": {"notebook": "plain.ipynb", "matrix": {"k": [1, 1]}}}}, "combinations that differ"),
        (
            {"steps": {"a": {"notebook": "plain.ipynb", "parameters": {"k": 2}, "matrix": {"k": [1]}}}},
            "does not set too",
        ),
        ({"steps": {"a": {"notebook": "plain.ipynb", "timeout": -1}}}, "timeout"),
        ({"steps": STEP, "headline": ["Recall"]}, "group.metric"),
        ({"steps": STEP, "seed": -1}, "seed"),
        ({"steps": STEP, "dataset": "simulatd"}, "did you mean 'simulated'"),
        ({"steps": STEP, "dataset": {"name": "nab", "options": {"flies": []}}}, "files"),
    ],
)
def test_a_wrong_declaration_says_where_what_and_what_to_do(bench, fields, said):
    path = bench.spec(**fields)
    with pytest.raises(SpecError) as error:
        load_plan(path)
    assert said in str(error.value)
    assert "exp.yaml" in str(error.value)
    assert not (bench.folder / "runs" / "exp").exists()


def test_cycle_is_named(bench):
    steps = {n: {"notebook": "plain.ipynb", "needs": [m]} for n, m in (("a", "b"), ("b", "c"), ("c", "a"))}
    with pytest.raises(SpecError, match=r"cycle.*->.*->"):
        load_plan(bench.spec(steps))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "steps: [", "steps:\n  a: {}\n  a: {}\n", "\x00"])
def test_files_that_are_no_experiment(bench, text):
    path = bench.folder / "experiments" / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"broken\.yaml"):
        load_plan(path)


def test_missing_file_lists_what_there_is(bench):
    bench.spec(STEP, name="nightly")
    with pytest.raises(SpecError, match=r"experiments/nightly\.yaml"):
        load_plan(bench.folder / "experiments" / "nigthly.yaml")


def test_two_runs_in_one_notebook_are_refused(bench):
    bench.notebook("two.ipynb", ("k = 1", "mlflow.start_run()", "with mlflow.start_run() as run:\n    pass"))
    with pytest.raises(SpecError, match=r"at most one mlflow\.start_run"):
        load_plan(bench.spec({"a": {"notebook": "two.ipynb"}}))


def test_a_notebook_that_is_none(bench):
    (bench.folder / "notebooks" / "broken.ipynb").write_text("{}")
    with pytest.raises(SpecError, match="a Jupyter notebook"):
        load_plan(bench.spec({"a": {"notebook": "broken.ipynb"}}))
    bench.notebook("syntax.ipynb", ("k = 1", "def f(:"))
    with pytest.raises(SpecError, match="Python that parses"):
        load_plan(bench.spec({"a": {"notebook": "syntax.ipynb"}}))


def test_magics_are_not_python_and_pass(bench):
    bench.notebook("magic.ipynb", ("k = 1", "%matplotlib inline\n!ls\nk", "%%bash\nls ("))
    assert load_plan(bench.spec({"a": {"notebook": "magic.ipynb"}})).tasks[0].key == "a"


def test_many_ways_to_a_step_are_walked_once(bench):
    layers = [[f"s{k}-a", f"s{k}-b"] for k in range(40)]
    steps = {name: {"notebook": "plain.ipynb"} for name in layers[0]}
    for before, here in itertools.pairwise(layers):
        steps |= {name: {"notebook": "plain.ipynb", "needs": before} for name in here}
    plan = load_plan(bench.spec(dict(reversed(steps.items()))))
    position = {task.key: k for k, task in enumerate(plan.tasks)}
    assert len(position) == 80
    assert all(position[need] < position[task.key] for task in plan.tasks for need in task.needs)
