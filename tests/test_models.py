"""Predictors in MLflow's registry: what comes back is what went in, and what was altered does not come back."""

import json
import os
import shutil
from pathlib import Path

import commands
import mlflow
import pandas as pd
import pytest
from registering import GOOD, MODEL, SPLIT, WEAK, dump, enter, learnt, rows
from test_packaging import fitted, panel
from workbenches import PLAIN

from stability import datasets
from stability.prediction.registry import PREDICTORS
from stability.schema import ContractError
from stability.workbench import models, provenance, runner, tracking
from stability.workbench.provenance import digest
from stability.workbench.spec import SpecError, load_plan


@pytest.fixture(autouse=True)
def made_up_data(monkeypatch):
    """A dataset that nobody has to read: its fingerprint is its options'."""
    monkeypatch.setattr(datasets, "fingerprint", lambda name, **options: digest([name, options]))


IN_ANOTHER_PROCESS = """
import json, logging, sys
import mlflow, pandas as pd
from stability.workbench import tracking
tracking.open_store()
features = pd.read_parquet(sys.argv[1])
found = {}
for name in sys.argv[2:]:
    model = mlflow.pyfunc.load_model(f"models:/{name}@challenger")
    said = model.predict(features)
    assert said.index.equals(features.index) and said.name == "probability"
    assert model.predict(features.reset_index()).tolist() == said.tolist()
    found[name] = [x.hex() for x in said]
print(json.dumps(found))
"""


# What keeps arrays, what reads the rows before a row, what has edges, and what is wrapped around another. The files of
# skops take four seconds to import in either process; `test_packaging` reads them at each change.
SORTS = ["logistic", "lstm", "hazard", "calibrated"]


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(SORTS, id="one of each sort"),
        pytest.param([*PREDICTORS, "hazard", "calibrated"], id="all", marks=pytest.mark.soak),
    ],
)
def test_mlflow_gives_the_training_processs_numbers_in_another_process(workbench, tmp_path, kinds):
    later, happened = panel(seed=3)
    later.to_parquet(tmp_path / "later.parquet")
    expected = {}
    for kind in kinds:
        model = fitted(kind)
        said = model.predict(later)
        evidence = pd.DataFrame({"outcome": happened, "probability": said}, later.index)
        settings = {"dataset": "made", "horizon": "24h", "split": "later", "evidence": evidence, "name": f"kind-{kind}"}
        assert models.register(model, later, **settings).kind == ("xgboost" if kind == "calibrated" else kind)
        expected[f"kind-{kind}"] = [x.hex() for x in said]
        assert [x.hex() for x in models.load(f"kind-{kind}", "challenger").predict(later)] == expected[f"kind-{kind}"]
    command = ("-c", IN_ANOTHER_PROCESS, str(tmp_path / "later.parquet"), *expected)
    done = commands.Begun(workbench.folder, *command, **os.environ)
    said, complained = done.communicate()
    assert done.returncode == 0, complained
    found = json.loads(said.splitlines()[-1])
    assert [name for name in expected if found[name] != expected[name]] == []
    assert found.keys() == expected.keys()
    stored = {path.suffix for path in (workbench.folder / "mlartifacts").rglob("*/data/predictor/*") if path.is_file()}
    assert stored == {".json", ".npz", ".safetensors"} | ({".skops"} if "random_forest" in kinds else set())
    assert not list((workbench.folder / "mlartifacts").rglob("*.pkl"))


def test_a_hazard_model_is_registered_for_one_of_its_edges(workbench):
    later, happened = panel(seed=3)
    model = fitted("hazard")
    evidence = pd.DataFrame({"outcome": happened, "probability": model.predict_all(later)["6h"]}, later.index)
    settings = {"dataset": "made", "split": "later", "evidence": evidence}
    with pytest.raises(ContractError, match="6h, 24h"):
        models.register(model, later, horizon="5h", **settings)
    models.register(model, later, horizon="6h", **settings)
    served = mlflow.pyfunc.load_model(f"models:/{MODEL}@challenger")
    assert served.predict(later).tolist() == evidence["probability"].tolist()
    assert served.predict(later, params={"horizon": "24h"}).tolist() == model.predict(later).tolist()
    with pytest.raises(ContractError, match="what this predictor says"):
        models.register(model, later, horizon="24h", **settings)


