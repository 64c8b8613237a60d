"""Postal addresses in running text: English, German, French, Italian, Spanish, Dutch, Nordic and Chinese ones."""

from __future__ import annotations

__all__ = ["address_spans"]

import re

Span = tuple[int, int, str]

_CAP = r"(?:[A-ZÀ-Þ](?:[^\W\d_]|['’.-])*(?!\w)|of|the|and|de|la|le|les|du|des|upon|am|an|der|in|im|bei|ob)"
_ENGLISH_STREETS = (
    "Street|St|Road|Rd|Avenue|Ave|Av|Lane|Ln|Drive|Dr|Close|Court|Ct|Way|Place|Pl|Square|Sq|Terrace"
    "|Terr|Crescent|Cres|Rise"
    "|Quay|Mews|Row|Hill|Grove|Gardens|Gdns|Park|Parade|Pde|Walk|Boulevard|Blvd|Highway|Hwy|Parkway"
    "|Pkwy|Circle|Cir|Trail"
    "|Loop|Alley|Wharf|Green|View|Gate|Path|Broadway|Bridge|Esplanade|Promenade|Meadow|Meadows|Fields?|Croft|Vale|Wood"
    "|Woods|Ridge|Heights|Point|Landing|Bend|Run|Pass|Turnpike|Pike|Expressway|Plaza|Circus|Yard|Common|Mount|Brae|Wynd"
    "|Bank|Dene|Drove|End|Approach|Arcade|Embankment|Strand|Cove|Crossing|Creek|Farm|Island|Jalan"
    "|Marg|Nagar|Colony|Layout"
)
_UNIT = (
    r"(?:(?:Apt|Apartment|Flat|Unit|Suite|Ste|Floor|Fl|Room|Rm|Level|Block|Building|Bldg|House|Lot|Tower"
    r"|Door)\.? ?#?\w{1,6}|#\w{1,6}|\d{1,2}(?:st|nd|rd|th) [Ff]loor)"
)
_UK = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_CODE = (
    rf"(?:{_UK}|[A-Z]{{2}},? \d{{5}}(?:-\d{{4}})?|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]\d[\dW] ?[A-Z\d]{{4}}|(?:NSW"
    rf"|VIC|QLD|WA|SA|TAS|ACT|NT) \d{{4}}|[A-Z]{{2}}|\d{{4,6}}(?:[- ]\d{{3,4}})?)"
)
_PLACE = rf"{_CAP}(?: {_CAP}){{0,3}}"
#: Parts that may follow a street: a unit, a town, a code, a country; each after a comma, a blank or a new line.
_TAIL = rf"(?:(?:,? ?\n ?|, ?| )(?:{_UNIT}|{_CODE})(?![\w])|(?:,? ?\n ?|, ?){_PLACE}(?: {_CODE})?(?![\w])){{0,6}}"
_WORD = r"[A-Z][\w'’-]{1,40}+"  # bounded, since an address is looked for behind each apostrophe and hyphen, too
_HEAD = rf"(?:{_UNIT},? )?(?:{_WORD}(?: {_WORD}){{0,3}}, )?(?:{_UNIT},? )?"
_ENGLISH = re.compile(
    rf"(?<![\w+])(?<!\d[ -]){_HEAD}\d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,5}}[A-Za-z]?)?,? (?:(?:[NSEW]|North|South|East"
    rf"|West|Old|New|Upper|Lower|The)\.? )?"
    rf"(?:[A-Z\d][\w'’.-]*,? ){{0,4}}(?:{_ENGLISH_STREETS})\b\.?(?: (?:[NSEW]|NE|NW|SE|SW|North|South"
    rf"|East|West)\b)?{_TAIL}"
)
_LOWER = re.compile(
    r"(?i)(?<![\w])\d{1,5}[a-z]? (?:[a-z'’]+ ){1,3}(?:street|road|avenue|lane|close|crescent|terrace"
    r"|boulevard|mews|drive"
    r"|gardens)\b(?:,? [a-z]+){0,2}(?:,? (?:[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}|[a-z]{2} \d{5}|\d{5}))"
)
#: Parts between commas up to a code that says where: of Japan, of India, of a British house without a number.
_PART = r"[A-Z\d][\w.'’/-]{0,30}(?: [A-Z\d(][\w.'’/)-]{0,30}){0,4}"
_CODED = re.compile(
    rf"(?<![\w-])\d{{1,4}}-\d{{1,4}}(?:-\d{{1,4}})?,? [A-Z][\w'’-]{{1,30}}(?: [A-Z][\w'’-]{{1,30}}){{0,2}}"
    rf"(?:,? (?:[A-Z][\w'’-]{{1,30}}|{_UNIT})){{1,5}}(?:,? \d{{3}}-\d{{4}})(?:, Japan)?"
    rf"|(?<![\w-])\d{{1,3}}-\d{{1,3}}(?:-\d{{1,3}})? [A-Z][\w-]{{1,30}}, [A-Z][a-z]{{1,20}}"
    rf"-(?:ku|shi|gun|machi|cho)(?:, [A-Z][a-z]{{1,20}})?"
    rf"|(?<![\w-])(?:(?:Plot|Flat|House|Door|Shop|Survey|Unit|Villa|Gala|Quarter)(?: [Nn]o)?\.? ?#?[\w/-]{{1,10}}"
    rf"|H\.? ?[Nn]o\.? ?[\w/-]{{1,10}}"
    rf"|[Nn]o\.? ?\d[\w/-]{{0,9}}|\d{{1,4}}[A-Z]?(?:/\d{{1,4}})?)"
    rf"(?:,? {_PART}){{0,1}}(?:, {_PART}){{1,6}}(?: ?[-–] ?| )\d{{3}} ?\d{{3}}(?!\d)"
    rf"|(?<![\w-])(?:House|Plot|Holding|Flat)(?: [Nn]o)?\.? ?#?[\w/-]{{1,10}}"
    rf"(?:, {_PART}){{2,5}}(?: ?[-–] ?| )\d{{4}}(?!\d)"
    rf"|(?<![\w-]){_WORD}(?: {_WORD}){{0,2}}, {_WORD}(?: {_WORD}){{0,2}} (?:{_ENGLISH_STREETS}),?"
    rf" (?:{_PLACE}, ){{0,2}}{_PLACE},? {_UK}"
    rf"|(?<![\w-]){_UNIT}, (?:{_PART}, ){{1,4}}{_PLACE},? {_UK}"
)
_POST_BOX = re.compile(rf"(?i:\bP\.? ?O\.? ?Box|\bPostfach|\bPostbus|\bApartado) \d[\d ]{{0,8}}\d{_TAIL}")
_POSTCODE = re.compile(
    rf"(?<![\w-])(?:[A-Z][a-z]+,? )?(?:{_UK}"
    rf"|[A-Z][a-z]+(?: [A-Z][a-z]+)?, [A-Z]{{2}} \d{{5}}(?:-\d{{4}})?"
    rf"|[ACDEFHKNPRTVWXY]\d[\dW] [A-Z\d]{{4}})(?![\w-])"
)
_NUMBER = (
    r"\d{1,4} ?[a-zA-Z]?(?: ?[-/] ?\d{1,4} ?[a-zA-Z]?)?(?![\w])"
    r"(?: (?:bus|bte|boîte|Top|Stiege|Tür|App?\.|Whg\.|lok\.|m\.) ?\d{1,4}(?![\w]))?"
)
_CITY = (
    r"(?:,? ?\n ?|, ?| - | )(?:(?:[A-Z]{1,3}-)?\d{4,5}(?: [A-Z]{2})?|\d{3} \d{2}|\d{2}-\d{3}"
    r"|\d{4}-\d{3}) [A-ZÀ-Þ](?:[\w'’-]|\.(?=\w))+(?:[ -][A-ZÀ-Þ](?:[\w'’-]|\.(?=\w))+){0,3}(?:, [A-ZÀ-Þ][\w-]+)?"
)
_SUFFIXES = (
    "straße|strasse|str\\.|weg|allee|platz|gasse|ring|damm|ufer|chaussee|steig|hof|markt|graben|stieg"
    "|pfad|berg|stra(?:ß|ss)e|kamp"
    "|redder|twiete|wall|brücke|garten|anger|straat|laan|plein|kade|gracht|dijk|singel|steeg|gatan"
    "|vägen|gata|vei|veien|vej"
    "|gade|allé|katu|tie|torget|utca|körút"
)
# Words are bounded, and what stands before a name is taken once: no text makes these search for hours. Where no number
# follows, which stands no farther away than three words and a kind of street are long, nothing else is looked for.
_AHEAD = r"(?=[\w .-]{1,140} \d)"
_GERMAN = re.compile(
    rf"(?<![\w]){_AHEAD}"
    rf"(?:(?:[A-ZÄÖÜ][\wäöüß-]{{0,40}}(?:{_SUFFIXES})|(?:[A-ZÄÖÜ][\wäöüß-]{{1,40}}[ -]){{1,3}}(?:Straße"
    rf"|Strasse|Str\.|Weg|Allee|Platz|Ring|Gasse|Damm|Ufer|Markt|Chaussee)"
    rf"|(?:Am|An|Auf|Im|In|Zum|Zur|Unter|Hinter|Beim|Vor)(?: (?:der|den|dem"
    rf"|des))? [A-ZÄÖÜ][\wäöüß-]{{1,40}}(?: [A-ZÄÖÜ][\wäöüß-]{{1,40}})?)"
    rf" {_NUMBER}(?:{_CITY})?|[A-ZÄÖÜ][\wäöüß-]{{1,40}}(?: [A-ZÄÖÜ][\wäöüß-]{{1,40}})? {_NUMBER}{_CITY})"
)
_ROMANCE = re.compile(
    rf"(?<![\w])(?:\d{{1,4}}(?: ?(?:bis|ter|[a-dA-D]))?,? (?i:rue|avenue|av\.|boulevard|bd|place|chemin"
    rf"|impasse|allée|quai|cours|route|passage|square)"
    rf" (?:(?:de|du|des|la|le|les|l['’]|d['’]|St|Saint|Sainte)[ -]?)*[A-ZÀ-Þ][\w'’-]{{1,40}}(?:[ -](?:(?:de|du"
    rf"|des|la|le)[ -])*[A-ZÀ-Þ][\w'’-]{{1,40}}){{0,3}}(?:{_CITY})?"
    rf"|(?:Via|Viale|Piazza|Corso|Vicolo|Largo|Calle|C/|Avenida|Av\.|Avda\.|Plaza|Paseo|Carrer|Rua"
    rf"|Praça|Travessa|Alameda|Ulica|ul\.|Aleja|al\.|Ulitsa|Strada|Str\.)"
    rf" (?:(?:della|dei|del|de|di|dos|das|da|do|las|los|la|el|santa|san"
    rf"|d['’])[ ]?){{0,4}}+[A-ZÀ-Þ][\w'’.-]{{1,40}}(?: (?:(?:de|del|della|di|da|do|la|y"
    rf"|e) )*[A-ZÀ-Þ][\w'’.-]{{1,40}}){{0,3}},? (?:n\.? ?|nº ?|no\.? ?)?{_NUMBER}(?:{_CITY})?)"
)

