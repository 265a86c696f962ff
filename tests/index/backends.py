"""The stores that must pass the contract: name -> how to open an empty one in a folder."""

from index.embedded import EmbeddedStore


def embedded(folder):
    return EmbeddedStore(folder / "store.db")


BACKENDS = {"embedded": embedded}
