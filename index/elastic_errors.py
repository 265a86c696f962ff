"""Errors of the Elasticsearch client as the one tree of the store, each naming the setting to mend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from elastic_transport import ConnectionError as TransportConnectionError
from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, UnsupportedProductError

from index.store import QueryError, SchemaError, StoreError, StoreUnavailable
from settings import StoreSettings

BUSY = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed."""

_BLOCKED = "cluster_block_exception"


@contextmanager
def errors(settings: StoreSettings) -> Iterator[None]:
    """Whatever the client raises inside leaves as a StoreError."""
    try:
        yield
    except ApiError as e:
        if not isinstance(e.body, dict) and e.status_code not in BUSY and e.body:
            hosts = ", ".join(settings.hosts)
            raise StoreError(f"{hosts} 的回答不像 Elasticsearch ({e.status_code}): 检查 [store] hosts") from e
        raise of_answer(e.status_code, _cause(e.body), settings) from e
    except (TransportError, UnsupportedProductError) as e:
        raise of_connection(e, settings) from e


def worth_a_retry(error: TransportError | ApiError) -> bool:
    """Whether the same request may succeed a little later; it may also have succeeded without our knowing."""
    if isinstance(error, ApiError):
        return error.status_code in BUSY
    return isinstance(error, TransportConnectionError | ConnectionTimeout) and not isinstance(error, TlsError)


def of_connection(error: Exception, settings: StoreSettings) -> StoreError:
    """What it means that no usable answer came."""
    hosts = ", ".join(settings.hosts)
    said = _whole(error)
    if isinstance(error, UnsupportedProductError):
        return StoreError(f"{hosts} 不是 Elasticsearch 8 或 9: 检查 [store] hosts")
    if isinstance(error, TlsError):
        return StoreError(_tls(said, hosts, settings))
    if isinstance(error, ConnectionTimeout):
        return StoreUnavailable(f"Elasticsearch ({hosts}) 在 {settings.timeout_s:g} 秒内没有回答 ([store] timeout_s)")
    if isinstance(error, SerializationError):
        return StoreError(f"{hosts} 的回答不是 JSON: 检查 [store] hosts 是否指向 Elasticsearch")
    if isinstance(error, TransportConnectionError):
        if hosts.startswith("http:") and re.search("aborted|closed|reset|RemoteDisconnected", said):
            return StoreUnavailable(
                f"Elasticsearch ({hosts}) 不等回答就断开了连接: 若服务器开了 https, 请把 [store] hosts 写成 https://..."
            )
        cause = said.rpartition(": ")[2]
        return StoreUnavailable(f"连不上 Elasticsearch ({hosts}): 检查它是否在运行, [store] hosts 是否写对 ({cause})")
    return StoreUnavailable(f"与 Elasticsearch ({hosts}) 通信出错: {said}")


def _whole(error: BaseException) -> str:
    """The client's own text is bare ("TLS error"); what went wrong stands in what it was raised from."""
    found = []
    cause: BaseException | None = error
    while cause is not None and str(cause) not in found:
        found.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    return ": ".join(found)


def _tls(said: str, hosts: str, settings: StoreSettings) -> str:
    if "certificate has expired" in said:
        return f"Elasticsearch ({hosts}) 的证书已过期: 请在服务器上更换证书"
    if "not yet valid" in said:
        return f"Elasticsearch ({hosts}) 的证书尚未生效: 检查两边的时钟"
    if re.search("Hostname mismatch|IP address mismatch|doesn't match", said):
        return f"Elasticsearch ({hosts}) 的证书不是签给这个主机名的: [store] hosts 要写证书上的名字"
    if re.search("self.signed certificate|unable to get (local )?issuer|unknown ca", said, re.IGNORECASE):
        ca = settings.ca_file or "空, 用系统自带的 CA"
        return f"Elasticsearch ({hosts}) 的证书不是由信任的 CA 签发: 检查 [store] ca_file (现为 {ca})"
    if re.search("wrong version number|record layer|unknown protocol", said, re.IGNORECASE):
        return f"{hosts} 说的不是 https: 若服务器没开 https, 请把 [store] hosts 写成 http://..."
    if re.search("NO_CERTIFICATE|PEM|no start line", said):
        return f"{settings.ca_file} 不是 PEM 格式的 CA 证书 ([store] ca_file)"
    return f"与 Elasticsearch ({hosts}) 建立加密连接失败, 检查 [store] ca_file: {said}"


def of_answer(status: int, cause: Mapping[str, Any], settings: StoreSettings) -> StoreError:
    """What an answer with an error means: its status, and type and reason of the cause."""
    kind, reason = str(cause.get("type", "")), str(cause.get("reason", ""))
    hosts = ", ".join(settings.hosts)
    if kind == _BLOCKED:
        return StoreUnavailable(_blocked(reason))
    if status == 401:
        return StoreError(f"Elasticsearch ({hosts}) 不认这份凭据: {_credential(settings)} ({reason})")
    if status == 403:
        return StoreError(f"Elasticsearch 账号权限不足: {_credential(settings)}, 并给它所需的角色 ({reason})")
    if status in BUSY:
        return StoreUnavailable(f"Elasticsearch ({hosts}) 正忙或有分片不可用 ({status} {kind}: {reason})")
    if kind in ("index_not_found_exception", "search_context_missing_exception"):
        return StoreUnavailable(f"索引刚刚不见了 ({reason}): 若是按保留期删除了旧月份, 再试即可; 否则请从快照恢复")
    if kind == "strict_dynamic_mapping_exception":
        return SchemaError(f"索引结构与程序不符: {reason}")
    if re.search("nested depth|too_many_(nested_)?clauses|maxClauseCount", f"{kind} {reason}"):
        return QueryError(f"查询太大或括号嵌套太深, Elasticsearch 无法执行: {reason}")
    if status == 400 and "plaintext http" in reason:
        return StoreError(f"Elasticsearch ({hosts}) 要求 https: 请把 [store] hosts 写成 https://...")
    return StoreError(f"Elasticsearch 拒绝了请求 ({status} {kind}): {reason}")


def _blocked(reason: str) -> str:
    if "read-only" in reason or "flood" in reason:
        return f"Elasticsearch 的索引目前只读, 多半是磁盘将满 (flood stage): 请腾出空间, 之后会自动恢复 ({reason})"
    if "index write (api)" in reason:
        return f"索引暂时不可写 (迁移正在做最后一步, 或有人设了写保护), 之后会自动继续 ({reason})"
    return f"Elasticsearch 暂时拒绝操作: {reason}"


def _credential(settings: StoreSettings) -> str:
    if settings.api_key_env:
        return f"检查环境变量 {settings.api_key_env} 里的 API key ([store] api_key_env)"
    if settings.user:
        return f"检查 [store] user = {settings.user} 与环境变量 {settings.password_env} 里的口令"
    return "请在 [store] 写 user 与 password_env, 或 api_key_env"


def _cause(body: Any) -> Mapping[str, Any]:
    """The most telling cause: of a search that failed on its shards, that of the first shard."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return {"type": "", "reason": str(error or body)}
    failed = error.get("failed_shards")
    if isinstance(failed, list) and failed and isinstance(failed[0].get("reason"), dict):
        return _deepest(failed[0]["reason"])
    return _deepest(error)


def _deepest(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """The innermost cause says what was wrong, the outer ones only where; some kinds are the answer themselves."""
    while isinstance(error.get("caused_by"), dict) and error.get("type") not in ("security_exception", _BLOCKED):
        error = error["caused_by"]
    return error
