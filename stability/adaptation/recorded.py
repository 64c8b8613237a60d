"""The alarm policy of a night's step of detection, with the scores that it judged."""

from __future__ import annotations

__all__ = ["Recorded", "read_recorded"]

import ast
import json
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from stability.schema import ContractError, one_of, read_table

TAGS = ("parameters", "injected-parameters")  # of the cells whose literals say what the step was told, the last wins


class Recorded(NamedTuple):
    """What `adaptation.proposals.propose` asks for.

    Parameters
    ----------
    scores : Series of float64, (entity, timestamp)
        Of one detector, on rows that it had not learnt.
    threshold : float
        That was chosen from history, before anything that was accepted: a new proposal takes the place of that.
    rules : dict
        The others of the alarm policy, without what was accepted, too.
    """

    scores: pd.Series
    threshold: float
    rules: dict[str, Any]


def read_recorded(folder: str | PathLike, detector: str | None = None) -> Recorded:
    """Read what `03-detect` left behind.

    Parameters
    ----------
    folder : path
        Of the step, with `scores.parquet`, `thresholds.parquet` and the executed `notebook.ipynb`.
    detector : str, optional
        Without it the one that the step was about.

    Raises
    ------
    ContractError
        When a file is not there or is another one, and for a detector without scores.
    """
    folder = Path(folder)
    told = _parameters(folder / "notebook.ipynb")
    scores, chosen = read_table(folder / "scores.parquet", "scores"), read_table(folder / "thresholds.parquet")
    name = one_of(detector or told.get("detector"), list(scores.columns), "detector")
    limits = chosen.loc[chosen["detector"] == name, "threshold"]
    if len(limits) != 1:
        got = f"{len(limits)} of them"
        raise ContractError(file=folder / "thresholds.parquet", column="threshold", expected=f"one of {name}", got=got)
    return Recorded(scores[name], float(limits.iloc[0]), told.get("policy", {}))


def _parameters(path: Path) -> dict[str, Any]:
    """Literals that the parameters cells assign; nothing is evaluated."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if set(TAGS) & set(c.get("metadata", {}).get("tags", ()))]
        nodes = [node for source in sources for node in ast.parse(source).body if isinstance(node, ast.Assign)]
        return {node.targets[0].id: ast.literal_eval(node.value) for node in nodes}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        expected = "the executed notebook of a step, such as runs/nightly/latest/steps/detect[detector=novelty]"
        raise ContractError(file=path, expected=expected, got=str(error)) from error
