"""The one filter row: what is looked at, kept in the URL, turned into a MentionQuery and into links."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from dashboard import context, formats, labels
from index.models import ASPECTS, BEIJING_OFFSET, Intent, Sentiment
from index.store import MentionQuery

TODAY, DAY, WEEK, MONTH, CUSTOM = "today", "24h", "7d", "30d", "custom"
WINDOWS = {TODAY: "今天", DAY: "近24小时", WEEK: "近7天", MONTH: "近30天", CUSTOM: "自选"}
LENGTHS = {DAY: timedelta(days=1), WEEK: timedelta(days=7), MONTH: timedelta(days=30)}
SEVERITIES = {1: "严重及以上", 2: "非常严重"}
MENTIONS_PAGE = "app_pages/mentions.py"


@dataclass(frozen=True)
class Filters:
    """Everything a view depends on. The last group stands in the URL without a widget of its own."""

    topic: str | None = None
    window: str = DAY
    days: tuple[date, ...] = ()
    platforms: tuple[str, ...] = ()

    text: str = ""
    sentiments: tuple[Sentiment, ...] = ()
    intents: tuple[Intent, ...] = ()
    severity: int | None = None
    aspects: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    all_copies: bool = False

    since: datetime | None = None
    until: datetime | None = None
    story: str | None = None
    persona: str | None = None
    customer: str | None = None
    polarity: Sentiment | None = None
    unsure: bool = False
    hidden: bool = False
    mine: bool = False
    """Not part of the query: only what the viewer has taken as a task or corrected."""

    def but(self, **changes: Any) -> Filters:
        return replace(self, **changes)

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """since and until; until is the end of the running minute, so that a view can be cached."""
        if self.since and self.until:
            return self.since, self.until
        end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        if self.window == CUSTOM and self.days:
            return _midnight(self.days[0]), min(_midnight(self.days[-1]) + timedelta(days=1), end)
        if self.window in (TODAY, CUSTOM):
            return _midnight(formats.beijing(now).date()), end
        return end - LENGTHS[self.window], end

    def before(self, now: datetime) -> tuple[datetime, datetime]:
        """The equally long period just before."""
        since, until = self.period(now)
        return since - (until - since), since

    def query(self, now: datetime, *, period: tuple[datetime, datetime] | None = None) -> MentionQuery:
        since, until = period or self.period(now)
        return MentionQuery(
            text=self.text,
            topics=(self.topic,) if self.topic else (),
            since=since,
            until=until,
            platforms=self.platforms,
            sources=self.sources,
            sentiments=self.sentiments,
            intents=self.intents,
            severity_from=self.severity,
            aspects=self.aspects,
            aspect_polarity=self.polarity,
            story_id=self.story,
            persona_ids=(self.persona,) if self.persona else (),
            customer_id=self.customer,
            confidence_below=context.settings().nlp.review_below if self.unsure else None,
            copies="all" if self.all_copies or self.story else "fold",
            hidden="only" if self.hidden else "without",
        )

    def params(self) -> dict[str, list[str]]:
        """As it stands in the URL; what is not narrowed is left out, except the time, which is always named."""
        texts: dict[str, list[str | None]] = {
            "topic": [self.topic],
            "time": [self.window],
            "days": [day.isoformat() for day in self.days] if self.window == CUSTOM else [],
            "platform": [*self.platforms],
            "q": [self.text],
            "sentiment": [*self.sentiments],
            "intent": [*self.intents],
            "severity": [str(self.severity) if self.severity else None],
            "aspect": [*self.aspects],
            "source": [*self.sources],
            "copies": ["all" if self.all_copies else None],
            "since": [_iso(self.since)],
            "until": [_iso(self.until)],
            "story": [self.story],
            "persona": [self.persona],
            "customer": [self.customer],
            "polarity": [self.polarity],
            "unsure": ["1" if self.unsure else None],
            "hidden": ["1" if self.hidden else None],
            "mine": ["1" if self.mine else None],
        }
        kept = {name: [str(text) for text in values if text] for name, values in texts.items()}
        return {name: values for name, values in kept.items() if values}


ONLY_IN_URL = ("since", "until", "story", "persona", "customer", "polarity", "unsure", "hidden", "mine")
IN_ROW = ("topic", "time", "days", "platform", "q", "sentiment", "intent", "severity", "aspect", "source", "copies")
PARAMS = frozenset((*IN_ROW, *ONLY_IN_URL))


def from_params(params: Mapping[str, Sequence[str]]) -> Filters:
    """Read a URL; what makes no sense there is left out."""

    def one(name: str) -> str | None:
        values = params.get(name)
        return values[0] if values else None

    polarity, severity, window = one("polarity"), one("severity"), one("time")
    return Filters(
        topic=one("topic"),
        window=window if window in WINDOWS else DAY,
        days=_days(params.get("days", ())),
        platforms=tuple(params.get("platform", ())),
        text=one("q") or "",
        sentiments=tuple(Sentiment(text) for text in params.get("sentiment", ()) if text in list(Sentiment)),
        intents=tuple(Intent(text) for text in params.get("intent", ()) if text in list(Intent)),
        severity=int(severity) if severity in ("1", "2") else None,
        aspects=tuple(name for name in params.get("aspect", ()) if name in ASPECTS),
        sources=tuple(params.get("source", ())),
        all_copies=one("copies") == "all",
        since=_instant(one("since")),
        until=_instant(one("until")),
        story=one("story"),
        persona=one("persona"),
        customer=one("customer"),
        polarity=Sentiment(polarity) if polarity in list(Sentiment) else None,
        unsure=one("unsure") == "1",
        hidden=one("hidden") == "1",
        mine=one("mine") == "1",
    )


# ------------------------------------------------------------------------------------- the URL and the row
#
# The URL is kept by hand: Streamlit's own binding writes a parameter only once its widget is on the screen,
# and those in a closed popover are not. A URL that differs from the one written last was opened by somebody
# (a link, the back button): it sets the widgets. One that names no filter keeps what the row shows.


def in_url() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params if name in PARAMS}


def begin(topics: Collection[str], platforms: Collection[str], sources: Collection[str]) -> None:
    """Before the widgets: take over a URL that somebody opened."""
    state = st.session_state
    given = in_url()
    if given and given not in state.get("urls", ()):
        chosen = from_params(given)
        state["topic"] = chosen.topic if chosen.topic in topics else ""
        state["time"] = chosen.window
        state["first_day"], state["last_day"] = _ends(chosen.days)
        state["platform"] = [name for name in chosen.platforms if name in platforms]
        state["q"] = chosen.text
        state["sentiment"] = list(chosen.sentiments)
        state["intent"] = list(chosen.intents)
        state["severity"] = chosen.severity
        state["aspect"] = list(chosen.aspects)
        state["source"] = [name for name in chosen.sources if name in sources]
        state["copies"] = chosen.all_copies
    state.setdefault("time", DAY)
    for key, day in zip(("first_day", "last_day"), _ends(()), strict=True):
        state.setdefault(key, day)


def finish(chosen: Filters) -> Filters:
    """After the widgets: add what only the URL says, and write the URL."""
    only_there = from_params(in_url())
    chosen = replace(chosen, **{name: getattr(only_there, name) for name in ONLY_IN_URL})
    params = chosen.params()
    if params != in_url():
        others = {name: st.query_params.get_all(name) for name in st.query_params if name not in PARAMS}
        # A click in this very moment breaks the run off here: neither URL was then opened by somebody.
        st.session_state["urls"] = (in_url(), params)
        st.query_params.from_dict({**others, **params})
    st.session_state["urls"] = (params,)
    return chosen


def row(topics: Mapping[str, str], platforms: Mapping[str, str]) -> Filters:
    """Draw the row that every page with figures has."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        topic = st.selectbox(
            "主题",
            ["", *topics],
            format_func=lambda key: topics.get(key, "全部主题"),
            key="topic",
            persist_state="session",
            label_visibility="collapsed",
            width=190,
        )
        window = st.segmented_control(
            "时间",
            list(WINDOWS),
            required=True,
            format_func=WINDOWS.__getitem__,
            key="time",
            persist_state="session",
            on_change=_drop_instants,
            label_visibility="collapsed",
        )
        days: tuple[date, ...] = ()
        if window == CUSTOM:
            days = tuple(sorted((_day("从", "first_day"), _day("到", "last_day"))))
        chosen_platforms = st.multiselect(
            "平台",
            list(platforms),
            format_func=lambda key: platforms.get(key, key),
            placeholder="全部平台",
            key="platform",
            persist_state="session",
            label_visibility="collapsed",
            width=220,
        )
    return Filters(topic=topic or None, window=window or DAY, days=days, platforms=tuple(chosen_platforms))


