"""Ends well if a health page answers with 200, for the health checks of containers: python deploy/healthy.py URL."""

import sys
from urllib.error import URLError
from urllib.request import urlopen

try:
    with urlopen(sys.argv[1], timeout=8):  # noqa: S310 - an address of our own, given by compose.yaml
        pass
except (URLError, OSError) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
