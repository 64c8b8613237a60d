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
    r"1[3-9]\d\*{3,8}\d{2,4}",
    r"(?:\*{2,4}[ -]?){1,3}\d{3,4}",
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
_PHONE = re.compile(
    "|".join(rf"(?<![\w+./=#-])(?<!\w:)(?:{pattern})(?![\w]|[.:-]\d|/\d| ?[%°€£$])" for pattern in _PHONES)
)
#: After such words any number of six digits or more is one to be called at.
_CALLED = re.compile(
    r"(?i)(?:\b(?:phone|telephone|tel|mobile|cell|call(?: me| us| back| him| her)?|ring|reach|dial|text me|fax|whatsapp"
    r"|signal|number is|call-?back|landline|handy|hotline)\b"
    r"|电话|手机|回电|致电|来电|回拨|拨打|拨|座机|传真|联系方式|热线|号码)"
    r"[^\d+\n@]{0,24}?(?P<value>\+?\(?\d[\d ()./-]{4,20}\d)(?![\w]|[.:]\d| ?(?:%|s\b|sec|min|hour|h\b"
    r"|ms\b|times|people|元|块|次|秒|分|点|个|年|月|天))"
)
_LOCAL = re.compile(r"(?<![\w.:/-])[2-9]\d{2}[- ]\d{4}(?![\w-]|[.:]\d)")
_MASKED = re.compile(r"(?<![\w*])\d{4,6}[ -]?(?:\*{2,6}[ -]?){1,4}\d{3,4}(?![\w*])")  # a card as banks print it
_DATE = re.compile(r"(?:19|20)\d{2}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}|\d{2}:\d{2}")
#: Numbers in Chinese characters, and what somebody is called in a chat service.
_SPELT = re.compile(
    r"(?<![零〇一二三四五六七八九幺])[零〇一二三四五六七八九幺]{7,12}(?![零〇一二三四五六七八九幺十百千万])"
)
_CHAT = re.compile(
    r"(?i)(?:\bqq号?|微信(?:号|同号)?|\bwechat(?: id)?|\bskype|\btelegram|\bwhatsapp)(?: ?(?:is|是|为))?\s?[:：]?\s?"
    r"(?P<value>(?=[\w.-]{0,200}\d)[A-Za-z0-9][\w.-]{4,24})"
)
#: What somebody or something of his is called in a computer or on a paper, behind a word that says so.
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·• -]?"
    r"[A-HJ-NP-Z0-9]{5,6}(?![A-Za-z0-9])"
    r"|(?i:plate|reg|registration|vehicle)[^\n\d]{0,16}?\b(?P<value>[A-Z]{2}\d{2} ?[A-Z]{3})(?!\w)"
)
_CALLED_THERE = re.compile(
    r"(?i)(?:\b(?:log-?in(?: name)?|user ?name|user(?: ?id)?|screen ?name|account(?: name| id)?"
    r"|handle|nickname|gamertag"
    r"|member(?:ship)?(?: id| number| no\.?)?|serial(?: number| no\.?)?|s/n|invit(?:e|ation) code|gift ?card"
    r"|student id|staff id|employee id|customer(?: id| number| no\.?)?|policy(?: number| no\.?)?|patient(?: id| number)"
    r"|plate|registration|\bvin|chassis(?: number)?)\b"
    r"|车架号|车牌号?|保单号|病历号|用户名|登[录陆]名|[账帐]号|账户名|昵称|我号是|号是|用户 ?ID|会员号|会员编号"
    r"|序列号|邀请码|礼品卡|回单号|回执号|学号|工号|员工号|编号是我的)"
    r"\.?(?P<between>[^\n.。,，;；0-9A-Za-z]{0,8}(?:(?:is|was|are|and|id|won't redeem|number|code|no)\b"
    r"[^\n.。,，;；0-9A-Za-z]{0,4}){0,3})"
    r"(?P<value>(?=[\w@.-]{0,40}\d)(?:[A-Za-z0-9]{1,24}[_.-]){0,4}[A-Za-z0-9]{1,24})(?![A-Za-z0-9_@-])"
)
#: After such words whatever is written in one piece opens a door.
_SECRET = re.compile(
    r"(?i)(?:\b(?P<cue>password|passwd|passcode|pass phrase|pin(?: code)?|otp|verification code"
    r"|security code|cvv|cvc|api key"
    r"|secret key|access key|access token|token|secret|credential)s?\b(?: is| was|:|=|,| of)?|(?:密码|口令"
    r"|验证码|密钥|令牌)(?:是|为|:|：|，)?)"
    r"[\s\"'“”「『(（]{0,3}(?P<value>(?=[!-~]*\d)[!-~]{4,}|(?=[!-~]*[a-z])(?=[!-~]*[A-Z])[!-~]{12,})"
)
_TOLD = re.compile(
    r"(?i:password|passcode|passphrase|\bpin)\b[^\n]{0,60}?\b(?i:it's|it is|it was|is|was)[ :]"
    r"(?P<value>(?=[!-~]{0,40}\d)(?=[!-~]{0,40}[A-Z])(?=[!-~]{0,40}[a-z])[!-~]{8,40})(?![!-~])"
    r"|(?:密码|口令|验证码)[^。\n]{0,12}?[,，:：是]\s?(?P<other>(?=[^\s,，。；;]{0,30}[#@!$%&*])(?=[^\s,，。；;]{0,30}\d)[^\s,，。；;]{6,30})"
)
_PASSPORT = re.compile(r"(?:(?i:passport)|护照|通行证)[^\n]{0,80}?(?<!\w)(?P<value>[A-Z]{1,2}\d{6,9})(?!\w)")
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
    taken = bytearray(len(text))

    def add(new: list[Span]) -> None:
        nonlocal plain, latin
        count = len(spans)
        for start, end, kind in new:
            if start < end and taken.find(1, start, end) < 0:
                spans.append((start, end, kind))
                taken[start:end] = b"\x01" * (end - start)
        if len(spans) > count:  # each text is written once for all of them: thousands would take its square
            plain, latin = (_without(t, spans[count:]) for t in (plain, latin))

    add([(*found.span(), "email") for found in _EMAIL.finditer(latin)])
    add([(*found.span(), "email") for found in _EMAIL_AT.finditer(latin)])
    add(_groups(_HEX, plain, "token"))
    add([_with_bearer(plain, span) for span in secret_spans(latin) if span[2] not in ("phone", "card")])
    add([span for found in _LOWER_IBAN.finditer(latin) if (span := _lower_iban(found))])
    add([(*found.span(), "id") for found in _IDENTITY.finditer(latin) if _is_identity(found[0])])
    add(_groups(_PAPERS, plain, "id"))
    add([span for span in secret_spans(latin) if span[2] == "card"])
    add([(*found.span(), "card") for found in _MASKED.finditer(latin)])
    add([(*found.span(), "token") for found in _LONG.finditer(latin)])
    add([(*found.span("value"), "token") for found in _SECRET.finditer(plain) if _opens(found)])
    add([(*found.span("value" if found["value"] else "other"), "token") for found in _TOLD.finditer(plain)])
    add(_groups(_PASSPORT, plain, "id"))
    add([(*found.span(), "id") for pattern in (_SSN, _NINO) for found in pattern.finditer(latin)])
    add(address_spans(plain))
    add([(*found.span(), "phone") for found in _PHONE.finditer(latin) if _is_phone(found[0])])
    add([span for span in secret_spans(latin) if span[2] == "phone"])
    add([span for span in _groups(_CALLED, plain, "phone") if not _DATE.fullmatch(plain[span[0] : span[1]])])
    add([(*found.span(), "phone") for found in _SPELT.finditer(plain)])
    add(_groups(_CHAT, plain, "phone"))
    add([(*found.span("value" if found["value"] else 0), "id") for found in _PLATE.finditer(plain)])
    add([span for span in _groups(_CALLED_THERE, plain, "id") if _is_called(plain[span[0] : span[1]])])
    if any(kind == "phone" for _, _, kind in spans):  # one beside another, without its area's code
        add([(*found.span(), "phone") for found in _LOCAL.finditer(latin)])
    add(name_spans(plain))
    return sorted(spans)


