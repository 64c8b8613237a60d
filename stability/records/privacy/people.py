"""What people write to people: as `scrub`, and their names, homes, telephones and papers as they write them."""

from __future__ import annotations

__all__ = ["personal_spans", "scrub_message"]

import re
import unicodedata

from stability.records.privacy.addresses import address_spans
from stability.records.privacy.names import name_spans
from stability.records.privacy.scrubbing import replaced, secret_spans

Span = tuple[int, int, str]

_NO_LETTER = "。"  # stands for a Chinese character where only digits and Latin letters matter: it is no word's letter
_HAN = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af]")
#: As people write them for other people's eyes only: anna (at) example.org, anna at example dot org.
_EMAIL_AT = re.compile(
    r"(?i)\b[\w.+-]{1,64} ?(?:[(\[{<] ?at ?[)\]}>]|＠) ?[\w-]{2,}(?: ?(?:\.|[(\[{<] ?dot ?[)\]}>]"
    r"| dot ) ?[\w-]{2,}){1,4}"
    r"|\b[\w.+-]{1,64} at [\w-]{2,}(?: dot [\w-]{2,}){1,4}"
)
_EMAIL = re.compile(r"(?i)(?<![a-z0-9._%+-])[a-z0-9._%+'-]{1,64} ?@ ?(?:[a-z0-9-]{1,63}\.){1,8}[a-z][a-z0-9-]{1,62}")

#: Eighteen digits, or seventeen and X: an identity card when its check digit is right, or when a word says so.
_IDENTITY = re.compile(r"(?i)(?<![0-9a-z])\d{6}[ -]?(?:18|19|20)\d{2}[ -]?\d{4}[ -]?\d{3}[0-9x](?![0-9a-z])")
_PAPERS = re.compile(
    r"(?i)(?:身份证|护照|通行证|驾照|驾驶证|社保|passport|social security|\bssn\b|national insurance|\bnino?\b|id card"
    r"|identity card|driving licen[cs]e|driver'?s licen[cs]e|personalausweis|steuer-?id|tax id)"
    r"(?:[^\d\n]{0,24}?)(?<![0-9A-Za-z])"
    r"(?P<value>(?=[A-Z0-9 -]{0,200}\d{2})[A-Z0-9](?:[ -]?[A-Z0-9]){5,19})(?![0-9A-Za-z])"
)
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_NINO = re.compile(r"(?<![A-Z0-9])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![A-Z0-9])")

