"""Free text without what identifies people or opens doors; a typed placeholder says what was there."""

from __future__ import annotations

__all__ = ["scrub", "scrub_column"]

import re
from collections.abc import Mapping

import pandas as pd

_NAMES_OF_SECRETS = (
    r"api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?key)?|client[_-]?secret|auth[_-]?token|access[_-]?token"
    r"|refresh[_-]?token|id[_-]?token|token|passw(?:or)?d|passwort|pwd|passphrase|session[_-]?id|sessionid|cookie"
    r"|private[_-]?key|signature|x-api-key"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.S)
_URL = re.compile(r"(?<=://)[^\s/@:'\"<>]{1,256}:[^\s/@'\"<>]{1,256}(?=@)|(?<=://)[^\s/@:'\"<>]{20,256}(?=@)")
_NAMED = re.compile(
    rf"""(?i)(?<![\w])(?P<name>["']?(?:{_NAMES_OF_SECRETS})["']?\s{{0,3}}[=:]\s{{0,3}})(?P<quote>["']?)(?P<value>[^\s"',;&)\]}}]{{3,}})"""
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+(?!\[)[A-Za-z0-9._~+/=-]{8,}")
_TOKENS = re.compile(
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"  # JSON web token
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bsk-[A-Za-z0-9_-]{16,}|\bsk_(?:live|test)_\w{10,}|\bAIza[\w-]{30,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bpypi-[\w-]{20,}|\bnpm_[A-Za-z0-9]{20,}"
    # A long word that mixes cases and digits as no language does; a digest or trace id in one case is none.
    r"|(?<![\w/+-])(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])(?=[\w+-]*\d)[A-Za-z0-9_+-]{32,}={0,2}(?![\w/+.-])"
)
_EMAIL = re.compile(r"(?i)(?<![\w.+-])[\w.!#$%&'*+=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{0,62}(?<!-)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-]|\.\d)")
_IPV4 = re.compile(r"(?<![\w.-])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\d)")
_IPV6 = re.compile(
    r"(?i)(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,7}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?"
    r"|::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4})(?:%\w{1,16})?(?![\w:])"
)
_MAC = re.compile(
    r"(?i)(?<![\w:-])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\w:-])|(?<![\w-])(?:[0-9a-f]{2}-){5}[0-9a-f]{2}(?![\w-])"
)
# With a country code, with the area code in brackets, or in the two common groupings that no date or number has.
_PHONE = re.compile(
    r"(?<![\w+.:/-])(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w]|[.:-]\d)"
    r"|(?<![\w+.:/-])\(0?\d{2,5}\)[ /-]?\d{2,4}(?:[ -]?\d{1,5}){1,3}(?![\w]|[.:-]\d)"
    r"|(?<![\w+.:/-])[2-9]\d{2}[-.][2-9]\d{2}[-.]\d{4}(?![\w]|[.:-]\d)"
    r"|(?<![\w+.:/-])0[1-9]\d{1,4}[ /]\d{3,8}(?:[ -]\d{2,5}){0,3}(?![\w]|[.:-]\d)"
)


def scrub(text: str) -> str:
    """Take out e-mail addresses, phone numbers, IP and MAC addresses, cards, IBANs, keys, tokens and credentials.

    Parameters
    ----------
    text : str
        Any text; placeholders in it stay as they are, so that a text may be scrubbed twice.

    Returns
    -------
    str

    Notes
    -----
    Card numbers are told from others by Luhn's check digit, IBANs by ISO 7064 (mod 97-10); a word of 32 or more
    characters that mixes cases and digits is taken for a key, while digests, trace ids and UUIDs stay. Names of people
    have no form of their own and are not found: leave such fields out (`allow`), or give them pseudonyms.

    Examples
    --------
    >>> scrub("anna@example.org called +49 30 901820 from 10.0.0.7")
    '[email] called [phone] from [ip]'
    >>> scrub("paid with 4111 1111 1111 1111, order 4111 1111 1111 1112")
    'paid with [card], order 4111 1111 1111 1112'
    >>> scrub("GET https://u:pw@host/x?token=abc123 200 at 2026-01-01 12:00:00")
    'GET https://[credentials]@host/x?token=[token] 200 at 2026-01-01 12:00:00'
    """
    text = _PEM.sub("[token]", text)
    text = _URL.sub("[credentials]", text)
    text = _BEARER.sub(r"\1 [token]", text)
    text = _NAMED.sub(_hide_value, text)
    text = _TOKENS.sub("[token]", text)
    text = _EMAIL.sub("[email]", text)
    text = _IBAN.sub(lambda found: "[iban]" if _is_iban(found[0]) else found[0], text)
    text = _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)
    text = _MAC.sub("[mac]", text)
    text = _IPV4.sub("[ip]", text)
    text = _IPV6.sub(lambda found: "[ip]" if found[0].count(":") > 2 or "::" in found[0] else found[0], text)
    return _PHONE.sub(lambda found: "[phone]" if 7 <= sum(map(str.isdigit, found[0])) <= 16 else found[0], text)


def scrub_column(texts: pd.Series, known: Mapping[str, str] | None = None) -> pd.Series:
    """Scrub a column of texts; names that have pseudonyms are replaced wherever they stand as a word.

    Parameters
    ----------
    texts : Series of str
        Missing where there is none.
    known : mapping of str to str, optional
        Name -> pseudonym, for names of at least three characters.

    Returns
    -------
    Series of str

    Examples
    --------
    >>> scrub_column(pd.Series(["web-1 asked web-10", None]), {"web-1": "p-1"}).tolist()
    ['p-1 asked web-10', nan]
    """
    words = {name.casefold(): pseudonym for name, pseudonym in (known or {}).items() if len(name) >= 3}
    done = {}
    for text in texts.dropna().unique():
        # A name goes first: an e-mail address that has a pseudonym stays the same subject.
        named = _WORD.sub(lambda found: words.get(found[0].casefold(), found[0]), text) if words else text
        done[text] = scrub(named)
    return texts.map(done, na_action="ignore").astype("str")


_WORD = re.compile(r"[\w@+-]+(?:[.][\w@+-]+)*")


def _hide_value(found: re.Match) -> str:
    return found[0] if found["value"].startswith("[") else f"{found['name']}{found['quote']}[token]"


def _is_card(text: str) -> bool:
    """Luhn (1960), US patent 2950048: every second digit from the right doubled, the sum a multiple of ten."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) if place % 2 else d for place, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
