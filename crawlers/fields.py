"""Pure parsers of small fields: Chinese times and counts, URLs, character sets, HTML to plain text."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from w3lib.url import canonicalize_url, url_query_cleaner

SHANGHAI = ZoneInfo("Asia/Shanghai")
EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)

# ------------------------------------------------------------------------------------------------ times

_TRADITIONAL = str.maketrans("鐘時週剛發佈於編輯個幾後點號來屬兩淩內閱間", "钟时周刚发布于编辑个几后点号来属两凌内阅间")
_PREFIX = re.compile(
    r"^(?:(?:最后)?(?:发布|编辑|发表|更新|修改|回复|创建|提交)(?:时间|日期|于|在)?|时间|日期|于)\s*[::]?\s*"
)
_SUFFIX = re.compile(r"\s*(?:来自|IP\s*属地|发布于\s*[^\d\s]|\(?已编辑|[·・•|]).*$", re.IGNORECASE | re.DOTALL)
_REGION = re.compile(r"IP\s*属地\s*[::]?\s*([\u4e00-\u9fff]{2,10})", re.IGNORECASE)
_NUMBER = r"(\d+(?:\.\d+)?|[零〇一二两三四五六七八九十百半几]+)"
_AGO = re.compile(
    rf"^{_NUMBER}\s*个?\s*(秒钟?|分钟?|小时|钟头|天|日|周|星期|礼拜|月|年)(半)?\s*(?:之?前|以前)(?:\s*{{clock}})?$".replace(
        "{clock}", r"(?P<clock>\d{1,2}[::]\d{2}(?:[::]\d{2})?)"
    )
)
_UNITS = {"秒": 1, "分": 60, "小": 3600, "钟": 3600, "天": 86400, "日": 86400, "周": 604800, "星": 604800, "礼": 604800}
_JUST_NOW = re.compile(r"^(?:刚刚|刚才|方才|现在|几秒前|几秒钟前|片刻之?前)$")
_DAYS = {
    "大前天": -3,
    "前天": -2,
    "前日": -2,
    "昨天": -1,
    "昨日": -1,
    "今天": 0,
    "今日": 0,
    "今早": 0,
    "今晚": 0,
    "昨晚": -1,
}
_WEEKDAYS = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6, "末": 6}
_AFTERNOON = ("下午", "傍晚", "晚上", "晚间", "深夜", "pm")
_CLOCK = (
    r"(?:\s*,?\s*(?:T|t)?\s*(?P<half>凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上|晚间|深夜|AM|PM|am|pm)?\s*"
    r"(?P<hour>\d{1,2})\s*(?:[::]\s*(?P<minute>\d{1,2})(?:[::](?P<second>\d{1,2})(?:\.\d+)?)?|[点时]\s*(?:(?P<minute2>\d{1,2})\s*分?|(?P<half_past>半)|整)?"
    r"(?:(?P<second2>\d{1,2})\s*秒)?)\s*(?P<half2>AM|PM|am|pm)?)?"
)
_WEEK = r"(?:\s*[((]?(?:周|星期|礼拜)[一二三四五六日天][))]?)?"
_DAY_WORD = re.compile(rf"^({'|'.join(_DAYS)}){_CLOCK}$")
_WEEK_DAY = re.compile(rf"^(上上|上|这|本)?个?(?:周|星期|礼拜)([一二三四五六日天]){_CLOCK}$")
_YEAR_WORD = re.compile(rf"^(前年|去年|今年)\s*(\d{{1,2}})\s*[月\-/.]\s*(\d{{1,2}})\s*[日号]?{_WEEK}{_CLOCK}$")
_FULL = re.compile(
    rf"^(\d{{4}}|\d{{2}}(?=年))\s*[年\-/.]\s*(\d{{1,2}})\s*[月\-/.]\s*(\d{{1,2}})\s*[日号]?{_WEEK}{_CLOCK}$"
)
_MONTH_DAY = re.compile(rf"^(\d{{1,2}})\s*[月\-/.]\s*(\d{{1,2}})\s*[日号]?{_WEEK}{_CLOCK}$")
_CLOCK_ONLY = re.compile(r"^(\d{1,2})[::](\d{2})(?:[::](\d{2}))?$")
_EPOCH = re.compile(r"^-?\d{9,10}(?:\.\d+)?$|^-?\d{12,13}$")
_ISO = re.compile(
    r"^\d{4}-?\d{2}-?\d{2}(?:[Tt ]\s*\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?\s*(?:[Zz]|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?$"
)
_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}


def parse_time(value: object, *, now: datetime, tz: tzinfo = SHANGHAI) -> datetime | None:
    """The instant that a page's time means, aware; None if it cannot be read.

    A time without an offset is in tz; a date without a year is the latest one that is not after
    tomorrow; words like 3分钟前 count back from now. Whether the answer is believable is for plausible().
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=tz)
    if isinstance(value, date):  # a cell of a spreadsheet
        return datetime.combine(value, time(), tz)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _epoch(value)
    text = unicodedata.normalize("NFKC", str(value)).translate(_TRADITIONAL).strip()
    if not text or len(text) > 200:
        return None
    if _EPOCH.match(text):
        return _epoch(float(text))
    try:
        return _iso(text, tz) or _rfc822(text, tz) or _chinese(text, now.astimezone(tz))
    except (ValueError, OverflowError):  # 13月45日, year 0: it looked like a date and is none
        return None


