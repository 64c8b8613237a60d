"""A page for each alarm: what was seen, why, how much it matters, what was done, whether it helped; in one file."""

from __future__ import annotations

__all__ = ["report_name", "write_report"]

import base64
import contextlib
import hashlib
import io
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from stability.remediation.approval import plain
from stability.schema.store import written_whole
from stability.telemetry import rate

if TYPE_CHECKING:
    from stability.monitor.alerts import Firing
    from stability.monitor.incident import Incident

PANELS = 4  # metrics that are drawn
PAGES = 2_000  # that are kept, the newest: some hundred megabytes
PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ alarm.alarm_id }}</title>
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%;margin:.5em 0 1.2em}
td{overflow-wrap:anywhere}td,th{text-align:left;vertical-align:top;padding:.3em .6em;
border-bottom:1px solid #ddd}th{background:#f3f3f3}img{max-width:100%}.critical{color:#a4262c}.warning{color:#8a5a00}
code{background:#f3f3f3;padding:0 .2em}h2{margin-top:1.6em;font-size:1.15em}</style></head><body>
<h1 class="{{ alarm.severity }}">{{ alarm.severity|upper }}: {{ alarm.entity }}</h1>
<p>{{ alarm.detector }} since {{ start }}{% if end %} until {{ end }}{% else %}, goes on
{% endif %}. {{ alarm.reason }}</p>
<table><tr><th>score</th><th>threshold</th><th>metrics</th><th>alarm</th></tr>
<tr><td>{{ score }}</td><td>{{ limit }}</td><td>{{ alarm.metrics or "none named" }}</td><td>
<code>{{ alarm.alarm_id }}</code></td></tr></table>
{% if picture %}<h2>What was seen</h2>
<img alt="Metrics around the alarm" src="data:image/png;base64,{{ picture }}">{% endif %}
<h2>Causes</h2>
{% if causes %}<p>{{ answer }}</p><table><tr><th>rank</th><th>entity</th><th>failure mode</th><th>probability</th>
<th>metric</th>
<th>evidence (log odds)</th></tr>{% for one in causes %}<tr><td>{{ one.rank }}</td>
<td>{{ one.entity or "nobody" }}</td>
<td>{{ one.failure_mode or "no fault" }}</td><td>{{ one.probability }}</td><td>{{ one.metric or "" }}</td>
<td>{{ one.evidence }}</td></tr>{% endfor %}</table>{% else %}
<p>Nobody looked for causes: no localizer is declared.</p>{% endif %}
{% if looks|length > 1 %}<h2>How the answer changed</h2><table><tr><th>look</th><th>at</th><th>why</th>
<th>likeliest cause</th><th>probability</th></tr>{% for one in looks %}<tr><td>{{ loop.index }}</td>
<td>{{ one.at }}</td><td>{{ one.why }}</td>
<td>{% if one.entity %}{{ one.failure_mode }} of {{ one.entity }}{% else %}no fault{% endif %}</td>
<td>{{ "%.0f%%"|format(100 * one.probability) }}</td></tr>{% endfor %}</table>{% endif %}
{% if firing %}<h2>Rules that fire</h2><table><tr><th>rule</th><th>entity</th><th>value</th><th>what to do first
</th></tr>
{% for one in firing %}<tr><td>{{ one.rule }}</td><td>{{ one.entity }}</td><td>{{ one.value }}</td>
<td>{{ one.runbook }}</td></tr>
{% endfor %}</table>{% endif %}
<h2>Priority</h2>
{% if priority %}<p>Action priority <b>{{ priority.action_priority }}</b> for {{ priority.failure_mode }}: severity
{{ priority.severity }}, occurrence {{ priority.occurrence }}, detection {{ priority.detection }}.
{{ priority.effect or "" }}</p>{% else %}<p>Not rated: no worksheet is declared, or the mode does not stand in it.
</p>{% endif %}
<h2>Repair</h2>
{% if decision %}<p><b>{{ decision.kind }}</b>
{% if decision.playbook %}: {{ decision.playbook }} on {{ decision.entity }}{% endif %},
because {{ decision.because }}</p>{% if decision.options %}<table><tr><th>option</th><th>minutes won</th>
<th>why not</th></tr>
{% for one in decision.options %}<tr><td>{{ one.playbook }} on {{ one.entity }}</td>
<td>{{ "%.2f"|format(one.gain) }}</td>
<td>{{ one.why_not|join("; ") }}</td></tr>{% endfor %}</table>{% endif %}
{% if acted %}<p>{{ acted.status }}: {{ acted.detail }}</p>{% endif %}{% else %}<p>Nobody was asked.</p>{% endif %}
{% if verdict %}<h2>Verdict: {{ verdict.verdict|replace("_", " ") }}</h2><ul>{% for one in verdict.checks %}
<li>{{ one }}</li>
{% endfor %}</ul>{% endif %}
<h2>Timeline</h2><table>{% for at, text in timeline %}<tr><td>{{ at }}</td><td>{{ text }}</td></tr>{% endfor %}
</table>
<p>As known at {{ now }} (UTC).</p></body></html>
"""
)


def report_name(alarm_id: str, start: int) -> str:
    """Name of an alarm's page: its moment, and what tells alarms of one moment apart.

    Examples
    --------
    >>> report_name("novelty/web-1/2026-01-01T00:00:00+00:00", 1_767_225_600_000_000)
    '20260101T000000-novelty-web-1-1cedfe5d.html'
    """
    at = pd.Timestamp(start, unit="us", tz="UTC").strftime("%Y%m%dT%H%M%S")
    said = re.sub(r"[^\w.-]+", "-", "-".join(alarm_id.split("/")[:2]))[:60].strip("-")
    return f"{at}-{said}-{hashlib.sha256(alarm_id.encode()).hexdigest()[:8]}.html"


def write_report(folder: Path, incident: Incident, panel: pd.DataFrame, firings: Sequence[Firing], moment: int) -> Path:
    """Write an incident's page, whole or not at all: no script, nothing from elsewhere; the oldest of too many go.

    Parameters
    ----------
    folder : Path
    incident : Incident
    panel : DataFrame
        Of the entities that are drawn, counters as they are read.
    firings : sequence of Firing
        Rules that fire; those of other entities are left out.
    moment : int
        Microseconds since 1970: up to when everything is known.
    """
    alarm = incident.alarm
    shown = set(panel.index.unique("entity")) | {alarm["entity"], ""}
    rules = [
        {
            "rule": one.rule.alert,
            "entity": one.entity or "all",
            "value": _number(one.value),
            "runbook": one.rule.annotations.get("runbook", one.rule.annotations.get("summary", "")),
        }
        for one in firings
        if one.entity in shown
    ]
    causes = [
        {
            name: one[name] if isinstance(one[name], str | int) else None
            for name in ("rank", "entity", "failure_mode", "metric")
        }
        | {"probability": f"{one['probability']:.1%}", "evidence": _evidence(one["evidence"])}
        for one in incident.causes
    ]
    priority = {"effect": ""} | incident.priority if incident.priority else {}
    text = PAGE.render(
        alarm=alarm, start=_stamp(alarm["start"]), end=None if alarm["end"] is None else _stamp(alarm["end"]),
        score=_number(alarm["score"]), limit=_number(alarm["threshold"]), picture=_picture(panel, alarm), causes=causes,
        answer=incident.answer, looks=incident.looks, firing=rules[:20], priority=priority,
        decision=incident.decision, acted=incident.acted, verdict=incident.verdict, timeline=incident.timeline,
        now=_stamp(moment),
    )  # fmt: skip
    path = folder / incident.page
    with written_whole(path) as file:
        file.write(text.encode())
    _keep_newest(folder)
    return path


def _keep_newest(folder: Path) -> None:
    pages = list(folder.glob("*.html"))
    if len(pages) > PAGES:
        with contextlib.suppress(OSError):  # somebody else may tidy up there, too
            for old in sorted(pages, key=lambda page: page.stat().st_mtime_ns)[:-PAGES]:
                old.unlink()


def _picture(panel: pd.DataFrame, alarm: dict[str, Any]) -> str:
    """Metrics that the alarm names, of the entities that may be its cause; PNG as base64."""
    if panel.empty:
        return ""
    rated = rate(panel)
    told = [name for name in (alarm["metrics"] or "").split(",") if name]
    read = list(rate(panel.iloc[:1].reindex(columns=[name for name in told if name in panel])))  # a rule names counters
    named = [name for name in [*told, *read] if name in rated]
    metrics = list(dict.fromkeys(named))[:PANELS] or list(rated.columns[rated.notna().any()][:PANELS])
    if not metrics:
        return ""
    figure = Figure(figsize=(8.5, 1.7 * len(metrics) + 0.4), layout="constrained")
    axes = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axis, metric in zip(axes, metrics, strict=True):
        for entity, values in rated[metric].groupby(level="entity"):
            own = values.droplevel("entity")
            axis.plot(
                own.index, own.to_numpy(), linewidth=1.6 if entity == alarm["entity"] else 0.9, label=plain(entity)
            )
        axis.axvline(pd.Timestamp(alarm["start"], unit="us", tz="UTC"), color="0.3", linestyle="--", linewidth=1)
        axis.set_title(plain(metric), fontsize=9, loc="left", parse_math=False)
        axis.tick_params(labelsize=8)
    for text in axes[0].legend(fontsize=7, loc="upper left", ncols=4, frameon=False).get_texts():
        text.set_parse_math(False)  # a name is no formula
    axes[-1].set_xlabel("time (UTC); dashed: the alarm was raised", fontsize=8)
    out = io.BytesIO()
    with warnings.catch_warnings():  # a letter that no font has is a box, and no news for a terminal
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(out, format="png", dpi=90)
    return base64.b64encode(out.getvalue()).decode("ascii")


def _evidence(text: Any) -> str:
    if not isinstance(text, str):
        return ""
    terms = json.loads(text)
    return ", ".join(f"{name} {value:+.2f}" for name, value in list(terms.items())[:6])


def _number(value: float | None) -> str:
    return "none" if value is None or value != value else f"{float(value):.4g}"  # JSON has told infinity as a word


def _stamp(moment: int) -> str:
    return pd.Timestamp(moment, unit="us", tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
