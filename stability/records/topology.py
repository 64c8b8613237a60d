"""Who depends on whom: edge lists, matrices, compose files, Kubernetes lists and GML into the table of topology."""

from __future__ import annotations

__all__ = ["read_topology"]

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import yaml

from stability.records.mapping import TableOptions, checked, raw_rows, translate
from stability.schema import TABLES, ContractError, nearest, validate
from stability.telemetry.sources import PARQUET, locate
from stability.telemetry.streams import fetch

FORMS = ("auto", "edges", "matrix", "compose", "kubernetes", "gml")
KINDS = ("calls", "runs_on", "shares")
#: Names that exports of tracing and of graphs give to the two ends.
USUAL = {
    "source": ("from", "parent", "caller", "src", "client", "source_service", "dependent", "child_of"),
    "target": ("to", "child", "callee", "dst", "server", "target_service", "destination", "depends_on"),
    "kind": ("type", "relation"),
}
LARGEST = 1 << 24  # bytes of a YAML or GML file: its parser keeps all of it in memory, several times


@dataclass(frozen=True)
class TopologyOptions(TableOptions):
    """As `TableOptions`, and what is particular to a topology; see `read_topology`."""

    kind: str = "calls"
    depends: str = "rows"


def read_topology(source: str, *, storage: Mapping[str, object] | None = None, **options) -> pd.DataFrame:
    """Read a topology; an edge says that source depends on target.

    Parameters
    ----------
    source : str, path, or iterable of them
        Files; with `query` the address of a database.
    storage : mapping, optional
        Options of fsspec's file system.
    form : {"auto", "edges", "matrix", "compose", "kubernetes", "gml"}
        ``edges`` has a row an edge (CSV, JSON, Parquet); ``matrix`` is CSV with the same names above and left, in which
        anything but 0, false and nothing is an edge; ``compose`` is Docker's (`depends_on` and `links` call, a shared
        network says nothing); ``kubernetes`` is ``kubectl get pods -o yaml`` or ``json`` (a pod runs on its node);
        ``gml`` a directed graph, ids or labels as names.
    kind : {"calls", "runs_on", "shares"}
        Of edges whose kind nothing tells.
    depends : {"rows", "columns"}
        Which side of a matrix depends on the other.
    records, query, params, columns, values, defaults, where
        As for `read_faults`.

    Returns
    -------
    DataFrame
        The table `topology`: index (source, target), kind. An edge that stands several times is one, an edge from an
        entity to itself none.

    Raises
    ------
    ContractError
        With file and row, for two kinds of one edge too.
    """
    form = options.pop("form", None) or "auto"
    if form not in FORMS:
        remedy = nearest(str(form), FORMS)
        raise ContractError(column="form", expected="a form of a topology", got=repr(form), remedy=remedy)
    chosen = checked(options, TopologyOptions, reader="read_topology")
    for name, known in {"kind": KINDS, "depends": ("rows", "columns")}.items():
        if getattr(chosen, name) not in known:
            got = repr(getattr(chosen, name))
            raise ContractError(column=name, expected=f"one of {', '.join(known)}", got=got)
    edges, label = _edges(source, form, chosen, storage)
    edges["kind"] = edges["kind"].fillna(chosen.kind) if "kind" in edges else chosen.kind
    edges = edges[edges["source"].isna() | (edges["source"] != edges["target"])].drop_duplicates()
    if edges.empty:
        raise ContractError(file=label, expected="at least one edge", got="none")
    return validate(edges.reset_index(drop=True), "topology", source=label)


def _edges(source, form: str, options: TopologyOptions, storage: Mapping | None) -> tuple[pd.DataFrame, str]:
    if options.query is None and form != "edges":
        files = locate(source, **(storage or {}))
        told = [(file, fetch(file)) for file in files]
        parts = [_graph(content, file.label, form, options) for file, content in told]
        if all(part is not None for part in parts):
            return pd.concat(parts, ignore_index=True), files[0].label
        if form != "auto":
            raise ContractError(file=files[0].label, expected=f"a topology in the form {form!r}", got="another one")
    frame, label, _ = raw_rows(source, options, storage)
    done, _ = translate(frame, "topology", options, label=label, usual=USUAL)
    for name in ("source", "target"):
        if name not in done:
            there = ", ".join(list(frame)[:20])
            remedy = f"columns={{'their name': {name!r}}}"
            raise ContractError(
                file=label, column=name, expected="both ends of an edge", got=f"the columns {there}", remedy=remedy
            )
    return done[[name for name in TABLES["topology"].columns if name in done]], label


