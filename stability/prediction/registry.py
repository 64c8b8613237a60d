"""The predictors by name, and how one comes back from disk."""

from __future__ import annotations

__all__ = ["PREDICTORS", "load"]

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile

import numpy as np

from stability.prediction.by_mode import ByMode
from stability.prediction.calibrated import METHODS, Calibrated
from stability.prediction.floors import BaseRate
from stability.prediction.hazard import Hazard
from stability.prediction.manner import SAID, Predictor
from stability.prediction.pooled import MEMBERS, Pooled
from stability.schema import ContractError, one_of

PREDICTORS: Mapping[str, type[Predictor]] = MappingProxyType(
    {one.name: one for one in (BaseRate, *MEMBERS.values(), Pooled)}
)


CALIBRATION = "calibration.npz"
KINDS = {**PREDICTORS, Hazard.name: Hazard, ByMode.name: ByMode}  # that come back from disk


def load(folder: str | Path) -> Predictor | Calibrated:
    """Read a predictor that `Predictor.save` or `Calibrated.save` wrote: data alone, nothing in it is run.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Predictor or Calibrated
        Which gives the numbers that the saved one gave.

    Raises
    ------
    ContractError
        When the folder is not one of a predictor, or has something else in it.
    """
    folder = Path(folder)
    try:
        said = json.loads((folder / SAID).read_text())
        kind = KINDS[one_of(said["predictor"], KINDS, "predictor")]
        model = kind(**said["settings"])._restore(said, folder)
        if not (folder / CALIBRATION).exists():
            return model
        found = Calibrated(model)
        with np.load(folder / CALIBRATION, allow_pickle=False) as kept:
            found.method_, found.x_, found.y_ = one_of(str(kept["method"]), METHODS, "method"), kept["x"], kept["y"]
        return found
    except ContractError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        remedy = "give a folder that Predictor.save wrote"
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ContractError(file=folder, expected="a predictor", got=got, remedy=remedy) from None
