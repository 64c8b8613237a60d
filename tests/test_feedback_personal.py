"""Personal data in messages: found in every form that people write them in, and little else with them."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.feedback import development, read_development
from stability.records.feedback import protected
from stability.records.privacy import addresses, names, people, personal_spans, scrub_message

AROUND = [("call ", " please"), ("请拨打", "找我"), ("", ""), ("(", ")"), ("my number: ", ", thanks"), ("电话：", "。")]
DIGITS = st.text("0123456789", min_size=4, max_size=4)


def gone(text, value):
    """Whether every letter and digit of a value is taken out."""
    start = text.index(value)
    taken = {k for a, b, _ in personal_spans(text) for k in range(a, b)}
    return all(k in taken or not text[k].isalnum() for k in range(start, start + len(value)))


@given(
    st.sampled_from(AROUND), st.sampled_from("3456789"), DIGITS, DIGITS, st.sampled_from(["", " ", "-"]), st.booleans()
)
def test_chinese_mobile_numbers_in_any_grouping(around, second, a, b, between, country):
    value = f"{'+86 ' if country else ''}1{second}8{between}{a}{between}{b}"
    assert gone(f"{around[0]}{value}{around[1]}", value)


@given(st.sampled_from(AROUND), st.sampled_from(("010", "021", "0571")), DIGITS, DIGITS, st.sampled_from("- "))
def test_chinese_land_lines(around, area, a, b, between):
    for value in (f"{area}{between}8{a[1:]}{b}", f"({area})8{a[1:]}-{b}", f"{area}-8{a[1:]}-{b}"):
        assert gone(f"{around[0]}{value}{around[1]}", value)


@given(
    st.sampled_from(AROUND),
    st.sampled_from(["+44 20 79{:.2} {}", "+49 30 90{:.2} {}", "+1-415-555-{}{:.0}", "+33 1 70 18 {:.2} {:.2}",
                     "0044 161 4{:.2} {}",
                     "({:.0}0161) 496 {}", "(415) 555-{}{:.0}", "415.555.{}{:.0}", "0171/{}{}", "020 7946 {}{:.0}",
                     "+91 98{:.2}0 {}0", "+46 8 123 {:.2} {:.2}", "+86 (0)21 {} {}", "07700 90{:.2}{:.2}"]),
    DIGITS,
    DIGITS,
)  # fmt: skip
def test_telephone_numbers_of_other_countries(around, form, a, b):
    value = form.format(a, b)
    assert gone(f"{around[0]}{value}{around[1]}", value)


@given(st.sampled_from([("paid with ", " yesterday"), ("卡号", "被拒"), ("", " 12/27 Visa")]), st.integers(0, 2**32))
def test_numbers_with_check_digits_whatever_stands_beside_them(around, seed):
    rng = np.random.default_rng(seed)
    for kind in ("card", "iban", "id", "token"):
        value = development.FILLED[kind](rng)
        assert gone(f"{around[0]}{value}{around[1]}", value), kind
        if kind == "iban":
            assert gone(f"{around[0]}{value.lower()}{around[1]}", value.lower())


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_addresses_of_machines_beside_chinese_characters(v4, v6):
    assert gone(f"出口是{v4}开始报错", str(v4))
    assert gone(f"来自{v6.exploded}的请求", v6.exploded)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Spoke with Ms Henrietta Quillfeather about it.", "Henrietta Quillfeather"),
        ("Nothing works. Regards, R. J. Featherington-Smythe", "R. J. Featherington-Smythe"),
        ("Thanks to Nguyễn Thị Hoa for the help", "Nguyễn Thị Hoa"),
        ("hi this is gary, app broken", "gary"),
        ("my name is li xiaoming", "li xiaoming"),
        ("Head of desk: Siobhán O’Rourke.", "Siobhán O’Rourke"),
        ("it was Ludwig van der Berg who paid", "Ludwig van der Berg"),
        ("我叫王芳，订单没到", "王芳"),
        ("联系人：陈思远", "陈思远"),
        ("找李经理处理", "李"),
        ("客户马克·安德森说登录失败", "马克·安德森"),
        ("感谢你们团队的山口惠子", "山口惠子"),
        ("药师司徒文远在等", "司徒文远"),
        ("客服小李态度很好", "小李"),
        ("地址写好了，刘洋收", "刘洋"),
        ("anna.b (at) mail (dot) example answers", "anna.b (at) mail (dot) example"),
        ("邮箱是li.ming@qq.example谢谢", "li.ming@qq.example"),
        ("微信同号１３８００１３８０００", "１３８００１３８０００"),
        ("My SSN is 078-05-1120, why do you ask", "078-05-1120"),
        ("The password is Tr0ub4dor&3 now", "Tr0ub4dor&3"),
        ("密码是abc12345，登不上", "abc12345"),
        ("Post to 221B Baker Street, London NW1 6XE.", "221B Baker Street, London NW1 6XE"),
        ("ship to Flat 3, 14 Rose Lane, Leeds LS1 4AP", "Flat 3, 14 Rose Lane, Leeds LS1 4AP"),
        ("at 1600 Amphitheatre Parkway, Mountain View, CA 94043", "1600 Amphitheatre Parkway, Mountain View, CA 94043"),
        ("nach Hauptstr. 14a, 80331 München bitte", "Hauptstr. 14a, 80331 München"),
        ("Berliner Straße 5, 10115 Berlin", "Berliner Straße 5, 10115 Berlin"),
        ("12 rue des Lilas, 69003 Lyon", "12 rue des Lilas, 69003 Lyon"),
        ("Via Roma 12, 00184 Roma", "Via Roma 12, 00184 Roma"),
        ("P.O. Box 1234, Dublin", "P.O. Box 1234"),
        ("上海市浦东新区张江镇碧波路690号5幢302室", "上海市浦东新区张江镇碧波路690号5幢302室"),
        ("住在朝阳区望京花园3号楼2单元501，断网", "朝阳区望京花园3号楼2单元501"),
        ("地址改成江苏省苏州市工业园区星湖街328号创意产业园12栋", "江苏省苏州市工业园区星湖街328号创意产业园12栋"),
        ("鼓手蔺知遥上周退出了", "蔺知遥"),
        ("民警佘向北来过电话", "佘向北"),
        ("值守工程师庾冬青陪我们到天亮", "庾冬青"),
        ("村委会戚水莲代为转达", "戚水莲"),
        ("请寄到前台，写邬春晓收", "邬春晓"),
        ("联系人由窦晚晴改为卓小楠", "窦晚晴"),
        ("联系人由窦晚晴改为卓小楠", "卓小楠"),
        ("麻烦快一点，我姓庞。", "庞"),
        ("问题解决了。宫亦舟", "宫亦舟"),
        ("已经三天了，冉怀谷，13900000000", "冉怀谷"),
        ("店里的阿依夏木会回电", "阿依夏木"),
        ("主办人古丽扎尔，等回信", "古丽扎尔"),
        ("回访请找旺堆卓玛老师", "旺堆卓玛"),
        ("谢谢客服小茉！", "小茉"),
        ("把第二份转给阿莲，谢谢", "阿莲"),
        ("驻场的司徒静师傅很细心", "司徒静"),
        ("Shout out to Chidinma on nights", "Chidinma"),
        ("Bravo to Zenobia and the crew", "Zenobia"),
        ("All solved now. Virginia Ashcombe, Head of Claims", "Virginia Ashcombe"),
        ("Please ring Mrs Rosalind Fields on Monday", "Rosalind Fields"),
        ("To 2-14-9 Kamiyama, Shibuya-ku, Tokyo 150-0047 please", "2-14-9 Kamiyama, Shibuya-ku, Tokyo 150-0047"),
        ("Plot 7, Sector 18, Udyog Vihar, Gurugram 122015, not 9", "Plot 7, Sector 18, Udyog Vihar, Gurugram 122015"),
        ("Unit 9, Dyers Wharf, Leeds LS10 1AB", "Unit 9, Dyers Wharf, Leeds LS10 1AB"),
        ("The Old Mill, Bridge Lane, Ludlow SY8 1AA", "The Old Mill, Bridge Lane, Ludlow SY8 1AA"),
        ("寄到江苏省南通市如东县青园路21号5楼财务室，谢谢", "江苏省南通市如东县青园路21号5楼财务室"),
        ("寄到合肥市蜀山区潜山路88号置地中心C座1206。", "合肥市蜀山区潜山路88号置地中心C座1206"),
        ("地址Lindenweg 3, 50674 Köln。", "Lindenweg 3, 50674 Köln"),
        ("sent Bearer eyJhbGciOi.c3ViMTIz.k9Wz7Q by mistake", "Bearer eyJhbGciOi.c3ViMTIz.k9Wz7Q"),
        ("my passcode, and stupidly, it's Hollyhock1938!", "Hollyhock1938"),
        ("His log-in was harbourpoet1962 before", "harbourpoet1962"),
        ("keep logs for user usr_55120938 please", "usr_55120938"),
        ("我号是yutuan_lan77，查一下", "yutuan_lan77"),
        ("平板序列号QX4-1180-55231，退回", "QX4-1180-55231"),
        ("邀请码ZT-30915-2286空了", "ZT-30915-2286"),
        ("我车牌是苏E3K8P2，拍错了", "苏E3K8P2"),
        ("请与我联络:13900001234,急", "13900001234"),
        ("手机号138****2210收不到", "138****2210"),
        ("卡号6217****8812退错了", "6217****8812"),
    ],
)  # fmt: skip
def test_names_homes_and_secrets(text, value):
    assert gone(text, value), scrub_message(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dashboard in Visual Studio Code under Windows Server shows Error Code 500 in North America",
        "We use Google Cloud, Red Hat Enterprise and Apache Kafka with the Customer Success Team",
        "I switched from Plan Basic to Plan Pro on Black Friday, and the Terms of Service changed",
        "order 20251104123456 costs 1,234,567.89 EUR, 412 payments since 2025-11-04 12:30:45",
        "p95 went from 600 ms to 4.1 s after Tuesday's release, 100 % of 1234567 requests fail",
        "Will it work in May? Mark it as done. Can I pay in June? Grant access, please.",
        "高兴得不得了，马上五星好评，方便又安全",
        "何时能恢复？任何操作都报错，万一丢数据怎么办",
        "明天周五，平台成功率只有百分之三十，于是我们关闭了程序",
        "那位老师讲得好，各位同学都满意",
        "贵司客服说查清楚再答，多谢费心，请参见第五节，他是车工",
        "退到这张卡上，席梦思的单子高清图也要，安排好了",
        "户名“平安夜书店”，个人储蓄卡，工单里写着，锦旗请查收",
        "I've tried, I'm done, haven't I? Dear Sir or Madam, iPhone SE user here, TIL",
        "Service Desk, Halloway Shipping, and the Exmoor Gazette, Petworth & Lowe",
        "The first token, 1,000 requests; can we pin 4.0?",
        "订单号20251104123456，金额1234.56元，三点二十到四点全部失败",
    ],
)
def test_what_is_no_personal_data_stays(text):
    assert scrub_message(text) == text


@given(st.text(max_size=200))
def test_any_text_is_survived_and_spans_are_in_order(text):
    spans = personal_spans(text)
    assert all(0 <= a < b <= len(text) for a, b, _ in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_the_development_set_is_scrubbed_and_little_else():
    frame = read_development()
    frame = frame[frame["author"] == 1]
    missed = [
        row.text[start:end]
        for row in frame.itertuples()
        for start, end, _ in json.loads(row.spans)
        if not gone(row.text, row.text[start:end])
    ]
    assert missed == []


def test_feedback_is_scrubbed_of_names_wherever_it_is_read(tmp_path, monkeypatch):
    frame = read_development().head(40).assign(feedback_id=lambda f: f.index.astype(str))
    done = protected(frame[["feedback_id", "text"]])
    assert not done["text"].str.contains("Oyelaran|Lindqvist|@", regex=True).any()


PIECES = ["Flat 2", "Apt 5C", "O’Neill", "St-Jean", "L’Île", "Rose", "Cottage", "12", "7b", "10435", "SW1A 1AA", "High"]
PIECES += ["Street", "St.", "Road", "Am", "An der", "Kastanienallee", "Alte", "Straße", "Berlin", "near", "x’Oak"]
PIECES += ["12 High Street", "Alte Straße 7", "30308"]
PIECES += ["passport", "AB 12 34 567", "微信", "wx_ab12", "sk_live_a1b2c3d4e5f6g7h8", "ab-x.y", "Anna", "..."]
BOUNDED = [  # a pattern, what keeps it short, and what stood there before
    (addresses._ENGLISH, "{1,40}+", "+"),
    (addresses._GERMAN, addresses._AHEAD, ""),
    (people._PAPERS, "{0,200}", "*"),
    (people._CHAT, "{0,200}", "*"),
    (people._LONG, "{16,}+", "{16,}"),
    (names._SIGNED, "*+", "*"),
]
BETWEEN = [" ", ", ", "\n", "-", "’", ""]


@given(st.lists(st.tuples(st.sampled_from(PIECES) | st.text(max_size=9), st.sampled_from(BETWEEN))))
def test_what_is_found_is_what_patterns_without_bounds_find(parts):
    text = "".join(itertools.chain(*parts))
    for pattern, bound, before in BOUNDED:
        assert bound in pattern.pattern
        unbounded = re.compile(pattern.pattern.replace(bound, before))
        spans = [[found.span() for found in one.finditer(text)] for one in (pattern, unbounded)]
        assert spans[0] == spans[1]
        assert bool(pattern.fullmatch(text)) == bool(unbounded.fullmatch(text))


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("head", "again", "times", "tail"),
    [
        ("Calle ", "el ", 1_500, "1"),
        ("", "AA-", 1_600, ""),
        ("12 rue ", "A-", 2_000, ""),
        ("Via ", "della", 900, "1"),
        ("", "王", 5_000, ""),
        ("Calle ", "Ab ", 1_600, ""),
        ("", "O’", 30_000, ""),
        ("", "A1-", 20_000, ""),
        ("", "passport ", 6_000, ""),
        ("", "a微信", 15_000, ""),
        ("ab_", "a1", 30_000, ".x"),
        ("Thanks. Anna", ".", 60_000, "x"),
        ("", "联系人", 8_000, ""),
        ("", "小王", 10_000, ""),
        ("", "古丽", 10_000, ""),
        ("", "找阿", 10_000, ""),
        ("", "欧阳", 10_000, ""),
        ("", "12号", 8_000, ""),
        ("", "1-1 A, ", 6_000, ""),
        ("", "Unit 1, ", 6_000, ""),
        ("", "Plot 1, A A A A A ", 2_500, ""),
        ("", "password is ", 6_000, ""),
        ("", "user is number ", 5_000, ""),
        ("", "密码,#1", 8_000, ""),
        ("", "1234****", 8_000, ""),
        ("", "护照A", 10_000, ""),
        ("", "Bearer ", 9_000, ""),
        ("", "Mrs Anna ", 5_000, ""),
    ],
)
def test_no_text_makes_the_search_for_persons_go_on_for_hours(head, again, times, tail, share):
    text = head + again * (times // share) + tail
    assert all(0 <= a < b <= len(text) for a, b, _ in personal_spans(text))
