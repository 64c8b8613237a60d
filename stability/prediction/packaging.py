"""Predictors as MLflow keeps them: data alone in the store, loaded by the code that is installed here.

`mlflow.pyfunc.log_model(loader_module="stability.prediction.packaging", data_path=folder)` takes the folder that
`Predictor.save` wrote. Nothing in it is code: JSON, arrays without pickle, safetensors, skops with a fixed list of
types.
"""

from __future__ import annotations

__all__ = ["DIGEST", "Served", "contents_sha256", "looks_back", "read", "requirements"]

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stability.prediction.calibrated import Calibrated
from stability.prediction.hazard import Hazard
from stability.prediction.manner import Predictor
from stability.prediction.registry import load
from stability.schema import ContractError, coerce_column, load_yaml, one_of

DIGEST = "stability.sha256"  # what the folder's digest is called, in MLflow's own file and on a registered version
PLAIN = (".json", ".npz", ".safetensors", ".skops")  # what a predictor consists of; nothing else is looked at
ALWAYS = ("mlflow", "numpy", "pandas", "scipy", "scikit-learn", "skops", "numba", "pyarrow", "pandera")
FOR_FILES = {"model.json": ("xgboost-cpu", "xgboost"), "weights.safetensors": ("torch", "safetensors")}
ONE = "default"  # entity of rows that name none


def contents_sha256(folder: str | Path) -> str:
    """Sha256 over names and bytes of all files of a folder, wherever the folder lies.

    Raises
    ------
    ContractError
        When there is no such folder, or something in it is no plain data of a predictor.
    """
    folder, total = Path(folder), hashlib.sha256()
    if not folder.is_dir():
        raise ContractError(file=folder, expected="a predictor's folder", got="none")
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or path.suffix not in PLAIN:
            expected = f"only files of data ({', '.join(PLAIN)})"
            raise ContractError(file=path, expected=expected, got="another file", remedy="package the predictor anew")
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
    return total.hexdigest()


def read(folder: str | Path, *, sha256: str | None = None) -> Predictor | Calibrated:
    """Read a packaged predictor, after a look at every file of it.

    Parameters
    ----------
    folder : str or Path
        That `Predictor.save` or `Calibrated.save` wrote.
    sha256 : str, optional
        What `contents_sha256` gave when it was packaged.

    Returns
    -------
    Predictor or Calibrated
        Which gives the numbers that the saved one gave.

    Raises
    ------
    ContractError
        When a file is none of a predictor's, was altered, or the files do not belong together.
    """
    found = contents_sha256(folder)
    if sha256 is not None and found != sha256:
        remedy = "register the predictor anew; what was altered is not used"
        raise ContractError(file=folder, expected=f"contents of sha256 {sha256}", got=found, remedy=remedy)
    try:
        predictor = load(folder)
        # Files of two predictors may each be whole: one row, all unknown, tells whether they fit together.
        said = predictor.predict(pd.DataFrame(np.nan, index=[0], columns=_inner(predictor).features_))
        fits = len(said) == 1 and np.isfinite(said.iloc[0])
    except ContractError:
        raise
    except Exception as error:  # noqa: BLE001  what broken bytes do to a library is not known beforehand
        got = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        raise ContractError(file=folder, expected="the files of one predictor", got=got) from None
    if not fits:
        raise ContractError(file=folder, expected="a predictor that gives a probability", got=f"{said.tolist()}")
    return predictor


def requirements(folder: str | Path) -> list[str]:
    """Packages that loading takes, pinned as installed here; this package itself is on no index, and not among them.

    Parameters
    ----------
    folder : str or Path
        Of a predictor.

    Returns
    -------
    list of str
        Such as ``numpy==2.4.6``.
    """
    there = {path.name for path in Path(folder).rglob("*")}
    wanted = [*ALWAYS, *(name for file, names in FOR_FILES.items() if file in there for name in names)]
    pins = []
    for name in wanted:
        try:
            pins.append(f"{name}=={importlib.metadata.version(name).split('+')[0]}")
        except importlib.metadata.PackageNotFoundError:  # of xgboost there is one of the two
            continue
    return pins


