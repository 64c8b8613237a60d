"""From a YAML declaration of an experiment to a plan in which nothing can be misspelt any more."""

import dataclasses
import itertools
import json
import math
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stability.schema import ContractError, declared, home, load_yaml, nearest
from stability.workbench.data import DatasetSpec, canonical, check, holds_secret, is_json
from stability.workbench.facts import METRIC_NAME
from stability.workbench.notebooks import SpecError, declared_parameters, runs_opened

__all__ = ["Experiment", "Plan", "SpecError", "Step", "Task", "declared_parameters", "load_plan"]

# What the runner itself fills in; a spec that sets one of them would be overruled silently.
RESERVED = ("dataset", "options", "inputs", "output", "seed", "registry")
STEP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}\Z")
MODEL_NAME = re.compile(r"[^/:.\s][^/:\s]{0,199}\Z")  # of a registered model
RUN_NAME = re.compile(r"\w[\w.-]{0,99}\Z")  # a folder below runs/ and an experiment of MLflow
MOST_CHILDREN = 1000  # of a matrix: more is a list of values that was meant for something else
DEFAULT_TIMEOUT = 1800  # seconds; three times the whole night's budget: a hung kernel, not a slow one


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MatrixSpec(BaseModel):
    """The values that a step's parameters run through; every other key is a parameter with its list of values."""

    model_config = ConfigDict(extra="allow", frozen=True)
    include: list[dict[str, Any]] = Field(default_factory=list)
    exclude: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def axes(self) -> dict[str, Any]:
        """The parameters that vary, each with its values in the order of the file."""
        return dict(self.model_extra or {})

    def combinations(self) -> list[dict[str, Any]]:
        """All combinations of the axes without those that `exclude` matches, then those of `include`."""
        grid = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        kept = [c for c in grid if not any(all(c.get(k) == v for k, v in e.items()) for e in self.exclude)]
        return (kept if self.axes else []) + [c for c in self.include if c not in kept]


class Step(_Strict):
    """One notebook with its parameters and what it needs."""

    notebook: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    needs: list[str] = Field(default_factory=list)
    reads: list[str] = Field(default_factory=list, description="registered models that the notebook loads")
    matrix: MatrixSpec | None = None
    timeout: float = Field(DEFAULT_TIMEOUT, gt=0, allow_inf_nan=False, description="seconds for the whole notebook")
    retries: int = Field(1, ge=0, le=10, description="further attempts after a dead kernel or a timeout")
    cache: bool = Field(True, description="false for a step that measures time: never repeated from an earlier run")


class Experiment(_Strict):
    """What a file under `experiments/` may say."""

    question: str = ""
    dataset: DatasetSpec | None = None
    headline: list[str] = Field(default_factory=list)
    seed: int = Field(0, ge=0, lt=2**32)
    workers: int = Field(2, ge=1, le=64)
    steps: dict[str, Step] = Field(min_length=1)

    @field_validator("dataset", mode="before")
    @classmethod
    def _canonical(cls, value: Any) -> Any:
        return canonical(value)

    @field_validator("headline")
    @classmethod
    def _metric_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not METRIC_NAME.match(name):
                raise ValueError(f"expected metric names of the form group.metric in lower case, got {name!r}")
        return names


