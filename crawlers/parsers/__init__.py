"""One pure parser per kind of source: parse(body, url, source=..., now=...) -> Parsed; none raises on garbage."""
