"""The stores that must pass the contract: name -> how to open an empty one in a folder."""

from index.elastic import ElasticStore
from index.embedded import EmbeddedStore
from tests.servers.elastic import store_settings


class TemporaryElasticStore(ElasticStore):
    """Takes its indices and templates with it when it is closed."""

    def close(self):
        client, names = self._session.client, self._session.names
        found = client.indices.get(index=f"{names.mentions}-*,{names.records}-*", filter_path="*.aliases")
        client.indices.delete(index=sorted(found.body))
        client.indices.delete_index_template(name=names.mentions_template)
        super().close()


def embedded(folder):
    return EmbeddedStore(folder / "store.db")


def elasticsearch(folder):
    """Skips the test, and says why, where there is no server."""
    return TemporaryElasticStore(store_settings())


BACKENDS = {"embedded": embedded, "elasticsearch": elasticsearch}
