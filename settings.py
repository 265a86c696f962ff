"""Typed settings: settings.toml, then WENSHENG_ variables over it; load() fails loudly."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

ENV_PREFIX = "WENSHENG_"
ROOT = Path(__file__).resolve().parent

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
TopicKind = Literal["brand", "product", "competitor", "industry", "crisis"]
OWN_KINDS: tuple[TopicKind, ...] = ("brand", "product")
SourceKind = Literal["feed", "page", "appstore", "json", "file"]
LevelName = Literal["blue", "yellow", "orange", "red"]
WorkerRole = Literal["crawl", "read", "decide"]


class SettingsError(Exception):
    """The settings cannot be used; the text says where, what, and what to write instead."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceSettings(Section):
    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = Field(8501, ge=1, le=65535)
    url: str = ""


class StoreSettings(Section):
    """Where everything is kept. Secrets of the server are given by the variables that the *_env options name."""

    backend: Literal["embedded", "elasticsearch"] = "embedded"
    file: str = "wensheng.db"
    hosts: tuple[str, ...] = Field(("http://127.0.0.1:9200",), min_length=1)
    ca_file: str = ""
    user: str = ""
    password_env: str = ""
    api_key_env: str = ""
    timeout_s: float = Field(30, gt=0)
    retries: int = Field(5, ge=0, le=20)
    compress: bool = False
    prefix: str = Field("wensheng", pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)
    shards: int = Field(1, ge=1, le=64)
    replicas: int = Field(1, ge=0, le=5)

    @field_validator("hosts")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[^\s/@:]+):\d{1,5}", host):
                raise ValueError(f"{host!r} 不是服务器地址, 应写成 https://主机:端口, 如 https://es1.example.com:9200")
        if len({host.partition(":")[0] for host in value}) > 1:
            raise ValueError("hosts 须都用 https 或都用 http")
        return value

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> StoreSettings:
        if bool(self.user) != bool(self.password_env):
            raise ValueError("user 与 password_env 要一起写: 后者是存放口令的环境变量名")
        if self.user and self.api_key_env:
            raise ValueError("user 与 api_key_env 只写一个")
        if self.ca_file and not self.hosts[0].startswith("https:"):
            raise ValueError("ca_file 只用于 https: 请把 hosts 写成 https://...")
        return self


class WorkerSettings(Section):
    """roles: what the worker of this machine does; all machines together must have every role."""

    roles: tuple[WorkerRole, ...] = get_args(WorkerRole)
    tick_s: float = Field(5, gt=0)
    crawls_at_once: int = Field(2, ge=1, le=64)
    batch: int = Field(500, ge=1, le=10_000)
    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)

    @field_validator("roles")
    @classmethod
    def _has_something_to_do(cls, value: tuple[WorkerRole, ...]) -> tuple[WorkerRole, ...]:
        if not value:
            raise ValueError(f"至少写一个角色: {', '.join(get_args(WorkerRole))}")
        return value


class CrawlSettings(Section):
    user_agent: str = "wensheng/1.0 (+https://example.com/wensheng-bot; set crawl.user_agent)"
    delay_s: float = Field(1.0, ge=0)
    timeout_s: float = Field(30, gt=0)
    run_timeout_s: float = Field(600, gt=0)
    max_bytes: int = Field(8 * 1024 * 1024, ge=1024)
    max_pages: int = Field(50, ge=1)
    max_retries: int = Field(3, ge=0)
    keep_spool_days: int = Field(7, ge=0)


