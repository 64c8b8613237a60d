"""Files that a declaration names: whole paths, and errors that say the key and the nearest name."""

from __future__ import annotations

__all__ = ["there", "whole"]

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
