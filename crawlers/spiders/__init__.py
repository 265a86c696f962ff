"""One spider per kind of source: where to start and how to page."""
