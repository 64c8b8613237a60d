"""The models on disk: versions that were trained, copies that are good, and one whose answers are turned round."""

from __future__ import annotations

__all__ = ["LAYERS", "load", "release", "spoil", "train"]

import itertools
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from stability.testbed.task import CLASSES, FEATURES, ITEMS, item_features, item_labels

LAYERS = (FEATURES, 256, 256, CLASSES)
FIRST = ("1.0", "1.1")  # versions that are trained, from different seeds; both serve equally well
EPOCHS, BATCH, RATE, DECAY = 8, 512, 4e-3, 1e-2


def train(folder: Path, version: str) -> None:
    """Train a version; it learns most of what the teacher says, not its noise.

    Parameters
    ----------
    folder : Path
        Gets a file `<version>.npz`: w0, b0, w1, b1, w2, b2, float32.
    version : str
        One of `FIRST`, whose place is the seed.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(FIRST.index(version))
    features, labels = torch.from_numpy(item_features().copy()), torch.from_numpy(item_labels().copy())
    sizes = list(itertools.pairwise(LAYERS))
    linear = [torch.nn.Linear(*size) for size in sizes]
    net = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1], torch.nn.ReLU(), linear[2])
    steps = EPOCHS * (ITEMS // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(ITEMS).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(features[chosen]), labels[chosen]).backward()
            optimizer.step()
            pace.step()
    weights = {f"w{k}": layer.weight.detach().numpy() for k, layer in enumerate(linear)}
    weights |= {f"b{k}": layer.bias.detach().numpy() for k, layer in enumerate(linear)}
    _store(folder, version, weights)


def load(folder: Path, version: str) -> dict[str, np.ndarray]:
    """Read the weights of a version; nothing in the file is unpickled.

    Raises
    ------
    FileNotFoundError
        There is no such version.
    """
    with np.load(folder / f"{version}.npz", allow_pickle=False) as file:
        return dict(file)


def release(folder: Path, number: int) -> str:
    """Put the next good version there: one of the trained ones under a name of its own.

    Parameters
    ----------
    folder : Path
        The versions.
    number : int
        How many releases there have been.

    Returns
    -------
    str
        Its name.
    """
    version = f"2.{number}"
    shutil.copyfile(folder / f"{FIRST[number % len(FIRST)]}.npz", folder / f"{version}.npz")
    return version


def spoil(folder: Path, number: int, share: float, seed: int) -> str:
    """Put a version there that takes some classes for one another: as fast and as sure as the one that it was made of.

    Parameters
    ----------
    folder : Path
        The versions.
    number : int
        How many releases there have been.
    share : float
        Of the classes whose answers are turned round.
    seed : int
        Which classes.

    Returns
    -------
    str
        Its name, which says nothing.
    """
    version, weights = f"2.{number}", load(folder, FIRST[number % len(FIRST)])
    turned = np.random.default_rng(seed).permutation(CLASSES)[: max(2, round(CLASSES * min(share, 1.0)))]
    for name in (f"w{len(LAYERS) - 2}", f"b{len(LAYERS) - 2}"):
        layer = weights[name].copy()
        layer[turned] = weights[name][np.roll(turned, 1)]
        weights[name] = layer
    _store(folder, version, weights)
    return version


def _store(folder: Path, version: str, weights: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{version}.{os.getpid()}.npz"
    np.savez(draft, **weights)
    draft.replace(folder / f"{version}.npz")


if __name__ == "__main__":
    for name in sys.argv[2:]:
        train(Path(sys.argv[1]), name)