@dataclasses.dataclass(frozen=True)
class Task:
    """One notebook run of a plan: a step, or one child of a step's matrix."""

    key: str
    step: str
    notebook: Path
    parameters: dict[str, Any]
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    timeout: float
    retries: int
    cache: bool
    in_summary: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checked experiment: its tasks in an order in which each comes after what it needs."""

    name: str
    path: Path
    experiment: Experiment
    tasks: tuple[Task, ...]
    data_sha256: str | None  # of an entry of the catalogue; a live source has none before a run takes its snapshot


def load_plan(path: str | Path) -> Plan:
    """Read a declaration and check everything that can be known before anything starts.

    Checked: the YAML and its keys; each notebook, and that it opens at most one MLflow run; each parameter's name
    and JSON type against the notebook's `parameters` cell; `needs` for unknown names and cycles; the matrix; that
    the dataset is there and intact.

    Parameters
    ----------
    path
        A YAML file; its stem is the run's name.

    Returns
    -------
    Plan

    Raises
    ------
    SpecError
        Naming the file, the place in it, what was expected, what was found and what to do.
    """
    path = Path(path).absolute()
    experiment = _parse_yaml(path)
    order = _order(path, experiment)
    keys: dict[str, list[str]] = {}
    tasks: list[Task] = []
    for name in order:
        step = experiment.steps[name]
        notebook = _find_notebook(path, name, step)
        declared = _check_notebook(path, name, notebook)
        _check_reads(path, name, step, declared, notebook)
        combinations = [{}] if step.matrix is None else _combinations(path, name, step.matrix)
        for combination in combinations:
            clash = combination.keys() & step.parameters.keys()
            if clash:
                expected, got = "parameters that 'parameters' does not set too", ", ".join(clash)
                _fail(path, f"steps.{name}.matrix", expected, got, "take them out of one of the two")
            parameters = {**step.parameters, **combination}
            _check_parameters(path, f"steps.{name}", parameters, declared, notebook)
            key = name + ("[" + ",".join(f"{k}={v}" for k, v in combination.items()) + "]" if combination else "")
            keys.setdefault(name, []).append(key)
            tasks.append(
                Task(
                    key=key,
                    step=name,
                    notebook=notebook,
                    parameters=parameters,
                    needs=tuple(itertools.chain.from_iterable(keys[n] for n in step.needs)),
                    reads=tuple(step.reads),
                    timeout=step.timeout,
                    retries=step.retries,
                    cache=step.cache,
                    in_summary=step.matrix is None,
                )
            )
    return Plan(path.stem, path, experiment, tuple(tasks), _check_dataset(path, experiment.dataset))


def _fail(path: Path, place: str | None, expected: str, got: Any, remedy: str | None = None) -> NoReturn:
    raise SpecError(file=path, column=place, expected=expected, got=got, remedy=remedy)


def _parse_yaml(path: Path) -> Experiment:
    if not _is_file(path):
        there = sorted(p.relative_to(home()).as_posix() for p in (home() / "experiments").rglob("*.yaml"))
        got = "a folder" if path.is_dir() else "none"
        raise SpecError(file=path, expected="an experiment's YAML file", got=got, remedy=nearest(str(path), there))
    if not RUN_NAME.match(path.stem):
        remedy = f"rename it, such as {re.sub(r'[^a-z0-9]+', '-', path.stem.lower()).strip('-') or 'mine'}.yaml"
        _fail(path, None, "a file's name of letters, digits, '.', '-' and '_', which names its runs", path.name, remedy)
    try:
        raw = load_yaml(path)
    except ContractError as error:
        raise SpecError(str(error)) from error
    if not isinstance(raw, dict):
        got = "nothing" if raw is None else type(raw).__name__
        _fail(path, None, "a mapping with 'dataset' and 'steps'", got, "experiments/nightly.yaml is one")
    return declared(Experiment, raw, file=path, error=SpecError)


def _order(path: Path, experiment: Experiment) -> list[str]:
    for name, step in experiment.steps.items():
        if not STEP_NAME.match(name):
            remedy = "begin with a letter, at most 100 characters"
            _fail(path, f"steps.{name}", "a step name of lower-case letters, digits, '-' and '_'", name, remedy)
        for need in step.needs:
            if need not in experiment.steps:
                _fail(path, f"steps.{name}.needs", "the name of a step", need, nearest(need, list(experiment.steps)))
            if step.needs.count(need) > 1:
                _fail(path, f"steps.{name}.needs", "each step once", f"{need} twice", "take one away")
    try:
        TopologicalSorter({n: s.needs for n, s in experiment.steps.items()}).prepare()
    except CycleError as error:
        _fail(path, "steps", "needs without a cycle", " -> ".join(error.args[1]), "break the circle")
    order: dict[str, None] = {}
    for name in experiment.steps:  # the file's own order, each step after what it needs
        waiting = [name]
        while waiting:
            missing = [need for need in experiment.steps[waiting[-1]].needs if need not in order]
            if missing:
                waiting.append(missing[0])
            else:
                order[waiting.pop()] = None
    return list(order)


def _find_notebook(path: Path, name: str, step: Step) -> Path:
    folders = [path.parent, home() / "notebooks"]
    for folder in folders:
        if step.notebook.endswith(".ipynb") and _is_file(folder / step.notebook):
            return (folder / step.notebook).resolve()
    there = sorted({p.name for folder in folders for p in folder.glob("*.ipynb")})
    remedy = nearest(step.notebook, there)
    _fail(path, f"steps.{name}.notebook", "a notebook that exists (.ipynb)", step.notebook, remedy)
    raise AssertionError


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _check_notebook(path: Path, name: str, notebook: Path) -> dict[str, Any]:
    """One MLflow run at most: the second `start_run` of a notebook would silently open a run of its own."""
    calls = runs_opened(notebook)
    if calls > 1:
        expected, remedy = (
            f"at most one mlflow.start_run() in {notebook.name}",
            "the others would make runs of their own",
        )
        _fail(path, f"steps.{name}.notebook", expected, f"{calls} of them", remedy)
    return declared_parameters(notebook)


def _check_reads(path: Path, name: str, step: Step, declared: dict[str, Any], notebook: Path) -> None:
    """Which model an alias means is known when the step begins; the notebook has to take it from its parameters."""
    for model in step.reads:
        if not MODEL_NAME.match(model) or step.reads.count(model) > 1:
            _fail(path, f"steps.{name}.reads", "names of registered models, each once", model, "fault-predictor-...")
    if step.reads and "registry" not in declared:
        remedy = f"registry = {{}} in the parameters cell, models.load(name, pinned=registry) in {notebook.name}"
        _fail(path, f"steps.{name}.reads", "a parameter 'registry' of the notebook", "none", remedy)


def _combinations(path: Path, name: str, matrix: MatrixSpec) -> list[dict[str, Any]]:
    for axis, values in matrix.axes.items():
        if not isinstance(values, list) or not values:
            _fail(path, f"steps.{name}.matrix.{axis}", "a list of values", values, f"{axis}: [1, 2]")
    for axis in itertools.chain.from_iterable(matrix.exclude):
        if axis not in matrix.axes:
            _fail(path, f"steps.{name}.matrix.exclude", "a parameter that varies", axis, nearest(axis, matrix.axes))
    if (children := math.prod(map(len, matrix.axes.values()))) > MOST_CHILDREN:
        _fail(
            path,
            f"steps.{name}.matrix",
            f"at most {MOST_CHILDREN:,} combinations",
            f"{children:,}",
            "name fewer values",
        )
    combinations = matrix.combinations()
    if not combinations:
        _fail(path, f"steps.{name}.matrix", "at least one combination", "none", "name values, or exclude less")
    if len({json.dumps(c, sort_keys=True, default=str) for c in combinations}) < len(combinations):
        _fail(path, f"steps.{name}.matrix", "combinations that differ", "the same one twice", "take one away")
    return combinations


def _check_parameters(path: Path, place: str, given: dict[str, Any], declared: dict[str, Any], notebook: Path) -> None:
    for name, value in given.items():
        where = f"{place}.{name}"
        if name in RESERVED:
            _fail(path, where, "a parameter of the notebook's own", name, f"the runner sets {', '.join(RESERVED)}")
        if name not in declared:
            own = [d for d in declared if d not in RESERVED]
            _fail(path, where, f"a parameter that {notebook.name} declares", name, nearest(name, own))
        if not is_json(value):
            remedy = "put it in quotes"
            _fail(path, where, "a JSON value (dates as ISO text)", f"{value!r} ({type(value).__name__})", remedy)
        if holds_secret(value):
            _fail(path, where, "an address without a password", "one that has it", "it comes from the environment")
        default = declared[name]
        if not _fits(value, default):
            _fail(
                path,
                where,
                f"{type(default).__name__}, as in the default {default!r}",
                f"{value!r} ({type(value).__name__})",
                f"write it as {notebook.name} has it",
            )


def _fits(value: Any, default: Any) -> bool:
    """Whether a value may stand where the default stands; None on either side leaves the type open."""
    if value is None or default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, list if isinstance(default, list | tuple) else type(default))


def _check_dataset(path: Path, dataset: DatasetSpec | None) -> str | None:
    try:
        return None if dataset is None else check(dataset)
    except (ContractError, OSError, TypeError) as error:
        raise SpecError(f"{path}, at 'dataset': {error}") from error
