"""The messages that the classifier and the scrubbing are developed on: written by hand, personal data marked."""

from __future__ import annotations

__all__ = ["CATEGORIES", "LANGUAGES", "SIMULATED", "URGENCIES", "development_folder", "read_development"]

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from stability.schema import ContractError, home, nearest

CATEGORIES = ("availability", "latency", "wrong_answer", "usability", "billing", "praise", "other")
URGENCIES = ("high", "normal", "low")
LANGUAGES = ("en", "zh")
#: What records of the simulation and the testbed call their messages -> the categories here.
SIMULATED = {
    "failed": "availability", "slow": "latency", "wrong_answer": "wrong_answer", "praise": "praise",
    "question": "usability", "feature_request": "usability", "billing": "billing", "off_topic": "other",
}  # fmt: skip
PARALLEL = (1, 2)  # authors who told much the same in both languages, line by line
KINDS = ("name", "email", "phone", "address", "ip", "card", "iban", "id", "token")
_MARK = re.compile(r"\[\[(?P<kind>[a-z]+)(?::(?P<value>[^\]]*))?\]\]")


def read_development(folder: str | os.PathLike | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Read the messages, with numbers whose checksums are right where the files leave a place for them.

    Parameters
    ----------
    folder : path, optional
        Where the files are, ``<author>.<language>.txt``; ``data/feedback/texts`` of the workbench without it.
    seed : int
        Of the numbers that are filled in.

    Returns
    -------
    DataFrame
        `text`, `language` (en, zh), `category`, `urgency`, `spans` (JSON list of [start, end, kind], character offsets
        from 0, `end` is the first after it), `group` (a message and its parallel in the other language share one),
        `author` (number).

    Raises
    ------
    ContractError
        For a file that is not there and a line that cannot be understood, with file and row.

    Examples
    --------
    >>> frame = read_development()
    >>> frame["language"].unique().tolist(), frame.query("author == 1").groupby("language").size().tolist()
    (['en', 'zh'], [210, 210])
    """
    folder = development_folder() if folder is None else Path(folder)
    rng, rows = np.random.default_rng(seed), []
    files = sorted(path for language in LANGUAGES for path in folder.glob(f"[0-9]*.{language}.txt"))
    if not files:
        raise ContractError(file=folder, expected="<author>.<language>.txt, a message a line", got="no such file")
    for path in files:
        author, language = int(path.name.split(".")[0]), path.name.split(".")[1]
        for number, line in enumerate(_lines(path), start=1):
            group = f"{author}-{number:03d}" + ("" if author in PARALLEL else f"-{language}")
            named = {"language": language, "group": group, "author": author}
            rows.append(_row(line, rng, path, number) | named)
    columns = ["text", "language", "category", "urgency", "spans", "group", "author"]
    return pd.DataFrame(rows, columns=columns)


def development_folder() -> Path:
    """Say where the messages are: in the workbench's folder, else beside the package."""
    places = [base / "data" / "feedback" / "texts" for base in (home(), Path(__file__).resolve().parents[2])]
    return next((place for place in places if place.is_dir()), places[0])


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(file=path, expected="a text file in UTF-8, a message a line", got=str(error)) from error
    return [line for line in lines if line.strip()]


def _row(line: str, rng: np.random.Generator, path: Path, number: int) -> dict[str, str]:
    parts = line.split("|", 2)
    where = {"file": path, "row": number}
    if len(parts) != 3:
        raise ContractError(**where, expected="category|urgency|text", got=repr(line))
    for name, value, known in (("category", parts[0], CATEGORIES), ("urgency", parts[1], URGENCIES)):
        if value not in known:
            raise ContractError(**where, column=name, expected="one that there is", got=repr(value),
                                remedy=nearest(value, known))  # fmt: skip
    text, spans, end = "", [], 0
    for found in _MARK.finditer(parts[2]):
        kind = found["kind"]
        given = found["value"] is not None
        if kind not in KINDS or (kind in CHECKED if given else kind not in FILLED):
            raise ContractError(**where, expected="[[kind:value]], or [[kind]] of what is filled in", got=found[0],
                                remedy=f"kinds: {', '.join(KINDS)}; filled in: {', '.join(FILLED)}")  # fmt: skip
        text += parts[2][end : found.start()]
        value = found["value"] if given else FILLED[kind](rng)
        spans.append([len(text), len(text) + len(value), kind])
        text, end = text + value, found.end()
    text += parts[2][end:]
    return {"text": text, "category": parts[0], "urgency": parts[1], "spans": json.dumps(spans)}


def card_number(rng: np.random.Generator) -> str:
    """Write a card number whose last digit is Luhn's, as people write it.

    Examples
    --------
    >>> len([c for c in card_number(np.random.default_rng(0)) if c.isdigit()]) in (15, 16)
    True
    """
    begin, length = [("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6212", 16)][rng.integers(6)]
    digits = begin + "".join(map(str, rng.integers(0, 10, length - 1 - len(begin))))
    total = sum(sum(divmod(2 * int(d), 10)) if k % 2 == 0 else int(d) for k, d in enumerate(reversed(digits)))
    digits += str(-total % 10)
    between = ("", " ", "-")[rng.integers(3)]
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    return between.join(digits[sum(sizes[:k]) : sum(sizes[: k + 1])] for k in range(len(sizes)))


def iban(rng: np.random.Generator) -> str:
    """Write an IBAN whose check digits are right (ISO 7064, mod 97-10), in one piece or in fours."""
    country, length = [("DE", 22), ("GB", 22), ("FR", 27), ("NL", 18), ("ES", 24), ("CH", 21)][rng.integers(6)]
    body = "".join(map(str, rng.integers(0, 10, length - 4)))
    if country in ("GB", "NL"):
        body = "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[k] for k in rng.integers(0, 26, 4)) + body[4:]
    number = int("".join(str(int(c, 36)) for c in body + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    return whole if rng.random() < 0.5 else " ".join(whole[k : k + 4] for k in range(0, length, 4))


def identity(rng: np.random.Generator) -> str:
    """Write the number of a Chinese identity card: place, birthday, serial, check digit (GB 11643, mod 11-2)."""
    place = ("110105", "310115", "440305", "510104", "330106", "420111")[rng.integers(6)]
    born = np.datetime64("1950-01-01") + rng.integers(0, 20_000)
    digits = f"{place}{str(born).replace('-', '')}{rng.integers(1000):03d}"
    return digits + "10X98765432"[sum(int(d) * pow(2, 17 - k, 11) for k, d in enumerate(digits)) % 11]


def token(rng: np.random.Generator) -> str:
    """Write a key as services give them out: a prefix that names them, or forty characters of all sorts."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    prefix, length = [("sk-", 40), ("ghp_", 36), ("hf_", 34), ("Zk7", 40)][rng.integers(4)]
    return prefix + "".join(letters[k] for k in rng.integers(0, len(letters), length))


CHECKED = ("card", "iban")  # always filled in: what passes a checksum should not stand in a repository
FILLED = {"card": card_number, "iban": iban, "id": identity, "token": token}
