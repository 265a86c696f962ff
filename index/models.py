"""The words of the service as frozen models: Mention and Labels, and the small versioned records."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from settings import RuleSettings, SourceSettings, TopicSettings


def _to_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""An aware datetime, always kept in UTC."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ---------------------------------------------------------------------------------------------- mentions


class Sentiment(StrEnum):
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


class Intent(StrEnum):
    COMPLAINT = "complaint"
    PRAISE = "praise"
    QUESTION = "question"
    SUGGESTION = "suggestion"
    PURCHASE = "purchase"
    OTHER = "other"


ASPECTS = (
    "logistics",
    "packaging",
    "quality",
    "price",
    "service",
    "aftersale",
    "authenticity",
    "food_safety",
    "taste",
    "portion",
    "efficacy",
    "smell",
    "size",
    "environment",
    "appearance",
    "safety",
)

Probability = Annotated[float, Field(ge=0, le=1)]
MentionKind = Literal["post", "comment", "review", "article", "question", "complaint"]


class Aspect(Frozen):
    """One side of the thing that the text speaks of, and how."""

    name: str
    polarity: Sentiment
    probability: Probability = 1.0


class Labels(Frozen):
    """What the model says of a mention; each probability is that of the class named beside it."""

    sentiment: Sentiment
    sentiment_probability: Probability
    intent: Intent
    intent_probability: Probability
    severity: int = Field(ge=0, le=2)
    severity_probability: Probability
    aspects: tuple[Aspect, ...] = ()
    model_version: str


class Review(Frozen):
    """What a person says of a mention; a head that is None keeps the model's word."""

    reviewer: str
    at: Instant
    sentiment: Sentiment | None = None
    intent: Intent | None = None
    severity: int | None = Field(None, ge=0, le=2)
    aspects: tuple[Aspect, ...] | None = None


class Persona(Frozen):
    """The platform account that wrote it. id is `platform:account`; None means unknown."""

    id: str
    name: str
    followers: int | None = Field(None, ge=0)
    verified: bool | None = None
    region: str | None = None


class Engagement(Frozen):
    """Actions by others; None means that the source does not say."""

    likes: int | None = Field(None, ge=0)
    comments: int | None = Field(None, ge=0)
    reposts: int | None = Field(None, ge=0)
    views: int | None = Field(None, ge=0)


class Mention(Frozen):
    """One public post, comment, review or article that names a topic.

    id is `platform:native_id`, so the same post crawled twice is one mention. text is already
    masked (phones, ids); url is byte-exact evidence. story_id is the id of the first mention that
    said the same; is_copy is False for that first one. hidden holds the reason a person gave.
    """

    id: str = Field(min_length=3)
    platform: str
    kind: MentionKind = "post"
    url: str = ""
    title: str = ""
    text: str
    persona: Persona | None = None
    published_at: Instant
    collected_at: Instant
    indexed_at: Instant | None = None
    engagement: Engagement = Engagement()
    rating: int | None = Field(None, ge=1, le=5)
    """Stars given with a review."""
    parent_id: str | None = None
    source: str
    story_id: str | None = None
    is_copy: bool = False
    topics: tuple[str, ...] = ()
    labels: Labels | None = None
    review: Review | None = None
    customer_id: str | None = None
    hidden: str | None = None
    story_keys: tuple[int, ...] = Field((), exclude=True, repr=False)
    """Signed 64-bit keys under which later copies find this mention (nlp/copies.py). Write-only:
    the store keeps them for Store.find_originals and never returns them."""

    @property
    def sentiment(self) -> Sentiment | None:
        """The person's word if there is one, else the model's."""
        return cast("Sentiment | None", self._head("sentiment"))

    @property
    def intent(self) -> Intent | None:
        return cast("Intent | None", self._head("intent"))

    @property
    def severity(self) -> int | None:
        return cast("int | None", self._head("severity"))

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        return self._head("aspects") or ()

    @property
    def confidence(self) -> float | None:
        """Probability of the least sure of sentiment and intent; 1.0 once a person looked, None if unread."""
        if self.review is not None:
            return 1.0
        if self.labels is None:
            return None
        return min(self.labels.sentiment_probability, self.labels.intent_probability)

    @property
    def said(self) -> str:
        """What its writer published: title and text. A comment carries its thread's title but does not say it."""
        return f"{self.title}\n{self.text}" if self.title and self.kind != "comment" else self.text

    @property
    def words(self) -> str:
        """A digest of what is said; another one after its author edited it."""
        return hashlib.blake2b(self.said.encode(), digest_size=16).hexdigest()

    def _head(self, name: str) -> Any:
        said = getattr(self.review, name, None)
        return said if said is not None else getattr(self.labels, name, None)


