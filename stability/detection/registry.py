"""Every detector by name; a new one is a class in a file of its own and a line here."""

from __future__ import annotations

__all__ = ["DETECTORS", "load"]

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from stability.detection.arima import Arima
from stability.detection.autoencoder import Autoencoder
from stability.detection.baselines import Difference, Random
from stability.detection.change import ChangePoint, Cusum
from stability.detection.ensemble import Ensemble
from stability.detection.forest import Forest
from stability.detection.lstm import Lstm
from stability.detection.manner import Detector
from stability.detection.mean_shift import MeanShift
from stability.detection.novelty import Novelty
from stability.detection.profile import LeftProfile
from stability.detection.residual import Residual, SeasonalDifference
from stability.detection.subspace import Pca
from stability.detection.variance import VarianceTest
from stability.detection.windowed_gaussian import WindowedGaussian
from stability.schema import ContractError, one_of

DETECTORS: dict[str, Callable[..., Detector]] = {
    "mean_shift_global": partial(MeanShift, variant="global"),
    "mean_shift_windowed": partial(MeanShift, variant="windowed"),
    "mean_shift_recursive": partial(MeanShift, variant="recursive"),
    "variance_f": partial(VarianceTest, test="f"),
    "variance_levene": partial(VarianceTest, test="levene"),
    "residual": Residual,
    "seasonal_difference": SeasonalDifference,
    "arima": Arima,
    "lstm": Lstm,
    "autoencoder": partial(Autoencoder, kind="dense"),
    "autoencoder_convolutional": partial(Autoencoder, kind="convolutional"),
    "pca": Pca,
    "isolation_forest": Forest,
    "left_profile": LeftProfile,
    "cusum": partial(Cusum, reference="history"),
    "page_hinkley": partial(Cusum, reference="running"),
    "change_point": ChangePoint,
    "novelty": Novelty,
    "ensemble": Ensemble,
    "windowed_gaussian": WindowedGaussian,
    "difference": Difference,
    "random": Random,
}
"""Name of the detector's column in `scores` and of the detector in `alarms` -> what makes one with settings."""


def load(path: str | Path) -> Detector:
    """Read a detector that `Detector.save` wrote, as it was: fitted, and in the middle of its live work.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Detector

    Raises
    ------
    ContractError
        When the file is missing, is none of a detector, or names one that is not registered. Nothing in it is run.
    """
    path = Path(path)
    expected = "a file that a detector's save() wrote"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        said = json.loads(str(arrays.pop("said")))
        name = said["detector"]
        settings = {key: tuple(v) if isinstance(v, list) else v for key, v in said["settings"].items()}
        return DETECTORS[one_of(name, DETECTORS, "detector")](**settings)._restore(said, arrays)
    except FileNotFoundError:
        raise ContractError(file=path, expected=expected, got="no file") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ContractError(file=path, expected=expected, got=f"{type(error).__name__}: {error}") from None
