"""Names of people in running text: by lists of given and family names, and by what stands around them."""

from __future__ import annotations

__all__ = ["name_spans"]

import re

from stability.records.privacy.chinese_names import chinese_name_spans
from stability.records.privacy.words import PARTICLES, folded, name_lists, names_in, sort_of_word

Span = tuple[int, int, str]

_LETTER = r"[^\W\d_\u2e80-\u9fff\uac00-\ud7af]"
_WORD = re.compile(rf"{_LETTER}(?:{_LETTER}|['’](?=\w)|-(?={_LETTER}))*\.?")
_TITLES = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam|Lady|Lord|Rev|Fr|Sr|Sra|Herr|Frau|Monsieur|Madame"
    r"|Mme|M|Capt|Captain|Sgt|Officer|Sister|Nurse|Judge|Inspector|Señor|Señora)"
)
#: What a name follows: the first group alone is enough for a word in no list.
_STRONG = re.compile(
    rf"(?:\b{_TITLES}\.? |(?i:\b(?:my name is|name is|name's|name:|named|called|this is|i am|i'm|im"
    rf"|it's me,|signed,?|contact(?: person)?:?|attn:?|attention:?|c/o|account holder:?"
    r"|customer:?|caller:?|caller name:?|patient:?|user:?|from:|author:?|recipient:?|passenger:?"
    r"|tenant:?|guest:?|dear|hi|hello|hey|regards,?|sincerely,?|cheers,?|thanks,?|thank you,?|best,?"
    r"|yours,?|wishes,?|faithfully,?|truly,?|rgds,?|br,?"
    r"|ask for|speak to|talk to|spoke to|spoke with|talked to|speaking with|thanks to|kudos to"
    r"|shout[- ]?outs? (?:also )?to|bravo to|hats off to|hat tip to|cheers to|hurrah for|praise for|credit to|hugs to"
    r"|salute|grateful to|greetings from|greetings to|regards to|well done,?|props to|belongs to|met with"
    r"|on behalf of|registered to|issued to|addressed to"
    r"|made out to|in the name of|colleague,?|manager,?|agent,?|engineer,?|boss,?|pharmacist,?"
    r"|counsel,?|lawyer,?|nurse,?|doctor,?|technician,?|rep,?|representative,?|assistant,?|secretary,?"
    r"|director,?|wife,?|husband,?|son,?|daughter,?|mother,?|father,?|sister,?|brother,?|friend,?"
    r"|neighbour,?|employee,?|client,?|student,?|teacher,?|cardholder,?|for) ))$"
)
_WEAK = frozenset((
    "for", "friend", "client", "customer", "user", "this", "i'm", "i", "am", "im", "hi", "hello", "hey",
    "thanks", "best", "dear", "it's", "agent", "caller",
))  # fmt: skip
_INTRODUCED = re.compile(
    r"(?i)(?:\bmy name is|\bmy name's|\bthis is|\bi am|\bi'm|\bname:|\bregards,?|\bcheers,?|\bthanks,?"
    r"|\bsincerely,?|\bthx,?|\brgds,?|[-–—~])\s+"
    r"(?P<value>[a-zà-ÿ'’-]{2,20}(?: [a-zà-ÿ'’-]{2,20}){0,2})\s*[.!]?\s*$"
    r"|(?i:\bmy name is|\bmy name's|\bthis is|\bi am|\bi'm"
    r"|\bname:)\s+(?P<first>[a-zà-ÿ'’-]{3,20}(?: [a-zà-ÿ'’-]{3,20})?)(?=[,.;!]| and | from | here)"
)
_MY_NAME = re.compile(r"(?i:\bmy (?:full )?name(?: is|'s|’s|:)) (?P<value>[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+){0,3})")
_TITLE = re.compile(r"(?<![\w.])(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor)\.? $")
_TITLED = frozenset(("mr", "mrs", "ms", "miss", "mx", "dr", "prof"))
#: What belongs to a name behind it: a number of the family, a clan.
_MORE = re.compile(r",? (?:Jr|Sr)\b\.?| (?:II|III|IV)\b| (?:al|el|ul|ibn)-[A-Z][\w'’]+")
#: What follows a name at the end of a text.
_SIGNED = re.compile(r"[.!\s]*+(?:,[^.!?]{0,60})?[.!\s]*")
#: What people do, and things do not: after it a word in no list is somebody.
_DOES = re.compile(
    r" (?:in|from|at) (?:your |the |our )?(?:support|sales|service|accounts?|billing|helpdesk"
    r"|HR|IT|finance|marketing|reception|purchasing|legal|logistics|team|office|phone)"
    r"\b"
    r"| (?:was|is|were) (?:so |very |super |really |extremely )?(?:friendly|kind|patient|helpful|rude|nice|polite)\b"
    r"| (?:stayed|helped|told|said|explained|answered|called|asked|phoned|promised|wrote|replied)\b"
    r"|, (?:my|our|your) (?:\w+ )?(?:colleague|manager|boss|wife|husband|son|daughter|mother|father|friend)\b"
)
_STREETS = frozenset((
    "Street", "Road", "Avenue", "Lane", "Drive", "Square", "Bridge", "Station", "Hospital", "University",
    "School", "Airport", "Park", "Hall", "Tower",
))  # fmt: skip