def test_a_version_tells_everything_about_itself(workbench):
    card = {
        "known_failures": ["sudden failures", "<b>new</b> models"],
        "purpose": "the morning's round",
        "owner": "a_b",
    }
    made = enter(*GOOD, card=card, options={"address": "sql://me:s3cret@db"})
    again = models.find(MODEL, "challenger")
    assert again == made
    client = tracking.open_store()
    (logged,) = client.search_logged_models([client.get_run(made.run_id).info.experiment_id])
    path = client.download_artifacts(made.run_id, f"models/{logged.model_id}/model_card.md")
    said = Path(path).read_text()
    assert client.get_model_version(MODEL, made.number).description == said[: models.LONGEST]
    for wanted in (
        "within 24 h",
        "the morning's round",
        "- sudden failures",
        "PR-AUC",
        "&lt;b&gt;",
        made.sha256,
        SPLIT,
    ):
        assert wanted in said
    metrics = client.get_run(made.run_id).data.metrics
    assert metrics["evidence.pr_auc.lo"] <= metrics["evidence.pr_auc"] <= metrics["evidence.pr_auc.hi"]
    assert f"| {metrics['evidence.pr_auc']:.4g} |" in said
    assert "s3cret" not in "".join(dump(workbench)) + said
    info = mlflow.models.get_model_info(f"models:/{MODEL}/{made.number}")
    assert info.signature.inputs.required_input_names() == list(GOOD)
    assert info.metadata["stability.sha256"] == made.sha256
    assert "python_model" not in json.dumps(info.flavors)
    pins = mlflow.pyfunc.get_model_dependencies(info.model_uri)
    assert "numpy==" in Path(pins).read_text()
    example = mlflow.pyfunc.load_model(info.model_uri).input_example
    assert list(example) == list(GOOD)
    assert "Nobody has stated any" in _card(enter(*GOOD)).read_text()


def _card(version):
    client = tracking.open_store()
    folder = next(file.path for file in client.list_artifacts(version.run_id, "models"))
    return Path(client.download_artifacts(version.run_id, f"{folder}/model_card.md"))


def test_evidence_has_to_be_evidence(workbench):
    model = learnt(*GOOD)
    features, happened = rows()
    said = pd.DataFrame({"outcome": happened, "probability": model.predict(features)}, features.index)
    settings = {"dataset": "made", "horizon": "1D", "split": SPLIT}
    wrong = {
        "what this predictor says": said.assign(probability=said["probability"] * 0.9),
        "probability": said.drop(columns="probability"),
        "a number from 0 to 1": said.assign(probability=said["probability"] + 1),
        "none": said.iloc[:0],
        "horizon of 86400 s": said.assign(horizon=3600),
        "outcome|impact_within": said.assign(outcome="perhaps"),
        "unique|twice|once": pd.concat([said, said.iloc[:1]]),
    }
    for message, evidence in wrong.items():
        with pytest.raises(ContractError, match=message):
            models.register(model, features, evidence=evidence, **settings)
    with pytest.raises(ContractError, match="test part"):
        models.register(model, features, evidence=said, **settings | {"split": " "})
    with pytest.raises(ContractError, match="heat"):
        models.register(model, features.drop(columns="heat"), evidence=said, **settings)
    with pytest.raises(ContractError, match="name"):
        models.register(model, features, evidence=said, name="a/b", **settings)
    model.fitted_on_ = {"entities": ["e3"], "until": "2026-01-02T00:00:00+00:00"}
    with pytest.raises(ContractError, match="the last moment that shaped"):
        models.register(model, features, evidence=said, **settings)
    assert list(tracking.open_store().search_registered_models()) == []


def test_what_was_altered_in_the_store_is_not_used(workbench):
    made = enter(*GOOD)
    tracking.open_store().set_registered_model_alias(MODEL, "champion", made.number)
    folder = next((workbench.folder / "mlartifacts").rglob("data/predictor"))
    features, _ = rows()
    expected = models.load(MODEL).predict(features)
    assert expected.tolist() == learnt(*GOOD).predict(features).tolist()
    said = json.loads((folder / "predictor.json").read_text())
    (folder / "predictor.json").write_text(json.dumps(said | {"base_rate": 0.1}))
    with pytest.raises(ContractError, match="sha256"):
        models.load(MODEL)
    with pytest.raises(Exception, match="sha256"):
        mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    shutil.rmtree(folder)
    with pytest.raises(ContractError, match="folder"):
        models.load(MODEL)


