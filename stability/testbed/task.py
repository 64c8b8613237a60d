"""What the service is asked: the class of an item, which a teacher decides and a net has to learn from features."""

from __future__ import annotations

__all__ = ["CLASSES", "FEATURES", "ITEMS", "item_features", "item_labels"]

import functools

import numpy as np

ITEMS = 16_384
FEATURES = 32
CLASSES = 8
SEED = 20_260_301
HIDDEN = 24  # units of the teacher: few enough that a net learns most of it from half of the items
TEMPERATURE = 0.15  # of the noise on the teacher's opinion, as a share of its spread: nobody can be right every time


@functools.cache
def item_features() -> np.ndarray:
    """Features of every item, float32, (ITEMS, FEATURES), standard normal.

    Examples
    --------
    >>> item_features().shape
    (16384, 32)
    """
    features = np.random.default_rng(SEED).standard_normal((ITEMS, FEATURES), dtype="float32")
    features.setflags(write=False)
    return features


@functools.cache
def item_labels() -> np.ndarray:
    """Class of every item as users know it, int64, (ITEMS,).

    Examples
    --------
    >>> bool((np.bincount(item_labels(), minlength=CLASSES) > ITEMS / CLASSES / 4).all())
    True
    """
    rng = np.random.default_rng(SEED + 1)
    first = rng.standard_normal((FEATURES, HIDDEN)) / np.sqrt(FEATURES)
    second = rng.standard_normal((HIDDEN, CLASSES)) / np.sqrt(HIDDEN)
    opinion = np.maximum(item_features() @ first, 0) @ second
    opinion = (opinion - opinion.mean(axis=0)) / opinion.std(axis=0)  # no class is everybody's
    labels = np.argmax(opinion + TEMPERATURE * rng.standard_normal(opinion.shape), axis=1)
    labels.setflags(write=False)
    return labels