def name_spans(text: str) -> list[Span]:
    """Find names of people, in Latin letters and in Chinese characters.

    Parameters
    ----------
    text : str
        A message.

    Returns
    -------
    list of (int, int, str)
        Begin, end and ``'name'``, in the text's order, never overlapping.

    Examples
    --------
    >>> text = "Thanks to Keiko Yamashiro. Nothing loads in Frankfurt. 药师司徒文远"
    >>> [text[start:end] for start, end, _ in name_spans(text)]
    ['Keiko Yamashiro', '司徒文远']
    """
    spans = _latin(text)
    taken = "".join(text[a:b] if not k else "\x00" * (b - a) for a, b, k in _pieces(text, spans))
    return sorted([*spans, *chinese_name_spans(taken, names_in)])


def _pieces(text: str, spans: list[Span]):
    end = 0
    for start, stop, _ in spans:
        yield end, start, False
        yield start, stop, True
        end = stop
    yield end, len(text), False


def _latin(text: str) -> list[Span]:
    words = list(_WORD.finditer(text))
    shouted = sum(map(str.isupper, text)) > 0.6 * sum(map(str.isalpha, text))
    runs: list[list[re.Match]] = []
    for found in words:
        last = runs[-1][-1] if runs else None
        near = last is not None and re.fullmatch(r" |\xa0", text[last.end() : found.start()]) is not None
        near = near and (not last[0].endswith(".") or len(last[0]) == 2 or last[0][:-1].casefold() in PARTICLES)
        if near and (_capital(found[0]) or found[0].casefold() in PARTICLES):
            runs[-1].append(found)
        elif _capital(found[0]):
            runs.append([found])
    spans = []
    for run in runs:
        spans += _in_run(text, run, shouted)
    lists = name_lists()  # their union would be a large set made for each message
    spans += [(*found.span("value"), "name") for found in _MY_NAME.finditer(text)]
    for found in _INTRODUCED.finditer(text):  # somebody who writes his own name without capitals
        value = "value" if found["value"] else "first"
        parts = found[value].split()
        named = [folded(part) in lists["given"] or folded(part) in lists["family"] for part in parts]
        known = [one and folded(part) not in lists["words"] for one, part in zip(named, parts, strict=True)]
        if known[0] or (len(known) == 2 and known[1] and named[0]):
            spans.append((*found.span(value), "name"))
    done: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not done or span[0] >= done[-1][1]:
            done.append(span)
    return done


def _capital(word: str) -> bool:
    return word[0].isupper() or (len(word) > 3 and word[1] in "'’" and word[2].isupper())


def _sorts(text: str, run: list[re.Match]) -> list[str]:
    """Sorts of words that stand beside each other: a town's name before a family's is somebody's: Charlotte Ashdown."""
    lists, sorts = name_lists(), [sort_of_word(found[0]) for found in run]
    for k, found in enumerate(run):
        word = folded(found[0])
        after = sorts[k + 1] if k + 1 < len(run) else ""
        if sorts[k] != "no" or not found[0][1:].islower():
            continue
        named = word in lists["given"] or any(folded(part) in lists["given"] for part in found[0].split("-")[1:])
        if named and after in ("family", "form", "unknown", "both") and k + 2 >= len(run):
            sorts[k] = "given"
        elif any(folded(one[0]) in _TITLED for one in run[max(0, k - 2) : k]):
            sorts[k] = "unknown"  # Mrs Winifred Oakes, Mr Field
        elif k and sorts[k - 1] == "given" and not after and len(word) > 3:
            ends = re.match(r" ?[,.!?;:)\n]|\s*$", text[found.end() :]) is not None
            if ends and (word in lists["family"] or word not in lists["not-names"]):
                sorts[k] = "unknown"  # Anna Hatcher hatches nothing
    return sorts