def _without(text: str, spans: list[Span]) -> str:
    """A text of the same length that has nothing where the spans are."""
    parts, end = [], 0
    for start, stop, _ in sorted(spans):
        parts += [text[end:start], "\x00" * (stop - start)]
        end = stop
    return "".join([*parts, text[end:]])


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


def _opens(found: re.Match) -> bool:
    """Whether what follows may open a door: a token, 1,000 of them does not."""
    cue, told = (found["cue"] or "").casefold(), re.search(r"[:=：]|\bis\b|\bwas\b", found[0][: -len(found["value"])])
    if told or not cue.startswith(("pin", "token", "secret", "credential")):
        return True
    return (
        re.fullmatch(r"\d{4,8}[.,;!?]?" if cue.startswith("pin") else r"(?=.*[A-Za-z])(?=.*\d).{8,}", found["value"])
        is not None
    )


def _is_called(found: str) -> bool:
    """Five characters or more, and letters with digits, or digits of a number that is no quantity."""
    return len(found) >= 5 and not re.fullmatch(r"\d{1,6}|\d+[a-z]{1,3}|\d+\.\d+", found)


def _with_bearer(text: str, span: Span) -> Span:
    """A bearer's token with the word before it: together they are what is sent."""
    start, end, kind = span
    word = re.search(r"(?i)\bbearer\s{1,3}$", text[max(0, start - 10) : start]) if kind == "token" else None
    return (start - len(word[0]), end, kind) if word else span


def _is_phone(found: str) -> bool:
    return ("*" in found) or (7 <= sum(map(str.isdigit, found)) <= 17 and not _DATE.match(found))


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
