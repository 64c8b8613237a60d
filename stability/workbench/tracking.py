"""The one store of runs: where it is, how a notebook logs to it, how any run's tables come back.

The store's address depends on the workbench's folder and never on the folder that one stands in, so a notebook opened
by hand in JupyterLab and the same notebook in the night write side by side. `MLFLOW_TRACKING_URI` names another store.

A notebook's last cell reads::

    tracking.connect()
    with mlflow.start_run():
        tracking.log(estimates={"detect.recall": (0.8, 0.6, 0.9)}, counts={"detect.alarms": 12})
        tracking.log_tables(output, {"scores": scores})
"""

import contextlib
import datetime as dt
import fcntl
import json
import logging
import math
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from stability.schema import TABLES, ContractError, home, nearest, read_table, write_table
from stability.workbench.facts import METRIC_NAME, Metric

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

__all__ = [
    "INTERACTIVE",
    "METRICS_FILE",
    "connect",
    "experiment_id",
    "load_table",
    "log",
    "log_tables",
    "log_test_part",
    "open_store",
    "pages",
    "read_metrics",
    "store_file",
    "store_uri",
]

INTERACTIVE = "interactive"  # the experiment of notebooks that were opened by hand
METRICS_FILE = "metrics.json"
# What the database says of a store whose making was cut short: a table twice, a step of its migration missing.
HALF_MADE = re.compile("already exists|duplicate column|no such (?:table|column)|out-of-date database schema")
FOLDER = "tables"  # the folder of a run's artifacts that holds its tables


def store_uri() -> str:
    """Address of the store: `MLFLOW_TRACKING_URI`, else `mlflow.db` in the workbench's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def store_file() -> Path | None:
    """The file of a store in SQLite; None where the store is a server."""
    uri = store_uri()
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def _mlflow() -> Any:
    """Import MLflow late (it takes a second or two) and with its telemetry off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")

    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
    # An address that nobody answers at is told within seconds; MLflow's own patience is minutes, in every kernel anew.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    if "://" in store_uri() and not store_uri().startswith(("http", "file")):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 5  # some three seconds of trying to connect
    return mlflow