def _graph(content: bytes, label: str, form: str, options: TopologyOptions) -> pd.DataFrame | None:
    """Read what is no list of edges; None where it is one."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    if content.startswith(PARQUET):
        return None
    if form == "gml" or (form == "auto" and re.match(r"(?s)\s*(?:#[^\n]*\n\s*|Creator[^\n]*\n\s*)*graph\s*\[", text)):
        return _from_gml(text, label)
    if form in ("compose", "kubernetes") or (form == "auto" and re.search(r"(?m)^(?:services|apiVersion|kind):", text)):
        return _from_yaml(text, label, form)
    if form == "auto" and text.lstrip()[:1] in ("{", "["):
        return _from_json(text, label)
    if form == "matrix" or (form == "auto" and _is_matrix(text)):
        return _from_matrix(text, label, options.depends)
    return None


def _is_matrix(text: str) -> bool:
    rows = _cells(text)
    names = [name.strip() for name in rows[0][1:]]
    return len(rows) > 1 and len(names) > 1 and set(names) >= {row[0].strip() for row in rows[1:]}


def _cells(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]  # each system's ends of lines


def _from_matrix(text: str, label: str, depends: str) -> pd.DataFrame:
    rows = _cells(text)
    names = [name.strip() for name in rows[0][1:]]
    found = []
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names) + 1:
            expected, got = f"{len(names) + 1} cells as in the header", str(len(row))
            raise ContractError(file=label, row=number, expected=expected, got=got)
        for name, cell in zip(names, row[1:], strict=True):
            if cell.strip().lower() in ("", "false", "no", "nan"):
                continue
            if cell.strip().lower() not in ("true", "yes", "x"):
                try:
                    if float(cell) == 0:
                        continue
                except ValueError:
                    expected = "a number, true, false, x or nothing"
                    raise ContractError(
                        file=label, row=number, column=name, expected=expected, got=repr(cell)
                    ) from None
            found.append((row[0].strip(), name) if depends == "rows" else (name, row[0].strip()))
    return pd.DataFrame(found, columns=["source", "target"])


def _from_yaml(text: str, label: str, form: str) -> pd.DataFrame | None:
    if len(text) > LARGEST:
        raise ContractError(file=label, expected=f"at most {LARGEST:,} characters", got=f"{len(text):,}")
    try:
        documents = [document for document in yaml.safe_load_all(text) if isinstance(document, dict)]
    except (yaml.YAMLError, RecursionError) as error:
        raise ContractError(file=label, expected="YAML", got=str(error).split("\n")[0]) from error
    compose = [d["services"] for d in documents if isinstance(d.get("services"), dict)]
    if compose and form != "kubernetes":
        return _from_services(compose, label)
    return _from_pods(documents, label)


def _from_services(found: Iterable[dict], label: str) -> pd.DataFrame:
    """Read a compose file: `depends_on` is a list of names or a mapping of them, `links` may have an alias."""
    edges = []
    for services in found:
        for name, service in services.items():
            service = service if isinstance(service, dict) else {}
            for option in ("depends_on", "links"):
                if not isinstance(service.get(option) or [], list | dict):
                    got = repr(service[option])
                    raise ContractError(file=label, column=f"{name}.{option}", expected="a list of services", got=got)
            needs = service.get("depends_on") or []
            links = [str(link).split(":")[0] for link in service.get("links") or []]
            for target in [*needs, *links]:
                if target not in services:
                    remedy = nearest(str(target), services)
                    raise ContractError(
                        file=label,
                        column=str(name),
                        expected="a service that there is",
                        got=repr(target),
                        remedy=remedy,
                    )
                edges.append((str(name), str(target)))
    return pd.DataFrame(edges, columns=["source", "target"])


def _from_pods(documents: Iterable[dict], label: str) -> pd.DataFrame:
    """Read pods with the nodes that they run on."""
    listed = [document.get("items") or [document] for document in documents]
    items = [item for part in listed if isinstance(part, list) for item in part if isinstance(item, dict)]
    edges = []
    for item in items:
        spec, meta = (item.get(part) if isinstance(item.get(part), dict) else {} for part in ("spec", "metadata"))
        if spec.get("nodeName") and meta.get("name"):
            edges.append((str(meta["name"]), str(spec["nodeName"])))
    if not edges:
        kinds = ", ".join(sorted({str(item.get("kind")) for item in items})) or "none"
        remedy = "kubectl get pods -o yaml; who calls whom, no manifest says"
        raise ContractError(
            file=label,
            expected="services with depends_on, or pods with nodes",
            got=f"objects of kind {kinds}",
            remedy=remedy,
        )
    return pd.DataFrame(edges, columns=["source", "target"]).assign(kind="runs_on")


def _from_json(text: str, label: str) -> pd.DataFrame | None:
    """Read Kubernetes' JSON; other documents are lists of edges."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    listed = isinstance(document, dict) and document.get("kind") in ("List", "PodList", "Pod")
    return _from_pods([document], label) if listed else None


def _from_gml(text: str, label: str) -> pd.DataFrame:
    import networkx

    try:
        graph = networkx.parse_gml(text)
    except (networkx.NetworkXError, ValueError, RecursionError) as error:
        raise ContractError(file=label, expected="a graph in GML", got=str(error).split("\n")[0]) from error
    if not graph.is_directed():
        remedy = "write `directed 1` into the graph, and each edge from the one that depends"
        raise ContractError(file=label, expected="a directed graph", got="one without directions", remedy=remedy)
    edges = [(str(a), str(b), data.get("kind")) for a, b, data in graph.edges(data=True)]
    return pd.DataFrame(edges, columns=["source", "target", "kind"])
