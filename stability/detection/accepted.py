"""What people have accepted to change of a detector's alarms: a readable file, read by nights and by the watch."""

from __future__ import annotations

__all__ = ["Accepted", "ScreenPart", "read_accepted"]

import math
from os import PathLike
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stability.detection.screen import Screen
from stability.schema import ContractError, declared, load_yaml

NAME = r"^\w[\w.-]{0,99}$"  # of a policy and of a detector, which names its file
MOST = 1000.0  # times a threshold, or its inverse; beyond it is no correction: to silence a detector, take it out
ROWS = 10_000  # of which flagged ones are counted: what is remembered of an entity grows with it
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Times = Annotated[float, Field(ge=1 / MOST, le=MOST, strict=True)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScreenPart(_Strict):
    """A `Screen` without its name."""

    intercept: Finite
    weights: dict[str, Weight] = Field(min_length=1)
    felt: tuple[str, ...] = ()
    felt_weight: Weight = 0.0
    loudest: Weight = 0.0
    stronger: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)] = 2.0


class Change(_Strict):
    """Rules of `AlarmPolicy` that take the place of those in force; none where a change was taken back."""

    times: Times | dict[str, Times] | None = None
    flagged: int | None = Field(None, ge=1, le=ROWS, strict=True)
    of: int | None = Field(None, ge=1, le=ROWS, strict=True)
    minimum_duration: Weight | None = None
    screen: ScreenPart | None = None

    @model_validator(mode="after")
    def _possible(self) -> Change:
        if (self.flagged or 1) > (self.of or math.inf):
            raise ValueError(f"expected flagged up to `of`, got {self.flagged} of {self.of}")
        return self


class Accepted(_Strict):
    """A change of a detector's alarm policy that somebody has accepted, and on what evidence.

    Parameters
    ----------
    name : str
        What it suppresses carries this name in `suppressed_by`.
    detector : str
        Whose alarms.
    change : Change
    evidence : mapping
        Who accepted it and when, on how many labels, and what the backtest said; for people, nothing acts upon it.
    """

    name: str = Field(pattern=NAME)
    detector: str = Field(pattern=NAME)
    change: Change
    evidence: dict[str, Any] = {}

    @property
    def rules(self) -> dict[str, Any]:
        """What it changes, as keywords of `AlarmPolicy` and `raise_alarms`."""
        told = self.change.model_dump(exclude_none=True, exclude={"screen"})
        screen = self.change.screen
        return told if screen is None else told | {"screen": Screen(self.name, **screen.model_dump())}


def read_accepted(path: str | PathLike, detector: str | None = None) -> Accepted:
    """Read what was accepted.

    Parameters
    ----------
    path : str or path
        YAML, as `adaptation.accept` writes it.
    detector : str, optional
        Whose alarms it is to be used for; that of the file must be the same.

    Raises
    ------
    ContractError
        With the file, the key, what was expected and what came.
    """
    raw = load_yaml(path)
    if not isinstance(raw, dict):
        raise ContractError(file=path, expected="keys and values", got=type(raw).__name__)
    told = declared(Accepted, raw, file=path)
    if detector is not None and told.detector != detector:
        remedy = "each detector's scores have their own unit: accept a proposal of this one"
        raise ContractError(
            file=path, column="detector", expected=repr(detector), got=repr(told.detector), remedy=remedy
        )
    return told
