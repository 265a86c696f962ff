"""Keeps the dashboard's pages open: runs each again and again against the store, and says of every view how it went.

    python -m tests.trials.visitor

Settings come from the environment, as for the dashboard. One JSON line a view on the standard output, until SIGTERM;
all else that is said, such as the traceback of a page, goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import context, last_known
from index.models import Role
from tests.dashboard.conftest import APP, no_cookie, somebody, token_of
from tests.trials.progress import end_in_good_order

PAGES = ("overview", "mentions", "alerts", "tasks", "sources")
PATIENCE_S = 120
PAUSE_S, AGAIN_S = 1.0, 0.5


@dataclass(frozen=True)
class View:
    """at: when it was asked for, time of day in seconds. old: it was drawn from what was known before."""

    page: str
    at: float
    seconds: float
    ok: bool
    old: bool
    why: str = ""


def a_tab(token: str, name: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=PATIENCE_S)
    app.session_state["token"] = token
    app.session_state["landed"] = True
    app.run()
    app.switch_page(f"app_pages/{name}.py")
    return app


def look(app: AppTest, name: str) -> View:
    """A new view, in which nothing comes from the cache of answers."""
    st.cache_data.clear()
    at = time.time()
    try:
        app.run()
    except RuntimeError as error:  # it was not drawn in time
        return View(name, at, time.time() - at, ok=False, old=False, why=str(error))
    wrong = [str(each.value) for each in (*app.exception, *app.error)]
    old = last_known.present_loss() is not None
    return View(name, at, time.time() - at, ok=not wrong, old=old, why="; ".join(wrong))


def until_good(app: AppTest, name: str) -> Iterator[View]:
    """A person loads a page that shows an error again."""
    while True:
        view = look(app, name)
        yield view
        if view.ok:
            return
        time.sleep(AGAIN_S)


def main() -> None:
    end_in_good_order()
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    context.cookie = no_cookie  # there is no browser
    token = token_of(context.store(), somebody(context.store(), Role.ADMIN))
    tabs = {name: a_tab(token, name) for name in PAGES}
    while True:
        for name, app in tabs.items():
            for view in until_good(app, name):
                said.write(json.dumps(asdict(view), ensure_ascii=False) + "\n")
                said.flush()
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
