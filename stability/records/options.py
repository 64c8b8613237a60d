"""How logs are to be read: every option, checked before a file is opened."""

from __future__ import annotations

__all__ = ["COLUMNS", "LogOptions"]

from collections.abc import Mapping
from dataclasses import dataclass, field

from stability.records import forms
from stability.schema import TABLES, ContractError, nearest

COLUMNS = tuple(TABLES["logs"].columns)


@dataclass(frozen=True)
class LogOptions:
    """How logs are to be read: the keyword arguments of `read_logs` but for source, storage and progress."""

    form: str = "auto"
    pattern: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    entity: str | None = None
    message: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    timestamp_format: str | None = None
    year: int | str | None = None
    ambiguous: str = "error"
    nonexistent: str = "error"
    multiline: str = "traceback"
    unmatched: str = "error"
    tolerated: float = 0.05
    unsorted: str = "sort"
    encoding: str = "utf-8"
    undecodable: str = "error"
    records: str | None = None

    def __post_init__(self):
        for name, known in {
            "form": forms.FORMS,
            "multiline": ("traceback", "all", "none"),
            "unmatched": ("error", "keep", "drop"),
            "unsorted": ("sort", "error"),
            "undecodable": ("error", "replace"),
            "ambiguous": ("error", "earlier", "later", "infer"),
            "nonexistent": ("error", "shift_forward"),
        }.items():
            if getattr(self, name) not in known:
                remedy = nearest(str(getattr(self, name)), known)
                raise ContractError(
                    column=name, expected="a policy that there is", got=repr(getattr(self, name)), remedy=remedy
                )
        if not isinstance(self.tolerated, int | float) or not 0 <= self.tolerated <= 1:
            raise ContractError(column="tolerated", expected="a share from 0 to 1", got=repr(self.tolerated))
        for name in ("columns", "levels"):
            if not isinstance(getattr(self, name), Mapping):
                got = repr(getattr(self, name))
                raise ContractError(column=name, expected="a mapping of their names to ours", got=got)
        for name in self.columns.values():
            if name is not None and name not in COLUMNS:
                remedy = nearest(str(name), COLUMNS)
                raise ContractError(column="columns", expected="a column of logs", got=repr(name), remedy=remedy)