def _in_run(text: str, run: list[re.Match], shouted: bool) -> list[Span]:
    """Names within a run of capitalised words."""
    sorts = _sorts(text, run)
    spans, k = [], 0
    while k < len(run):
        if sorts[k] in ("no", "particle"):
            k += 1
            continue
        end = k
        while end + 1 < len(run) and sorts[end + 1] != "no":
            end += 1
        while end > k and sorts[end] == "particle":
            end -= 1
        if not _of_a_firm(text, run, k, end, sorts):
            spans += _decide(text, run[k : end + 1], sorts[k : end + 1], shouted)
        k = end + 1
    return spans


def _of_a_firm(text: str, run: list[re.Match], first: int, last: int, sorts: list[str]) -> bool:
    """Whether a name is a firm's, a ship's, a paper's: Halvorsen Shipping, the Hexham Courant, Abernathy & Roe."""
    start, end = run[first].start(), run[last].end()
    before, words = text[max(0, start - 12) : start], [folded(found[0]) for found in run[first : last + 2]]
    if "given" in sorts[first : last + 1] and last > first:
        return False
    if any(word in name_lists()["firms"] for word in words[1:]) and not re.search(
        r"(?i)\b(?:is|i'm|i am|by|from|to)\s$", before
    ):
        return True
    if last > first:
        return False
    near = before.endswith(("St ", "St. ", "Saint ", "& ")) or (before.endswith("the ") and sorts[first] != "given")
    near = near or text.startswith((" & ", " v. ", " v "), end)
    return near and not re.match(r"['’]s? (?:wife|husband|mother|father|son|daughter)", text[end : end + 12])


def _decide(text: str, part: list[re.Match], sorts: list[str], shouted: bool) -> list[Span]:
    start, end = part[0].start(), part[-1].end()
    if text[end - 1] == "." and len(part[-1][0]) > 2:
        end -= 1
    if more := _MORE.match(text, end):
        end = more.end()
    before = text[max(0, start - 40) : start]
    titled = _TITLE.search(before)
    start -= len(titled[0]) if titled else 0
    opening = not before.strip() or before.rstrip()[-1:] in '.!?:;。！？：\n"“(-–—•*'
    cue = _STRONG.search(before + "")
    weak = cue is not None and cue[0].split()[-1].strip(",:").casefold() in _WEAK
    after = text[end:]
    signed = opening and _SIGNED.fullmatch(after) is not None and bool(before.strip())
    listed = [s in ("given", "family", "both") for s in sorts]
    full = [s for s in sorts if s not in ("initial", "particle")]
    word = part[0][0].rstrip(".")
    alone = len(full) == 1 and len(part) == 1 and word.isupper() and not shouted
    if alone and (len(word) < 5 or sorts[0] in ("form", "unknown")):  # DAW, SE, CUDA
        return []
    if not full or (len(full) == 2 and part[-1][0].rstrip(".") in _STREETS and not cue):
        return []
    if shouted and not (cue or signed):
        listed = [s in ("given", "both") for s in sorts]
        if sum(listed) < 2:
            return []
    lists = name_lists()
    if len(full) >= 2:
        pinyin = [folded(f[0]) in lists["pinyin-family"] for f in part]
        if any(listed) or "form" in sorts or cue or any(pinyin):
            if opening and sorts[0] in ("common", "unknown") and len(full) == 2 and not cue and sorts[0] == "common":
                return _decide(text, part[1:], sorts[1:], shouted) or [(start, end, "name")]
            return [(start, end, "name")]
        if sorts.count("common") == len(full):  # Mark Grant, but also Grant Page
            likely = folded(part[0][0]) in lists["given"] and folded(part[-1][0]) in lists["family"]
            return [(start, end, "name")] if likely and (cue or signed or not opening) else []
        return [(start, end, "name")] if signed or not opening else []
    kind = full[0]
    dotted = sorts[0] == "initial" and part[0][0].endswith(".")
    if "initial" in sorts and (kind != "common" or dotted) and len(sorts) > 1:
        return [(start, end, "name")]
    if kind in ("given", "both"):
        return [(start, end, "name")]
    if kind == "family":
        return [(start, end, "name")] if cue or signed or not opening else []
    if kind == "common":
        hit = folded(part[0][0]) in name_lists()["given"] and (signed or (cue and not weak))
        return [(start, end, "name")] if hit else []
    if kind == "unknown" and word.endswith(("ing", "ed")) and not (cue and not weak):
        return []
    if kind in ("form", "unknown") and _DOES.match(after):
        return [(start, end, "name")]
    if kind in ("form", "unknown"):
        return (
            [(start, end, "name")]
            if (cue and not (weak and kind == "unknown" and opening)) or (signed and len(after.strip(" .!")) == 0)
            else []
        )
    return []
