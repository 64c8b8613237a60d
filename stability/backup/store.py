"""MLflow's store, whatever database it is in: what is newest in it, one run to read again, its addresses moved."""

from __future__ import annotations

__all__ = ["elsewhere", "move", "newest", "runs_since", "sample"]

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import Connection, column, create_engine, func, inspect, literal, or_, select, table, text, update

from stability.backup.manifest import Entry, Sample
from stability.schema import redact

# Where MLflow keeps the addresses of artifacts; a trace's is a tag.
ADDRESSES = (
    ("experiments", "artifact_location", ""),
    ("runs", "artifact_uri", ""),
    ("logged_models", "artifact_location", ""),
    ("model_versions", "source", ""),
    ("model_versions", "storage_location", ""),
    ("trace_tags", "value", "mlflow.artifactLocation"),
)
# Milliseconds since 1970 of what was written last; a metric's own time is its author's to say.
MOMENTS = (
    ("runs", "start_time"),
    ("runs", "end_time"),
    ("experiments", "last_update_time"),
    ("registered_models", "last_updated_time"),
    ("model_versions", "last_updated_time"),
    ("logged_models", "last_updated_timestamp_ms"),
    ("trace_info", "timestamp_ms"),
)
LOOKED_AT = 200  # newest runs, for one with artifacts


@contextlib.contextmanager
def _connected(uri: str) -> Iterator[Connection]:
    engine = create_engine(uri)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def newest(uri: str) -> float:
    """Give the moment of the newest record, Unix seconds; 0 of an empty store. What lies in the future is left out."""
    found, now = 0.0, time.time() * 1000
    with _connected(uri) as connection:
        there = set(inspect(connection).get_table_names())
        for name, moment in MOMENTS:
            if name in there:
                cell = column(moment)
                query = select(func.max(cell)).select_from(table(name)).where(cell <= int(now))
                found = max(found, connection.execute(query).scalar() or 0)
    return found / 1000


def runs_since(uri: str, moment: float) -> int:
    """Count the runs that began or ended after a moment (Unix seconds)."""
    query = text("select count(*) from runs where start_time > :moment or end_time > :moment")
    with _connected(uri) as connection:
        return connection.execute(query, {"moment": int(moment * 1000)}).scalar()


def sample(uri: str, entries: Mapping[str, Entry], home: Path, moment: float) -> Sample | None:
    """Choose the run that a drill reads: the newest that finished and has artifacts in the backup, else the newest.

    Parameters
    ----------
    uri : str
        Of the copy that is in the backup.
    entries : mapping
        Files of the backup.
    home : path
        The folder that they are relative to.
    moment : float
        Unix seconds; later runs may not be in the backup.
    """
    query = (
        "select run_uuid, artifact_uri from runs where lifecycle_stage = 'active' "
        "and start_time <= :moment and coalesce(end_time, 0) <= :moment "
        "order by (case when status = 'FINISHED' then 0 else 1 end), start_time desc limit :most"
    )
    with _connected(uri) as connection:
        found = connection.execute(text(query), {"moment": int(moment * 1000), "most": LOOKED_AT}).fetchall()
        if not found:
            return None
        by_run: dict[str, str] = {}
        wanted = {_relative(address, home): run_id for run_id, address in found}
        for path, entry in sorted(entries.items(), key=lambda item: item[1].size):
            parts = path.split("/")
            for depth in range(len(parts) - 1, 0, -1) if entry.kind == "file" else ():
                run_id = wanted.get("/".join(parts[:depth]))
                if run_id:
                    by_run.setdefault(run_id, path)
        chosen = next((run_id for run_id, _ in found if run_id in by_run), found[0][0])
        address = next(address for run_id, address in found if run_id == chosen)
        metrics = connection.execute(
            text("select key, value from latest_metrics where run_uuid = :run and not is_nan"), {"run": chosen}
        ).fetchall()
        params = connection.execute(text("select count(*) from params where run_uuid = :run"), {"run": chosen}).scalar()
    artifact = by_run.get(chosen)
    inner = artifact.removeprefix(f"{_relative(address, home)}/") if artifact else None
    return Sample(chosen, {key: float(value) for key, value in metrics}, params, artifact, inner)


def elsewhere(uri: str, home: Path) -> list[str]:
    """Say of which experiments the artifacts lie outside of the workbench's folder, in sentences.

    Parameters
    ----------
    uri : str
    home : path
    """
    query = (
        "select distinct e.name, e.artifact_location from experiments e "
        "join runs r on r.experiment_id = e.experiment_id order by 1"
    )
    with _connected(uri) as connection:
        found = connection.execute(text(query)).fetchall()
    return [
        f"artifacts of experiment {name} are at {redact(address or 'no address')}, outside of the workbench's folder"
        for name, address in found
        if _relative(address, home) is None
    ]


def _relative(address: str | None, home: Path) -> str | None:
    """The folder of artifacts as a path in the backup; None where it is elsewhere."""
    if not address:
        return None
    path = Path(unquote(address.removeprefix("file://")) if address.startswith("file://") else address)
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else None


def move(uri: str, old: Path, new: Path) -> int:
    """Let the store's addresses of artifacts below one folder point below another; how many were changed.

    Parameters
    ----------
    uri : str
    old, new : path
        Absolute folders.
    """
    if old == new:
        return 0
    changed = 0
    with _connected(uri) as connection:
        there = set(inspect(connection).get_table_names())
        for name, column_name, key in ADDRESSES:
            cells, address = table(name, column(column_name), column("key")), column(column_name)
            for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))) if name in there else ():
                # Only whole names of folders: /srv/one is not a part of /srv/one-more.
                below = func.substr(address, 1, len(before) + 1) == f"{before}/"
                change = update(cells).where(or_(below, address == before))
                if key:
                    change = change.where(column("key") == key)
                rest = func.substr(address, len(before) + 1)
                changed += connection.execute(change.values({column_name: literal(after).concat(rest)})).rowcount
    return changed
