"""The commands of `manage.py store`: moving to another backend or another version of the indices, and comparing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import settings as settings_module
from console import Json, UsageError, dump, now, progress, say
from index.compare import Comparison, compare
from index.copy import ALL, Copied, copy, mark_equal, n_records_of, refuse_half_copied, take_into_use
from index.open import open_store
from index.store import Store
from settings import Settings, StoreSettings

if TYPE_CHECKING:
    from index.elastic_migrate import Migrated

store_app = typer.Typer(no_args_is_help=True, help="存储: 换后端时复制与核对, 升级索引结构")

Backend = Annotated[Literal["embedded", "elasticsearch"], typer.Option("--to", help="复制到哪种存储")]
Samples = Annotated[int, typer.Option("--samples", min=0, help="逐字段核对多少条提及 (均匀抽取)")]
Every = Annotated[bool, typer.Option("--every", help="逐字段核对每一条提及, 不抽样")]


def opened() -> tuple[Settings, Store]:
    settings = settings_module.load()
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"不能建立数据文件夹 {settings.data_dir} ({error.strerror}): 请修改权限, 或用 WENSHENG_DATA_DIR 换一个"
        ) from error
    store = open_store(settings)
    refuse_half_copied(store)
    return settings, store


# -------------------------------------------------------------------------------------------- another backend


@store_app.command("copy")
def store_copy(
    to: Backend,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="目标里已有别的数据: 只补上缺少的, 已有的一律不动")
    ] = False,
    samples: Samples = 1_000,
    every: Every = False,
    as_json: Json = False,
) -> None:
    """把现在所用存储里的一切复制到另一种存储, 并核对两边一致; 不一致则退出码为 1。

    中断后再运行一次即可接着复制。复制时服务可照常运行; 最后停掉服务再运行一次, 补上其间的改动, 显示一致后改
    [store] backend 再启动。目标启用之后就不再被覆盖。租约不复制: 那是正在运行的进程占用的。
    """
    settings, source = opened()
    target = store_elsewhere(settings, to)
    total = source.count(ALL) + n_records_of(source)
    with progress("复制", total, as_json=as_json) as advance:
        done = copy(
            source, target, origin=store_name(settings), now=now(), into_existing=into_existing, advance=advance
        )
    with progress("核对", None, as_json=as_json) as advance:
        found = compare(
            source, target, n_samples=None if every else samples, may_have_more=not done.replaced, advance=advance
        )
    if not found.n_different:
        mark_equal(target)
    say_compared(asdict(done), found, copied_line(done), as_json=as_json)


@store_app.command("compare")
def store_compare(to: Backend, samples: Samples = 1_000, every: Every = False, as_json: Json = False) -> None:
    """只核对两种存储是否一致, 不写入; 不一致则退出码为 1。"""
    settings, source = opened()
    target = store_elsewhere(settings, to)
    with progress("核对", None, as_json=as_json) as advance:
        found = compare(source, target, n_samples=None if every else samples, advance=advance)
    say_compared({}, found, "", as_json=as_json)


@store_app.command("use")
def store_use(as_json: Json = False) -> None:
    """原来的存储已经丢失时: 就用 [store] backend 所写的这个只复制了一部分的库。"""
    settings = settings_module.load()
    take_into_use(open_store(settings), as_it_is=True)
    say({"used": True}, [], as_json=as_json, title="这个库可以使用了; 原来的存储不会再覆盖它。")


def store_elsewhere(settings: Settings, backend: Literal["embedded", "elasticsearch"]) -> Store:
    if backend == settings.store.backend:
        raise UsageError(f"数据现在就在 {backend}: --to 须是另一种存储 ([store] backend 写的是现在所用的)")
    chosen = settings.store.model_copy(update={"backend": backend})
    return open_store(settings.model_copy(update={"store": chosen}))


def store_name(settings: Settings) -> str:
    if settings.store.backend == "embedded":
        return f"嵌入式 {settings.store_path.resolve()}"
    return f"Elasticsearch {settings.store.prefix}"


def copied_line(done: Copied) -> str:
    changes = f"新增 {done.n_new:,}, 更新 {done.n_changed:,}, 移除 {done.n_removed:,}"
    kept = f", 保留目标原有的 {done.n_kept:,}" if done.n_kept else ""
    refused = "".join(f"\n目标不收提及 {name}: {reason}" for name, reason in done.refused.items())
    if refused:
        refused += "\n若可以不要它们, 改 [store] backend 之后运行 manage.py store use。"
    return f"复制了 {done.n_mentions:,} 条提及 ({changes}{kept}) 与 {done.n_records:,} 条记录。{refused}\n"


def say_compared(document: dict[str, Any], found: Comparison, line: str, *, as_json: bool) -> None:
    """Ends with exit status 1 where they differ."""
    seen = seen_line(found)
    verdict = f"一致: 核对了{seen}。"
    if found.n_different:
        shown = f", 下面是前 {len(found.differences)} 处" if found.n_different > len(found.differences) else ""
        verdict = (
            f"不一致: 核对了{seen}, 有 {found.n_different:,} 处不同{shown}。"
            "若服务正在写入, 请停掉后再运行一次 store copy。"
        )
    say(
        {
            **document,
            **asdict(found),
            "equal": not found.n_different,
            "differences": [dump(d) for d in found.differences],
        },
        difference_rows(found),
        as_json=as_json,
        title=line + verdict,
    )
    if found.n_different:
        raise typer.Exit(1)


def seen_line(found: Comparison) -> str:
    return f"{found.n_mentions:,} 条提及的各项条数, 其中 {found.n_sampled:,} 条逐字段, 以及 {found.n_records:,} 条记录"


def difference_rows(found: Comparison) -> list[dict[str, str]]:
    return [{"什么": d.what, "字段": d.field, "现在的存储": d.source, "目标": d.target} for d in found.differences]


# ------------------------------------------------------------------------------------------------ new version


@store_app.command("migrate")
def store_migrate(
    copy_only: Annotated[bool, typer.Option("--copy-only", help="只复制, 先不切换; 之后再运行一次就很快")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="放弃进行中的迁移: 删除新索引, 解除写保护")] = False,
    samples: Samples = 300,
    every: Every = False,
    as_json: Json = False,
) -> None:
    """Elasticsearch: 把库迁移到这个程序所用的索引版本, 服务可照常运行; 不一致则不切换, 退出码为 1。

    先建新索引并复制, 追上其间的改动; 最后几秒不让写入 (采集到的内容留在本机等待), 补齐、核对, 再一步切换。
    中断后再运行一次即可接着做。切换之后旧程序不能再读写, 请把每台机器都升级; 旧索引原样保留, 直到 store drop-old。
    加 --every 则在不能写入时逐字段核对每一条提及, 等待会长得多。
    """
    from index import elastic_migrate

    chosen = elasticsearch_only()
    if abandon:
        removed = elastic_migrate.abandon(chosen)
        say(
            {"removed": removed},
            [],
            as_json=as_json,
            title=f"已放弃迁移, 删除了 {len(removed)} 个新索引, 服务照常使用。",
        )
        return
    with progress("迁移", elastic_migrate.n_documents(chosen), as_json=as_json) as advance:
        done = elastic_migrate.migrate(
            chosen, n_samples=None if every else samples, switch=not copy_only, advance=advance
        )
    found = done.comparison
    say(
        {**asdict(done), "equal": None if found is None else not found.n_different},
        [] if found is None else difference_rows(found),
        as_json=as_json,
        title=migrated_line(done),
    )
    if found is not None and found.n_different:
        raise typer.Exit(1)


@store_app.command("drop-old")
def store_drop_old(
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    as_json: Json = False,
) -> None:
    """Elasticsearch: 删除迁移之后留下的旧版本索引, 腾出磁盘。不能恢复, 除非有快照。"""
    from index import elastic_migrate

    chosen = elasticsearch_only()
    found = elastic_migrate.old_versions(chosen)
    listed = f"{len(found.indices)} 个旧索引 ({found.n_mentions:,} 条提及, {found.n_bytes / 1024**2:,.0f} MB)"
    if found.indices and not yes:
        if as_json:
            raise UsageError(f"有 {listed}: 同时用 --yes 才删除")
        typer.confirm(f"删除 {listed}: {', '.join(found.indices)}?", abort=True)
    done = elastic_migrate.drop_old(chosen) if found.indices else found
    title = f"已删除 {listed}。" if done.indices else "没有旧版本的索引。"
    say(asdict(done), [], as_json=as_json, title=title)


def elasticsearch_only() -> StoreSettings:
    chosen = settings_module.load().store
    if chosen.backend != "elasticsearch":
        raise UsageError("这个命令只用于 Elasticsearch ([store] backend): 嵌入式存储在打开时自己升级")
    return chosen


def migrated_line(done: Migrated) -> str:
    if done.from_version == done.to_version:
        return f"库已经是第 {done.to_version} 版, 不需要迁移。"
    carried = f"复制了 {done.n_carried:,} 条 (从第 {done.from_version} 版到第 {done.to_version} 版)"
    found = done.comparison
    if found is None:
        return f"{carried}, 还没有切换: 准备好后再运行 manage.py store migrate。"
    seen = seen_line(found)
    if found.n_different:
        return f"{carried}。不一致: 核对了{seen}, 有 {found.n_different:,} 处不同。没有切换, 服务照常使用原来的索引。"
    return (
        f"{carried}, 一致: 核对了{seen}。已切换, 写入等待了 {done.held_s:.1f} 秒。\n"
        "请把每台机器的程序都升级并重新启动; 确认无误后用 manage.py store drop-old 删除旧索引。"
    )
