"""The connection of the Elasticsearch store: one pooled client for all threads, built from [store]."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from elastic_transport import TransportError
from elasticsearch import Elasticsearch

from index.store import StoreError
from settings import StoreSettings

_CONNECTIONS_PER_NODE = 16


def connect(settings: StoreSettings) -> Elasticsearch:
    """A client that has not spoken yet. Raises StoreError for a missing secret or a CA file that cannot be read.

    The client itself only goes on to another node where one cannot be reached. What waits for a busy server, and all
    that must know whether a lost answer meant success, is repeated by the callers.
    """
    options: dict[str, Any] = {}
    if settings.user:
        options["basic_auth"] = (settings.user, _secret("password_env", settings.password_env))
    elif settings.api_key_env:
        options["api_key"] = _secret("api_key_env", settings.api_key_env)
    if settings.ca_file:
        path = Path(settings.ca_file).expanduser()
        if not path.is_file():
            raise StoreError(f"找不到 CA 证书 {path} ([store] ca_file)")
        options["ca_certs"] = str(path)
    try:
        return Elasticsearch(
            list(settings.hosts),
            request_timeout=settings.timeout_s,
            max_retries=settings.retries,
            retry_on_status=(),
            retry_on_timeout=False,
            http_compress=settings.compress,
            connections_per_node=_CONNECTIONS_PER_NODE,
            **options,
        )
    except (OSError, ValueError, TransportError) as e:  # ssl.SSLError is an OSError
        raise StoreError(f"无法按 [store] 的设置连接 Elasticsearch, 检查 hosts 与 ca_file: {e}") from e


def _secret(option: str, variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise StoreError(f"环境变量 {variable} 没有值, 而 [store] {option} 指定从它读取")
    return value