class MentionEdit(Frozen):
    """A change by a person or a job; only the fields that are given (model_fields_set) change."""

    review: Review | None = None
    hidden: str | None = None
    customer_id: str | None = None
    topics: tuple[str, ...] = ()
    labels: Labels | None = None


# ----------------------------------------------------------------------------------------------- records


class Record(BaseModel):
    """A small versioned thing: version 0 is not stored yet; Store.put compares and sets it.

    kind names the kind in the store; searchable lists the attributes (fields or properties) that
    Store.find can filter and sort by. A tuple-valued attribute matches if any of its values does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind_name: ClassVar[str]
    searchable: ClassVar[tuple[str, ...]] = ()

    id: str
    version: int = 0

    def but(self, **changes: Any) -> Self:
        """This record with some fields changed, checked like a new one; the version stays for the next put."""
        return type(self).model_validate({**dict(self), **changes})


class Level(StrEnum):
    """蓝 黄 橙 红, lowest first."""

    BLUE = "blue"
    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


class Outcome(StrEnum):
    """How a run ended. Only OK, EMPTY and PARTIAL say anything about what is on the page."""

    OK = "ok"
    EMPTY = "empty"
    BLOCKED = "blocked"
    LOGIN_EXPIRED = "login_expired"
    CHANGED = "changed"
    PARTIAL = "partial"
    FAILED = "failed"
    TIMEOUT = "timeout"


class Event(Frozen):
    """One line of a timeline: who did what, when."""

    at: Instant
    actor: str
    action: str
    note: str = ""


class Topic(TopicSettings, Record):
    kind_name = "topic"
    searchable = ("kind", "enabled")
    provisioned: bool = False


class Source(SourceSettings, Record):
    """Configuration of a source and the state of its schedule."""

    kind_name = "source"
    searchable = ("enabled", "next_at", "kind", "last_run_at")
    provisioned: bool = False
    next_at: Instant | None = None
    claimed_by: str | None = None
    lease_until: Instant | None = None
    state: dict[str, Any] = {}
    """What the spider carries from run to run: etag, last_modified, cursor."""
    last_run_id: str | None = None
    last_outcome: Outcome | None = None
    last_run_at: Instant | None = None
    last_success_at: Instant | None = None
    n_failures: int = 0
    """Runs in a row that did not succeed."""


class Run(Record):
    kind_name = "run"
    searchable = ("source", "started_at", "outcome")
    source: str
    started_at: Instant
    finished_at: Instant
    outcome: Outcome
    message: str
    """One Chinese sentence for people: what happened, and what to do if anything."""
    n_requests: int = 0
    n_bytes: int = 0
    n_items: int = 0
    n_bad: int = 0
    n_new: int | None = None
    """None until its spool file is ingested."""
    bad_lines: tuple[str, ...] = ()
    stats: dict[str, Any] = {}


class Rule(RuleSettings, Record):
    kind_name = "rule"
    searchable = ("enabled", "next_at", "kind")
    provisioned: bool = False
    next_at: Instant | None = None
    seen_until: Instant | None = None
    """For kind match: mentions indexed before this instant were looked at."""


class Reason(StrEnum):
    """Why a rule fired."""

    RISK_WORD = "risk_word"
    THRESHOLD = "threshold"
    SPIKE = "spike"
    SOURCE_QUIET = "source_quiet"


class Breach(Frozen):
    """One crossing of one rule. expected is None where a rule has no notion of normal."""

    rule: str
    topic: str
    story_id: str | None = None
    at: Instant
    level: Level
    reason: Reason
    value: float
    expected: float | None = None
    probability: float | None = None
    sentence: str
    """The reason in one Chinese sentence with its numbers."""
    evidence: tuple[str, ...] = ()
    """Mention ids, most telling first."""


class AlertState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Alert(Record):
    kind_name = "alert"
    searchable = ("state", "level", "topic", "rule", "owner", "opened_at", "key")
    key: str
    """`rule|topic|story`: what it is about; at most one alert that is not resolved has it."""
    rule: str
    topic: str
    story_id: str | None = None
    level: Level
    peak_level: Level
    state: AlertState = AlertState.OPEN
    owner: str | None = None
    reason: Reason
    sentence: str
    value: float
    expected: float | None = None
    probability: float | None = None
    evidence: tuple[str, ...] = ()
    opened_at: Instant
    last_breach_at: Instant
    acknowledged_at: Instant | None = None
    resolved_at: Instant | None = None
    muted_until: Instant | None = None
    timeline: tuple[Event, ...] = ()


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class TaskState(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    WAITING = "waiting"
    REPLIED = "replied"
    CLOSED = "closed"
    DISMISSED = "dismissed"


class Task(Record):
    kind_name = "task"
    searchable = (
        "state",
        "owner",
        "priority",
        "due_at",
        "created_at",
        "closed_at",
        "mention_id",
        "customer_id",
        "topic",
    )
    mention_id: str
    topic: str
    customer_id: str | None = None
    intent: Intent | None = None
    title: str
    """First words of the mention, for the queue."""
    platform: str
    priority: Priority
    priority_reasons: tuple[str, ...] = ()
    """Chinese, one per reason."""
    state: TaskState = TaskState.OPEN
    owner: str | None = None
    created_at: Instant
    due_at: Instant
    """When the first reply is due."""
    resolve_by: Instant
    claimed_at: Instant | None = None
    replied_at: Instant | None = None
    closed_at: Instant | None = None
    waiting_until: Instant | None = None
    waited_s: float = 0
    reply_url: str = ""
    reply_text: str = ""
    draft: str = ""
    outcome: str = ""
    timeline: tuple[Event, ...] = ()


class NotificationState(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


class Notification(Record):
    """One message to one channel. Its id is built from what caused it, so it is made once."""

    kind_name = "notification"
    searchable = ("state", "next_at", "channel", "subject_id", "created_at", "sent_at")
    channel: str
    subject_kind: Literal["alert", "task", "test"]
    subject_id: str
    event: str
    """What is told: opened, raised, resolved, overdue, test."""
    level: Level
    title: str
    body: str
    """Markdown, Chinese."""
    created_at: Instant
    state: NotificationState = NotificationState.PENDING
    next_at: Instant
    lease_until: Instant | None = None
    attempts: int = 0
    sent_at: Instant | None = None
    error: str = ""
    reason: str = ""
    """Why it was dropped or failed (a closed list in alerts/)."""


class Mute(Record):
    """Silence for alerts that match all of the fields that are given."""

    kind_name = "mute"
    searchable = ("until",)
    rule: str | None = None
    topic: str | None = None
    story_id: str | None = None
    until: Instant
    reason: str
    by: str
    created_at: Instant


class Order(Frozen):
    number: str
    at: Instant
    amount: float = Field(ge=0)
    """In yuan."""
    items: str = ""


class Customer(Record):
    """A known customer. Contact data is kept to what linking and service need: the last four digits."""

    kind_name = "customer"
    searchable = ("name", "phone_tail", "handles", "handle_names", "order_numbers", "group", "last_order_at")
    name: str
    phone_tail: str = ""
    handles: tuple[str, ...] = ()
    """`platform:handle`, as the customer gave them."""
    orders: tuple[Order, ...] = ()
    tier: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    group: Literal["A", "B", "C", "D", "E"] | None = None
    """Order value x frequency; see index/customers.py."""
    created_at: Instant
    updated_at: Instant

    @property
    def order_numbers(self) -> tuple[str, ...]:
        """Upper case, without hyphens, as index/customers.py finds them in texts."""
        return tuple(order.number.replace("-", "").upper() for order in self.orders)

    @property
    def handle_names(self) -> tuple[str, ...]:
        return tuple(handle.partition(":")[2] for handle in self.handles)

    @property
    def last_order_at(self) -> datetime | None:
        return max((order.at for order in self.orders), default=None)


class LinkState(StrEnum):
    LINKED = "linked"
    SUGGESTED = "suggested"
    REFUSED = "refused"
    UNDONE = "undone"


class LinkBasis(StrEnum):
    HANDLE = "handle"
    ORDER_NUMBER = "order_number"
    NAME = "name"
    PERSON = "person"


class Link(Record):
    """The evidence that ties a persona to a customer. id is `persona_id>customer_id`."""

    kind_name = "link"
    searchable = ("persona_id", "customer_id", "state")
    persona_id: str
    persona_name: str
    customer_id: str
    state: LinkState
    basis: LinkBasis
    confidence: Probability
    evidence: str
    """Chinese: what was seen, where."""
    mention_id: str | None = None
    created_at: Instant
    history: tuple[Event, ...] = ()


class Role(StrEnum):
    PR = "pr"
    SERVICE = "service"
    PRODUCT = "product"
    ADMIN = "admin"


class Account(Record):
    kind_name = "account"
    searchable = ("role",)
    name: str
    """As shown to colleagues."""
    role: Role
    topics: tuple[str, ...] = ()
    """Scope: the topics this person may see; empty means all."""
    password_hash: str
    disabled: bool = False
    n_failed: int = 0
    locked_until: Instant | None = None


class Session(Record):
    """A sign-in that survives a reload. id is the SHA-256 of the token in the person's cookie."""

    kind_name = "session"
    searchable = ("account_id", "expires_at")
    account_id: str
    created_at: Instant
    expires_at: Instant


