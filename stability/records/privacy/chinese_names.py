"""Chinese and Japanese names in Chinese characters: surnames, characters of given names, and words around them."""

from __future__ import annotations

__all__ = ["chinese_name_spans"]

import functools
import re
from collections.abc import Callable

Span = tuple[int, int, str]

_HAN = "\u4e00-\u9fff"
#: Surnames that stand before a title in other words, too: 那位老师, 各位同学, 全体老师.
_NO_TITLED = "位那都有是个名各几时任全同师经查相原新常于能从来到第支官单"
#: Characters that no given name has, and most sentences do.
_NEVER = "的了在是有就都说去把被请还没我你他她这那电号您们与或但吗呢吧啊呀么和及很再才只"
_NEVER += "从向对于让给跟找叫问个位先老经总打写寄收住用"
BEFORE = 24  # characters before a name in which its cue stands: looking farther back would cost a long text its square
_BEFORE = (
    "我叫|我是|我名叫|本人叫|本人是|本人|名字是|名字叫|名叫|姓名是|姓名为|姓名|名字|署名|签名|落款|联系人是|联系人|收件人|收货人|寄件人|经办人|负责人|申请人|投诉人|报修人|报障人|来电人|来电者"
    "|开户人|持卡人|户名|户主|投保人|被保险人|患者|病人|家属|客户|用户|顾客|学员|考生|住户|业主|租客|乘客|会员|护士长|护士|药师|医生|大夫|主任|院长|校长|班主任|律师|法官|警官|记者|编辑|老师|教授"
    "|导师|经理|总监|主管|组长|店长|站长|队长|队友|司机|师傅|工程师|技术员|管理员|接线员|坐席|客服|专员|顾问|助理|秘书|前台|会计|财务|出纳|人事|销售|运维|值班|同事"
    "|同学|同伴|朋友|邻居|室友|老板|员工|职员|老公|老婆|丈夫"
    "|妻子|先生|太太|爱人|妈妈|爸爸|母亲|父亲|爷爷|奶奶|外公|外婆|儿子|女儿|孩子|孙子|孙女|哥哥|姐姐|弟弟|妹妹|叔叔|阿姨|舅舅|姑姑|我妈|我爸|我儿子|我女儿|我爷爷"
    "|我奶奶|感谢|谢谢|多谢|表扬|点赞|联系|请找|找到|找|转告|告诉|通知|转给"
    "|发给|寄给|交给|抄送|问|让|由|跟|和|给|叫|是|请|见|派|与|代|致|亲爱的|尊敬的|你好|您好|团队的|团队里的|那边的|部门的|部的|公司的|科的|姓|称呼|昵称|叫做|名为"
    "|改成|改为|换成|现在是|一位|一个叫|有个叫|有位"
)
_BEFORE_RE = re.compile(rf"(?:{_BEFORE})[:：,，是为\s“”\"（(]{{0,2}}$")
_STRONG_RE = re.compile(
    r"(?:我叫|名叫|姓名是?|名字[是叫]|联系人是?|收件人|收货人|寄件人|经办人|负责人|申请人|投诉人|报修人|来电人|持卡人|户名|署名|签名|落款|叫做|名为|有个叫|一个叫|有位叫"
    r"|护士长|药师|律师|班主任|本人叫)[:：,，是为\s]{0,2}$"
)
_AFTER = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|老师|医生|大夫|护士|经理|主任|主管|总监|总(?![是共计额数之而体结部要会])|工(?![作具资程号单厂业期])|律师|教授|博士|院长|校长|局长"
    r"|处长|科长|部长|书记|同学|同志|师傅|阿姨|叔叔|大爷|大妈|奶奶|爷爷|哥|姐|警官|法官|记者|编辑|店长|队长|班长|客服|专员"
    r"|敬上|谨上|拜上|启|亲笔|留言?|上|收)"
)
_CONTACT = re.compile(r"(?:[,，、:：（(\s]{0,2}(?:电话|手机|联系电话|邮箱|微信|身份证|卡号|账号|\x00|\d{6,}))")
_EDGE = re.compile(rf"[^{_HAN}]")
_PLAIN = rf"(?:(?![{_NEVER}说登打反投要想需报不无没又也])[{_HAN}])"
_DOTTED = re.compile(rf"{_PLAIN}{{1,5}}?(?:[·•・‧]{_PLAIN}{{1,4}}){{1,3}}")
_NICK = re.compile(
    rf"(?:(?<=客服)|(?<=同事)|(?<=找)|(?<=叫)|(?<=感谢)|(?<=谢谢)|(?<=表扬)|(?<=联系)|(?<=我是)|(?<=的)|(?<=给)|(?<=问)"
    rf"|(?<=跟)|(?<=和)|(?<=师傅)|(?<=售后)|(?<=运维)|(?<=销售)|(?<=工号)|(?<=是)|(?<=让)|(?<=[^{_HAN}])"
    rf"|^)[小老阿大](?P<family>[{_HAN}])(?![{_HAN}]*?(?:号字|路|街|区))"
)


