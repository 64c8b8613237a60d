"""The two cells around a repeated notebook: the first lets only recorded code run, the last tells what it logged."""

__all__ = ["ASKED", "GUARD", "TELL"]

ASKED = "STABILITY_REPRODUCTION"  # the variable that names the file in which the cells find what is asked of them

# They run under the recorded code and libraries, so they use nothing of the package that may have changed.
GUARD = '''
def _guard():
    """Refuse any code but the recorded one; say what code and data are in force; open a run in the scratch store."""
    import json, os, pathlib

    import mlflow
    import stability
    from stability.workbench import provenance

    asked = json.loads(pathlib.Path(os.environ["STABILITY_REPRODUCTION"]).read_text())
    here = pathlib.Path(stability.__file__).resolve().parent
    if here != pathlib.Path(asked["package"]).resolve():
        raise RuntimeError(f"the recorded code is in {asked['package']}, and {here} was imported")
    said = {"package": str(here), "code": provenance.package_sha256(), "data": None}
    if asked["dataset"]:
        from stability import datasets

        said["data"] = datasets.fingerprint(asked["dataset"], **asked["options"])
    client, folder = mlflow.MlflowClient(), pathlib.Path(asked["answers"])
    found = client.get_experiment_by_name("reproduction")
    experiment = found.experiment_id if found else client.create_experiment("reproduction", asked["artifacts"])
    # Two names: a notebook that resumes the run makes MLflow forget the first.
    os.environ["MLFLOW_RUN_ID"] = said["run_id"] = client.create_run(experiment).info.run_id
    (folder / "guard.json").write_text(json.dumps(said))


_guard()
del _guard
'''.strip()

TELL = '''
def _tell():
    """Hand over everything that was logged, as the scratch store has it."""
    import json, os, pathlib

    import mlflow

    asked = json.loads(pathlib.Path(os.environ["STABILITY_REPRODUCTION"]).read_text())
    folder = pathlib.Path(asked["answers"])
    run = mlflow.MlflowClient().get_run(json.loads((folder / "guard.json").read_text())["run_id"])
    said = {"metrics": run.data.metrics, "tags": run.data.tags}
    (folder / "logged.json").write_text(json.dumps(said))


_tell()
del _tell
'''.strip()
