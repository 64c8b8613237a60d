"""Words for users: complaints, praise and everything else, grown from two grammars, with slips of the pen."""

from __future__ import annotations

__all__ = ["CATEGORIES", "message"]

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

SLIPS = 0.035  # of the words of a user who writes without care
CARELESS = 0.6  # share of the messages written so

CATEGORIES = ("failed", "slow", "wrong_answer", "praise", "question", "feature_request", "billing", "off_topic")
SLOT = re.compile(r"\{(\w+)\}")
NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wqewrtyuioaspdfghjkzlxcvbn", strict=True))
ALIKE = dict(zip("在的做他已请问没到应该那", "再得作她己清文末道因该哪", strict=False))


@functools.cache
def _words(language: str) -> Mapping[str, list[str]]:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))[language]


def message(category: str, language: str, rng: np.random.Generator) -> str:
    """Write one message.

    Parameters
    ----------
    category : str
        One of `CATEGORIES`: what the message says, true or not.
    language : {'en', 'zh'}
        Language of the user.
    rng : numpy.random.Generator
        Draws words and slips.

    Returns
    -------
    str

    Examples
    --------
    >>> message("praise", "en", np.random.default_rng(4)) != message("praise", "en", np.random.default_rng(5))
    True
    """
    text = " ".join(_grown("{" + category + "}", _words(language), rng).split())
    if rng.random() > CARELESS:
        return text[:1].upper() + text[1:]
    return _slipped(text, rng) if language == "en" else _mistaken(text, rng)


def _grown(text: str, words: Mapping[str, list[str]], rng: np.random.Generator) -> str:
    def chosen(found: re.Match) -> str:
        name = found[1]
        if name == "n":
            return str(int(rng.choice((2, 3, 5, 10, 20, rng.integers(2, 60)))))
        if name == "id":
            return f"{rng.integers(0, 2**24):06x}"
        return _grown(words[name][rng.integers(len(words[name]))], words, rng)

    return SLOT.sub(chosen, text)


def _slipped(text: str, rng: np.random.Generator) -> str:
    """Letters swapped, left out, doubled or hit beside; little punctuation."""
    letters = list(text.lower() if rng.random() < 0.5 else text)
    for k in np.flatnonzero(rng.random(len(letters)) < SLIPS).tolist():
        slip = rng.integers(4)
        if not letters[k].isalpha():
            continue
        if slip == 0 and k + 1 < len(letters) and letters[k + 1].isalpha():
            letters[k], letters[k + 1] = letters[k + 1], letters[k]
        elif slip == 1:
            letters[k] = ""
        elif slip == 2:
            letters[k] *= 2
        else:
            letters[k] = NEIGHBOURS.get(letters[k], letters[k])
    text = "".join(letters)
    return text.replace(",", "").replace("'", "") if rng.random() < 0.3 else text


def _mistaken(text: str, rng: np.random.Generator) -> str:
    """Characters that sound or look alike; spaces for commas."""
    text = "".join(ALIKE.get(c, c) if rng.random() < 4 * SLIPS else c for c in text)
    return text.replace(",", " ") if rng.random() < 0.4 else text
