"""Sorts of words as far as names go: lists of given and family names, ordinary words, forms that names have."""

from __future__ import annotations

__all__ = ["PARTICLES", "folded", "name_lists", "names_in", "sort_of_word"]

import functools
import re
import unicodedata
from pathlib import Path

from stability.schema import ContractError, home

LISTS = Path("data") / "feedback" / "names"
PARTICLES = frozenset((
    "van", "von", "der", "den", "de", "del", "della", "di", "da", "do", "dos", "das", "du", "la", "le", "el",
    "al", "bin", "ibn", "binti", "ter", "ten", "zu", "zur", "y", "e", "st", "mac", "mc", "abu", "bint", "ould",
    "san", "santa", "ben", "af", "av",
))  # fmt: skip
_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "ß": "ss", "ð": "d", "þ": "th", "œ": "oe"})
_FORMS = re.compile(
    r"(?:^(?:o['’]|d['’]|mc|mac|fitz|al-)[a-z]{3,}|(?:sson|sdottir|dóttir|ssen|ski|ska|cki|cka|wicz"
    r"|ovich|ović|evic|enko|chuk|czyk|escu"
    r"|opoulos|akis|idis|yan|shvili|dze|oğlu|oglu|quist|qvist|strom|ström|gren|lund|berg|burg|mann"
    r"|stein|bauer|meier|meyer|hoff|ez"
    r"|inho|etti|elli|ucci|ini|awa|moto|mura|yama|ova|eva|sen|worth|combe|thwaite|bottom|ington|shaw"
    r"|stead|field|bury))$",
    re.I,
)
#: How ordinary words are inflected: an end, and what stands there in the list.
_ENDINGS = [(end, "") for end in ["ing", "ed", "er", "ly", "y", "ness", "less", "able", "ful"]]
_ENDINGS += [("ing", "e"), ("ed", "e"), ("ly", "le")]


@functools.cache
def names_in(stem: str) -> tuple[str, ...]:
    """Read a list of names, from the workbench's folder, else from beside the package.

    Raises
    ------
    ContractError
        Without the list: scrubbing with half of its lists would let names through in silence.
    """
    for folder in (home(), Path(__file__).resolve().parents[3]):
        path = folder / LISTS / f"{stem}.txt"
        if path.is_file():
            return tuple(path.read_text(encoding="utf-8").split())
    remedy = "bring data/feedback/names back from the repository, or set STABILITY_HOME to the checkout"
    raise ContractError(file=path, expected="a list of names", got="no file", remedy=remedy)


@functools.cache
def name_lists() -> dict[str, frozenset[str]]:
    """Give the lists of words in Latin letters, by their stems."""
    return {
        stem: frozenset(names_in(stem)) for stem in ("given", "family", "pinyin-family", "words", "not-names", "firms")
    }


def folded(word: str) -> str:
    """Write a word as the lists do: lower case, no accents, hyphens, apostrophes.

    Examples
    --------
    >>> folded("Nuñez-O’Brien")
    'nunezobrien'
    """
    plain = unicodedata.normalize("NFKD", word.casefold().translate(_FOLDED))
    return "".join(c for c in plain if c.isascii() and c.isalpha())


def sort_of_word(word: str) -> str:
    """given, family, both, common (an ordinary word that is a name, too), initial, particle, form, unknown or no."""
    lists, bare = name_lists(), word.rstrip(".")
    parts = [folded(part) for part in re.split(r"[-’']", bare) if len(part) > 1] or [folded(bare)]
    whole = folded(bare.removesuffix("'s").removesuffix("’s"))
    if len(bare) == 1:
        return "initial"
    if bare[:2] in ("I'", "I’"):  # I've, I'm, I'd
        return "no"
    if bare.casefold() in PARTICLES:
        return "particle"
    if whole in lists["not-names"]:
        return "no"
    inner = bare[1:]
    if (
        not inner.islower()
        and not bare.isupper()
        and not re.fullmatch(r"(?:Mc|Mac|De|Di|La|Le|Van|O['’]|D['’]|[A-Z]\w+-)[A-ZÀ-Þ].*(?:['’]s)?|.*['’]s", bare)
    ):
        return "no"  # iPhone, JavaScript, GmbH
    if whole in lists["words"] or any(
        part in lists["words"] for part in parts if len(parts) > 1 and part not in lists["given"]
    ):
        return "common" if whole in lists["given"] or whole in lists["family"] else "no"
    is_given = whole in lists["given"] or any(part in lists["given"] for part in parts)
    is_family = whole in lists["family"] or any(part in lists["family"] for part in parts)
    if is_given or is_family:
        return "both" if is_given and is_family else "given" if is_given else "family"
    if whole.endswith("s") and (
        whole[:-1] in lists["words"] or whole[:-2] in lists["words"] or f"{whole[:-3]}y" in lists["words"]
    ):
        return "no"
    for end, instead in _ENDINGS:
        if whole.endswith(end) and whole.removesuffix(end) + instead in lists["words"]:
            return "no"
    if bare.isupper() and len(bare) < 6:
        return "no"
    return "form" if _FORMS.search(bare) else "unknown"
