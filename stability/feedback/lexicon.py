"""Words that speak for a category: the baseline of keywords, and inputs of the linear model, of little weight."""

from __future__ import annotations

__all__ = ["GROUPS", "by_keywords", "language_of", "lexicon_counts", "lexicon_file"]

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stability.feedback.development import CATEGORIES, LANGUAGES
from stability.schema import ContractError, home, load_yaml

FILE = Path("data") / "feedback" / "lexicon.yaml"
GROUPS = (*CATEGORIES, "high", "low")
_HAN = re.compile("[\u4e00-\u9fff]")
_LATIN = re.compile("[A-Za-z]")
# A Chinese character says about as much as two or three letters; a name of a product in Latin letters is no English.
HAN_WEIGHT = 4


def language_of(text: str) -> str:
    """Say whether a message is Chinese (zh) or not (en).

    Examples
    --------
    >>> language_of("Safari 里拖文件没反应"), language_of("the button 停止 does nothing here")
    ('zh', 'en')
    """
    return "zh" if HAN_WEIGHT * len(_HAN.findall(text)) > len(_LATIN.findall(text)) else "en"


def lexicon_file() -> Path:
    """Say where the words are: in the workbench's folder, else beside the package.

    Raises
    ------
    ContractError
        When they are in neither.
    """
    path = next((p for p in (home() / FILE, Path(__file__).resolve().parents[2] / FILE) if p.is_file()), None)
    if path is None:
        raise ContractError(file=home() / FILE, expected="the words of the categories", got="no file")
    return path


@functools.cache
def _patterns() -> dict[str, dict[str, list[re.Pattern]]]:
    """Language -> group -> patterns, from the workbench's folder, else from beside the package."""
    path = lexicon_file()
    read = load_yaml(path)
    if set(read) != set(LANGUAGES) or any(set(groups) != set(GROUPS) for groups in read.values()):
        expected = f"{', '.join(LANGUAGES)}, each with {', '.join(GROUPS)}"
        raise ContractError(file=path, expected=expected, got="others")
    return {
        language: {name: [re.compile(p, re.I) for p in patterns] for name, patterns in groups.items()}
        for language, groups in read.items()
    }


def lexicon_counts(texts: Sequence[str]) -> np.ndarray:
    """Count in each text the patterns of each group that occur in it, those of its own language alone.

    Parameters
    ----------
    texts : sequence of str, length n

    Returns
    -------
    ndarray, shape (n, len(GROUPS)), float64

    Examples
    --------
    >>> counts = lexicon_counts(["refund my invoice", "发票开错了，要退款"])
    >>> counts[:, GROUPS.index("billing")].tolist()
    [2.0, 2.0]
    """
    counts = np.zeros((len(texts), len(GROUPS)))
    for row, text in enumerate(texts):
        for column, name in enumerate(GROUPS):
            counts[row, column] = sum(p.search(text) is not None for p in _patterns()[language_of(text)][name])
    return counts


def by_keywords(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Classify by counting keywords: the category with the most, the first of `CATEGORIES` among equals.

    Parameters
    ----------
    texts : sequence of str, length n

    Returns
    -------
    category, urgency : ndarray of str, shape (n,)
        Without a keyword a message is ``other``, which can wait: ``low``.

    Examples
    --------
    >>> [labels.tolist() for labels in by_keywords(["I want a refund for this invoice", "asdf"])]
    [['billing', 'other'], ['normal', 'low']]
    """
    counts = lexicon_counts(texts)
    ours = counts[:, : len(CATEGORIES)]
    category = np.array([*CATEGORIES, "other"])[np.where(ours.any(axis=1), ours.argmax(axis=1), len(CATEGORIES))]
    high, low = counts[:, GROUPS.index("high")], counts[:, GROUPS.index("low")]
    quiet = (low > high) | np.isin(category, ("praise", "other"))
    return category, np.where(quiet, "low", np.where(high > 1, "high", "normal"))