def looks_back(predictor: Predictor | Calibrated) -> bool:
    """Whether it reads the rows before a row, so that it has to know whose they are and when."""
    own = _inner(predictor)
    return hasattr(own, "window") or any(map(looks_back, getattr(own, "models_", [])))


class Served:
    """A predictor as MLflow calls it.

    Parameters
    ----------
    predictor : Predictor or Calibrated
    """

    def __init__(self, predictor: Predictor | Calibrated) -> None:
        self.predictor, self.looks_back = predictor, looks_back(predictor)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.Series:
        """Say how probable a fault is within the horizon.

        Parameters
        ----------
        model_input : DataFrame
            Features as columns, in any order, NaN where unknown. A predictor that reads the rows before a row takes
            entity and timestamp from the index, or from columns of these names, and gives a row without enough of them
            what it gives at the beginning of a record; other predictors do not need them.
        params : mapping, optional
            Of a hazard model: ``horizon``, one of its edges; the longest without it.

        Returns
        -------
        Series of float64 in [0, 1]
            A probability for each row, over the index that came.

        Raises
        ------
        ContractError
            When a column is missing, a value is infinite, or it is not known whose the rows before a row are.
        """
        if not isinstance(model_input, pd.DataFrame):
            raise ContractError(file="features", expected="a table with named columns", got=type(model_input).__name__)
        features, order = model_input, slice(None)
        if self.looks_back:
            index, order = _placed(model_input)
            features = model_input.iloc[order].set_axis(index)
        said = np.empty(len(model_input))
        said[order] = self._said(features, (params or {}).get("horizon")).to_numpy()
        return pd.Series(said, model_input.index, name="probability")

    def _said(self, features: pd.DataFrame, horizon: str | None) -> pd.Series:
        if not isinstance(self.predictor, Hazard) or not horizon:
            return self.predictor.predict(features)
        return self.predictor.predict_all(features)[one_of(horizon, self.predictor.edges, "horizon")]


def _inner(predictor: Predictor | Calibrated) -> Predictor:
    return predictor.predictor if isinstance(predictor, Calibrated) else predictor


def _placed(frame: pd.DataFrame) -> tuple[pd.MultiIndex, np.ndarray]:
    """Entity and timestamp of the rows in the order of a panel, and where each of them was."""
    known = {name: frame[name].array for name in ("entity", "timestamp") if name in frame}
    known |= {name: frame.index.get_level_values(name) for name in frame.index.names if name in ("entity", "timestamp")}
    if isinstance(frame.index, pd.DatetimeIndex):
        known.setdefault("timestamp", frame.index)
    if "timestamp" not in known:
        remedy = "give entity and timestamp as the index or as columns: it reads the rows before a row"
        raise ContractError(
            file="features", column="timestamp", expected="a moment of each row", got="none", remedy=remedy
        )
    moments = coerce_column(pd.Series(known["timestamp"], name="timestamp"), "datetime64[us, UTC]", nullable=False)
    entities = pd.Series(known.get("entity", ONE), index=range(len(frame)), name="entity").astype(str)
    index = pd.MultiIndex.from_arrays([entities, moments], names=["entity", "timestamp"])
    if index.has_duplicates:
        first = index[index.duplicated()][0]
        got = f"two of {first[0]} at {first[1]}"
        raise ContractError(file="features", expected="one row for each entity and moment", got=got)
    order = np.lexsort([moments.to_numpy(), entities.to_numpy(dtype=object).astype(str)])
    return index[order], order


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls; `path` is the folder within a model, whose own file says what was in it."""
    folder = Path(path)
    described = folder.parents[1] / "MLmodel"
    said = load_yaml(described) if described.is_file() else {}
    return Served(read(folder, sha256=((said or {}).get("metadata") or {}).get(DIGEST)))
