"""The command line. Every command prints a table for people, or one JSON document with --json."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer
from typer._click import exceptions as usage  # typer ships its own click and names these nowhere else

import settings as settings_module
from console import (
    Json,
    UsageError,
    complain,
    configure_logs,
    drop_output,
    dump,
    instant,
    mention_document,
    now,
    progress,
    say,
    usage_line,
)
from index.copy import take_into_use
from index.models import Account, Alert, Customer, Role, Rule, Run, Source, Task, Topic
from index.store import MentionQuery, Store, StoreError
from settings import SettingsError
from store_commands import opened, store_app

app = typer.Typer(no_args_is_help=True, add_completion=False, help="闻声: 品牌舆情聆听服务")
import_app = typer.Typer(no_args_is_help=True, help="导入提及或客户")
export_app = typer.Typer(no_args_is_help=True, help="导出")
rule_app = typer.Typer(no_args_is_help=True, help="预警规则")
users_app = typer.Typer(no_args_is_help=True, help="登录账号")
channels_app = typer.Typer(no_args_is_help=True, help="通知渠道")
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")
app.add_typer(rule_app, name="rule")
app.add_typer(users_app, name="users")
app.add_typer(channels_app, name="channels")
app.add_typer(store_app, name="store")


From = Annotated[str | None, typer.Option("--from", help="起 (含), 如 2026-11-01 或 2026-11-01T08:00; 默认北京时间")]
To = Annotated[str | None, typer.Option("--to", help="止 (不含)")]
Copies = Annotated[Literal["fold", "all"], typer.Option("--copies", help="fold 去重后, all 含转载")]
By = Literal["sentiment", "intent", "severity", "topic", "platform", "source", "day", "hour"]


# ------------------------------------------------------------------------------------------------ opening


def topic_of(store: Store, topic: str) -> Topic:
    found = store.get(Topic, topic)
    if found is None:
        known = ", ".join(item.id for item in store.find(Topic)) or "(无)"
        raise UsageError(f"没有主题 {topic!r}; 已有: {known}")
    return found


def service() -> Any:
    """Everything a job needs, with topics, sources and rules of the settings in the store."""
    import jobs

    settings, store = opened()
    take_into_use(store)
    made = jobs.Service(settings=settings, store=store, clock=now)
    jobs.provision(made)
    return made


def opened_for_topic(topic: str | None) -> Store:
    """Reading needs no provisioning, unless it names a topic that may not have come into the store yet."""
    if topic is None:
        return opened()[1]
    store: Store = service().store
    topic_of(store, topic)
    return store


# ------------------------------------------------------------------------------------------------ service


@app.command()
def up() -> None:
    """启动整个服务: 采集与预警进程、看板, 以及示例站点 (若启用)。"""
    import supervise

    made = service()  # what is wrong with the settings is said once, not by every process
    raise typer.Exit(supervise.run(made.settings, made.store, now()))


@app.command()
def work(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="做完所有到期的事就结束")] = False,
    as_json: Json = False,
) -> None:
    """工作进程: 采集、入库、评估规则、发送通知。"""
    import worker

    if not until_idle:
        worker.run(worker.patiently(service))
        return
    rounds = worker.work_until_idle(service())
    say({"rounds": rounds}, [], as_json=as_json, title=f"已无到期的事 (共 {rounds} 轮)。")


@app.command()
def doctor(as_json: Json = False) -> None:
    """检查设置、存储、模型、磁盘、时钟、渠道和来源, 并说明如何修复。"""
    from doctor import examine

    checks = examine(now=now())
    names = {"ok": "正常", "warning": "注意", "error": "错误"}
    say(
        {"ok": all(check.status != "error" for check in checks), "checks": [dump(check) for check in checks]},
        [{"检查": c.name, "结果": names[c.status], "说明": c.finding, "怎么办": c.mend} for c in checks],
        as_json=as_json,
    )
    if any(check.status == "error" for check in checks):
        raise typer.Exit(1)


@app.command()
def crawl(source: Annotated[str, typer.Argument(help="来源的 id")], as_json: Json = False) -> None:
    """立即采集一个来源并入库。"""
    import jobs

    made = service()
    found = made.store.get(Source, source)
    if found is None:
        known = ", ".join(item.id for item in made.store.find(Source)) or "(无)"
        raise UsageError(f"没有来源 {source!r}; 已有: {known}")
    if not found.enabled:
        raise UsageError(f"来源 {source} 已停用: 写明采集依据 basis 与审查日期 reviewed, 再把 enabled 设为 true")
    claimed = jobs.claim(made, found)
    if claimed is None:
        raise UsageError(f"来源 {source} 正在采集, 请稍后再试")
    run = jobs.crawl(made, claimed)
    done = jobs.ingest_spool(made)
    run = made.store.get(type(run), run.id) or run
    say(
        {"run": dump(run), "n_new": run.n_new, "n_unmatched": done.n_unmatched},
        [
            {
                "结果": run.outcome.value,
                "说明": run.message,
                "条数": run.n_items,
                "坏行": run.n_bad,
                "新提及": "待入库" if run.n_new is None else run.n_new,
            }
        ],
        as_json=as_json,
    )
    if run.outcome.value not in ("ok", "empty", "partial"):
        raise typer.Exit(1)


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="备份文件的路径, 须不存在")], as_json: Json = False) -> None:
    """在线备份: 其他进程可继续读写。"""
    _, store = opened()
    store.backup(target)
    n_bytes = target.stat().st_size
    say(
        {"target": str(target), "n_bytes": n_bytes},
        [],
        as_json=as_json,
        title=f"已备份到 {target} ({n_bytes:,} 字节)。",
    )


@app.command()
def bench(
    mentions: Annotated[int, typer.Option(min=1, help="存储里放多少条提及")] = 1_000_000,
    months: Annotated[int, typer.Option(min=1, help="在 Elasticsearch 里分布在多少个月")] = 3,
    only: Annotated[Literal["elasticsearch"] | None, typer.Option(help="只测这一部分")] = None,
    as_json: Json = False,
) -> None:
    """测量这台机器上的速度 (首次会建大库, 需数分钟; 中断后再运行一次即可接着建)。

    Elasticsearch 取 [store] 里的, 或环境变量 WENSHENG_TEST_ELASTICSEARCH_URL 指定的; 都没有则略过并说明。
    """
    from bench import run, run_elasticsearch

    measure = run if only is None else run_elasticsearch
    document = measure(settings_module.load(), n_mentions=mentions, months=months)
    rows = [{"项目": name, "值": json.dumps(value, ensure_ascii=False)} for name, value in document.items()]
    say(document, rows, as_json=as_json)


# ------------------------------------------------------------------------------------------------- import


@import_app.command("mentions")
def import_mentions(
    file: Annotated[Path, typer.Argument(help=".jsonl, .csv 或 .xlsx", readable=False)],
    topic: Annotated[str | None, typer.Option("--topic", help="所有行都归入这个主题; 不给则按各主题的查询匹配")] = None,
    as_json: Json = False,
) -> None:
    """导入提及: 需要 text 与 published_at 两列, 其余可省。"""
    import jobs
    from crawlers.importing import read_file

    made = service()
    if topic is not None:
        topic_of(made.store, topic)
    read = read_file(file, source_id="import", now=now())
    total = jobs.Ingested()
    with progress("导入", None, as_json=as_json) as advance:
        for done in jobs.import_mentions(made, read.mentions, topic=topic):
            total += done
            advance(done.n_read)
    document = {
        "n_rows": read.n_rows,
        "n_new": total.n_new,
        "n_known": total.n_known,
        "n_unmatched": total.n_unmatched,
        "n_empty": total.n_empty,
        "n_expired": total.n_expired,
        "n_refused": len({row.row for row in read.refused}) + len(total.refused),
        "refused": [asdict(row) for row in read.refused],
        "refused_by_store": [{"id": line.where, "reason": line.reason} for line in total.refused],
    }
    say(
        document,
        [
            *({"行": r.row, "列": r.column, "值": r.value, "原因": r.reason} for r in read.refused),
            *({"行": "", "列": "id", "值": line.where, "原因": line.reason} for line in total.refused),
        ],
        as_json=as_json,
        title=f"新增 {total.n_new} 条, 已有 {total.n_known} 条, 与主题无关 {total.n_unmatched} 条, "
        f"空白 {total.n_empty} 条, 早于保留期 {total.n_expired} 条, 拒收 {document['n_refused']} 行。",
    )


@import_app.command("customers")
def import_customers(
    file: Annotated[Path, typer.Argument(help=".csv 或 .xlsx, 每个订单一行", readable=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只看会改什么, 不写入")] = False,
    as_json: Json = False,
) -> None:
    """导入客户与订单; 有一格不对就整份不导入, 并逐格说明。"""
    from index import customers

    _, store = opened()
    report = customers.import_customers(store, file, now=now(), dry_run=dry_run)
    n_linked = customers.relink(store, now=now()) if report.applied else 0
    document = {
        "n_rows": report.n_rows,
        "applied": report.applied,
        "n_new": report.n("new"),
        "n_changed": report.n("changed"),
        "n_same": report.n("same"),
        "n_mentions_linked": n_linked,
        "bad_cells": [dump(cell) for cell in report.bad_cells],
    }
    verdict = "未导入: 有错误的单元格" if report.bad_cells else "已导入" if report.applied else "预览 (未写入)"
    say(
        document,
        [{"行": c.row, "列": c.column, "值": c.value, "原因": c.reason} for c in report.bad_cells],
        as_json=as_json,
        title=f"{verdict}: 新增 {document['n_new']}, 变更 {document['n_changed']}, 未变 {document['n_same']} 位客户; "
        f"新关联提及 {n_linked} 条。",
    )
    if report.bad_cells:
        raise typer.Exit(1)


@export_app.command("labels")
def export_labels(
    since: Annotated[str | None, typer.Option("--since", help="只要此后复核的, 如 2026-11-01; 默认北京时间")] = None,
    file: Annotated[Path | None, typer.Option("--out", help="写到这个 .jsonl 文件; 不给则写到标准输出")] = None,
    as_json: Json = False,
) -> None:
    """导出人工复核过的提及, 每行一条 JSON, 供训练模型使用。

    用法: python manage.py export labels --out labels.jsonl, 再 python -m nlp.train --data 数据目录 --extra
    labels.jsonl。每行的 sentiment, intent, severity, aspects 只写人判定过的 (更正的和点过“标注无误”的); 没有判定的为
    null, 训练时不计。model 是模型当时的判断和版本, 只用于统计一致率, 不作训练目标。个人信息已隐去, 不含账号与链接。
    """
    from labelling import training_rows

    if as_json and file is None:
        raise UsageError("--json 说的是导出了多少, 须同时用 --out 给出文件")
    _, store = opened()
    n = 0
    with _lines_to(file) as lines, progress("导出", None, as_json=as_json) as advance:
        for row in training_rows(store, since=instant(since)):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            n += 1
            advance(1)
    if file is not None:
        say({"file": str(file), "n_rows": n}, [], as_json=as_json, title=f"已导出 {n:,} 条到 {file}。")


@contextmanager
def _lines_to(file: Path | None) -> Iterator[TextIO]:
    """A file that is there only once it is whole, or standard output."""
    if file is None:
        yield sys.stdout
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("w", encoding="utf-8") as lines:
            yield lines
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ reading


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='查询, 如 "咖啡 AND (拉肚子 OR 腹泻) NOT 加盟"')],
    topic: Annotated[str | None, typer.Option("--topic")] = None,
    since: From = None,
    until: To = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000)] = 20,
    copies: Copies = "all",
    as_json: Json = False,
) -> None:
    """查找提及, 新的在前。"""
    store = opened_for_topic(topic)
    wanted = mention_query(query, topic, since, until, copies)
    total = store.count(wanted)
    mentions = store.search(wanted, limit=limit).mentions if limit else ()
    say(
        {"total": total, "mentions": [mention_document(mention) for mention in mentions]},
        [
            {
                "时间": m.published_at,
                "平台": m.platform,
                "情感": m.sentiment,
                "意图": m.intent,
                "内容": m.title or m.text,
            }
            for m in mentions
        ],
        as_json=as_json,
        title=f"共 {total:,} 条",
    )


@app.command()
def count(
    by: Annotated[By, typer.Option("--by", help="按什么分组")],
    query: Annotated[str, typer.Argument(help="查询, 可省")] = "",
    topic: Annotated[str | None, typer.Option("--topic")] = None,
    since: From = None,
    until: To = None,
    copies: Copies = "all",
    as_json: Json = False,
) -> None:
    """统计提及条数; 一条提及可属于多个主题, 各计一次。"""
    store = opened_for_topic(topic)
    wanted = mention_query(query, topic, since, until, copies)
    total = store.count(wanted)
    counts = {key: n for (key,), n in sorted(store.group(wanted, [by]).items())}
    say(
        {"total": total, "counts": counts},
        [{"分组": key or "(未知)", "条数": f"{n:,}"} for key, n in counts.items()],
        as_json=as_json,
        title=f"共 {total:,} 条",
    )


def mention_query(
    text: str, topic: str | None, since: str | None, until: str | None, copies: Literal["fold", "all"]
) -> MentionQuery:
    start, end = instant(since), instant(until)
    if start is not None and end is not None and start >= end:
        raise UsageError("--from 须早于 --to")
    return MentionQuery(text=text, topics=(topic,) if topic else (), since=start, until=end, copies=copies)


@app.command()
def topics(as_json: Json = False) -> None:
    """监测主题。"""
    found = service().store.find(Topic)
    rows = [{"id": t.id, "名称": t.name, "类型": t.kind, "启用": t.enabled, "查询": t.query} for t in found]
    say([dump(item) for item in found], rows, as_json=as_json)


@app.command()
def sources(as_json: Json = False) -> None:
    """来源与最近一次采集的结果。"""
    store = service().store
    found = store.find(Source)
    rows = [
        {
            "id": s.id,
            "名称": s.name,
            "类型": s.kind,
            "启用": s.enabled,
            "结果": s.last_outcome and s.last_outcome.value,
            "说明": last_message(store, s),
            "上次成功": s.last_success_at,
            "下次": s.next_at,
        }
        for s in found
    ]
    documents = [{**dump(item), "last_message": last_message(store, item)} for item in found]
    say(documents, rows, as_json=as_json)


def last_message(store: Store, source: Source) -> str | None:
    """What the last crawl had to say; None before the first, or when retention took its record."""
    run = store.get(Run, source.last_run_id) if source.last_run_id else None
    return run.message if run else None


@app.command()
def alerts(as_json: Json = False) -> None:
    """预警, 新的在前。"""
    _, store = opened()
    found = store.find(Alert, order_by="opened_at", descending=True)
    rows = [
        {"id": a.id, "级别": a.level.value, "状态": a.state.value, "开始": a.opened_at, "原因": a.sentence}
        for a in found
    ]
    say([dump(item) for item in found], rows, as_json=as_json)


@app.command()
def tasks(as_json: Json = False) -> None:
    """回复任务, 最急的在前。"""
    _, store = opened()
    found = store.find(Task, order_by="due_at")
    rows = [
        {
            "id": t.id,
            "优先级": t.priority.value,
            "状态": t.state.value,
            "负责人": t.owner,
            "时限": t.due_at,
            "内容": t.title,
        }
        for t in found
    ]
    say([dump(item) for item in found], rows, as_json=as_json)


@app.command()
def customers(as_json: Json = False) -> None:
    """客户。"""
    _, store = opened()
    found = store.find(Customer)
    rows = [
        {"id": c.id, "姓名": c.name, "分组": c.group, "订单数": len(c.orders), "账号": ", ".join(c.handles)}
        for c in found
    ]
    say([dump(item) for item in found], rows, as_json=as_json)


@rule_app.command("try")
def rule_try(
    name: Annotated[str, typer.Argument(help="规则的 id")],
    since: Annotated[str, typer.Option("--from", help="起 (含)")],
    until: Annotated[str, typer.Option("--to", help="止 (不含)")],
    as_json: Json = False,
) -> None:
    """在已存的提及上试一条规则: 它会在何时触发, 不产生任何动作。"""
    from alerts.trial import try_rule

    store = service().store
    rule = store.get(Rule, name)
    if rule is None:
        known = ", ".join(item.id for item in store.find(Rule)) or "(无)"
        raise UsageError(f"没有规则 {name!r}; 已有: {known}")
    start, end = instant(since), instant(until)
    if start is None or end is None or start >= end:
        raise UsageError("--from 须早于 --to")
    # Of what is still to come nothing is known; a rule on silence would take that for silence.
    breaches = try_rule(store, rule, start, min(end, now())) if start < now() else []
    keys = ("at", "topic", "level", "value", "expected", "probability", "reason", "sentence", "evidence")
    say(
        {"breaches": [{key: dump(breach)[key] for key in keys} for breach in breaches]},
        [
            {"时间": b.at, "级别": b.level.value, "值": b.value, "平时": b.expected, "说明": b.sentence}
            for b in breaches
        ],
        as_json=as_json,
        title=f"会触发 {len(breaches)} 次。",
    )


@channels_app.command("test")
def channels_test(name: Annotated[str, typer.Argument(help="渠道的 id")], as_json: Json = False) -> None:
    """发一条测试消息, 并说明对方是否收下。"""
    from alerts.channels import build
    from alerts.channels.base import ChannelError
    from alerts.outbox import trial_notification

    settings = settings_module.load()
    channel = next((item for item in settings.channels if item.id == name), None)
    if channel is None:
        raise UsageError(f"没有渠道 {name!r}; 已有: {', '.join(item.id for item in settings.channels) or '(无)'}")
    notification = trial_notification(channel, base_url=settings.base_url, now=now())
    try:
        build(channel, os.environ, now).send(notification)
    except ChannelError as error:
        raise UsageError(f"渠道 {name} 没有收下: {error}") from error
    say({"channel": name, "sent": True}, [], as_json=as_json, title=f"渠道 {name} 收下了测试消息。")


# -------------------------------------------------------------------------------------------------- users


@users_app.command("add")
def users_add(
    account: Annotated[str, typer.Argument(help="登录名")],
    role: Annotated[Role, typer.Option("--role", help="pr 公关, service 客服, product 产品, admin 管理员")],
    name: Annotated[str | None, typer.Option("--name", help="显示给同事的名字")] = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="只可见这些主题, 可多次给出")] = None,
    as_json: Json = False,
) -> None:
    """新建登录账号; 口令从终端或标准输入读入, 不出现在命令行里。"""
    from dashboard.access import AccessError, create_account

    store = service().store
    for wanted in topic or ():
        topic_of(store, wanted)
    try:
        password = typer.prompt("口令", hide_input=True, confirmation_prompt=True) if sys.stdin.isatty() else input()
    except EOFError as error:
        raise UsageError("没有口令: 请在终端里运行, 或从标准输入给出") from error
    try:
        made = create_account(
            store, account, name=name or account, role=role, topics=tuple(topic or ()), password=password
        )
    except AccessError as error:
        raise UsageError(str(error)) from error
    say(account_document(made), [], as_json=as_json, title=f"已建账号 {made.id} ({made.role.value})。")


@users_app.command("list")
def users_list(as_json: Json = False) -> None:
    """登录账号。"""
    _, store = opened()
    found = [account_document(item) for item in store.find(Account)]
    say(found, found, as_json=as_json)


def account_document(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role.value,
        "topics": list(account.topics),
        "disabled": account.disabled,
    }


def main() -> None:
    """Run a command. What is wrong becomes one clear line on stderr and exit status 1, of the command line itself 2."""
    from crawlers.parsers.file import ImportFileError
    from index.customer_file import CustomerFileError
    from nlp.classifier import NlpError

    configure_logs()
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status)
    except usage.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except usage.ClickException as error:
        complain(usage_line(error))
        sys.exit(error.exit_code)
    except (SettingsError, StoreError, UsageError, ImportFileError, CustomerFileError, NlpError) as error:
        complain(str(error))
        sys.exit(1)
    except (typer.Abort, KeyboardInterrupt):
        complain("已中断")
        sys.exit(130)
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        drop_output()
        complain(f"系统出错: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
        sys.exit(1)


if __name__ == "__main__":
    main()
