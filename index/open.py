"""The store that the settings ask for."""

from __future__ import annotations

from index.embedded import EmbeddedStore
from index.store import Store
from settings import Settings


def open_store(settings: Settings) -> Store:
    """Opens or creates it. Raises StoreError if it cannot be used."""
    if settings.store.backend == "elasticsearch":
        from index.elastic import ElasticStore

        return ElasticStore(settings.store)
    return EmbeddedStore(settings.store_path)
