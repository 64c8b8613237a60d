"""PetShop: a shop of microservices on AWS, with injected faults, their root causes, and who calls whom."""

from __future__ import annotations

__all__ = ["PETSHOP"]

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from stability.datasets.frames import read_csv, read_json
from stability.datasets.options import choose
from stability.datasets.sources import Source, public
from stability.schema import ContractError, nearest, validate

COMMIT = "1c5992dc46a02c988a027e2219036d59e8158a91"
SOURCE = Source(
    "petshop", f"https://raw.githubusercontent.com/amazon-science/petshop-root-cause-analysis/{COMMIT}/dataset/"
)
LOADS, PARTS = ("low_traffic", "high_traffic"), ("normal", "train", "test")
NORMAL = "noissue"  # the origin's word
STEP = pd.Timedelta("5min")
PERCENT = 0.01
METRICS = {  # (metric, statistic) of the origin -> column, factor into the base unit
    ("requests", "Sum"): ("service_requests", 1.0),
    ("latency", "Average"): ("service_latency_seconds_mean", 1.0),
    ("latency", "p50"): ("service_latency_seconds_p50", 1.0),
    ("latency", "p90"): ("service_latency_seconds_p90", 1.0),
    ("latency", "p95"): ("service_latency_seconds_p95", 1.0),
    ("latency", "p99"): ("service_latency_seconds_p99", 1.0),
    ("availability", "Average"): ("service_availability_ratio", PERCENT),
}

INJECTIONS = {  # what stands in the command -> kind of fault
    "delay": "delay",
    "sleep(": "delay",
    "error": "error",
    "inject = true": "error",
    "dynamo_db_requests": "request_flood",
}


def load(loads: str | Iterable[str] = LOADS, parts: str | Iterable[str] = PARTS) -> dict[str, pd.DataFrame]:
    """Load normal data and cases of PetShop.

    Parameters
    ----------
    loads : str or list of str
        Of 'low_traffic', 'high_traffic'.
    parts : str or list of str
        Of 'normal' (data without an issue), 'train' (8 cases a load), 'test' (18 cases a load): the official split.

    Returns
    -------
    dict
        - `telemetry`: entity = `<load>/<node>`, seven metrics of the service every 5 min; a case has 5 rows;
        - `parts`: for each node of each piece its first and last stamp, whether it is normal, train or test, and the
          name of the piece, which for a case is its `fault_id`;
        - `faults`: one a case: `entity` is the node that the target names, `impact_start` its moment, `root_entity` the
          node into which the fault was injected, `failure_mode` the kind of injection (`delay`, `error`,
          `request_flood`);
        - `alarms`: the same case as the alarm that the origin starts from, with the metric that it names;
        - `topology`: row calls column, of the graph of each load.

    Raises
    ------
    ContractError
        For an unknown load or part, and for files that are missing, altered or of another form.

    Notes
    -----
    The origin stamps an interval at its begin, as CloudWatch does (cases show it: the row stamped seconds before the
    target's moment holds the fault, the one stamped five minutes before does not). Here a row is stamped at its end, 5
    minutes later, as everywhere in the workbench: what stands at a stamp was known at it. Seconds stay, requests stay,
    availability is a ratio (percent in the origin).

    The median of availability is 1 and its median absolute deviation 0. The normal data are four to five months
    younger than the cases. Nodes without traffic in a piece are absent from it.
    """
    kept, chosen = choose("loads", loads, LOADS, "petshop"), choose("parts", parts, PARTS, "petshop")
    telemetry, spans, cases = [], [], []
    for file in _metrics(kept, chosen):
        piece = _telemetry(SOURCE.intact(file), file.split("/")[0])
        part, name = _piece(file)
        telemetry.append(piece)
        stamps = piece.index.to_frame(index=False).groupby("entity")["timestamp"].agg(start="min", end="max")
        spans.append(stamps.reset_index().assign(part=part, name=name))
        if part != "normal":
            known = {entity.split("/", 1)[1] for entity in stamps.index}
            cases.append(_case(SOURCE.intact(file.replace("metrics.csv", "target.json")), name, known))
    case = pd.DataFrame(cases, columns=["id", "load", "node", "metric", "at", "root", "mode"])
    entity, root = case["load"] + "/" + case["node"], case["load"] + "/" + case["root"]
    at = pd.to_datetime(case["at"].astype("float64"), unit="s", utc=True)
    faults = {"fault_id": case["id"], "entity": entity, "impact_start": at, "root_entity": root}
    alarms = {"alarm_id": case["id"], "entity": entity, "start": at, "detector": "target", "metrics": case["metric"]}
    return {
        "telemetry": validate(pd.concat(telemetry), "telemetry", source="petshop"),
        "parts": validate(pd.concat(spans, ignore_index=True), "parts", source="petshop"),
        "faults": validate(pd.DataFrame(faults).assign(failure_mode=case["mode"], source="petshop"), "faults"),
        "alarms": validate(pd.DataFrame(alarms), "alarms", source="petshop"),
        "topology": validate(pd.concat([_topology(one) for one in kept]), "topology", source="petshop"),
    }


