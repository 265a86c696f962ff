"""Property tests here open real files on shared machines, so a slow example is no failure."""

from hypothesis import settings

settings.register_profile("index", deadline=None)
settings.load_profile("index")
