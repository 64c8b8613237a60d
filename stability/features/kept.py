"""Fitted features on disk: what was declared and learnt as JSON and plain arrays, nothing of it code."""

from __future__ import annotations

__all__ = ["SAID", "read", "write"]

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stability import detection
from stability.features.surroundings import Neighbours, topology_of
from stability.records import LogTemplates
from stability.schema import ContractError, folder_written_whole

if TYPE_CHECKING:
    from stability.features.assembly import Features

SAID, ARRAYS = "features.json", "features.npz"
VERSION = 1  # of the form of the folder


def _learners(features: Features) -> dict[str, Any]:
    """Parts that have learnt something, by name."""
    found = {f"{k}-{type(part).__name__}": part for k, (_, part) in enumerate(features.parts)}
    found |= {"events": features.events, "due": features.due, "states": features.states}
    return {name: part for name, part in found.items() if hasattr(part, "learnt")}


def write(features: Features, folder: Path) -> Path:
    """As `Features.save`."""
    said: dict[str, Any] = {"features": VERSION, "settings": features.settings, "fitted_on": features.fitted_on_}
    said |= {"told": features.told_, "metrics": features.metrics_, "learnt": {}}
    said["templates"] = features.templates and features.templates.to_dict()
    said["new_lines"] = features.new_lines and features.new_lines.to_dict()
    said["topology"] = features.near and features.near.edges
    arrays: dict[str, np.ndarray] = {}
    with folder_written_whole(folder) as draft:
        for name, part in _learners(features).items():
            own = said["learnt"][name] = {}
            for key, value in part.learnt().items():
                if isinstance(value, np.ndarray):
                    arrays[f"{name}.{key}"] = value
                elif isinstance(value, detection.Detector):
                    _save(value, draft / f"{name}.{key}.npz")
                else:
                    own[key] = value
        (draft / SAID).write_text(json.dumps(said, indent=1, default=_plain))
        np.savez(draft / ARRAYS, **arrays)
    return folder


def _save(detector: detection.Detector, path: Path) -> None:
    try:
        detector.save(path)
    except (TypeError, ValueError) as error:
        expected = "a detector that can be kept as plain data"
        remedy = "leave it out of the scores, or give settings that are numbers and text"
        raise ContractError(column=detector.name, expected=expected, got=str(error), remedy=remedy) from None


def read(make: type[Features], folder: Path) -> Features:
    """As `Features.load`."""
    try:
        said = json.loads((folder / SAID).read_text())
        if said["features"] != VERSION:
            raise ValueError(f"version {said['features']}")
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        features = make(**said["settings"])
        for name, part in _learners(features).items():
            own = dict(said["learnt"][name])
            own |= {k.removeprefix(f"{name}."): kept for k, kept in arrays.items() if k.startswith(f"{name}.")}
            for path in sorted(folder.glob(f"{name}.*.npz")):
                own[path.name.removeprefix(f"{name}.").removesuffix(".npz")] = detection.load(path)
            part.restore(own)
        if features.templates is not None:
            features.templates = LogTemplates.from_dict(said["templates"])
        if features.new_lines is not None:
            features.new_lines.restore(said["new_lines"], features.templates)
        if features.settings["neighbours"] is not None:
            features.near = Neighbours(topology_of(said["topology"]), **features.settings["neighbours"])
        features.told_, features.metrics_ = said["told"], said["metrics"]
        features.fitted_on_ = said["fitted_on"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        if isinstance(error, ContractError):
            raise
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        remedy = "give a folder that Features.save wrote"
        raise ContractError(file=folder, expected="fitted features", got=got, remedy=remedy) from None
    return features


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that can be kept as text")