class NlpSettings(Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    review_below: float = Field(0.5, ge=0, le=1)
    fold_window_days: int = Field(30, ge=1, le=9999)
    fold_min_chars: int = Field(10, ge=1)


class RetentionSettings(Section):
    mentions_days: int = Field(400, ge=1, le=9999)
    runs_days: int = Field(90, ge=1, le=9999)
    notifications_days: int = Field(180, ge=1, le=9999)


class SlaTarget(Section):
    reply_m: int = Field(ge=1)
    resolve_m: int = Field(ge=1)
    calendar: bool = False


class SlaSettings(Section):
    """Clocks of tasks, in minutes of business time unless a target says calendar."""

    opens: time = time(9)
    closes: time = time(21)
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    holidays: bool = False
    urgent: SlaTarget = SlaTarget(reply_m=10, resolve_m=120, calendar=True)
    high: SlaTarget = SlaTarget(reply_m=60, resolve_m=480)
    normal: SlaTarget = SlaTarget(reply_m=240, resolve_m=1440)
    low: SlaTarget = SlaTarget(reply_m=1440, resolve_m=4320)

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> SlaSettings:
        if self.opens >= self.closes:
            raise ValueError("opens 必须早于 closes")
        return self


class TaskSettings(Section):
    """Which mentions become tasks by themselves."""

    topics: tuple[str, ...] = ()
    intents: tuple[Literal["complaint", "question", "suggestion", "purchase"], ...] = ("complaint", "question")
    max_age_h: int = Field(72, ge=1)
    min_probability: float = Field(0.5, ge=0, le=1)


class ChannelSettings(Section):
    """One way to reach people. `url` may be left out and given by the variable named in `url_env`."""

    id: Id
    kind: Literal["webhook", "email", "wecom", "dingtalk", "feishu", "apprise"]
    url: str = ""
    url_env: str = ""
    secret_env: str = ""
    to: tuple[str, ...] = ()
    min_level: LevelName = "blue"
    per_hour: int = Field(60, ge=1)
    quiet: tuple[time, time] | None = None


class TopicSettings(Section):
    id: Id
    name: str = Field(min_length=1)
    kind: TopicKind
    query: str = Field(min_length=1)
    exclude: tuple[str, ...] = ()
    names: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)], ...] = ()
    """Taken out of a text before the model reads it; a single character would be part of other words."""
    enabled: bool = True

    @property
    def is_of_a_brand(self) -> bool:
        """Of one's own or of another's."""
        return self.kind in ("brand", "competitor")


class SourceSettings(Section):
    id: Id
    name: str = Field(min_length=1)
    kind: SourceKind
    platform: Id
    url: str = ""
    every_s: int = Field(900, ge=5)
    basis: str = ""
    reviewed: date | None = None
    enabled: bool = True
    allow_private: bool = False
    topics: tuple[str, ...] = ()
    """Topics that everything from here belongs to, whatever the text says (reviews of the own app)."""
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _has_a_place_and_a_basis(self) -> SourceSettings:
        if self.kind != "file" and not self.url:
            raise ValueError(f"{self.kind} 类来源需要 url")
        if self.enabled and not (self.basis and self.reviewed):
            raise ValueError("来源启用前须写明采集依据 basis 与审查日期 reviewed (如 2026-11-01)")
        return self


class RuleSettings(Section):
    """What to watch. `words` for kind match; `at_least` in `window_m` for threshold; see alerts/rules.py."""

    id: Id
    name: str = Field(min_length=1)
    kind: Literal["match", "threshold", "spike", "quiet"]
    topics: tuple[str, ...] = ()
    query: str = ""
    words: tuple[str, ...] = ()
    sentiment: Literal["negative", "neutral", "positive", "any"] = "negative"
    window_m: int = Field(60, ge=5, le=7 * 24 * 60)
    at_least: int = Field(10, ge=1)
    probability: float = Field(1e-4, gt=0, lt=1)
    baseline_weeks: int = Field(4, ge=1, le=12)
    quiet_m: int = Field(180, ge=5)
    every_s: int = Field(60, ge=5)
    cool_down_m: int = Field(60, ge=0)
    level: LevelName = "yellow"
    channels: tuple[str, ...] | None = None
    """Which channels are told: None all of them, empty none (seen on the dashboard only)."""
    enabled: bool = True

    @model_validator(mode="after")
    def _matches_something(self) -> RuleSettings:
        if self.kind == "match" and not (self.words or self.query):
            raise ValueError("match 规则需要 words (风险词) 或 query (查询)")
        return self

    @field_validator("window_m")
    @classmethod
    def _whole_slots(cls, value: int) -> int:
        if value % 5:
            raise ValueError("window_m 须为 5 的倍数 (计数以 5 分钟为一格)")
        return value


class SampleSettings(Section):
    enabled: bool = False
    port: int = Field(8601, ge=0, le=65535)