@contextlib.contextmanager
def locked(path: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold an advisory lock on a file while the block runs; it ends with the process, however that ends.

    Parameters
    ----------
    path
        The file; made when it is missing.
    patience
        Seconds to wait for another process that holds it; without it, as long as it takes.

    Raises
    ------
    BlockingIOError
        When another process still holds it after that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        if patience is None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        else:
            wait = Retrying(
                retry=retry_if_exception_type(BlockingIOError),
                stop=stop_after_delay(patience),
                wait=wait_fixed(0.1),
                reraise=True,
            )
            wait(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def open_store() -> "MlflowClient":
    """Open the store, creating its tables under a lock: several processes that create them together break it."""
    mlflow = _mlflow()
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    from sqlalchemy.exc import SQLAlchemyError

    with locked(home() / "runs" / ".store.lock"):
        try:
            client = mlflow.MlflowClient(uri)
            client.search_experiments(max_results=1)
        except (mlflow.exceptions.MlflowException, SQLAlchemyError) as error:
            if not (HALF_MADE.search(str(error)) and _emptied()):
                raise
            client = mlflow.MlflowClient(uri)
            client.search_experiments(max_results=1)
    return client


def _emptied() -> bool:
    """Drop the tables of an SQLite store that holds no run, so that they can be made anew; in place, never the file."""
    path = store_file()
    if path is None or not path.is_file():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as store:
        tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
        if "runs" in tables and store.execute("select count(*) from runs").fetchone()[0]:
            return False
        for name in tables:
            if not name.startswith("sqlite_"):
                store.execute(f'drop table "{name}"')
        store.commit()
    logging.getLogger(__name__).warning("%s was half made by a process that was killed: its tables are made anew", path)
    return True


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, created with its artifacts in `mlartifacts/` of the workbench's folder when new.

    Raises
    ------
    ContractError
        When somebody deleted the experiment in the store: its name stays taken until it is restored or purged.
    """
    with locked(home() / "runs" / ".store.lock"):
        found = client.get_experiment_by_name(name)
        if found is None:
            # A server keeps artifacts itself; with a plain database they would land in the current folder.
            local = store_uri().startswith(("sqlite:", "postgresql", "mysql"))
            location = (home() / "mlartifacts" / re.sub(r"[^\w.-]+", "-", name)).as_uri() if local else None
            return client.create_experiment(name, artifact_location=location)
    if found.lifecycle_stage != "active":
        raise ContractError(
            file=store_uri(),
            expected=f"an active experiment {name!r}",
            got="a deleted one",
            remedy=f"mlflow experiments restore --experiment-id {found.experiment_id}, or mlflow gc to purge it",
        )
    return found.experiment_id


def pages(search: Callable, *arguments: Any, **options: Any) -> Iterator[Any]:
    """Everything that a search of MLflow's client finds, page after page."""
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        yield from page
        if not (token := page.token):
            return


def connect() -> None:
    """Point MLflow at the workbench's store; by hand into the experiment `interactive`, in a night into its own run."""
    mlflow = _mlflow()
    if os.environ.get("MLFLOW_RUN_ID"):
        mlflow.set_tracking_uri(store_uri())  # the runner has opened store and experiment before
        return
    mlflow.set_experiment(experiment_id=experiment_id(open_store(), INTERACTIVE))


def log(
    *,
    output: str | Path = "",
    estimates: Mapping[str, tuple[float, float, float]] | None = None,
    counts: Mapping[str, int] | None = None,
    timings: Mapping[str, float] | None = None,
) -> None:
    """Log metrics to the active run, each under its one stable name `<group>.<metric>`.

    Parameters
    ----------
    output
        The step's own folder, where the runner finds the metrics; empty in a notebook opened by hand.
    estimates
        Value with the ends of its interval, `(value, lo, hi)`; NaN throughout says "not enough evidence" and is
        logged as such: no number, a tag `not_enough_evidence`.
    counts
        Whole numbers that were counted, not estimated.
    timings
        Durations in seconds, or ratios of durations measured in this run.

    Raises
    ------
    ContractError
        For a name of another form or logged twice, an estimate without an interval or outside of it.
    """
    mlflow = _mlflow()
    new: dict[str, Metric] = {}
    for kind, group in (("estimate", estimates), ("count", counts), ("timing", timings)):
        for name, value in (group or {}).items():
            if name in new:
                raise ContractError(column=name, expected="a metric logged once", got="the same name twice")
            new[name] = _metric(name, value, kind)
    file = Path(output) / METRICS_FILE if str(output) else None
    known = read_metrics(file.parent) if file and file.exists() else {}
    twice = known.keys() & new.keys()
    if twice:
        raise ContractError(column=", ".join(sorted(twice)), expected="a metric logged once", got="the same name twice")
    absent = [name for name, m in new.items() if math.isnan(m.value)]
    flat = {}
    for name, metric in new.items():
        if name not in absent:
            flat[name] = metric.value
            if metric.kind == "estimate":
                flat |= {f"{name}.lo": metric.lo, f"{name}.hi": metric.hi}
    mlflow.log_metrics(flat)
    if absent:
        mlflow.set_tag("not_enough_evidence", ", ".join(absent))
    if file:
        kept = {n: vars(m) for n, m in {**known, **new}.items() if n not in absent}
        _write_json(file, kept)


def _metric(name: str, value: Any, kind: str) -> Metric:
    if not METRIC_NAME.match(name):
        raise ContractError(column=name, expected="a metric's name of the form group.metric in lower case", got=name)
    if kind != "estimate":
        if not (math.isfinite(value) and value >= 0) or (kind == "count" and value != int(value)):
            wanted = "a whole number" if kind == "count" else "a finite number"
            raise ContractError(column=name, expected=f"a {kind}: {wanted}, not below zero", got=value)
        return Metric(int(value) if kind == "count" else float(value), None, None, kind)
    try:
        middle, lo, hi = (float(v) for v in value)
    except (TypeError, ValueError):
        raise ContractError(
            column=name,
            expected="an estimate as (value, lo, hi)",
            got=value,
            remedy="give its interval (evaluation.bootstrap_interval, wilson_interval), or log it as a count or timing",
        ) from None
    if not (math.isnan(middle) or lo <= middle <= hi):
        raise ContractError(column=name, expected="lo <= value <= hi", got=(middle, lo, hi))
    return Metric(middle, lo, hi, kind)


def read_metrics(folder: Path) -> dict[str, Metric]:
    """What a step has logged through :func:`log`, from the file beside its tables; empty when nothing."""
    file = folder / METRICS_FILE
    if not file.is_file():
        return {}
    return {name: Metric(**fields) for name, fields in json.loads(file.read_text(encoding="utf-8")).items()}


def log_tables(
    output: str | Path, tables: Mapping[str, "pd.DataFrame"], *, fitted_on: Mapping[str, Any] | None = None
) -> None:
    """Write a step's tables into its folder and keep them with the active run.

    Parameters
    ----------
    output
        The step's own folder; empty in a notebook opened by hand (the run keeps the tables all the same).
    tables
        Name to frame; a name of the contract is validated as such, any other is stored as it is.
    fitted_on
        Entities and last moment whose data shaped these tables; a consumer refuses test rows inside it.
    """
    mlflow = _mlflow()
    with tempfile.TemporaryDirectory() as scratch:
        for name, frame in tables.items():
            path = Path(output or scratch) / f"{name}.parquet"
            write_table(frame, path, name if name in TABLES else "other", fitted_on=fitted_on)
            mlflow.log_artifact(str(path), FOLDER)


def log_test_part(part: str, dataset: str, options: Mapping[str, Any] | None = None) -> None:
    """Say that the active run has looked at a test part; the store counts the distinct configurations that ever did.

    Parameters
    ----------
    part
        The part in words that are the same for everyone who looks at the same rows, such as
        `the last 60 % of each entity's rows`.
    dataset, options
        The data of which it is a part, as the notebook loads them.
    """
    from stability.workbench import looks

    mlflow = _mlflow()
    run = mlflow.active_run()
    if run is None:
        raise ContractError(
            expected="an active run", got="none", remedy="call it inside `with mlflow.start_run():`, as tracking.log"
        )
    client = mlflow.MlflowClient(store_uri())
    tags = client.get_run(run.info.run_id).data.tags
    if looks.CONFIGURATION not in tags:  # opened by hand: in a night the runner has said all of this
        from stability import datasets
        from stability.workbench.provenance import package_sha256

        own = {
            looks.CONFIGURATION: looks.configuration_by_hand(_executed()),
            "code.sha256": package_sha256(),
            "data.sha256": datasets.fingerprint(dataset, **(options or {})),
        }
        for name, value in own.items():
            client.set_tag(run.info.run_id, name, value)
        tags = {**tags, **own}
    client.set_tag(run.info.run_id, *looks.part_tag(part, tags["data.sha256"]))


def _executed() -> list[str]:
    """The cells that this kernel has executed; in a script, its text."""
    try:
        from IPython import get_ipython

        return list(get_ipython().history_manager.input_hist_raw)
    except (ImportError, AttributeError):
        import sys

        script = Path(sys.argv[0])
        return [script.read_text(errors="replace") if script.is_file() else ""]


def load_table(run_id: str, name: str) -> "pd.DataFrame":
    """Give the table that any run has written, by the run's id as MLflow shows it.

    Parameters
    ----------
    run_id
        Of the step's own run (a child), not of the night's.
    name
        `scores`, `components`, ...

    Raises
    ------
    ContractError
        When there is no such run or table; it lists the tables that there are.
    """
    mlflow = _mlflow()
    client = mlflow.MlflowClient(store_uri())
    try:
        files = [Path(f.path).name for f in client.list_artifacts(run_id, FOLDER)]
    except mlflow.exceptions.MlflowException as error:
        raise ContractError(file=store_uri(), expected="the id of a run", got=f"{run_id} ({error})") from None
    if f"{name}.parquet" not in files:
        there = [Path(f).stem for f in files]
        raise ContractError(file=f"run {run_id}", expected="one of its tables", got=name, remedy=nearest(name, there))
    with tempfile.TemporaryDirectory() as scratch:
        return read_table(client.download_artifacts(run_id, f"{FOLDER}/{name}.parquet", scratch))


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, allow_nan=False), encoding="utf-8")
    temporary.replace(path)


def now() -> dt.datetime:
    """The current moment in UTC."""
    return dt.datetime.now(dt.UTC)
