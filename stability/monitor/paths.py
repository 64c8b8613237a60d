"""What a declaration names, and what is wrong with it: errors say the key, what was expected, and the nearest name."""

from __future__ import annotations

__all__ = ["refused", "there", "whole"]

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError

from stability.schema import ContractError, home, nearest

if TYPE_CHECKING:
    from stability.monitor.declaration import Declaration

LONGEST = 255, 4095  # bytes of a name, and of a path, wherever files are


def whole(path: str) -> Path:
    """A path that is declared, from the root on; a relative one starts at the workbench's folder.

    Raises
    ------
    ContractError
        Where no file can be called so.
    """
    remedy = "the path starts at the workbench's folder, or at / or ~"
    try:
        found = home() / Path(path).expanduser()
        longest = max(len(os.fsencode(part)) for part in found.parts), len(os.fsencode(found))
    except (RuntimeError, ValueError) as error:  # ~nobody
        raise ContractError(file=path, expected="a path", got=str(error), remedy=remedy) from None
    if "\0" in path or any(one > most for one, most in zip(longest, LONGEST, strict=True)):
        raise ContractError(file=path, expected="a path", got="one that no file can have", remedy=remedy)
    return found


def refused(error: ValidationError, path: Path, model: type[BaseModel]) -> ContractError:
    """Say what is wrong with a declaration; a key that is misspelt before the one that is missing for it.

    Parameters
    ----------
    error : ValidationError
    path : Path
        Of the declaration.
    model : type
        What it should have been.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        remedy = nearest(str(first["loc"][-1]), _part(model, first["loc"][:-1]).model_fields)
        return ContractError(file=path, column=place, expected="a known key", got=repr(first["loc"][-1]), remedy=remedy)
    if first["type"] == "value_error":
        said = first["ctx"]["error"]
        if isinstance(said, ContractError):
            place = ".".join(part for part in (place, said.column) if part)
            told = {"expected": said.expected, "got": said.got, "remedy": said.remedy}
            return ContractError(said.problem, file=path, column=place, **told)
        return ContractError(str(said), file=path, column=place or None)
    return ContractError(file=path, column=place, expected=first["msg"], got=repr(first.get("input"))[:100])


def _part(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The part of a declaration at a place."""
    for key in loc:
        kinds = [model.model_fields[key].annotation] if key in model.model_fields else []
        while kinds:
            kind = kinds.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
            kinds += get_args(kind)
    return model


def there(told: Declaration, path: Path) -> None:
    """Refuse names of files that are not there."""
    named = [("rules.files", one) for one in (told.rules.files if told.rules else [])]
    named += [(f"detectors.{k}", v) for one in told.detectors for k, v in one if k in ("file", "accepted") and v]
    named += [(key, getattr(told, key)) for key in ("topology", "localizer", "worksheet") if getattr(told, key)]
    named += [("predictor.features", told.predictor.features)] if told.predictor else []
    named += [(f"repair.{key}", getattr(told.repair, key)) for key in ("playbooks", "inventory")] if told.repair else []
    for key, name in named:
        place = told.place(name)
        if not place.exists():
            near = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
            remedy = nearest(place.name, near)
            raise ContractError(file=path, column=key, expected="a path that is there", got=name, remedy=remedy)
