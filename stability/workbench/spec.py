"""From a YAML declaration of an experiment to a plan in which nothing can be misspelt any more."""

import ast
import dataclasses
import itertools
import json
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn

import nbformat
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stability.schema import ContractError, home, load_yaml, nearest
from stability.workbench.data import DatasetSpec, canonical, check, holds_secret, is_json
from stability.workbench.facts import METRIC_NAME

__all__ = ["Experiment", "Plan", "SpecError", "Step", "Task", "declared_parameters", "load_plan"]

# What the runner itself fills in; a spec that sets one of them would be overruled silently.
RESERVED = ("dataset", "options", "inputs", "output", "seed")
STEP_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
DEFAULT_TIMEOUT = 1800  # seconds; three times the whole night's budget: a hung kernel, not a slow one


class SpecError(ContractError):
    """A declaration that cannot be run as it stands; raised before anything has started."""


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
    matrix: MatrixSpec | None = None
    timeout: float = Field(DEFAULT_TIMEOUT, gt=0, description="seconds for the whole notebook")
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


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Read the names and defaults that a notebook's `parameters` cell declares, without running it.

    Parameters
    ----------
    notebook
        An `.ipynb` file with one cell tagged `parameters` that holds literal assignments only.

    Returns
    -------
    Default of each parameter by name, in the order of the cell; empty without such a cell.

    Raises
    ------
    SpecError
        When the file is no notebook, has several such cells, or assigns something that is no literal.
    """
    cells = [c for c in _read_notebook(notebook).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) > 1:
        raise SpecError(file=notebook, expected="one cell tagged 'parameters'", got=f"{len(cells)} of them")
    if not cells:
        return {}
    found: dict[str, Any] = {}
    for node in _parse(cells[0].source, notebook).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except (ValueError, AttributeError, TypeError):
                raise SpecError(
                    file=notebook,
                    row=node.lineno,
                    expected="plain assignments of literals in the parameters cell",
                    got=ast.unparse(node),
                    remedy="move computed values to the next cell",
                ) from None
    return found


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
        combinations = [{}] if step.matrix is None else _combinations(path, name, step.matrix)
        for combination in combinations:
            clash = combination.keys() & step.parameters.keys()
            if clash:
                _fail(path, f"steps.{name}.matrix", "parameters that 'parameters' does not set too", ", ".join(clash))
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
                    timeout=step.timeout,
                    retries=step.retries,
                    cache=step.cache,
                    in_summary=step.matrix is None,
                )
            )
    return Plan(path.stem, path, experiment, tuple(tasks), _check_dataset(path, experiment.dataset))


def _fail(path: Path, place: str | None, expected: str, got: Any, remedy: str | None = None) -> NoReturn:
    where = f"{path}, at '{place}'" if place else path
    raise SpecError(file=where, expected=expected, got=got, remedy=remedy)


def _parse_yaml(path: Path) -> Experiment:
    if not path.is_file():
        there = sorted(p.relative_to(home()).as_posix() for p in (home() / "experiments").rglob("*.yaml"))
        raise SpecError(file=path, expected="an experiment's YAML file", got="none", remedy=nearest(str(path), there))
    try:
        raw = load_yaml(path)
    except ContractError as error:
        raise SpecError(str(error)) from error
    if not isinstance(raw, dict):
        _fail(path, None, "a mapping with 'dataset' and 'steps'", type(raw).__name__)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(p) for p in first["loc"]]
        if first["type"] == "extra_forbidden":
            model = {1: Experiment, 2: DatasetSpec, 3: Step}[min(len(place), 3)]
            _fail(path, ".".join(place), "a known key", place[-1], nearest(place[-1], list(model.model_fields)))
        _fail(path, ".".join(place) or None, first["msg"], first["input"])
    raise AssertionError


def _order(path: Path, experiment: Experiment) -> list[str]:
    for name, step in experiment.steps.items():
        if not STEP_NAME.match(name):
            _fail(path, f"steps.{name}", "a step name of lower-case letters, digits, '-' and '_'", name)
        for need in step.needs:
            if need not in experiment.steps:
                _fail(path, f"steps.{name}.needs", "the name of a step", need, nearest(need, list(experiment.steps)))
    try:
        TopologicalSorter({n: s.needs for n, s in experiment.steps.items()}).prepare()
    except CycleError as error:
        _fail(path, "steps", "needs without a cycle", " -> ".join(error.args[1]), "break the circle")
    order: list[str] = []

    def visit(name: str) -> None:  # the file's own order, each step after what it needs
        for need in experiment.steps[name].needs:
            visit(need)
        if name not in order:
            order.append(name)

    for name in experiment.steps:
        visit(name)
    return order


def _find_notebook(path: Path, name: str, step: Step) -> Path:
    folders = [path.parent, home() / "notebooks"]
    for folder in folders:
        if (folder / step.notebook).is_file():
            return (folder / step.notebook).resolve()
    there = sorted({p.name for folder in folders for p in folder.glob("*.ipynb")})
    _fail(path, f"steps.{name}.notebook", "a notebook that exists", step.notebook, nearest(step.notebook, there))
    raise AssertionError


def _read_notebook(notebook: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise SpecError(file=notebook, expected="a Jupyter notebook", got=str(error).split("\n")[0][:200]) from error


def _parse(source: str, notebook: Path) -> ast.Module:
    # Magics are IPython's own language: each becomes a line that means nothing to Python.
    lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError as error:
        raise SpecError(file=notebook, row=error.lineno, expected="Python that parses", got=error.msg) from None


def _check_notebook(path: Path, name: str, notebook: Path) -> dict[str, Any]:
    """One MLflow run at most: the second `start_run` of a notebook would silently open a run of its own."""
    calls = 0
    for cell in _read_notebook(notebook).cells:
        if cell.cell_type == "code" and not cell.source.startswith("%%"):
            calls += sum(
                isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "start_run"
                for n in ast.walk(_parse(cell.source, notebook))
            )
    if calls > 1:
        _fail(path, f"steps.{name}.notebook", "a notebook with at most one mlflow.start_run()", f"{calls} of them")
    return declared_parameters(notebook)


def _combinations(path: Path, name: str, matrix: MatrixSpec) -> list[dict[str, Any]]:
    for axis, values in matrix.axes.items():
        if not isinstance(values, list) or not values:
            _fail(path, f"steps.{name}.matrix.{axis}", "a list of values", values)
    combinations = matrix.combinations()
    if not combinations:
        _fail(path, f"steps.{name}.matrix", "at least one combination", "none left after exclude")
    if len({json.dumps(c, sort_keys=True, default=str) for c in combinations}) < len(combinations):
        _fail(path, f"steps.{name}.matrix", "combinations that differ", "the same one twice")
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
            _fail(path, where, "a JSON value (dates as ISO text)", f"{value!r} ({type(value).__name__})")
        if holds_secret(value):
            _fail(path, where, "an address without a password", "one that has it", "it comes from the environment")
        default = declared[name]
        if not _fits(value, default):
            _fail(
                path,
                where,
                f"{type(default).__name__}, as in the default {default!r}",
                f"{value!r} ({type(value).__name__})",
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
