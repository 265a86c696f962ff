"""Is everything as it should be? Each check finds, and says how to mend what it finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import settings as settings_module
from alerts.channels import build
from alerts.channels.base import ChannelRefused
from crawlers.options import problem as options_problem
from index import readers, workers
from index.models import Frozen, Outcome, ReaderState, Source, Topic, WorkerState
from index.open import open_store
from index.store import MentionQuery, QueryError, SchemaError, Store, StoreError
from nlp.classifier import NlpError
from nlp.load import load_classifier
from nlp.match import TopicMatcher
from settings import Settings, SettingsError

ENOUGH_BYTES = 2 * 1024**3
LITTLE_BYTES = 200 * 1024**2
BASIS_GOOD_FOR = timedelta(days=365)


class Check(Frozen):
    """One finding. mend is empty where there is nothing to mend."""

    name: str
    status: Literal["ok", "warning", "error"]
    finding: str
    mend: str = ""


def examine(*, now: datetime) -> list[Check]:
    """All checks in the order in which they build on each other."""
    try:
        settings = settings_module.load()
    except SettingsError as error:
        return [Check(name="设置", status="error", finding=str(error), mend="按上面的提示改 settings.toml 或环境变量")]
    checks = [Check(name="设置", status="ok", finding=f"{len(settings.topics)} 个主题, {len(settings.sources)} 个来源")]
    checks.append(_disk(settings))
    checks.append(_model(settings))
    checks.extend(_channels(settings, now))
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        store = open_store(settings)
    except (OSError, StoreError) as error:
        mend = "照说明做" if isinstance(error, SchemaError) else _where_the_store_is(settings)
        return [*checks, Check(name="存储", status="error", finding=str(error), mend=mend)]
    with_store: tuple[Callable[[Settings, Store, datetime], Iterator[Check]], ...] = (
        _store,
        _workers,
        _readings,
        _clock,
        _topics,
        _sources,
    )
    try:
        for check in with_store:
            checks.extend(check(settings, store, now))
    finally:
        store.close()
    return checks


def _where_the_store_is(settings: Settings) -> str:
    if settings.store.backend == "elasticsearch":
        return "检查 Elasticsearch 是否在运行, [store] 写得对不对"
    return f"检查 {settings.data_dir} 是否可写、是否被其他程序占用; 必要时用备份恢复"


def _disk(settings: Settings) -> Check:
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    finding = f"{folder} 还有 {free / 1024**3:.1f} GB"
    if not os.access(folder, os.W_OK):
        return Check(
            name="磁盘",
            status="error",
            finding=f"{folder} 不可写",
            mend="修改权限, 或用 WENSHENG_DATA_DIR 换一个文件夹",
        )
    if free < ENOUGH_BYTES:
        status: Literal["warning", "error"] = "error" if free < LITTLE_BYTES else "warning"
        return Check(name="磁盘", status=status, finding=finding, mend="清理磁盘, 或缩短 [retention] mentions_days")
    return Check(name="磁盘", status="ok", finding=finding)


def _model(settings: Settings) -> Check:
    try:
        loaded = load_classifier(settings)
        labels = loaded.classifier.read(["这杯咖啡很好喝"])[0]
    except NlpError as error:
        return Check(name="模型", status="error", finding=str(error), mend="从仓库恢复 nlp/model/, 或重新训练")
    finding = f"{loaded.classifier.version}, 试读: {labels.sentiment.value}"
    if loaded.fallback_reason:
        return Check(
            name="模型",
            status="warning",
            finding=f"备用模型 {finding}; {loaded.fallback_reason}",
            mend="恢复这个文件; 工作进程几分钟内自己换回, 并在后台重读, 不必重启",
        )
    return Check(name="模型", status="ok", finding=finding)


def _channels(settings: Settings, now: datetime) -> Iterator[Check]:
    if not settings.channels:
        yield Check(
            name="渠道",
            status="warning",
            finding="没有通知渠道, 预警只在看板上可见",
            mend="在 settings.toml 加 [[channels]]",
        )
    for channel in settings.channels:
        try:
            build(channel, os.environ, lambda: now)
        except ChannelRefused as error:
            yield Check(
                name=f"渠道 {channel.id}", status="error", finding=str(error), mend="设置缺少的环境变量或改正网址"
            )
        else:
            yield Check(name=f"渠道 {channel.id}", status="ok", finding=f"{channel.kind}, {channel.min_level} 级起")


def _store(settings: Settings, store: Store, _: datetime) -> Iterator[Check]:
    facts = store.check()
    finding = f"{facts['n_mentions']:,} 条提及, {facts['n_bytes'] / 1024**2:,.0f} MB, 结构版本 {facts['schema']}"
    for problem in facts["problems"]:
        yield Check(name="存储", status="error", finding=problem, mend="停止服务, 用最近的备份恢复")
    if not facts["problems"]:
        yield Check(name="存储", status="ok", finding=f"{settings.store.backend}: {finding}")


def _workers(_: Settings, store: Store, now: datetime) -> Iterator[Check]:
    """Whether all that is to be done is done by somebody."""
    states = store.find(WorkerState)
    running = workers.running(states, now)
    if not running:
        mend = "启动服务 (manage.py up), 或在各台机器上启动工作进程 (manage.py work)"
        yield Check(name="工作进程", status="warning", finding="没有工作进程在运行", mend=mend)
        return
    finding = "; ".join(f"{state.id} {', '.join(state.roles)}" for state in running)
    missing = ", ".join(workers.unfilled(states, now))
    if missing:
        mend = f"在一台机器的 [worker] roles 里加上 {missing}, 或启动担任它的那台"
        yield Check(name="工作进程", status="warning", finding=f"没有谁担任 {missing}; 现有: {finding}", mend=mend)
    else:
        yield Check(name="工作进程", status="ok", finding=finding)


def _readings(_: Settings, store: Store, __: datetime) -> Iterator[Check]:
    """What the workers say they read with, and how much another model read."""
    states = store.find(ReaderState)
    ill = readers.worst(states)
    if ill is not None:
        finding = f"{ill.id} 从 {ill.since_at:%Y-%m-%d %H:%M} UTC 起用 {ill.model_version or '(没有模型)'}: "
        yield Check(
            name="读取", status="warning", finding=finding + ill.fallback_reason, mend="恢复这台机器上的模型文件"
        )
    version = readers.best_version(states)
    n_left = store.count(readers.outdated(version)) if version else 0
    if n_left:
        yield Check(
            name="读取", status="ok", finding=f"还有 {n_left:,} 条提及由别的模型标注, 工作进程正在后台用 {version} 重读"
        )
    elif version and ill is None:
        yield Check(name="读取", status="ok", finding=f"所有提及都由 {version} 标注")
    elif states and ill is None:
        names = ", ".join(f"{state.id} {state.model_version}" for state in readers.present(states))
        mend = "把各台机器升级到同一版本; 在那之前不重读旧提及"
        yield Check(name="读取", status="warning", finding=f"各机器的模型不同: {names}", mend=mend)


def _clock(_: Settings, store: Store, now: datetime) -> Iterator[Check]:
    """The newest stored instant must not lie ahead; a clock that jumped back would hide new mentions."""
    try:
        ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        yield Check(name="时钟", status="error", finding="系统没有时区数据", mend="apt-get install tzdata")
        return
    ahead = store.count(MentionQuery(indexed_since=now + timedelta(minutes=5), hidden="with"))
    if ahead:
        finding = f"有 {ahead} 条提及的入库时间晚于现在 ({now:%Y-%m-%d %H:%M} UTC)"
        yield Check(name="时钟", status="error", finding=finding, mend="校准系统时钟 (NTP)")
    else:
        yield Check(
            name="时钟", status="ok", finding=f"{now.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M} 北京时间"
        )


def _topics(settings: Settings, store: Store, _: datetime) -> Iterator[Check]:
    stored = {topic.id: topic for topic in store.find(Topic)}
    topics = [*settings.topics, *(topic for key, topic in stored.items() if not topic.provisioned)]
    for topic in topics:
        try:
            TopicMatcher([topic])
        except QueryError as error:
            yield Check(
                name=f"主题 {topic.id}", status="error", finding=str(error), mend="改正这个主题的 query 或 exclude"
            )
    if nameless := [topic.id for topic in topics if topic.enabled and topic.is_of_a_brand and not topic.names]:
        yield Check(
            name="主题名称",
            status="warning",
            finding=f"{', '.join(nameless)} 没有写 names, 模型读提及时看得到品牌名称, 判断会受名称影响",
            mend='在 settings.toml 的这些主题里写上品牌的各个名称, 如 names = ["山岚", "岚咖"]',
        )
    if not topics:
        yield Check(
            name="主题",
            status="warning",
            finding="没有监测主题, 采到的内容都会被忽略",
            mend="在 settings.toml 加 [[topics]]",
        )


def _sources(settings: Settings, store: Store, now: datetime) -> Iterator[Check]:
    stored = {source.id: source for source in store.find(Source)}
    for source in settings.sources:
        name = f"来源 {source.id}"
        if not source.enabled:
            yield Check(
                name=name, status="warning", finding="已停用", mend="写明 basis 与 reviewed 后把 enabled 设为 true"
            )
            continue
        if source.reviewed and now.date() - source.reviewed > BASIS_GOOD_FOR:
            yield Check(
                name=name,
                status="warning",
                finding=f"采集依据于 {source.reviewed} 审查, 已超过一年",
                mend="重新审查并更新 reviewed",
            )
            continue
        if wrong := options_problem(source):
            yield Check(name=name, status="error", finding=wrong, mend="改正这个来源的 options")
            continue
        for variable in source.options.get("headers_env", {}).values():
            if variable not in os.environ:
                yield Check(
                    name=name, status="error", finding=f"缺少环境变量 {variable}", mend=f"export {variable}=..."
                )
        run = stored.get(source.id)
        if run is None or run.last_outcome is None:
            yield Check(name=name, status="ok", finding="还没有采集过")
        elif run.last_outcome in (Outcome.OK, Outcome.EMPTY, Outcome.PARTIAL):
            yield Check(name=name, status="ok", finding=f"上次结果: {run.last_outcome.value}")
        else:
            finding = f"连续 {run.n_failures} 次未成功, 最近一次: {run.last_outcome.value}"
            yield Check(
                name=name, status="warning", finding=finding, mend=f"python manage.py crawl {source.id} 查看原因"
            )