class Settings(Section):
    service: ServiceSettings = ServiceSettings()
    store: StoreSettings = StoreSettings()
    worker: WorkerSettings = WorkerSettings()
    crawl: CrawlSettings = CrawlSettings()
    nlp: NlpSettings = NlpSettings()
    retention: RetentionSettings = RetentionSettings()
    sla: SlaSettings = SlaSettings()
    tasks: TaskSettings = TaskSettings()
    sample: SampleSettings = SampleSettings()
    channels: tuple[ChannelSettings, ...] = ()
    topics: tuple[TopicSettings, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()

    @property
    def base_url(self) -> str:
        """Where people reach the dashboard; messages link there."""
        return self.service.url.rstrip("/") or f"http://{self.service.host}:{self.service.port}"

    @property
    def data_dir(self) -> Path:
        return self.service.data_dir

    @property
    def store_path(self) -> Path:
        return self.data_dir / self.store.file

    @property
    def spool_dir(self) -> Path:
        return self.data_dir / "spool"

    @property
    def inbox_dir(self) -> Path:
        return self.data_dir / "inbox"

    @model_validator(mode="after")
    def _names_meet(self) -> Settings:
        """Ids are unique and every reference points at something that is there."""
        for section in ("channels", "topics", "sources", "rules"):
            ids = [item.id for item in getattr(self, section)]
            if doubled := sorted({name for name in ids if ids.count(name) > 1}):
                raise ValueError(f"[[{section}]] 里 id 重复: {', '.join(doubled)}")
        topics, channels = {item.id for item in self.topics}, {item.id for item in self.channels}
        for where, wanted, known in (
            *((f"[[rules]] {rule.id}: topics", rule.topics, topics) for rule in self.rules),
            *((f"[[rules]] {rule.id}: channels", rule.channels or (), channels) for rule in self.rules),
            *((f"[[sources]] {source.id}: topics", source.topics, topics) for source in self.sources),
            ("[tasks] topics", self.tasks.topics, topics),
        ):
            for name in wanted:
                if name not in known:
                    raise ValueError(f"{where} 里的 {name!r} 没有定义{_hint(name, known)}")
        return self


# ------------------------------------------------------------------------------------------------ loading

S = TypeVar("S", SourceSettings, ChannelSettings)

# Read by this module itself, or by the test run; every other WENSHENG_ variable is an option or a named secret.
PLAIN_VARIABLES = {"WENSHENG_SETTINGS", "WENSHENG_DATA_DIR", "WENSHENG_TEST_ELASTICSEARCH_URL"}


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """settings.toml (or path, or WENSHENG_SETTINGS), overlaid by WENSHENG_SECTION__KEY variables.

    Raises SettingsError with the file and line, or the variable, and what to write instead.
    """
    environ = os.environ if environ is None else environ
    path = path or Path(environ.get("WENSHENG_SETTINGS") or ROOT / "settings.toml")
    text, tree = _read(path)
    variables = _overlay(tree, environ)
    if folder := environ.get("WENSHENG_DATA_DIR"):
        tree.setdefault("service", {})["data_dir"] = folder
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_explain(problem, path, text, variables) for problem in error.errors())
        ) from error
    _refuse_unknown_variables(environ, variables, settings)
    data_dir = settings.service.data_dir.expanduser()
    service = settings.service.model_copy(update={"data_dir": data_dir if data_dir.is_absolute() else ROOT / data_dir})
    sample = f"http://127.0.0.1:{settings.sample.port}"
    return settings.model_copy(
        update={
            "service": service,
            "sources": tuple(_at_sample(source, sample) for source in settings.sources),
            "channels": tuple(_at_sample(channel, sample) for channel in settings.channels),
        }
    )