_CHINESE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af]")
_PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海"
    "|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_CITIES = (
    "石家庄|唐山|秦皇岛|邯郸|邢台|保定|张家口|承德|沧州|廊坊|衡水|太原|大同|阳泉|长治|晋城|朔州|晋中|运城|忻州|临汾|吕梁|呼和浩特|包头|乌海|赤峰"
    "|通辽|鄂尔多斯|呼伦贝尔|沈阳|大连|鞍山|抚顺|本溪|丹东|锦州|营口|阜新|辽阳|盘锦|铁岭|朝阳|葫芦岛|长春|四平|辽源|通化|白山|松原|白城|哈尔滨"
    "|齐齐哈尔|鸡西|鹤岗|双鸭山|大庆|伊春|佳木斯|七台河|牡丹江|黑河|绥化|南京|无锡|徐州|常州|苏州|南通|连云港|淮安|盐城|扬州|镇江|泰州|宿迁|昆山"
    "|杭州|宁波|温州|嘉兴|湖州|绍兴|金华|衢州|舟山|台州|丽水|义乌|合肥|芜湖|蚌埠|淮南|马鞍山|淮北|铜陵|安庆|黄山|滁州|阜阳|宿州|六安|亳州|池州|宣城"
    "|福州|厦门|莆田|三明|泉州|漳州|南平|龙岩|宁德|南昌|景德镇|萍乡|九江|新余|鹰潭|赣州|吉安|宜春|抚州|上饶|济南|青岛|淄博|枣庄|东营|烟台|潍坊|济宁"
    "|泰安|威海|日照|临沂|德州|聊城|滨州|菏泽|郑州|开封|洛阳|平顶山|安阳|鹤壁|新乡|焦作|濮阳|许昌|漯河|三门峡|南阳|商丘|信阳|周口|驻马店|武汉|黄石"
    "|十堰|宜昌|襄阳|鄂州|荆门|孝感|荆州|黄冈|咸宁|随州|长沙|株洲|湘潭|衡阳|邵阳|岳阳|常德|张家界|益阳|郴州|永州|怀化|娄底|广州|韶关|深圳|珠海|汕头"
    "|佛山|江门|湛江|茂名|肇庆|惠州|梅州|汕尾|河源|阳江|清远|东莞|中山|潮州|揭阳|云浮|南宁|柳州|桂林|梧州|北海|防城港|钦州|贵港|玉林|百色|贺州|河池"
    "|来宾|崇左|海口|三亚|成都|自贡|攀枝花|泸州|德阳|绵阳|广元|遂宁|内江|乐山|南充|眉山|宜宾|广安|达州|雅安|巴中|资阳|贵阳|六盘水|遵义|安顺|毕节|铜仁"
    "|昆明|曲靖|玉溪|保山|昭通|丽江|普洱|临沧|大理|拉萨|日喀则|西安|铜川|宝鸡|咸阳|渭南|延安|汉中|榆林|安康|商洛|兰州|嘉峪关|金昌|白银|天水|武威|张掖"
    "|平凉|酒泉|庆阳|定西|陇南|西宁|银川|石嘴山|吴忠|固原|中卫|乌鲁木齐|克拉玛依|吐鲁番|哈密|台北|高雄|台中|台南|新北|九龙"
)
_COUNT = r"[\dA-Za-z一二三四五六七八九十百甲乙丙丁]"
_HAN = r"[\u4e00-\u9fff]"
_BUILDING = r"(?:号楼|号院|号|栋|幢|座|楼|单元|室|层|门|铺|户|期|区|弄|排|房|院)"
_PLACES = (
    r"(?:大厦|大楼|广场|中心|科学园|产业园|工业园|园区|科技园|软件园|创业园|小区|花园|公寓|家园|新村|新城|公馆|山庄|别墅|宿舍|学院|大学|中学|小学|医院|商城|商场|市场|写字楼"
    r"|汇|苑|园|里|城|村|庭|府|轩|湾|邸|居|阁)"
)
#: What makes it an address: a road with a number, or a house with its parts.
_CORE = re.compile(
    rf"{_HAN}{{1,8}}(?:路|街|大道|道|巷|弄|胡同|里|条|公路|环路|村|庄|镇|乡|屯)(?:[东西南北中](?:段|路)?|[一二三四五六七八九十\d]{{1,3}}(?:段|组|社|队|巷|弄))?"
    rf"(?:第)?{_COUNT}{{1,6}}(?:[-–之]\d{{1,5}})?(?:号[楼院]?|弄|组|队)"
    rf"|{_HAN}{{1,12}}{_PLACES}(?:[东西南北]区|{_COUNT}{{1,3}}[区期])?(?:{_COUNT}{{1,4}}(?:号楼|栋|幢|座|单元|号|楼"
    rf"|室))(?:{_COUNT}{{1,5}}{_BUILDING}|-?\d{{1,5}})*"
    rf"|(?:{_PROVINCES}|{_CITIES})(?:省|市|特别行政区)?{_HAN}{{0,6}}(?:市|区|县|州|旗){_HAN}{{1,10}}(?:路|街|街道|镇|乡|村"
    rf"|大道|大厦|广场|小区|花园|公寓|大学|中心)(?:{_COUNT}{{1,5}}号)?"
)
_PLAIN = r"(?:(?![的了在是到有就说请收给把被和与及我你他她它这那要也都寄送])[\u4e00-\u9fff])"
_REST = re.compile(
    rf"(?:之[\d一二三四五六七八九十]{{1,6}}|(?<=[A-Za-z])[座栋幢区]\d{{0,5}}|{_PLAIN}{{0,9}}?(?:[A-Za-z]|[东西南北中])?[座栋幢楼馆塔][A-Za-z]?(?:-?\d{{1,5}}(?:单元|室|房|层|楼|号)?){{1,4}}"
    rf"|[A-Za-z]座|{_PLAIN}{{0,9}}(?:\d{{1,3}}号仓|招待所|宿舍|后院|前院|之窗|苑|仓库)\d{{0,4}}"
    rf"|(?<=[楼层室座栋幢号镇乡村路心学院厦场园寓校]){_PLAIN}{{1,6}}?(?:室|科|处|部|前台|传达室|门卫|服务台)(?=[,，。；;！!\s)）]|$)"
    rf"|{_HAN}{{0,10}}?[\d一二三四五六七八九十]{{1,5}}(?:-\d{{1,5}})?(?:号[楼院]?|弄|组)"
    rf"|[,，、 ]?(?:{_HAN}{{1,10}}?(?:{_PLACES})|{_HAN}{{0,3}}(?:正门|东门|西门|南门|北门|商铺|底商))?(?:[A-Za-z]"
    rf"|[东西南北])?(?:\d{{1,5}}(?:-\d{{1,5}})*|{_COUNT}{{1,4}}){_BUILDING}[A-Za-z]?"
    rf"|[,，、 ]?{_HAN}{{2,9}}?{_PLACES}[A-Za-z]?(?={_HAN}{{0,2}}(?:\d|[A-Za-z]|[,，。；;！!\s)）]|$))"
    rf"|[A-Za-z]?\d{{0,3}}-\d{{1,5}}(?!\d)|(?<=[座栋幢楼号])-?\d{{3,5}}"
    rf"|-?\d{{3,5}}(?:室|房)?(?!\d|{_HAN}?(?:元|块|次|秒|分钟|天|年)))"
)
_BEGIN = re.compile(rf"(?:{_PROVINCES}|{_CITIES})(?:省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区)?")
_CUE = re.compile(
    r"(?:寄到|寄去|寄往|寄给|寄|送到|送至|送往|发到|发往|地址是|地址为|地址改成|地址改为|改成|改为|换成|地址|住址|家住|住在|住|在|到|来自|位于|搬到|搬至|迁到|迁至|一趟"
    r"|是|去|从|至|为|叫|送|往|：|:|了|的|把|给|我家|我们|公司|单位|门店|店铺|收货)"
)
_TOWN = re.compile(rf"{_HAN}{{2,4}}?(?:省|市|自治区|自治州|特别行政区)|{_HAN}{{2,3}}(?:区|县|旗|镇|乡|街道)")