def more(filters: Filters, sources: Mapping[str, str]) -> Filters:
    """The filters that only a list of mentions has, behind one button."""
    state = st.session_state
    n_set = sum(bool(state.get(key)) for key in ("sentiment", "intent", "severity", "aspect", "source", "copies"))
    with st.popover(f"更多筛选 ({n_set})" if n_set else "更多筛选", icon=":material/tune:"):
        sentiments = st.pills(
            "情感", list(Sentiment), selection_mode="multi", format_func=labels.SENTIMENT.__getitem__, key="sentiment"
        )
        intents = st.pills(
            "意图", list(Intent), selection_mode="multi", format_func=labels.INTENT.__getitem__, key="intent"
        )
        severity = st.pills("严重程度", list(SEVERITIES), format_func=SEVERITIES.__getitem__, key="severity")
        aspects = st.multiselect("方面", list(ASPECTS), format_func=labels.aspect, placeholder="全部方面", key="aspect")
        chosen_sources = st.multiselect(
            "来源",
            list(sources),
            format_func=lambda key: sources.get(key, key),
            placeholder="全部来源",
            key="source",
        )
        all_copies = st.toggle("包含转载", key="copies", help="关闭时, 相同内容只算最早的一条。")
    return filters.but(
        sentiments=tuple(sentiments),
        intents=tuple(intents),
        severity=severity,
        aspects=tuple(aspects),
        sources=tuple(chosen_sources),
        all_copies=all_copies,
    )