def _at_sample(item: S, address: str) -> S:
    """Its url with {sample} filled in, so that the sample site may move to another port."""
    return item.model_copy(update={"url": item.url.replace("{sample}", address)})


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            f"找不到设置文件 {path}。请从仓库复制 settings.toml, 或用 WENSHENG_SETTINGS 指定。"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"读不了设置文件 {path}: {error}。文件须为可读的 UTF-8 文本。") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: 不是合法的 TOML: {error}") from error


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put WENSHENG_A__B=value into the tree; returns which variable set which place."""
    placed: dict[tuple[str, ...], str] = {}
    for name, value in sorted(environ.items()):
        place = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
        if not name.startswith(ENV_PREFIX) or name in PLAIN_VARIABLES or place[0] not in Settings.model_fields:
            continue
        branch: Any = tree
        for part in place[:-1]:
            branch = branch.setdefault(part, {}) if isinstance(branch, dict) else None
        if not isinstance(branch, dict):
            raise SettingsError(
                f"环境变量 {name}: 这里是列表, 只能整体给出 (JSON), 如 {ENV_PREFIX}{place[0].upper()}='[...]'"
            )
        branch[place[-1]] = _value(value)
        placed[place] = name
    return placed


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _refuse_unknown_variables(
    environ: Mapping[str, str], placed: Mapping[tuple[str, ...], str], settings: Settings
) -> None:
    known = PLAIN_VARIABLES | set(placed.values()) | secret_names(settings)
    options = {
        f"{ENV_PREFIX}{section}__{key}".upper()
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key in field.annotation.model_fields
    }
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in known:
            raise SettingsError(f"不认识的环境变量 {name}{_hint(name, options | PLAIN_VARIABLES)}")


def secret_names(settings: Settings) -> set[str]:
    """Names of the environment variables that the settings expect secrets in."""
    names = {name for channel in settings.channels for name in (channel.url_env, channel.secret_env) if name}
    for source in settings.sources:
        named = source.options.get("headers_env")
        names |= {str(name) for name in named.values()} if isinstance(named, dict) else set()
    return names | {name for name in (settings.store.password_env, settings.store.api_key_env) if name}


_WANTED = {
    "int": "整数",
    "float": "数",
    "bool": "true 或 false",
    "string": "文字 (用引号括起, 且符合格式)",
    "date": "日期, 如 2026-11-01",
    "time": "时刻, 如 09:00:00",
    "tuple": '列表, 如 ["a", "b"]',
    "dict": "表, 如 { a = 1 }",
    "path": "路径",
}
"""First word of pydantic's error type -> what to write instead."""


def _explain(problem: Any, path: Path, text: str, variables: Mapping[tuple[str, ...], str]) -> str:
    """One line for a person: where, what, and what to write instead."""
    place = tuple(problem["loc"])
    names = tuple(str(part) for part in place)
    variable = next((variables[names[:n]] for n in range(len(names), 0, -1) if names[:n] in variables), None)
    where = f"环境变量 {variable}" if variable else f"{path}: 第 {_line_of(text, place)} 行"
    name, kind = ".".join(str(part) for part in place), problem["type"]
    if kind == "extra_forbidden":
        return f"{where}: 不认识的键 {name}{_hint(str(place[-1]), _keys_at(place[:-1]))}"
    if kind == "missing":
        return f"{where}: 缺少 {name}"
    if kind == "value_error":
        return f"{where}: {name + ': ' if name else ''}{problem['ctx']['error']}"
    wanted = problem.get("ctx", {}).get("expected") or _WANTED.get(kind.split("_")[0]) or problem["msg"]
    return f"{where}: {name} 的值 {problem['input']!r} 不对, 应为: {wanted}"


def _keys_at(place: tuple[Any, ...]) -> set[str]:
    """The keys that settings know at a place, e.g. ("sources", 2) -> fields of SourceSettings."""
    model: Any = Settings
    for part in place:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)
        if model is None:
            return set()
    return set(model.model_fields)


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f", 是否想写 {close[0]}?"
    return f", 可用的有: {', '.join(sorted(known))}" if 0 < len(known) <= 30 else ""


_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\-]+)\s*\]\]?")
_KEY = re.compile(r"^\s*([\w\-]+)\s*(?:\.|=)")


def _line_of(text: str, place: tuple[Any, ...]) -> int:
    """The line that sets a place, or that of the nearest table around it (tomllib keeps no positions)."""
    seen: dict[str, int] = {}
    table: tuple[Any, ...] = ()
    best, best_length = 1, -1
    for number, line in enumerate(text.splitlines(), start=1):
        here = table
        if header := _HEADER.match(line):
            name = header[2]
            if header[1] == "[[":
                seen[name] = seen.get(name, -1) + 1
            parts = name.split(".")
            table = (parts[0], *((seen[parts[0]],) if parts[0] in seen else ()), *parts[1:])
            here = table
        elif key := _KEY.match(line):
            here = (*table, key[1])
        if len(here) > best_length and here == place[: len(here)] and len(here) > 0:
            best, best_length = number, len(here)
    return best
