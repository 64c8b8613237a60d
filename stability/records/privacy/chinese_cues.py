"""What stands around a Chinese name: who somebody is said to be, what is done with him, titles, telephones."""

from __future__ import annotations

__all__ = ["AFTER", "BEFORE", "EDGE", "HAN", "introduction", "left", "right"]

import re

HAN = "\u3400-\u9fff"
BEFORE = 24  # characters before a name in which its cue stands: looking farther back would cost a long text its square
_GLUE = r"(?:写的是|写的|写着|写|是|为|叫做|叫|系|改为|改成|换成|由|从|仍是|就是|即|[:：,，/|\s“”\"'「『（(【]){0,3}"
#: What a form or a letter says before a name: there is no other word to come.
_DECLARED = re.compile(
    r"(?:我叫|名叫|叫做|名为|有个叫|一个叫|有位叫|本人叫|自称叫|好像叫|大名|真名|姓名|名字|署名|签名|落款|(?<!商)户名|户主|事主|机主|车主|货主|失主|业主|房主|抬头写|店名|艺名|网名|微信名|笔名|曾用名|小名|乳名|法人|法人代表|花名|本名|收件|寄件|经办|对接"
    r"|(?:联系|对接|收件|寄件|收货|发货|签收|经办|负责|申请|投诉|报修|报障|报案|来电|来访|开户|持卡|投保|被?保险|受益|监护|担保|委托|受托|当事|主办|承办"
    r"|应聘|报名|推荐|介绍|签字|签署|取件|提货|接收|付款|收款|借款|法定代表|代理|举报|承租|出租|订货|订票|预订|乘车|登记|参会|参赛|反馈|求助|报料|转达|填表|制表|审核|验收|撰稿|译"
    r"|紧急联系|第一联系|技术联系|业务联系|财务联系)[人者]"
    r"|[\u4e00-\u9fff]{2}人(?=[:：])|护士长|药师|律师|班主任)"
    rf"{_GLUE}$"
)
#: Somebody's part, work or kin; after it a name, or anything else.
_ROLE = re.compile(
    r"(?:[^\W\d_A-Za-z大国回专][员师长手友警匠客徒董嫂姨伯叔婆爷姐哥妹弟侠傅娘爹爸妈奶][\s]?|(?<![个别旁私众])人|者"
    r"|[\u4e00-\u9fff](?<![大回国农加施停动])工|班主|团主|群主|店主|铺主|园主|场主|校友|患者|病人|会计|出纳|财务|调度|客服|支持|销售|售前|售后|运维|运营|采购|前台|人事|行政|护士|大夫|医生|博士|教授|主任|经理|总监|主管|助理"
    r"|秘书|警官|法官|检察官|记者|编辑|主编|校长|坐席|值班|值守|同事|同学|同伴|同行|搭档|邻居|室友|老板|伙计|掌柜|家属|考生|学生|医生|先生|女士|小姐|太太|爱人|老伴|丈夫|妻子|老公|老婆|媳妇|妈妈|爸爸|母亲|父亲|老爸|老妈"
    r"|[我他她][爸妈爹娘]|爷爷|奶奶|外公|外婆|姥姥|姥爷|儿子|女儿|闺女|孩子|孙子|孙女|孙儿|外孙|侄子|侄女|表哥|女婿|叔叔|阿姨|舅舅|姑姑|用户|客户|顾客|住户|租客|乘客|会员|学员|干部|书记|委员"
    r"|代表|顾问|导演|编剧|主播|博主|作者|译者|导师|组长|村医|中介|管家|保姆|司仪|评委|裁判|队友|队长|诗人|画家|作家|专家|玩家|商家|东家|房东|股东|甲方|乙方|丙方|对方|原名|原|前任|现任|继任|岗|组|部|科|处|室|所|社|店|院|办|委会|中心|会务|票务|商务|事务|法务|总务|教务|医务|外联|公关|文员|内勤|外勤|后勤|库管|仓管|质检|保安|保洁|门卫)"
    rf"{_GLUE}$"
)
#: What is done with somebody, and with other things, too.
_VERB = re.compile(
    r"(?:我是|您是|本人是|感谢|谢谢|多谢|谢过|致谢|表扬|夸夸|夸|点赞|(?:感谢|表扬|夸|谢)一下|鸣谢|问候|问好|祝福|联系|请找|找到|速找|就找|找|转告|告诉|通知|转给|转交|交由|发给|寄给|交给|写给|抄送|委托|拜托|麻烦|亲爱的|尊敬的|敬爱的|你好|您好"
    r"|此致|致|敬礼|写着|写的?是?|叫|姓|称呼|昵称|团队的|改成|改为|换成|现在是|一位|有位|那位|这位)[:：,，、\s“”\"（(!！]{0,2}$"
)
_WEAK = re.compile(
    r"(?:问|让|替|由|有|到|通过|经|跟|和|与|给|是|请|见|派|代|向|被|把|对|等|像|及|跟着|随|找过|见过|上)[\s“”\"（(]{0,1}$"
)
#: Where somebody works; what else of theirs is spoken of has names of other characters.
_OF_OTHERS = re.compile(
    r"(?:公司|集团|部门|中心|医院|学校|学院|大学|团队|机房|工作室|平台|这边|那边|贵司|贵行|你们|我们|[部处科组室院所店局队班站厂社行村家校]|对接|负责|联系|接待|坐堂|值班|值守|带队|上次来|昨天来|今天来|新来|刚来|驻场|上门|带班|主刀|主讲|授课|讲课|接线|送货|送餐|送外卖|跑腿|做饭|开车|修车|教书|种地|当家|叫)的$"
)
_OF = re.compile(r"(?:的|之|、|·)$")
EDGE = re.compile(rf"[^{HAN}]")
_SENTENCE = re.compile(r"(?:^|[。！？!?;；\n…~～])[\s”\"]*$")
AFTER = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|老师|医生|大夫|护士|经理|主任|主管|总监|总(?![是共计额数之而体结部要会线量价归算])|工(?![作具资程号单厂业期])|律师|教授|博士|院长|校长|局长"
    r"|处长|科长|部长|书记|同学|同志|师傅|师父|阿姨|叔叔|大爷|大妈|大姐|大哥|奶奶|爷爷|哥|姐|警官|法官|记者|编辑|店长|队长|班长|组长|村长|站长|行长|老板|掌柜|会长|所长|厂长|客服|专员"
    r"|工程师|技师|姑娘|老先生|老太太|老人家|老爷子|老人|大叔|大婶|大娘|大伯|敬上|谨上|拜上|敬启|启|亲笔|留言?|上|收)"
)
_CONTACT = re.compile(
    r"(?:[,，、:：;；（(\s/|]{0,2}(?:电话|手机|座机|分机|热线|联系电话|联系方式|邮箱|邮件|微信|身份证|证件|工号|学号|卡号|账号|帐号|住址|地址|家住|通信地址|通讯地址|住))"
)
_REACHED = re.compile(r"[,，、:：;；（(\s/|]{0,2}(?:\x00|\d{6,})")
#: What people do, have or are, where no character that names have may say so.
_DOES = re.compile(
    r"(?:[的了在是有就都说去把被请还没我你他她这那您们与或但和及再才只也将已从向对让给跟要会能可不用为因最曾正又便该帮替陪做讲教催打托拿接称问答看用修送写办来超很真特太挺好家]|[一二两三四五六七八九几]人|[俩仨]|查收|收到|三个字|两个字|昨天|今天|明天|昨晚|今晚|刚才|刚刚|上周|一直|一个|态度|口头|上门|耐心|本人|等人|团队|名下)"
)
_ASKED = re.compile(rf"[吗呢吧啊呀嘛哦哈啦](?![{HAN}])")
_CLOSING = re.compile(rf"[收启](?![{HAN}])|[查签代亲][收启]|[敬谨][上启]|亲笔|(?:先生|女士|老师)")
#: A family's name that stands alone: 我姓邵.
_INTRODUCED = re.compile(r"(?:[我他她您你人户者]|本人|先生|女士|老板|师傅|叫|只|敝|免贵)姓[\s“\"]?$")
_LISTED = re.compile(r"(?:姓|姓氏)[\s“\"]?$")


