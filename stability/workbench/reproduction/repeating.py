"""Steps run again, one after the other, each with its recorded code, environment, data, parameters and inputs."""

from __future__ import annotations

__all__ = ["Result", "reproduce"]

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_code_cell

from stability import datasets
from stability.datasets.snapshots import SNAPSHOT, told
from stability.datasets.sources import mirror
from stability.schema import ContractError, home
from stability.workbench import kernels, reuse
from stability.workbench.provenance import file_sha256
from stability.workbench.publishing import DIFF, LOCK
from stability.workbench.reproduction import cells, environments, recorded
from stability.workbench.reproduction.comparing import TOLERANCE, Difference, compare_tables, differences
from stability.workbench.reproduction.recorded import CannotReproduceError, Recorded, Target
from stability.workbench.reproduction.scratch import checkout, scratch
from stability.workbench.signals import terminate_as_interrupt
from stability.workbench.tracking import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class Result:
    """What became of one step.

    Parameters
    ----------
    key : str
        The step.
    run_id : str or None
        The recorded run.
    status : {"equal", "different", "failed", "impossible"}
        `failed`: its notebook did not run through; `impossible`: something recorded is missing.
    problem : str
        Why, of the last two.
    found : list of Difference
        Metrics that differ.
    contradictions : list of str
        Code, data or records that are not what was recorded; each makes a step different, whatever it measured.
    notes : list of str
        What else a reader should know; decides nothing.
    metrics, timings, tables : int
        Numbers compared, timings among them, tables with the same bytes.
    seconds : float
        Wall time.
    """

    key: str
    run_id: str | None
    status: str = "impossible"
    problem: str = ""
    found: list[Difference] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    metrics: int = 0
    timings: int = 0
    tables: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Code:
    """The recorded code and environment of a night; the steps of a night share them."""

    tree: Path
    python: environments.Interpreter
    contradictions: tuple[str, ...]
    notes: tuple[str, ...]


