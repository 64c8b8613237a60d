"""What a notebook declares, read without running it: its parameters, and how many runs it opens."""

import ast
import json
from pathlib import Path
from typing import Any

import nbformat

from stability.schema import ContractError

__all__ = ["SpecError", "declared_parameters", "runs_opened"]


class SpecError(ContractError):
    """A declaration that cannot be run as it stands; raised before anything has started."""


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
        got, remedy = f"{len(cells)} of them", "take the tag off the others"
        raise SpecError(file=notebook, expected="one cell tagged 'parameters'", got=got, remedy=remedy)
    if not cells:
        return {}
    found: dict[str, Any] = {}
    for node in _parse(cells[0].source, notebook).body:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue  # a magic, or a text that explains
        try:
            value = ast.literal_eval(node.value)
            json.dumps(value, allow_nan=False)
            found |= {target.id: value for target in getattr(node, "targets", None) or [node.target]}
            plain = not isinstance(node, ast.AugAssign)
        except (ValueError, AttributeError, TypeError, RecursionError):
            plain = False
        if not plain:
            raise SpecError(
                file=notebook,
                row=node.lineno,
                expected="plain assignments of literals in the parameters cell",
                got=ast.unparse(node),
                remedy="move computed values to the next cell; JSON has no dates, sets or infinite numbers",
            )
    return found


def runs_opened(notebook: Path) -> int:
    """Count the calls of `start_run` in a notebook's code; raises as :func:`declared_parameters`."""
    code = [c.source for c in _read_notebook(notebook).cells if c.cell_type == "code" and not c.source.startswith("%%")]
    return sum(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "start_run"
        for source in code
        for node in ast.walk(_parse(source, notebook))
    )


def _read_notebook(notebook: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(notebook, as_version=4)
    except (
        OSError,
        ValueError,
        AttributeError,
        TypeError,
        KeyError,
        RecursionError,
        nbformat.ValidationError,
    ) as error:
        # What is no notebook at all makes nbformat stumble over the first thing that it misses.
        got, remedy = str(error).split("\n")[0][:200], "open it in JupyterLab and save it again"
        raise SpecError(file=notebook, expected="a Jupyter notebook", got=got, remedy=remedy) from error


def _parse(source: str, notebook: Path) -> ast.Module:
    # Magics are IPython's own language: each becomes a line that means nothing to Python.
    lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        got = getattr(error, "msg", None) or str(error) or type(error).__name__
        row = getattr(error, "lineno", None)
        raise SpecError(
            file=notebook, row=row, expected="Python that parses", got=got, remedy="mend the cell"
        ) from None