def left(before: str) -> float:
    """Weigh what stands before a name: 0 where nothing says that one begins."""
    if _DECLARED.search(before):
        return 3.0
    edge = not before or EDGE.match(before[-1]) is not None
    alone = 0.5 * edge
    if _ROLE.search(before):
        return 2.0 + alone
    if _VERB.search(before):
        return 1.5 + alone
    if _OF_OTHERS.search(before):
        return 1.5
    if edge:
        return 1.5 if _SENTENCE.search(before) else 1.0
    if _WEAK.search(before):
        return 1.0
    return 0.5 if _OF.search(before) else 0.0


def right(text: str, end: int) -> float:
    """Weigh what stands behind a name: 0 where the text simply goes on."""
    contact = _CONTACT.match(text, end)
    if _REACHED.match(text, end):
        return 2.0
    title = AFTER.match(text, end + (text[end : end + 1] == " "))
    if (contact and EDGE.match(contact[0])) or _CLOSING.match(text, end) or (title and len(title[0]) > 1):
        return 1.5
    if end >= len(text) or EDGE.match(text[end]):
        return 1.5 if not text[end:].strip("。.!！~ \n") else 1.0
    if contact or _ASKED.match(text, end):
        return 1.0
    return 0.5 if _DOES.match(text, end) else 0.0


def introduction(before: str) -> bool:
    """Whether somebody says which family he is of."""
    return bool(_INTRODUCED.search(before) or _LISTED.search(before))