_PHONES = [
    # China: mobile numbers in any grouping, land lines with the area's code, service numbers.
    r"(?:\(?(?:\+|00)?86\)?[ -]?)?1[3-9]\d(?:[ -]?\d){8}",
    r"(?:\(?(?:\+|00)?86\)?[ -]?)?\(?0(?:10|2\d|[3-9]\d{2})\)?[ -]?[2-9]\d{2,3}[ -]?\d{4}(?: ?(?:-|x) ?\d{1,6})?",
    r"[48]00[ -]?\d{3,4}[ -]?\d{3,4}",
    # With a country's code, however it is grouped, the trunk's zero in brackets too.
    r"(?:\+|00)[1-9]\d{0,2}(?:[ ./-]{0,3}\(?\d{1,6}\)?){1,7}",
    # North America.
    r"(?:1[ .-]?)?\(?[2-9]\d{2}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?: ?(?:ext\.?|x|#) ?\d{1,6})?",
    # Other national numbers: a zero, and groups with blanks, slashes, dots or hyphens between them.
    r"\(?0[1-9]\d{0,4}\)?[ ./-]{1,3}\d{2,9}(?:[ ./-]?\d{2,5}){0,4}",
    r"0[1-9]\d{8,9}",
    r"\(0\d{1,5}\)[ /-]?\d{2,4}(?:[ -]?\d{1,5}){1,3}",
]
_PHONE = re.compile("|".join(rf"(?<![\w+.:/=#-])(?:{pattern})(?![\w]|[.:-]\d|/\d| ?[%°€£$])" for pattern in _PHONES))
#: After such words any number of six digits or more is one to be called at.
_CALLED = re.compile(
    r"(?i)(?:\b(?:phone|telephone|tel|mobile|cell|call(?: me| us| back| him| her)?|ring|reach|dial|text me|fax|whatsapp"
    r"|signal|number is|call-?back|landline|handy|hotline)\b"
    r"|电话|手机|回电|致电|来电|回拨|拨打|拨|座机|传真|联系方式|热线|号码)"
    r"[^\d+\n@]{0,24}?(?P<value>\+?\(?\d[\d ()./-]{4,20}\d)(?![\w]|[.:]\d| ?(?:%|s\b|sec|min|hour|h\b"
    r"|ms\b|times|people|元|块|次|秒|分|点|个|年|月|天))"
)
_LOCAL = re.compile(r"(?<![\w.:/-])[2-9]\d{2}[- ]\d{4}(?![\w-]|[.:]\d)")
_DATE = re.compile(r"(?:19|20)\d{2}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}|\d{2}:\d{2}")
#: Numbers in Chinese characters, and what somebody is called in a chat service.
_SPELT = re.compile(
    r"(?<![零〇一二三四五六七八九幺])[零〇一二三四五六七八九幺]{7,12}(?![零〇一二三四五六七八九幺十百千万])"
)
_CHAT = re.compile(
    r"(?i)(?:\bqq号?|微信(?:号|同号)?|\bwechat(?: id)?|\bskype|\btelegram|\bwhatsapp)(?: ?(?:is|是|为))?\s?[:：]?\s?"
    r"(?P<value>(?=[\w.-]{0,200}\d)[A-Za-z0-9][\w.-]{4,24})"
)
#: After such words whatever is written in one piece opens a door.
_SECRET = re.compile(
    r"(?i)(?:\b(?:password|passwd|passcode|pass phrase|pin(?: code)?|otp|verification code"
    r"|security code|cvv|cvc|api key"
    r"|secret key|access key|access token|token|secret|credential)s?\b(?: is| was|:|=|,| of)?|(?:密码|口令"
    r"|验证码|密钥|令牌)(?:是|为|:|：|，)?)"
    r"[\s\"'“”「『(（]{0,3}(?P<value>(?=[!-~]*\d)[!-~]{4,}|(?=[!-~]*[a-z])(?=[!-~]*[A-Z])[!-~]{12,})"
)
_HEX = re.compile(
    r"(?i)(?:key|token|secret|密钥|令牌)[^\n]{0,24}?(?<![\w-])(?P<value>[0-9a-f]{20,}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
)
_LONG = re.compile(
    r"(?<![\w/+.-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[a-z]{2,12}[_-](?:[a-z]{2,8}[_-])?[A-Za-z0-9_-]{16,}+(?![\w/+.-]*\.\w)"
    r"|(?<![\w/+.-])(?=\w*\d\w*\d)(?=\w*[A-Z])(?=\w*[a-z])\w{20,31}(?![\w/+-])"
)