def test_unknown_names_are_told(workbench):
    enter(*GOOD)
    for arguments, message in {
        ("fault-predictor-mode",): "did you mean 'fault-predictor-made'",
        (MODEL,): "stability promote",
        (MODEL, "challengr"): "did you mean 'challenger'",
    }.items():
        with pytest.raises(ContractError, match=message):
            models.load(*arguments)
    with pytest.raises(ContractError, match="there are: 1"):
        models.load(MODEL, version=7)
    client = tracking.open_store()
    client.create_registered_model("foreign")
    client.create_model_version("foreign", "file:///nowhere")
    with pytest.raises(ContractError, match="a predictor of the workbench's"):
        models.load("foreign", version=1)
    assert models.champion("nobody") is None
    assert models.champion(MODEL) is None


# ---- what a step reads from the registry is an input of it ---------------------------------------------------------
READS = (
    "registry = {}\noutput = ''",
    "import mlflow\nfrom stability.workbench import models, tracking",
    f"version = models.find({MODEL!r}, pinned=registry)",
    """tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, counts={'model.version': int(version.number)})""",
)


@pytest.mark.usefixtures("forked_kernels")
def test_a_step_that_reads_the_registry_runs_again_when_the_champion_changed(workbench, monkeypatch):
    monkeypatch.setattr(provenance, "package_sha256", lambda: "one")  # an editor may be at work meanwhile
    workbench.notebook("reads.ipynb", READS)
    workbench.notebook("plain.ipynb", PLAIN)
    client = tracking.open_store()
    for columns in (WEAK, GOOD):
        enter(*columns)
    client.set_registered_model_alias(MODEL, "champion", "1")
    client.delete_registered_model_alias(MODEL, "challenger")
    steps = {"reads": {"notebook": "reads.ipynb", "reads": [MODEL]}, "plain": {"notebook": "plain.ipynb"}}

    def night():
        facts = runner.run(load_plan(workbench.spec(steps)))
        assert facts.status == "finished", [step.error for step in facts.steps]
        return [step.status for step in facts.steps], facts.metrics["model.version"].value, facts.steps[0].run_id

    assert night()[:2] == (["finished", "finished"], 1)
    assert night()[:2] == (["skipped", "skipped"], 1)
    client.set_registered_model_alias(MODEL, "champion", "2")
    statuses, version, run_id = night()
    assert (statuses, version) == (["finished", "skipped"], 2), "only what reads it runs again"
    told = json.loads(client.get_run(run_id).data.params["registry"])
    assert told == {MODEL: {"champion": {"version": "2", "sha256": models.champion(MODEL).sha256}}}
    # What the step was told counts, whatever the alias means by now.
    client.set_registered_model_alias(MODEL, "champion", "1")
    assert models.find(MODEL, pinned=told).number == "2"
    assert models.find(MODEL, pinned={}).number == "1"
    with pytest.raises(ContractError, match="challenger"):
        models.find(MODEL, "challenger", pinned=told)


def test_a_spec_tells_what_it_reads_in_words_that_can_be_checked(workbench):
    workbench.notebook("reads.ipynb", READS)
    workbench.notebook("plain.ipynb", PLAIN)
    for notebook, reads, message in (
        ("plain.ipynb", [MODEL], "a parameter 'registry'"),
        ("reads.ipynb", ["models:/x"], "names of registered models"),
        ("reads.ipynb", [MODEL, MODEL], "each once"),
        ("reads.ipynb", MODEL, "list"),
    ):
        with pytest.raises(SpecError, match=message):
            load_plan(workbench.spec({"a": {"notebook": notebook, "reads": reads}}))
    wrong = {"a": {"notebook": "reads.ipynb", "parameters": {"registry": {}}}}
    with pytest.raises(SpecError, match="the runner sets"):
        load_plan(workbench.spec(wrong))
    assert load_plan(workbench.spec({"a": {"notebook": "reads.ipynb", "reads": [MODEL]}})).tasks[0].reads == (MODEL,)


def test_a_model_that_is_not_there_yet_has_no_alias(workbench):
    assert models.state("fault-predictor-nobody") == {}
    made = enter(*GOOD)
    assert models.state(MODEL) == {"challenger": {"version": "1", "sha256": made.sha256}}
