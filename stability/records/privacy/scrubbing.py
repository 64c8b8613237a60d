"""Free text without what identifies people or opens doors; a typed placeholder says what was there."""

from __future__ import annotations

__all__ = ["replaced", "scrub", "scrub_column", "secret_spans"]

import re
from collections.abc import Callable, Iterable, Mapping

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
_BEARER = re.compile(r"(?i)\b(?:bearer|basic)\s+(?!\[)(?P<value>[A-Za-z0-9._~+/=-]{8,})")
_TOKENS = re.compile(
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"  # JSON web token
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bsk-[A-Za-z0-9_-]{16,}|\bsk_(?:live|test)_\w{10,}|\bAIza[\w-]{30,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bpypi-[\w-]{20,}|\bnpm_[A-Za-z0-9]{20,}"
    # A long word that mixes cases and digits as no language does; a digest or trace id in one case is none.
    r"|(?<![\w/+-])(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])(?=[\w+-]*\d)[A-Za-z0-9_+-]{32,}={0,2}(?![\w/+-]|\.\w)"
)
_EMAIL = re.compile(r"(?i)(?<![\w.+-])[\w.!#$%&'*+=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{0,62}(?<!-)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w-]|\.\d)")
_PRINTED = re.compile(
    r"[3-6]\d{3}(?:([ -])\d{4}(?:\1\d{4}\1\d{1,4}(?:\1\d{3})?|)|[ -]\d{6}[ -]\d{5})|[3-6]\d{12,18}"
    r"|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?"
)
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
    return replaced(text, secret_spans(text))


def secret_spans(text: str) -> list[tuple[int, int, str]]:
    """Find what `scrub` takes out, where it stands.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of (int, int, str)
        Begin, end and kind, in the text's order, never overlapping.

    Examples
    --------
    >>> secret_spans("anna@example.org from 10.0.0.7")
    [(0, 16, 'email'), (22, 30, 'ip')]
    """
    spans: list[tuple[int, int, str]] = []

    def taken(pattern: re.Pattern, kind: str, rule=lambda found: found.span()) -> None:
        nonlocal text
        new = [(*span, kind) for found in pattern.finditer(text) if (span := rule(found)) and span[0] < span[1]]
        spans.extend(new)
        for start, end, _ in new:  # what is taken looks to the next pattern as a placeholder does
            text = text[:start] + "[" + "]" * (end - start - 1) + text[end:]

    taken(_PEM, "token")
    taken(_URL, "credentials")
    taken(_BEARER, "token", lambda found: found.span("value"))
    taken(_NAMED, "token", lambda found: None if found["value"].startswith("[") else found.span("value"))
    taken(_TOKENS, "token")
    taken(_EMAIL, "email")
    taken(_IBAN, "iban", lambda found: _checked(found, _is_iban))
    taken(_CARD, "card", lambda found: _checked(found, _is_card))
    taken(_MAC, "mac")
    taken(_IPV4, "ip")
    taken(_IPV6, "ip", lambda found: found.span() if found[0].count(":") > 2 or "::" in found[0] else None)
    taken(_PHONE, "phone", lambda found: found.span() if 7 <= sum(map(str.isdigit, found[0])) <= 16 else None)
    return sorted(spans)


def replaced(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Put a placeholder where each span stands.

    Examples
    --------
    >>> replaced("by Anna, 10.0.0.7", [(3, 7, "name"), (9, 17, "ip")])
    'by [name], [ip]'
    """
    parts, end = [], 0
    for start, stop, kind in spans:
        parts += [text[end:start], f"[{kind}]"]
        end = stop
    return "".join([*parts, text[end:]])


def _checked(found: re.Match, right: Callable[[str], bool]) -> tuple[int, int] | None:
    """The longest part whose check digits are right: all, or groups as they are printed, with something beside them."""
    groups = list(re.finditer(r"[A-Z0-9]+", found[0]))
    for count in range(len(groups), 0, -1):
        for first in range(len(groups) - count + 1):
            start, end = groups[first].start(), groups[first + count - 1].end()
            # One number in ten has a check digit that is right by chance: a part must look like a card, too.
            usual = count == len(groups) or _PRINTED.fullmatch(found[0][start:end])
            if usual and right(found[0][start:end]):
                return found.start() + start, found.start() + end
    return None


def scrub_column(
    texts: pd.Series, known: Mapping[str, str] | None = None, scrubber: Callable[[str], str] = scrub
) -> pd.Series:
    """Scrub a column of texts; names that have pseudonyms are replaced wherever they stand as a word.

    Parameters
    ----------
    texts : Series of str
        Missing where there is none.
    known : mapping of str to str, optional
        Name -> pseudonym, for names of at least three characters.
    scrubber : callable
        What scrubs one text; `scrub_message` for what people write to people.

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
        done[text] = scrubber(named)
    return texts.map(done, na_action="ignore").astype("str")


_WORD = re.compile(r"[\w@+-]+(?:[.][\w@+-]+)*")


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