def reproduce(
    run_id: str,
    *,
    tolerance: float = TOLERANCE,
    begin: Callable[[list[Target]], None] = lambda targets: None,
    say: Callable[[str], None] = lambda text: None,
    done: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run a step, or every step of a night, again as it was recorded, and compare what it measures; never a cache.

    Nothing is written into the store or the folders of the runs; the scratch folder is removed however this ends.

    Parameters
    ----------
    run_id
        Of a step, or of a night: then every step in order, a skipped one as the earlier run that it repeats.
    tolerance
        See :func:`stability.workbench.reproduction.comparing.differences`.
    begin, say, done
        Told the steps to come, what takes long, and each result.

    Returns
    -------
    list of Result
        In the order of the steps.

    Raises
    ------
    ContractError
        For an id that is none, a notebook opened by hand, or a run that is running or has failed.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ContractError(column="tolerance", expected="a number of at least 0", got=repr(tolerance))
    client = open_store()
    found, results = recorded.targets(client, run_id), []
    begin(found)
    kernels.allow_kernels()
    with terminate_as_interrupt(), scratch() as folder, ThreadPoolExecutor(1, "kernel") as executor:
        repeater = _Repeater(client, folder, executor, tolerance, say)
        for target in found:
            result = repeater.one(target)
            results.append(result)
            done(result)
    return results


class _Repeater:
    """Repeats steps in one scratch folder; laid out code and environments serve all steps of a night."""

    def __init__(
        self,
        client: MlflowClient,
        folder: Path,
        executor: ThreadPoolExecutor,
        tolerance: float,
        say: Callable[[str], None],
    ) -> None:
        self.client, self.folder, self.executor, self.tolerance, self.say = client, folder, executor, tolerance, say
        self.codes: dict[str, _Code] = {}
        self.count = 0

    def one(self, target: Target) -> Result:
        """Repeat one step; whatever is wrong with it is said in its result."""
        result = Result(target.key, target.run_id, problem=target.problem or "")
        if target.problem:
            return result
        started = time.monotonic()
        try:
            self._repeat(recorded.read(self.client, target.run_id), result)
        except CannotReproduceError as error:
            result.problem = str(error)
        result.seconds = time.monotonic() - started
        return result

    def _repeat(self, run: Recorded, result: Result) -> None:
        _refuse_erased(run)
        code = self._code(run)
        notebook = _notebook(run, code.tree)
        result.contradictions += [*run.contradictions, *code.contradictions]
        result.notes += [*code.notes, *code.python.notes]
        if file_sha256(notebook) != run.recipe["notebook_sha256"]:
            result.contradictions.append(f"{run.recipe['notebook']} is not the notebook that ran: its sha256 differs")
        self.count += 1
        place = self.folder / f"step-{self.count}"
        output = place / "output"
        output.mkdir(parents=True)
        outcome = self._execute(run, code, notebook, place, output)
        guard, logged = _json(place / "guard.json"), _json(place / "logged.json")
        result.contradictions += _other_code_or_data(run, guard)
        if not outcome.finished or logged is None:
            result.status, result.problem = "failed", outcome.error or "it logged nothing"
            return
        absent = [n for n in logged["tags"].get(recorded.UNEVIDENCED, "").split(", ") if n]
        ours = {n: v for n, v in logged["metrics"].items() if not n.startswith("system/")}
        measured = {**ours, **dict.fromkeys(absent, math.nan)}
        result.found = differences(run.metrics, measured, timings=run.timings, tolerance=self.tolerance)
        result.metrics, result.timings = len(run.metrics), len(run.timings & run.metrics.keys())
        result.tables, others = compare_tables(run.outputs, reuse.outputs(output))
        result.notes += others
        result.status = "different" if result.found or result.contradictions else "equal"

    def _code(self, run: Recorded) -> _Code:
        if run.parent not in self.codes:
            self.codes[run.parent] = self._laid_out(run, self.folder / f"night-{len(self.codes) + 1}")
        return self.codes[run.parent]

    def _laid_out(self, run: Recorded, folder: Path) -> _Code:
        sha, dirty, diff = run.tags["git.sha"], run.tags.get("git.dirty"), b""
        if sha == "none":
            raise CannotReproduceError(f"its code was recorded by no commit: {home()} was not a git repository then")
        told_diff, contradictions, notes = run.tags.get("git.diff.sha256", "none"), [], []
        if told_diff != "none":
            content = recorded.artifact(self.client, run.parent, DIFF)
            if content is None:
                raise CannotReproduceError(f"the tree was not clean, and run {run.parent} has lost its artifact {DIFF}")
            diff = content
            if hashlib.sha256(diff).hexdigest() != told_diff:
                contradictions.append(f"{DIFF} of run {run.parent} is altered: its sha256 is no longer {told_diff}")
        elif dirty == "unknown":
            notes.append("nobody knows whether the tree was clean")
        left_out = self.client.get_run(run.parent).data.tags.get("git.left_out")
        if left_out:
            notes.append(f"not recorded, because too large for code: {left_out}")
        folder.mkdir()
        tree = checkout(folder, sha, diff)
        text = recorded.artifact(self.client, run.parent, LOCK)
        python = environments.interpreter(run.tags["env.lock"], text, run.tags.get("python", ""), self.say)
        return _Code(tree, python, tuple(contradictions), tuple(notes))

    def _execute(self, run: Recorded, code: _Code, notebook: Path, place: Path, output: Path) -> kernels.Outcome:
        recipe, parameters = run.recipe, dict(run.recipe["parameters"])
        if "output" in parameters:
            parameters["output"] = str(output)
        inputs = self._inputs(run, place / "inputs")
        if "inputs" in parameters:
            parameters["inputs"] = inputs
        own = code.tree / "stability"
        # A workbench may use an installed package: its sha256 tells whether it is still the one that ran.
        package = own if (own / "__init__.py").is_file() else Path(kernels.__file__).parents[1]
        asked = {
            "package": str(package),
            "answers": str(place),
            "artifacts": (self.folder / "artifacts").as_uri(),
            "dataset": parameters.get("dataset"),
            "options": parameters.get("options") or {},
        }
        (place / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        settings = {
            **recipe["environment"],
            **_data_folders(),
            cells.ASKED: str(place / "asked.json"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / f'mlflow-{code.python.key}.db'}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "STABILITY_HOME": str(code.tree),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(package.parent), os.environ.get("PYTHONPATH")])),
        }
        with _kernelspec(self.folder, code.python) as name:
            job = kernels.Job(
                key=run.key,
                notebook=str(_guarded(notebook, name)),
                folder=str(output),
                parameters=parameters,
                env=settings,
                timeout=recipe["timeout"],
                retries=0,
            )
            future = self.executor.submit(kernels.execute, job)
            try:
                return future.result()
            except BaseException:
                kernels.kill_all()
                raise

    def _inputs(self, run: Recorded, folder: Path) -> dict[str, str]:
        """The recorded tables of the steps before, verified, in folders of their own."""
        places = {}
        for key, source in run.recipe["inputs"].items():
            place = folder / reuse.folder_name(key)
            place.mkdir(parents=True)
            for name, digest in source["tables"].items():
                # A copy, not a link: what a notebook does to its inputs must not reach the recorded run.
                (place / name).write_bytes(recorded.table(self.client, source["run_id"], name, digest))
            places[key] = str(place)
        return places