def _epoch(number: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(number / 1000 if abs(number) >= 1e11 else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _iso(text: str, tz: tzinfo) -> datetime | None:
    if not _ISO.match(text):
        return None
    compact = re.sub(r"\s*(?:Z|z|UTC|GMT)$", "+00:00", text).replace(",", ".")
    compact = re.sub(r"\s+(?=[+-]\d)", "", compact)
    when = datetime.fromisoformat(re.sub(r"(?<=[Tt ])\s+", "", compact))
    return when if when.tzinfo else when.replace(tzinfo=tz)


def _rfc822(text: str, tz: tzinfo) -> datetime | None:
    if not re.search(r"\b[A-Za-z]{3}\b", text) or not re.search(r"\d", text):
        return None
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=tz)


def _chinese(text: str, now: datetime) -> datetime | None:
    text = _SUFFIX.sub("", text).strip()
    text = _PREFIX.sub("", text).strip()
    if _JUST_NOW.match(text):
        return now
    if match := _AGO.match(text):
        return _ago(match, now)
    if match := _CLOCK_ONLY.match(text):
        when = now.replace(hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0)
        return when if when <= now + timedelta(minutes=5) else when - timedelta(days=1)
    if match := _DAY_WORD.match(text):
        day = now + timedelta(days=_DAYS[match[1]])
        evening = match[1] in ("今晚", "昨晚")
        return _at(day.year, day.month, day.day, match, now, evening=evening)
    if match := _WEEK_DAY.match(text):
        return _week_day(match, now)
    if match := _YEAR_WORD.match(text):
        year = now.year - {"今年": 0, "去年": 1, "前年": 2}[match[1]]
        return _at(year, int(match[2]), int(match[3]), match, now)
    if match := _FULL.match(text):
        year = int(match[1]) + (2000 if len(match[1]) == 2 else 0)
        return _at(year, int(match[2]), int(match[3]), match, now)
    if match := _MONTH_DAY.match(text):
        return _without_year(match, now)
    return None


def _ago(match: re.Match[str], now: datetime) -> datetime | None:
    count = _number(match[1])
    if count is None:
        return None
    if match[3]:  # 两小时半前, 一个月半前
        count += 0.5
    unit = match[2][0]
    if unit in "月年":
        months = round(count * (12 if unit == "年" else 1))
        year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
        when = now.replace(year=year, month=month + 1, day=min(now.day, 28))
    else:
        when = now - timedelta(seconds=count * _UNITS[unit])
    if match["clock"]:
        hour, minute, *rest = (int(part) for part in re.split("[::]", match["clock"]))
        when = when.replace(hour=hour, minute=minute, second=rest[0] if rest else 0, microsecond=0)
    return when


def _number(text: str) -> float | None:
    """12, 1.5, 半, 十五, 三百二十, 几 (counted as three)."""
    try:
        return float(text)
    except ValueError:
        pass
    if text == "半":
        return 0.5
    if text == "几":
        return 3
    total, digit = 0.0, None
    for character in text:
        if character in "十百":
            total += (1 if digit is None else digit) * (10 if character == "十" else 100)
            digit = None
        elif character in _DIGITS:
            digit = _DIGITS[character]
        else:
            return None
    return total + (digit or 0)


def _at(year: int, month: int, day: int, match: re.Match[str], now: datetime, *, evening: bool = False) -> datetime:
    hour = int(match["hour"] or 0)
    minute = 30 if match["half_past"] else int(match["minute"] or match["minute2"] or 0)
    half = (match["half"] or match["half2"] or ("晚上" if evening and match["hour"] else "")).lower()
    if (half in _AFTERNOON and 1 <= hour < 12) or (half == "中午" and 1 <= hour < 3):
        hour += 12
    elif half in ("凌晨", "am") and hour == 12:
        hour = 0
    second = int(match["second"] or match["second2"] or 0)
    return datetime(year, month, day, hour, minute, second, tzinfo=now.tzinfo)


def _week_day(match: re.Match[str], now: datetime) -> datetime:
    """周三 is the last one that is not in the future; 上周五 is Friday of the week before this one."""
    monday = now - timedelta(days=now.weekday())
    weeks = {"上上": -2, "上": -1}.get(match[1] or "", 0)
    day = monday + timedelta(weeks=weeks, days=_WEEKDAYS[match[2]])
    when = _at(day.year, day.month, day.day, match, now)
    return when - timedelta(weeks=1) if when > now and match[1] in (None, "") else when


def _without_year(match: re.Match[str], now: datetime) -> datetime | None:
    month, day = int(match[1]), int(match[2])
    for year in range(
        now.year + 1, now.year - 9, -1
    ):  # next year: the page's clock may be past midnight on 31 December
        try:
            when = _at(year, month, day, match, now)
        except ValueError:
            if (month, day) != (2, 29):
                return None
            continue
        if when <= now + AHEAD:
            return when
    return None


def plausible(published_at: datetime, now: datetime) -> bool:
    """After 1995 and at most a day ahead of now (clocks and zones differ)."""
    return EARLIEST < published_at <= now + AHEAD


def parse_region(value: object) -> str | None:
    """The province of `IP属地：上海`, or None."""
    match = _REGION.search(unicodedata.normalize("NFKC", str(value)).translate(_TRADITIONAL)) if value else None
    return match[1] if match else None


# ----------------------------------------------------------------------------------------------- counts

_COUNT = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*([千kKwW万萬亿億])?\s*\+?")
_SCALE = {"千": 1_000, "k": 1_000, "w": 10_000, "万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}


def parse_count(value: object) -> int | None:
    """1.5万 -> 15000; a bare word (转发) or anything without a number is None; never negative."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return int(value) if 0 <= value < 1e15 else None
    text = unicodedata.normalize("NFKC", str(value))
    match = _COUNT.search(text)
    if not match or text[: match.start()].rstrip().endswith("-"):
        return None
    number = float(match[1].replace(",", "")) * _SCALE.get((match[2] or "").lower(), 1)
    return round(number) if number < 1e15 else None


def parse_rating(value: object) -> int | None:
    """One to five stars; anything else is None."""
    stars = parse_count(value)
    return stars if stars is not None and 1 <= stars <= 5 else None


# ------------------------------------------------------------------------------------------ ids and URLs

_TRACKERS = re.compile(
    r"^(?:utm_|spm$|from$|share_|scene$|sessionid$|jsessionid$|phpsessid$|timestamp$|_t$|fbclid$|gclid$)", re.I
)


def digest(text: str) -> str:
    """A short id that depends on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def url_key(url: str) -> str:
    """The comparable form of a URL, for ids only: sorted query, no fragment, no tracking parameters."""
    if not url:
        return ""
    try:
        names = re.findall(r"[?&]([^=&#]+)", url)
        trackers = [name for name in names if _TRACKERS.match(name)]
        cleaned = url_query_cleaner(url, trackers, remove=True, unique=False) if trackers else url
        return canonicalize_url(cleaned)
    except ValueError:  # a port or an IPv6 host that is none
        return url


def native_id(said: str, url: str = "") -> str:
    """A platform's own id made fit for `platform:native_id`; a URL or a long text becomes its hash."""
    said = said.strip()
    if re.fullmatch(r"[\w.~-]{1,64}", said):
        return said
    if re.match(r"https?://", said):
        return digest(url_key(said))
    return digest(said or url_key(url)) if said or url else ""