def personal_spans(text: str) -> list[Span]:
    """Find what in a message says who somebody is, where to find him, or opens what is his.

    Parameters
    ----------
    text : str
        A message in English or Chinese (or with German, French, ... names and addresses).

    Returns
    -------
    list of (int, int, str)
        Begin, end and kind (email, phone, address, name, card, iban, id, token, ip, mac, credentials), in the text's
        order, never overlapping.

    Examples
    --------
    >>> text = "My name is Ngozi Ade, call 0161 496 0735. 我叫王小明，13800138000"
    >>> [(text[start:end], kind) for start, end, kind in personal_spans(text)]
    [('Ngozi Ade', 'name'), ('0161 496 0735', 'phone'), ('王小明', 'name'), ('13800138000', 'phone')]
    """
    plain = "".join(_narrow(c) for c in text)
    latin = _HAN.sub(_NO_LETTER, plain)
    spans: list[Span] = []

    def add(new: list[Span]) -> None:
        nonlocal plain, latin
        for start, end, kind in new:
            if start < end and not any(start < b and a < end for a, b, _ in spans):
                spans.append((start, end, kind))
                blank = "\x00" * (end - start)
                plain, latin = (t[:start] + blank + t[end:] for t in (plain, latin))

    add([(*found.span(), "email") for found in _EMAIL.finditer(latin)])
    add([(*found.span(), "email") for found in _EMAIL_AT.finditer(latin)])
    add(_groups(_HEX, plain, "token"))
    add([span for span in secret_spans(latin) if span[2] not in ("phone", "card")])
    add([span for found in _LOWER_IBAN.finditer(latin) if (span := _lower_iban(found))])
    add([(*found.span(), "id") for found in _IDENTITY.finditer(latin) if _is_identity(found[0])])
    add(_groups(_PAPERS, plain, "id"))
    add([span for span in secret_spans(latin) if span[2] == "card"])
    add([(*found.span(), "token") for found in _LONG.finditer(latin)])
    add(_groups(_SECRET, plain, "token"))
    add([(*found.span(), "id") for pattern in (_SSN, _NINO) for found in pattern.finditer(latin)])
    add(address_spans(plain))
    add([(*found.span(), "phone") for found in _PHONE.finditer(latin) if _is_phone(found[0])])
    add([span for span in secret_spans(latin) if span[2] == "phone"])
    add([span for span in _groups(_CALLED, plain, "phone") if not _DATE.fullmatch(plain[span[0] : span[1]])])
    add([(*found.span(), "phone") for found in _SPELT.finditer(plain)])
    add(_groups(_CHAT, plain, "phone"))
    if any(kind == "phone" for _, _, kind in spans):  # one beside another, without its area's code
        add([(*found.span(), "phone") for found in _LOCAL.finditer(latin)])
    add(name_spans(plain))
    return sorted(spans)


def scrub_message(text: str) -> str:
    """Take out of a message what `personal_spans` finds; a placeholder says what was there.

    Examples
    --------
    >>> scrub_message("Post it to Kastanienallee 88, 10435 Berlin. Regards, Eleanor Whitcombe")
    'Post it to [address]. Regards, [name]'
    """
    return replaced(text, personal_spans(text))


def _narrow(c: str) -> str:
    """A full-width digit, letter or sign as ASCII has it, where that is one character."""
    if c < "\u2000":
        return c
    other = unicodedata.normalize("NFKC", c)
    return (
        other
        if len(other) == 1 and (other.isalnum() or other in "@.+-()") and other.isascii()
        else "-"
        if c in "‐‑‒–—−"
        else c
    )


def _groups(pattern: re.Pattern, text: str, kind: str) -> list[Span]:
    return [(*found.span("value"), kind) for found in pattern.finditer(text)]


def _is_phone(found: str) -> bool:
    return 7 <= sum(map(str.isdigit, found)) <= 17 and not _DATE.match(found)


def _is_identity(found: str) -> bool:
    """Whether the check digit of a Chinese identity card is right (GB 11643-1999, ISO 7064 mod 11-2)."""
    digits = re.sub(r"[ -]", "", found).upper()
    total = sum(int(d) * pow(2, 17 - k, 11) for k, d in enumerate(digits[:17]))
    return digits[17] == "10X98765432"[total % 11]


_LOWER_IBAN = re.compile(r"(?i)(?<![a-z0-9])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,4})?(?![a-z0-9])")


def _lower_iban(found: re.Match) -> Span | None:
    """An IBAN in small letters: as many of the groups as make its check digits right (ISO 7064, mod 97-10)."""
    for end in [found.end(), *(found.start() + gap.start() for gap in reversed(list(re.finditer("[ -]", found[0]))))]:
        compact = re.sub(r"[ -]", "", found[0][: end - found.start()]).upper()
        long = 15 <= len(compact) <= 34 and sum(map(str.isdigit, compact)) >= 10
        if long and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1:
            return found.start(), end, "iban"
    return None
