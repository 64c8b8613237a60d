"""Many nights of random ends in one store: each is written down as it was, and nothing stays open (`make soak`)."""

import random

import mlflow
import pytest
from workbenches import DIES, LOGS, PLAIN, RAISES

from stability.workbench import runner
from stability.workbench.reporting import read_summary
from stability.workbench.spec import load_plan

NIGHTS = 25
ENDS = {"plain": "finished", "logs": "finished", "raises": "failed", "dies": "failed"}

pytestmark = pytest.mark.soak


def plan_of(rng):
    """A random acyclic graph of steps with random ends."""
    steps, ends = {}, {}
    for number in range(rng.randint(2, 6)):
        kind = rng.choice(list(ENDS))
        needs = [name for name in steps if rng.random() < 0.25]
        name = f"s{number}"
        parameters = {"group": f"g{number}", "k": rng.randint(1, 3)} if kind == "logs" else {}
        steps[name] = {"notebook": f"{kind}.ipynb", "parameters": parameters, "needs": needs, "retries": 0}
        ends[name] = ENDS[kind] if all(ends[need] == "finished" for need in needs) else "skipped"
    return steps, ends


def test_random_nights_are_told_as_they_were(workbench):
    for name, cells in {"plain": PLAIN, "logs": LOGS, "raises": RAISES, "dies": DIES}.items():
        workbench.notebook(f"{name}.ipynb", cells)
    client = mlflow.MlflowClient(f"sqlite:///{workbench.folder / 'mlflow.db'}")
    for seed in range(NIGHTS):
        steps, ends = plan_of(random.Random(seed))
        runner.run(load_plan(workbench.spec(steps)), fresh=bool(seed % 2))
        told = read_summary(workbench.latest() / "summary.json")
        for name, step in told["steps"].items():
            repeated = step["status"] == "skipped" and step["run_id"]
            assert step["status"] == ends[name] or (repeated and ends[name] == "finished"), (seed, name)
            if step["run_id"]:
                known = client.get_run(step["run_id"]).info.status
                assert known == ("FAILED" if step["status"] == "failed" else "FINISHED"), (seed, name)
        assert told["status"] == ("failed" if "failed" in ends.values() else "finished"), seed
        experiment = client.get_experiment_by_name("exp").experiment_id
        assert not client.search_runs([experiment], "attributes.status = 'RUNNING'"), seed