def open_mentions(filters: Filters) -> None:
    """Go to 提及 with exactly these filters (a callback): every number leads here."""
    st.session_state.pop("url", None)
    st.switch_page(MENTIONS_PAGE, query_params=filters.params())


def drop(*names: str) -> None:
    """Take something that no widget holds out of the URL (a callback)."""
    for name in names:
        st.query_params.pop(name, None)


def _drop_instants() -> None:
    """Choosing a time by hand ends a view of one hour or day."""
    drop("since", "until")


def _day(label: str, key: str) -> date:
    """One day; a range in one field would bring English words with it."""
    chosen = st.date_input(
        label, format="YYYY-MM-DD", key=key, persist_state="session", label_visibility="collapsed", width=140
    )
    return chosen if isinstance(chosen, date) else _ends(())[0]


def _ends(days: Sequence[date]) -> tuple[date, date]:
    """First and last of the days, or of the last week."""
    if days:
        return days[0], days[-1]
    today = formats.beijing(datetime.now(UTC)).date()
    return today - timedelta(days=6), today


def _days(texts: Sequence[str]) -> tuple[date, ...]:
    found = []
    for text in texts[:2]:
        try:
            found.append(date.fromisoformat(text))
        except ValueError:
            return ()
    return tuple(sorted(found))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), tzinfo=UTC) - BEIJING_OFFSET


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ") if at else None


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
