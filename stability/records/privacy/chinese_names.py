"""Chinese and Japanese names in Chinese characters: surnames, characters of given names, and words around them."""

from __future__ import annotations

__all__ = ["chinese_name_spans"]

import functools
import re
from collections.abc import Callable

from stability.records.privacy import chinese_cues as cues
from stability.records.privacy.chinese_cues import AFTER, BEFORE

Span = tuple[int, int, str]

_HAN = cues.HAN
ENOUGH = 4.0  # what surroundings and characters of a name have to weigh together
#: Surnames that stand before a title in other words, too: 那位老师, 各位同学, 全体老师.
_NO_TITLED = "位那都有是个名各几时任全同师经查相原新常于能从来到第支官单"
#: Characters that no given name has, and most sentences do.
_NEVER = "的了在是有就都说去把被请还没我你他她这那电号您们与或但吗呢吧啊呀么和及很再才只"
_NEVER += "陪帮替从对于让给跟找叫问个位先老经总打写寄收住用"
_PLAIN = rf"(?:(?![{_NEVER}说登打反投要想需报不无没又也])[{_HAN}])"
_WORDLIKE = (
    "第五",
    "东方",
    "南门",
    "西门",
    "东门",
    "百里",
    "东里",
    "东宫",
    "微生",
    "公户",
    "公山",
    "公坚",
    "子车",
    "北堂",
)
#: What stands behind a compound family's name in names of firms.
_FIRMS = [
    "航空",
    "明珠",
    "财富",
    "电气",
    "集团",
    "之外",
    "公司",
    "卫视",
    "甄选",
    "时尚",
    "网络",
    "证券",
    "迎宾",
    "分之",
]
_COUNTED = tuple("这那几每某一两")  # 这张卡 is no Zhang's
#: Characters that write sounds of other languages.
_SOUNDS = frozenset(
    "阿艾巴贝比别卜布才次措达丹德迪登丁顿多尔尼格古嘎哈汗合呼吉加江金卡凯克库拉乐勒里丽力林洛罗玛买麦曼米木姆娜南努诺帕培平普恰强曲热仁日茹萨赛桑色沙木斯苏索塔泰坦特提图吐瓦旺乌吾西夏希雅亚央依伊玉扎珍孜卓宗祖花夫娃波"
)
_DOTTED = re.compile(rf"{_PLAIN}{{1,5}}?(?:[·•・‧]{_PLAIN}{{1,4}}){{1,3}}")
_NICK = re.compile(
    rf"(?:(?<=客服)|(?<=同事)|(?<=找)|(?<=叫)|(?<=感谢)|(?<=谢谢)|(?<=表扬)|(?<=联系)|(?<=我是)|(?<=的)|(?<=给)|(?<=问)"
    rf"|(?<=跟)|(?<=和)|(?<=师傅)|(?<=售后)|(?<=运维)|(?<=销售)|(?<=工号)|(?<=是)|(?<=让)|(?<=[^{_HAN}])"
    rf"|^)[小老阿大](?P<family>[{_HAN}])(?![{_HAN}]{{0,12}}?(?:号字|路|街|区))"
)

_PET = re.compile(rf"[小阿](?P<given>[{_HAN}])")


@functools.cache
def _known(read: Callable[[str], tuple[str, ...]]) -> dict[str, object]:
    families, given = read("chinese-family"), read("chinese-given")
    single = [name for name in families if len(name) == 1]
    (doubtful, wordlike, sure), (likely, unlikely) = read("chinese-doubtful"), read("chinese-characters")
    return {
        "compound": sorted((name for name in families if len(name) > 1), key=len, reverse=True),
        "long": frozenset(name[:2] for name in (*families, *read("japanese-family")) if len(name) > 1),
        "single": frozenset(single),
        "common": frozenset(single) - frozenset(doubtful),
        "pairs": frozenset(name for name in given if len(name) > 1),
        "given": frozenset(name for name in given if len(name) == 1),
        "japanese": sorted((name for name in read("japanese-family") if len(name) > 1), key=len, reverse=True),
        "words": frozenset(read("chinese-words")),
        "usual": frozenset(read("chinese-usual")),
        "other": re.compile(rf"(?:{'|'.join(read('chinese-other'))}){{1,4}}"),
        "likely": frozenset(likely),
        "unlikely": frozenset(unlikely),
        "doubtful": frozenset(doubtful),
        "wordlike": frozenset(wordlike),
        "sure": frozenset(sure),
    }


