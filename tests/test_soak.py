"""Many nights in one store, and something goes wrong in each: the truth at once, and nothing is lost (`make soak`)."""

import os
import random
import time
from collections import Counter

import mlflow
import pytest
from faults import KINDS, Trial, can_mount
from workbenches import DIES, LOGS, PLAIN, RAISES

from stability.workbench import runner
from stability.workbench.reporting import read_summary
from stability.workbench.spec import load_plan

NIGHTS = 25
FAULTS = 200
ENDS = {"plain": "finished", "logs": "finished", "raises": "failed", "dies": "failed"}

pytestmark = pytest.mark.soak


def test_random_faults_lose_nothing_and_tell_no_lie(workbench, capsys):
    """After each fault the disk is checked at once and the store after the next start; a chain ends with a recovery."""
    kinds = [kind for kind in KINDS if kind != "disk full" or can_mount()]
    first = int(os.environ.get("STABILITY_SOAK_SEED") or time.time_ns() % 1_000_000)
    trial = Trial(workbench, random.Random(first), pause=0.1)
    met, nights, begun, violations = Counter(), 0, time.monotonic(), []
    say(capsys, f"\nsoak: seed {first}, {FAULTS} faults of {len(kinds)} kinds (STABILITY_SOAK_SEED repeats it)")
    while met.total() < FAULTS and not violations:
        trial.new_experiment()
        for _ in range(trial.rng.randint(1, 4)):
            kind = trial.rng.choice(kinds)
            try:
                told = trial.fault(kind)
                trial.check_disk()
            except AssertionError as violation:
                violations.append((kind, violation))
                break
            met[kind] += 1
            nights += 1 + (kind in ("disk full", "two runners"))
            ends = list(trial.told().values()) if trial.summaries() else []
            say(capsys, f"{met.total():4} {told}; {' '.join(ends)}")
            if "failed" not in ends and kind != "disk full":
                break  # nothing is left to be disturbed
        try:
            trial.recover()
        except AssertionError as violation:
            violations.append(("recovery", violation))
        nights += 1
    say(
        capsys,
        f"soak: {met.total()} faults in {nights} nights and {time.monotonic() - begun:.0f} s, seed {first}; "
        f"{len(violations)} violations; " + ", ".join(f"{kind} {met[kind]}" for kind in kinds),
    )
    assert not violations, (first, met.total(), violations)


def say(capsys, text):
    with capsys.disabled():
        print(text, flush=True)


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