@functools.cache
def _known(read: Callable[[str], tuple[str, ...]]) -> dict[str, object]:
    families, given = read("chinese-family"), read("chinese-given")
    single = [name for name in families if len(name) == 1]
    return {
        "compound": sorted((name for name in families if len(name) > 1), key=len, reverse=True),
        "long": frozenset(name[:2] for name in (*families, *read("japanese-family")) if len(name) > 1),
        "single": frozenset(single),
        "common": frozenset(single[:220]),
        "pairs": frozenset(name for name in given if len(name) > 1),
        "given": frozenset(name for name in given if len(name) == 1),
        "japanese": sorted((name for name in read("japanese-family") if len(name) > 1), key=len, reverse=True),
        "words": frozenset(read("chinese-words")),
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
        cues = [
            k
            for k in range(1, len(first))
            if _BEFORE_RE.search(text[max(0, found.start() + k - BEFORE) : found.start() + k])
        ]
        spans.append((found.start() + max(cues, default=0), found.end(), "name"))
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
    done: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not done or span[0] >= done[-1][1]:
            done.append(span)
    return done


def _nickname(text: str, found: re.Match, following: str, known: dict) -> bool:
    """小王 is somebody; 小程序, 大学 and 老是 are not."""
    if (
        found["family"] + following[:1] in known["words"]
        or found["family"] in "时于是都能从常平成高白方明安和别石水金文项车经应向计"
    ):
        return False
    return found[0][0] in "小老" or bool(_AFTER.match(following))


def _at(text: str, k: int, known: dict) -> int:
    """End of the name that begins at a place, 0 without one."""
    long = text[k : k + 2] in known["long"]  # few places begin one of hundreds of surnames that are looked for
    for family in known["compound"] if long else ():
        if text.startswith(family, k):
            return _after_compound(text, k, k + len(family), known)
    for family in known["japanese"] if long else ():
        if text.startswith(family, k) and (end := _after_japanese(text, k, k + len(family), known)):
            return end
    return _after_single(text, k, known) if text[k] in known["single"] else 0


def _given(text: str, start: int, known: dict, *, loose: bool) -> list[int]:
    """Ends that a given name beginning at a place may have, the likeliest first."""
    two, one = text[start : start + 2], text[start : start + 1]
    if text[start + 1 : start + 3] in ("一直", "一个", "一下", "一次", "一样", "一起", "一家", "一天", "一遍", "一会"):
        two = one

    def usual(c: str) -> bool:
        return bool(c) and not _EDGE.match(c) and c not in _NEVER and (loose or c in known["given"])

    ends = []
    if len(two) == 2 and usual(two[0]) and usual(two[1]):
        ends.append(start + 2)
    if usual(one):
        ends.append(start + 1)
    return ends


def _after_compound(text: str, k: int, start: int, known: dict) -> int:
    before, edge = text[max(0, k - BEFORE) : k], k == 0 or bool(_EDGE.match(text[k - 1]))
    cue = edge or bool(_BEFORE_RE.search(before))
    if _AFTER.match(text, start):
        return start + len(_AFTER.match(text, start)[0])
    for end in _given(text, start, known, loose=True):
        name = text[start:end]
        if name in (
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
        ):
            return 0
        known_characters = all(c in known["given"] for c in name)
        if known_characters or cue or name in known["pairs"]:
            if len(name) == 2 and not known_characters and name[0] in known["given"] and not _closed(text, end):
                return start + 1
            return end
    return 0


def _closed(text: str, end: int) -> bool:
    return end >= len(text) or bool(_EDGE.match(text[end])) or text[end] in _NEVER or bool(_AFTER.match(text, end))


def _after_japanese(text: str, k: int, start: int, known: dict) -> int:
    edge = k == 0 or bool(_EDGE.match(text[k - 1]))
    cue = edge or bool(_BEFORE_RE.search(text[max(0, k - BEFORE) : k])) or text[k - 1] == "的"
    if title := re.match(r"先生|女士|小姐|老师|桑|君|医生|教授", text[start:]):
        return start + title.end()
    three = text[start : start + 3]
    if three in known["pairs"]:
        return start + 3
    for end in _given(text, start, known, loose=False):
        if text[start:end] in known["pairs"] or (cue and end - start == 2) or (cue and _closed(text, end)):
            return end
    return 0


def _after_single(text: str, k: int, known: dict) -> int:
    head = text[k : k + 2]
    if head in known["words"] or (text[k - 1 : k + 1] if k else "") in known["words"]:
        return 0
    before, common = text[max(0, k - BEFORE) : k], text[k] in known["common"]
    edge = k == 0 or bool(_EDGE.match(text[k - 1]))
    strong, cue = bool(_STRONG_RE.search(before)), bool(_BEFORE_RE.search(before))
    if (
        common
        and text[k] not in _NO_TITLED
        and (title := _AFTER.match(text, k + 1))
        and len(title[0]) >= 1
        and (edge or cue or len(title[0]) > 1)
    ):
        if title[0] in ("上", "收", "启", "留", "留言", "哥", "姐", "工", "总", "奶奶", "爷爷") and not (edge or cue):
            return 0
        if title[0] in ("上", "收", "启", "留", "留言"):
            return 0
        return k + 1 + len(title[0])
    titled_later = any((t := _AFTER.match(text, k + n)) and len(t[0]) > 1 for n in (2, 3))
    for end in _given(text, k + 1, known, loose=strong or (common and titled_later and (edge or cue))):
        name, closed = text[k + 1 : end], _closed(text, end)
        titled = _AFTER.match(text, end)
        contact = _CONTACT.match(text, end)
        if any(text[j : j + 2] in known["words"] for j in range(k, end)) and not strong:
            continue
        if name in known["pairs"] and (common or cue or edge):
            return end
        if strong or (titled and len(titled[0]) > 1 and common) or (contact and common and (edge or cue)):
            return end + (len(titled[0]) if titled and len(titled[0]) > 1 else 0)
        if cue and common and (closed or len(name) == 2):
            return end
        whole = edge and re.match(rf"[收启]?(?:[^{_HAN}]|$)", text[end:]) is not None
        if (
            whole
            and common
            and (len(name) == 2 or end >= len(text.rstrip("。！!. \n")) or text[end : end + 1] in "收启")
        ):
            return end
    return 0
