"""The stores that must pass the contract: name -> how to open an empty one in a folder."""

from index.elastic import ElasticStore
from index.elastic_fence import drop_indices, drop_template
from index.embedded import EmbeddedStore
from tests.servers.elastic import store_settings


class TemporaryElasticStore(ElasticStore):
    """Takes its indices and templates, of all versions, with it when it is closed."""

    def close(self):
        client, prefix = self._session.client, self._session.names.prefix
        drop_indices(client, client.indices.get_alias(index=f"{prefix}-*"))
        drop_template(client, f"{prefix}-mentions-*")
        super().close()


def embedded(folder):
    return EmbeddedStore(folder / "store.db")


def elasticsearch(folder):
    """Skips the test, and says why, where there is no server."""
    return TemporaryElasticStore(store_settings())


BACKENDS = {"embedded": embedded, "elasticsearch": elasticsearch}