def chinese_name_spans(text: str, read: Callable[[str], tuple[str, ...]]) -> list[Span]:
    """Find names in Chinese characters.

    Parameters
    ----------
    text : str
        A message.
    read : callable
        Gives a list of names by its stem, as `names.names_in`.

    Returns
    -------
    list of (int, int, str)
        Begin, end and ``'name'``, in the text's order, never overlapping.
    """
    known = _known(read)
    spans = []
    for found in _DOTTED.finditer(text):
        first = re.split(r"[·•・‧]", found[0])[0]
        places = [k for k in range(1, len(first)) if _said(text, found.start() + k) >= 1]
        spans.append((found.start() + max(places, default=0), found.end(), "name"))
    spans += _transcribed(text, known)
    k = 0
    while k < len(text):
        end = _at(text, k, known) if "\u3400" <= text[k] <= "\u9fff" else 0
        if end:
            spans.append((k, end, "name"))
            k = end
        else:
            k += 1
    for found in _NICK.finditer(text):
        following = text[found.end() : found.end() + 2]
        if found["family"] in known["common"] and _nickname(text, found, following, known):
            spans.append((*found.span(), "name"))
    for found in _PET.finditer(text):
        dear = any(found["given"] in known[kind] for kind in ("likely", "given"))
        dear = dear and not any(found[0] in known[kind] for kind in ("usual", "words"))
        said, follows = _said(text, found.start()), cues.right(text, found.end())
        if dear and ((said >= 1.5 and follows) or (found[0][0] == "阿" and said >= 1 and follows >= 1.5)):
            spans.append((*found.span(), "name"))
    done: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not done or span[0] >= done[-1][1]:
            done.append(span)
    return done


def _transcribed(text: str, known: dict) -> list[Span]:
    """Names of Uyghurs, Tibetans, Mongols, Kazakhs and Yi: what is left of them once their usual parts are read."""
    spans = []
    for found in known["other"].finditer(text):
        start, end = found.span()
        while start > 0 and found.start() - start < 3 and text[start - 1] in _SOUNDS and not _said(text, start):
            start -= 1
        said = _said(text, start)
        while end < len(text) and end - start < 7 and text[end] in _SOUNDS and not cues.right(text, end):
            end += 1
        follows = cues.right(text, end)
        parts = len(known["other"].sub("", found[0])) == 0 and end - start >= 4
        if (said >= 1.5 and follows) or (said >= 1 and follows >= 1) or (parts and (said or follows)):
            spans.append((start, end, "name"))
    return spans


def _said(text: str, k: int) -> float:
    return cues.left(text[max(0, k - BEFORE) : k])


def _nickname(text: str, found: re.Match, following: str, known: dict) -> bool:
    """小王 is somebody; 小程序, 大学 and 老是 are not."""
    if (
        found["family"] + following[:1] in known["words"]
        or found["family"] in "时于是都能从常平成高白方明安和别石水金文项车经应向计"
    ):
        return False
    return found[0][0] in "小老" or bool(AFTER.match(following))


def _at(text: str, k: int, known: dict) -> int:
    """End of the name that begins at a place, 0 without one."""
    long = text[k : k + 2] in known["long"]  # few places begin one of hundreds of surnames that are looked for
    for family in known["compound"] if long else ():
        if text.startswith(family, k) and (family not in _WORDLIKE or _said(text, k) >= 2):
            if end := _after_compound(text, k, k + len(family), known):
                return end
            break
    for family in known["japanese"] if long else ():
        if text.startswith(family, k) and (end := _after_japanese(text, k, k + len(family), known)):
            return end
    return _after_single(text, k, known) if text[k] in known["single"] else 0


def _after_compound(text: str, k: int, start: int, known: dict) -> int:
    said = _said(text, k)
    title = AFTER.match(text, start)
    if title and title[0] not in ("上", "收", "启"):
        return start + len(title[0])
    weights = [
        (2.5 + said + _characters(text[start:end], known) + _followed(text, end, known), end)
        for end in _ends(text, start, known)
        if text[start : start + 2] not in _FIRMS and not (end == start + 1 and text[start : end + 1] in known["usual"])
    ]
    weight, end = max(weights, default=(0.0, 0))
    return end if weight >= ENOUGH else 0


def _characters(given: str, known: dict) -> float:
    """Weigh a given name by itself: 2.5 for one that many bear."""
    if given in known["pairs"]:
        return 2.5
    each = [
        1.0 if c in known["likely"] else -1.0 if c in known["unlikely"] else 0.5 * (c in known["given"]) for c in given
    ]
    return sum(each) - 0.5 * (given in known["usual"])


def _closed(text: str, end: int) -> bool:
    return end >= len(text) or bool(cues.EDGE.match(text[end])) or text[end] in _NEVER or bool(AFTER.match(text, end))


