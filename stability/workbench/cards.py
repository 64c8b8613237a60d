"""Model cards: what a registered predictor says, on what it was judged, and where it is known to fail.

After Mitchell et al. (2019), doi 10.1145/3287560.3287596.
"""

from __future__ import annotations

__all__ = ["card"]

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stability.evaluation import Estimate
from stability.prediction.calibrated import Calibrated
from stability.prediction.manner import Predictor
from stability.schema import redact
from stability.workbench.reporting.formats import markdown_text
from stability.workbench.tracking import now

FAILURES = "known_failures"
MEANING = {
    "pr_auc": "PR-AUC",
    "base_rate": "base rate: PR-AUC of what knows nothing",
    "brier": "Brier score",
    "brier_skill": "Brier skill against the base rate of these rows",
    "log_score": "log score, nats",
}


def card(
    predictor: Predictor | Calibrated,
    facts: Mapping[str, Any],
    estimates: Mapping[str, Estimate],
    said: Mapping[str, Any],
    requirements: Sequence[str],
) -> str:
    """Write a model card in markdown.

    Parameters
    ----------
    predictor : Predictor or Calibrated
        Fitted.
    facts : mapping
        `dataset`, `options`, `data` (sha256 of the data), `split`, `horizon` (s), `rows`, `positives`, `sha256` of its
        files.
    estimates : mapping of str to Estimate
        On the test rows, as from `gate.measures`.
    said : mapping
        What its maker says: text or lists, by heading.
    requirements : sequence of str
        Pinned packages.

    Returns
    -------
    str
        Most important first; features and packages come last, as MLflow's description may be cut.
    """
    model = predictor.predictor if isinstance(predictor, Calibrated) else predictor
    horizon = pd.Timedelta(facts["horizon"], "s")
    right = f", set right on a later block ({predictor.method_})" if isinstance(predictor, Calibrated) else ""
    what = f"The probability that users feel a fault within {_length(horizon)} after a row's moment{right}."
    lines = [f"# {_plain(model.name)} for {_plain(facts['dataset'])}", what]
    for heading in ("purpose", "protocol"):
        lines += _section(heading, said.get(heading))
    lines += [
        "## Judged on",
        f"{_plain(facts['split'])}: {facts['rows']:,} rows, {facts['positives']:,} with a fault ahead.",
    ]
    lines += _measures(estimates)
    lines += _section(FAILURES, said.get(FAILURES) or "Nobody has stated any.")
    for heading, text in said.items():
        if heading not in ("purpose", "protocol", FAILURES):
            lines += _section(heading, text)
    fitted = model.fitted_on_ or {}
    lines += ["## Data", f"- dataset: {_plain(facts['dataset'])}", f"- sha256: {facts['data']}"]
    lines += [f"- options: {_plain(json.dumps(facts['options'], default=str))}"] if facts["options"] else []
    lines += [f"- features fitted up to {_plain(fitted['until'])}"] if fitted.get("until") else []
    lines += [f"- entities that they were fitted on: {len(fitted['entities']):,}"] if fitted.get("entities") else []
    lines += [f"- base rate of what it learnt from: {model.base_rate_:.4g}"]
    lines += ["## Settings", f"- {_plain(model.name)}"]
    lines += [f"- {name}: {_plain(value)}" for name, value in model.get_params(deep=False).items()]
    lines += ["## Files", f"- sha256: {facts['sha256']}", f"- packaged {now():%Y-%m-%d %H:%M} UTC"]
    lines += [f"## Features ({len(model.features_):,})", ", ".join(map(_plain, model.features_))]
    lines += ["## Loaded with", ", ".join(requirements)]
    return "\n\n".join(_joined(lines)) + "\n"


def _measures(estimates: Mapping[str, Estimate]) -> list[str]:
    if not estimates:
        return ["There is not enough evidence for a number with an interval."]
    rows = [f"| {MEANING[name]} | {e.value:.4g} | {e.lo:.4g} to {e.hi:.4g} |" for name, e in estimates.items()]
    return ["\n".join(["| measure | value | 95 % interval |", "|---|---|---|", *rows])]


def _section(heading: str, text: Any) -> list[str]:
    if not text:
        return []
    several = [text] if isinstance(text, str) or not isinstance(text, Sequence) else text
    points = [_plain(part) for part in several]
    title = _plain(heading.replace("_", " ").capitalize())
    return [f"## {title}", *(points if len(points) == 1 else [f"- {point}" for point in points])]


def _joined(lines: Sequence[str]) -> list[str]:
    """Points of one list stand below each other, everything else apart."""
    joined: list[str] = []
    for line in lines:
        if line.startswith("- ") and joined and joined[-1].startswith("- "):
            joined[-1] += "\n" + line
        else:
            joined.append(line)
    return joined


def _length(length: pd.Timedelta) -> str:
    hours = length / pd.Timedelta("1h")
    if hours >= 72 and hours % 24 == 0:
        return f"{hours / 24:g} days"
    return f"{hours:g} h" if hours >= 1 else f"{length / pd.Timedelta('1min'):g} min"


def _plain(value: Any) -> str:
    """Text as it is, without passwords, and nothing in it that markdown would obey."""
    return markdown_text(redact(str(value)))