def _refuse_erased(run: Recorded) -> None:
    parameters = run.recipe["parameters"]
    if parameters.get("dataset") != SNAPSHOT.name:
        return
    sha256 = (parameters.get("options") or {}).get("sha256", "")
    try:
        gone = datasets.erasures(sha256)
        if not gone:
            datasets.fingerprint(SNAPSHOT.name, sha256=sha256)
    except ContractError as error:
        raise CannotReproduceError(f"its data cannot be had: {error}") from error
    if gone:
        message = f"its data, snapshot {sha256}, were erased in part, as someone may demand: {told(gone)}"
        raise CannotReproduceError(f"{message}. What was measured then cannot be measured again")


def _notebook(run: Recorded, tree: Path) -> Path:
    named = Path(run.recipe["notebook"])
    if named.is_absolute():
        raise CannotReproduceError(f"the notebook {named} lies outside of the repository: its code was not recorded")
    if not (tree / named).is_file():
        message = f"the notebook {named} is neither in the recorded commit nor in its difference: does git ignore it?"
        raise CannotReproduceError(message)
    return tree / named


def _guarded(notebook: Path, kernel: str) -> Path:
    """A copy beside the notebook, with the guard before its cells and the report of what it logged behind them."""
    nb = nbformat.read(notebook, as_version=4)
    nb.cells = [new_code_cell(cells.GUARD), *nb.cells, new_code_cell(cells.TELL)]
    nb.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    copy = notebook.with_name(f".reproduced-{notebook.name}")
    nbformat.write(nb, copy)
    return copy


@contextlib.contextmanager
def _kernelspec(folder: Path, python: environments.Interpreter) -> Iterator[str]:
    """Let Jupyter find a kernel of the given interpreter while the block runs."""
    name = f"recorded-{python.key}"
    place = folder / "jupyter" / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    command = [str(python.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (place / "kernel.json").write_text(json.dumps({"argv": command, "display_name": name, "language": "python"}))
    before = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder / "jupyter"), before]))
    try:
        yield name
    finally:
        if before is None:
            del os.environ["JUPYTER_PATH"]
        else:
            os.environ["JUPYTER_PATH"] = before


def _data_folders() -> dict[str, str]:
    """Where public data lie, which the workbench otherwise finds beside its own folder."""
    folder = mirror("")
    return {"STABILITY_DATA_MIRROR": str(folder.resolve())} if folder else {}


def _other_code_or_data(run: Recorded, guard: dict | None) -> list[str]:
    if guard is None:
        return []
    found = []
    if guard["code"] != run.tags["code.sha256"]:
        found.append(f"the package is not the one that ran: its sha256 is {guard['code']}")
    if guard["data"] is not None and guard["data"] != run.tags["data.sha256"]:
        found.append(f"the data are not those that were read: their sha256 is {guard['data']}")
    return found


def _json(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
