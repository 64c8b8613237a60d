"""What the steps of a run read: an entry of the catalogue as it stands, or the snapshot of a source that moves."""

import dataclasses
import datetime as dt
import json
import math
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stability.schema import ContractError, redact

__all__ = ["Data", "DatasetSpec", "canonical", "check", "holds_secret", "is_json", "rehearse", "settle"]


class DatasetSpec(BaseModel):
    """Which data every step reads: a name of the catalogue, or a live source with the stretch of time to read of it.

    `{prometheus: {...}, window: 7d}` is short for `{name: prometheus, options: {...}, window: 7d}`, and
    `{files: my/*.csv}` for `{name: files, options: {path: my/*.csv}}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    window: str | None = None
    as_of: str | None = None

    @field_validator("as_of", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return value.isoformat() if isinstance(value, dt.date) else value  # YAML has read a moment


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of one run.

    Parameters
    ----------
    parameters
        What each notebook gets: `dataset` and `options`; nothing where the experiment names no dataset.
    sha256
        Of the content; None without a dataset.
    said
        For people: name, options, sha256, and of a snapshot window, as_of, period and rows.
    """

    parameters: dict[str, Any]
    sha256: str | None
    said: dict[str, Any]


def canonical(value: Any) -> Any:
    """One form for the several in which a spec may name its dataset; what is none of them is left to the validation.

    >>> canonical("sample")
    {'name': 'sample'}
    >>> canonical({"files": "my/*.csv", "window": "7d"})
    {'name': 'files', 'options': {'path': 'my/*.csv'}, 'window': '7d'}
    """
    from stability.datasets import LIVE

    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict) or "name" in value:
        return value
    sources = [key for key in value if key in LIVE]
    if len(sources) != 1:
        said = f"{' and '.join(sources)} at once" if sources else f"only {', '.join(map(str, value)) or 'nothing'}"
        raise ValueError(f"expected one of 'name', {', '.join(map(repr, LIVE))}, got {said}")
    options = value[sources[0]]
    if sources == ["files"] and isinstance(options, str | list):
        options = {"path": options}
    return {"name": sources[0], "options": options, **{k: v for k, v in value.items() if k not in sources}}


def check(spec: DatasetSpec) -> str | None:
    """Sha256 of a dataset that does not move; of one that does, look whether it is there and can be read.

    Raises
    ------
    ContractError
        Saying what is wrong with the name, the options, the files or the server.
    """
    from stability import datasets

    if not is_json(spec.options):
        raise ContractError(column="options", expected="JSON values (dates as ISO text)", got=repr(spec.options))
    if holds_secret(spec.options):
        remedy = "take it out; credentials come from the environment"
        raise ContractError(column="options", expected="no password", got="an address that has one", remedy=remedy)
    if spec.name in datasets.LIVE:
        datasets.reach(spec.name, spec.options, spec.window, spec.as_of)
        return None
    for field in ("window", "as_of"):
        if getattr(spec, field) is not None and spec.name in datasets.names():
            moves = f"a source that moves: {', '.join(datasets.LIVE)}"
            raise ContractError(column=field, expected=moves, got=f"{spec.name!r}, which is what it is")
    return datasets.fingerprint(spec.name, **spec.options)


def rehearse(spec: DatasetSpec | None, path: Path) -> None:
    """Read a user's own files whole, as a run would, and keep nothing; a server is not asked for all it has twice.

    Raises
    ------
    ContractError
        As :func:`settle`.
    """
    if spec is None or spec.name != "files":
        return
    from stability import datasets

    try:
        datasets.rehearse(spec.options, spec.window, spec.as_of)
    except (ContractError, TypeError) as error:
        raise ContractError(f"{path}, at 'dataset': {error}") from error


def settle(spec: DatasetSpec | None, sha256: str | None, path: Path) -> Data:
    """Take the snapshot of a source that moves; name what does not.

    Parameters
    ----------
    spec
        The experiment's dataset.
    sha256
        What :func:`check` gave.
    path
        The experiment's file, for messages.

    Raises
    ------
    ContractError
        When the source cannot be read whole, or has nothing in the window.
    """
    if spec is None:
        return Data({}, None, {"name": "none", "options": {}, "sha256": None})
    from stability import datasets

    said = {"name": spec.name, "options": spec.options, "sha256": sha256}
    if spec.name not in datasets.LIVE:
        return Data({"dataset": spec.name, "options": spec.options}, sha256, said)
    try:
        taken = datasets.snapshot(spec.name, spec.options, spec.window, spec.as_of)
    except (ContractError, TypeError) as error:
        raise ContractError(f"{path}, at 'dataset': {error}") from error
    said |= {"sha256": taken.sha256, "window": spec.window or "all", "as_of": spec.as_of or "now"}
    said |= {"period": str(taken.within), "rows": taken.rows}
    return Data({"dataset": "snapshot", "options": {"sha256": taken.sha256}}, taken.sha256, said)


def is_json(value: Any) -> bool:
    """Whether a value is of JSON's types, without NaN and infinity.

    >>> is_json({"a": [1, None]}), is_json(float("nan"))
    (True, False)
    """
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_json(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(is_json, value))
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def holds_secret(value: Any) -> bool:
    """Whether a value of JSON's types holds an address with a password: declarations are kept with every run.

    >>> holds_secret({"url": "postgresql://me:secret@db/x"}), holds_secret("postgresql://${NAME}:${PASSWORD}@db/x")
    (True, False)
    """
    text = re.sub(r"\$\{\w+\}", "", json.dumps(value))
    return redact(text) != text
