"""What doctor wants to know of the store on Elasticsearch."""

from __future__ import annotations

from typing import Any

from index.elastic_schema import mention_indices
from index.elastic_search import Session


def facts(session: Session) -> dict[str, Any]:
    client, names = session.client, session.names
    both = [names.mentions, names.records]
    client.indices.refresh(index=both)
    stats = client.indices.stats(index=both, metric="store", filter_path="_all.total.store.size_in_bytes")
    return {
        "backend": "elasticsearch",
        "server": client.info()["version"]["number"],
        "schema": names.version,
        "n_mentions": session.count(names.mentions, {"match_all": {}}),
        "n_bytes": stats["_all"]["total"]["store"]["size_in_bytes"],
        "n_indices": len(mention_indices(client, names)),
        "problems": [*_health(session, both), *_blocks(session, both)],
    }


def _health(session: Session, indices: list[str]) -> list[str]:
    health = session.client.cluster.health(index=indices)
    if health["status"] == "red":
        return ["Elasticsearch 有分片不可用 (red): 部分数据查不到也写不进, 请检查各节点"]
    if health["status"] == "yellow":
        return [f"Elasticsearch 有 {health['unassigned_shards']} 个副本没有落脚处 (yellow): 坏一个节点可能丢数据"]
    return []


def _blocks(session: Session, indices: list[str]) -> list[str]:
    answer = session.client.indices.get_settings(index=indices, name="index.blocks.*", flat_settings=True)
    blocks = {
        index: {name for name, value in found.get("settings", {}).items() if value in (True, "true")}
        for index, found in answer.body.items()
    }
    held = [index for index, names in blocks.items() if names == {"index.blocks.write"}]
    full = [index for index, names in blocks.items() if names - {"index.blocks.write"}]
    problems = []
    if held:
        problems.append(
            f"索引 {', '.join(held)} 目前不可写: 迁移 (store migrate) 正在做最后一步, 几秒后就好; "
            "若它已中断, 请再运行一次, 或用 manage.py store migrate --abandon 放弃"
        )
    if full:
        problems.append(f"索引 {', '.join(full)} 目前只读, 多半因为磁盘将满: 请腾出空间")
    return problems