def _metrics(loads: list[str], parts: list[str]) -> list[str]:
    """Files of telemetry, in a natural order: issue_2 before issue_10."""
    files = [f for f in SOURCE.registry if f.endswith("/metrics.csv") and f.split("/")[0] in loads]
    return sorted((f for f in files if _piece(f)[0] in parts), key=_order)


def _order(file: str) -> tuple:
    load, part, *case = file.split("/")
    number = int(case[0].rpartition("_")[2]) if len(case) > 1 else 0
    return LOADS.index(load), part != NORMAL, part, number


def _piece(file: str) -> tuple[str, str]:
    part = file.split("/")[1]
    return "normal" if part == NORMAL else part, str(PurePosixPath(file).parent)


def _files(loads: str | Iterable[str] = LOADS, parts: str | Iterable[str] = PARTS) -> list[str]:
    kept, chosen = choose("loads", loads, LOADS, "petshop"), choose("parts", parts, PARTS, "petshop")
    metrics = _metrics(kept, chosen)
    targets = [file.replace("metrics.csv", "target.json") for file in metrics if _piece(file)[0] != "normal"]
    return [*metrics, *targets, *(f"{load}/graph.csv" for load in kept)]


def _telemetry(path: Path, load: str) -> pd.DataFrame:
    frame = read_csv(path, header=[0, 1, 2], index_col=0, float_precision="round_trip")
    known = [(metric, statistic) for _, metric, statistic in frame.columns]
    for metric, statistic in known:
        if (metric, statistic) not in METRICS:
            expected = "a metric and statistic of " + ", ".join(" ".join(pair) for pair in METRICS)
            raise ContractError(file=path, column=f"{metric} {statistic}", expected=expected, got="another")
    stamps = pd.to_datetime(frame.index.to_numpy(dtype="float64"), unit="s", utc=True) + STEP
    nodes = {node: number for number, node in enumerate(dict.fromkeys(node for node, _, _ in frame.columns))}
    places = {pair: place for place, pair in enumerate(METRICS)}
    values = np.full((len(nodes), len(stamps), len(METRICS)), np.nan)
    for (node, *_), pair, column in zip(frame.columns, known, frame.to_numpy(dtype="float64").T, strict=True):
        values[nodes[node], :, places[pair]] = column * METRICS[pair][1]
    index = pd.MultiIndex.from_product([[f"{load}/{node}" for node in nodes], stamps], names=["entity", "timestamp"])
    return pd.DataFrame(values.reshape(-1, len(METRICS)), index, [name for name, _ in METRICS.values()])


def _case(path: Path, name: str, known: set[str]) -> tuple:
    told = read_json(path)
    try:
        target, root = told["target"], told["root_cause"]["node"]
        metric = METRICS[target["metric"], target["agg"]][0]
        command = told["metadata"]["reproducibility"]["command"]
        at, node = float(target["timestamp"]), target["node"]
    except (KeyError, TypeError, ValueError) as error:
        expected = "target (node, metric, agg, timestamp), root_cause (node) and the command in metadata"
        raise ContractError(file=path, expected=expected, got=f"no {error}") from error
    for one in (node, root):
        if one not in known:
            raise ContractError(file=path, expected="a node of the case", got=repr(one), remedy=nearest(one, known))
    return name, name.split("/")[0], node, metric, at, root, _mode(str(command))


def _mode(command: str) -> str | None:
    """Kind of fault that a command injects; None for a command that no case of the origin has."""
    return next((mode for mark, mode in INJECTIONS.items() if mark in command), None)


def _topology(load: str) -> pd.DataFrame:
    path = SOURCE.intact(f"{load}/graph.csv")
    graph = read_csv(path, index_col=0)
    if list(graph.index) != list(graph.columns) or not graph.isin([0, 1]).all(axis=None):
        raise ContractError(file=path, expected="a square of 0 and 1, the same nodes as rows and columns", got="other")
    callers, called = np.nonzero(graph.to_numpy())
    nodes = np.array([f"{load}/{node}" for node in graph.index], dtype=object)
    return pd.DataFrame({"source": nodes[callers], "target": nodes[called], "kind": "calls"})


PETSHOP = public(
    SOURCE,
    description="microservices on AWS under two loads: 589 normal rows at 5 min and 26 injected faults each",
    licence="CC-BY-4.0",
    citation="Hardt, Orchard, Blöbaum, Kasiviswanathan, Kirschbaum (2023), PetShop dataset, arXiv 2311.04806",
    labels="root node and target of each case; official split 8 train, 18 test a load; call graph",
    origin="https://github.com/amazon-science/petshop-root-cause-analysis",
    load=load,
    files=_files,
)