class LogEntry(Record):
    """Who did what that no timeline holds: exports, imports, sign-ins, settings."""

    kind_name = "log"
    searchable = ("at", "actor", "action")
    at: Instant
    actor: str
    action: str
    note: str = ""


CORRECTED = "correct"
"""The action of the log under which people find again what they judged; its note is the mention's id."""


class ReaderState(Record):
    """Which model the workers of one machine read with; id is the machine's name."""

    kind_name = "reader"
    searchable = ("checked_at",)
    model_version: str
    """Empty while no model at all can be loaded."""
    fallback_reason: str = ""
    """Chinese, for people: what is wrong with the better model and how to mend it; empty if all is well."""
    since_at: Instant
    """Since when it reads like this."""
    checked_at: Instant


class WorkerState(Record):
    """A worker process that runs and what it does; id is the service's name, `host:pid:started`."""

    kind_name = "worker"
    searchable = ("checked_at",)
    roles: tuple[str, ...]
    """As in [worker] roles."""
    started_at: Instant
    checked_at: Instant
    """When it last said that it is there."""


class Reviewed(Record):
    """What the model had said of a mention when a person judged it; id is the mention's.

    The person's word stands in Mention.review; later readings by other models do not change this record.
    """

    kind_name = "reviewed"
    searchable = ("at",)
    at: Instant
    labels: Labels | None = None
    doubtful: bool | None = None
    """Whether it was in 待复核 then; None where that was not kept."""
    words: str = ""
    """Mention.words then; empty where that was not kept."""

    def is_about(self, mention: Mention) -> bool:
        """False once the author edited what was judged, or where a review of before that was given back."""
        is_older = mention.review is not None and mention.review.at < self.at
        return self.words in ("", mention.words) and not is_older


class Lease(Record):
    """A named turn that one worker at a time may hold (ingest, housekeep)."""

    kind_name = "lease"
    holder: str
    until: Instant


class CopyState(StrEnum):
    COPYING = "copying"
    EQUAL = "equal"
    USED = "used"


class Copying(Record):
    """In a store that `store copy` fills: from where, and how far it is. One per store, id COPYING.

    While it says COPYING nothing else may use the store; EQUAL until a service first uses it.
    """

    kind_name = "copying"
    source: str
    """Which store, as text for people."""
    began_at: Instant
    state: CopyState = CopyState.COPYING


RECORDS: tuple[type[Record], ...] = (
    Topic,
    Source,
    Run,
    Rule,
    Alert,
    Task,
    Notification,
    Mute,
    Customer,
    Link,
    Account,
    Session,
    LogEntry,
    ReaderState,
    WorkerState,
    Reviewed,
    Lease,
    Copying,
)

BEIJING_OFFSET = timedelta(hours=8)
