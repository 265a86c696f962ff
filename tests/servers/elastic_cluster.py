"""A real Elasticsearch of three nodes that fail over: each can be killed and comes back with what is on its disk."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.servers.elastic import HEAP, Server

N_NODES = 3
ASK_S = 20


@dataclass(frozen=True)
class Cluster:
    nodes: tuple[Server, ...]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def start(self) -> Cluster:
        """Raises RuntimeError if it does not become ready."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.ready()
        self.wait_until_green()
        return self

    def wait_until_green(self, patience_s: float = 300) -> float:
        """All nodes are there and all copies whole; after how many seconds. Raises RuntimeError with the state."""
        began = time.monotonic()
        state: Any = None
        while (took := time.monotonic() - began) < patience_s:
            wanted = f"wait_for_status=green&wait_for_nodes={len(self.nodes)}&timeout=5s"
            state = self.ask(f"/_cluster/health?{wanted}")
            if not state["timed_out"]:
                return took
        raise RuntimeError(f"the cluster is not green after {patience_s:g} s: {state}")

    def node(self, name: str) -> Server:
        (found,) = (node for node in self.nodes if f"dev-{node.port}" == name)
        return found

    @property
    def master(self) -> Server:
        return self.node(self.ask("/_cat/master?format=json")[0]["node"])

    def holder(self, index: str) -> Server:
        """The node with the primary of the index's only shard."""
        shards = self.ask(f"/_cat/shards/{index}?format=json")
        return self.node(next(shard["node"] for shard in shards if shard["prirep"] == "p"))

    def ask(self, path: str) -> Any:
        """What the first node that can be reached answers, as JSON. Raises OSError if there is none."""
        failure: OSError | None = None
        for node in self.nodes:
            try:
                with urlopen(f"{node.url}{path}", timeout=ASK_S) as answer:
                    return json.loads(answer.read())
            except HTTPError as error:
                if error.code != 408:  # a state that was waited for did not come
                    failure = error
                    continue
                return json.loads(error.read())
            except OSError as error:
                failure = error
        assert failure is not None, "no nodes"
        raise failure

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def a_cluster(*, heap: str = HEAP, more: Sequence[str] = ()) -> Cluster:
    """Not started yet. more: arguments of every node."""
    nodes = tuple(Server(heap=heap) for _ in range(N_NODES))
    seeds = json.dumps([f"127.0.0.1:{node.transport_port}" for node in nodes])
    masters = json.dumps([f"dev-{node.port}" for node in nodes])
    for node in nodes:
        named = ("--set", f"discovery.seed_hosts={seeds}", "--set", f"cluster.initial_master_nodes={masters}")
        node.arguments = (*named, *more)
    return Cluster(nodes)