def _after_japanese(text: str, k: int, start: int, known: dict) -> int:
    edge = k == 0 or bool(cues.EDGE.match(text[k - 1]))
    cue = edge or _said(text, k) >= 1 or text[k - 1] == "的"
    if title := re.match(r"先生|女士|小姐|老师|桑|君|医生|教授", text[start:]):
        return start + title.end()
    three = text[start : start + 3]
    if three in known["pairs"]:
        return start + 3
    for end in _ends(text, start, known):
        if any(c not in known["given"] for c in text[start:end]):
            continue
        if text[start:end] in known["pairs"] or (cue and end - start == 2) or (cue and _closed(text, end)):
            return end
    return 0


def _after_single(text: str, k: int, known: dict) -> int:
    before = text[max(0, k - BEFORE) : k]
    if cues.introduction(before) and _closed(text, k + 1):
        return k + 1
    said = cues.left(before)
    if (end := _titled(text, k, said, known)) is not None:
        return end
    weight, end = _best(text, k, said, known)
    if weight < ENOUGH:
        return 0
    if end > k + 2 and text[k + 1] in known["single"]:  # 由尤佩兰: 尤 is the family, 由 is none
        other, later = _best(text, k + 1, cues.left(before + text[k]), known)
        if other >= ENOUGH and later > end and other > weight:
            return 0
    return end


def _best(text: str, k: int, said: float, known: dict) -> tuple[float, int]:
    """Weight and end of the likeliest name of a family's that begins at a place."""
    weights = [(said + _weight(text, k, end, said, known), end) for end in _ends(text, k + 1, known)]
    return max(weights, default=(0.0, 0))


def _titled(text: str, k: int, said: float, known: dict) -> int | None:
    """End of a family's name with a title behind it, 0 where such a thing is no name, None where there is none."""
    title = AFTER.match(text, k + 1)
    if not title or title[0] in ("上", "收", "启", "敬启", "留", "留言", "亲笔") or text[k] in _NO_TITLED:
        return None
    needed = 1.0 if len(title[0]) == 1 or text[k] in known["wordlike"] else 0.0
    if text[k] in known["doubtful"]:
        needed = 3.0 if len(title[0]) == 1 else 1.5
    elif text[k] in known["wordlike"] and title[0] in ("客服", "编辑", "专员", "记者"):
        needed = 1.5
    cut = said < 3 and (text[k - 1 : k + 1] in known["usual"] or text[k - 1 : k + 1] in known["words"])
    if said < needed or cut or text[k : k + 2] in known["words"]:
        return None
    if title[0] in ("奶奶", "爷爷") and said < 1:
        return 0
    return k + 1 + len(title[0])


def _ends(text: str, start: int, known: dict) -> list[int]:
    """Ends that a given name beginning at a place may have."""
    if text[start : start + 2] in known["pairs"]:
        return [start + 2, start + 1]
    ends = []
    for end in (start + 1, start + 2):
        if end > len(text) or text[end - 1] in _NEVER or cues.EDGE.match(text[end - 1]):
            break
        ends.append(end)
    return ends


def _followed(text: str, end: int, known: dict) -> float:
    """Weigh what stands behind a name; less than nothing where the name would end within a word."""
    follows, usual = cues.right(text, end), known["usual"]
    cut = text[end - 1 : end + 1] in usual
    if text[end : end + 1] in ("收", "启", "上") and cut:
        return follows - 2.0
    if not follows and not cut and text[end : end + 2] in usual:
        return 0.5
    return follows - 1.0 * (follows < 1 and cut)


def _weight(text: str, k: int, end: int, said: float, known: dict) -> float:
    """Weigh a name without what stands before it: its characters, words that it would cut, what follows it."""
    given, usual = text[k + 1 : end], known["usual"]
    weight = -0.5 if text[k] in known["doubtful"] else 0.5 if text[k] in known["wordlike"] else 1.0
    weight += 0.5 * (text[k] in known["sure"])
    pair = given in known["pairs"]
    weight += _characters(given, known)
    follows = _followed(text, end, known)
    if text[k : k + 2] in usual:
        weight -= 0.5 if pair else 1.0 if len(given) == 2 and said >= 1 and follows >= 1 else 1.5
    if text[k : k + 2] in known["words"]:
        weight -= 1.5 if pair or said >= 3 else 3.0
    if given[-1] in "科部处室组院所站店厂社行局司队班" and follows < 0.5:
        weight -= 2.0
    if said < 3 and (text[k - 1 : k + 1] in usual or (said < 1.5 and text[k - 1 : k + 1] in known["words"])):
        weight -= 2.5
    if not said and not pair and (follows < 1.5 or len(given) == 1):
        weight -= 1.0
    if text[k] in "和由让给跟向被从" and text[k + 1 : k + 2] in known["single"]:
        weight -= 1.0  # 和金恩熙: with a Jin
    if text[k - 1 : k] in _COUNTED or (len(given) == 1 and said <= 1.5 and text[k] in known["wordlike"]):
        weight -= 1.0  # 这张卡, 安逸
    return weight + follows