def address_spans(text: str) -> list[Span]:
    """Find postal addresses.

    Parameters
    ----------
    text : str
        In any mixture of languages.

    Returns
    -------
    list of (int, int, str)
        Begin, end and ``'address'``; may overlap.

    Examples
    --------
    >>> text = "we moved to Apt 5C, 301 Juniper Street, Atlanta, GA 30308"
    >>> [text[a:b] for a, b, _ in address_spans(text)][0]
    'Apt 5C, 301 Juniper Street, Atlanta, GA 30308'
    >>> [(a, b) for a, b, _ in address_spans("寄到杭州市西湖区文三路478号华星时代广场A座9楼。")]
    [(2, 25)]
    """
    latin = _CHINESE.sub("。", text)  # what stands beside a Chinese character begins or ends a word
    spans = [
        (found.start(), found.start() + len(found[0].rstrip(" ,.\n")), "address")
        for pattern in (_ENGLISH, _CODED, _ROMANCE, _GERMAN, _POST_BOX, _LOWER, _POSTCODE)
        for found in pattern.finditer(latin)
    ]
    return sorted(spans + _chinese(text), key=lambda span: (span[0] - span[1], span))


def _chinese(text: str) -> list[Span]:
    spans, end = [], 0
    while found := _CORE.search(text, end):
        stop = found.end()
        while (more := _REST.match(text, stop)) and more.end() > stop:
            stop = more.end()
        run = re.search(rf"(?:{_HAN}|[A-Za-z\d])*$", text[end : found.start()])
        start = _begin(text, end + run.start(), found.start(), stop)
        spans.append((start, stop, "address"))
        end = stop
    return spans


def _begin(text: str, run: int, core: int, stop: int) -> int:
    """Where an address begins: at its province or city, else behind the last word that leads to it."""
    if place := _BEGIN.search(text, run, stop):
        return place.start()
    town = _TOWN.search(text, run, stop)
    before = min(stop, (town.end() if town else core + 6))
    cues = [cue.end() for cue in _CUE.finditer(text, run, before) if cue.end() < stop - 4]
    return max([run, *cues])
