"""A service of its own for each test: settings file, store and caches."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import access, context, last_known
from dashboard.access import Viewer
from index.models import Account, Role
from index.store import Store
from tests.dashboard.lively import a_lively_store

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
SETTINGS = """
[service]
data_dir = "{folder}"

[sample]
enabled = true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's service keeps everything; nothing is in it yet."""
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS.format(folder=tmp_path), encoding="utf-8")
    monkeypatch.setenv("WENSHENG_SETTINGS", str(file))
    monkeypatch.delenv("WENSHENG_DATA_DIR", raising=False)
    monkeypatch.setattr(context, "cookie", no_cookie)
    forget()
    yield tmp_path
    context.store().close()
    forget()


@pytest.fixture
def store(folder: Path) -> Store:
    """An empty store, as the pages see it."""
    return context.store()


@pytest.fixture(scope="session")
def lively_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lively") / "wensheng.db"
    a_lively_store(file).close()
    return file


@pytest.fixture
def lively(folder: Path, lively_file: Path) -> Store:
    """A week of mentions with a crisis (tests/dashboard/lively.py)."""
    shutil.copy(lively_file, folder / "wensheng.db")
    return context.store()


@pytest.fixture
def page(folder: Path) -> Callable[..., AppTest]:
    """page("mentions", role=Role.PR, q="拉肚子") opens a page as somebody of that role."""

    def open_page(name: str = "", *, role: Role = Role.ADMIN, topics: tuple[str, ...] = (), **params: str) -> AppTest:
        viewer = somebody(context.store(), role, topics=topics)
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.session_state["token"] = token_of(context.store(), viewer)
        app.session_state["landed"] = True
        app.run()
        if name:
            for key, value in params.items():
                app.query_params[key] = value
            app.switch_page(f"app_pages/{name}.py").run()
        return app

    return open_page


def no_cookie() -> None:
    """AppTest has no browser, so no cookies."""


def forget() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()
    last_known.forget()


def somebody(store: Store, role: Role = Role.SERVICE, *, name: str = "", topics: tuple[str, ...] = ()) -> Viewer:
    name = name or f"{role.value}{len(topics)}"
    if store.get(Account, name) is None:
        store.put(Account(id=name, name=name, role=role, topics=topics, password_hash="!"))
    return Viewer(name, name, role, topics)


def token_of(store: Store, viewer: Viewer) -> str:
    account = store.get(Account, viewer.account_id)
    assert account is not None
    return access._open_session(store, account, now=datetime.now(UTC))


def texts(app: AppTest) -> str:
    """All the words on a page."""
    kinds = ("title", "markdown", "caption", "text", "metric", "button", "error", "subheader", "warning")
    return "\n".join(
        str(getattr(each, "label", "") or "") + " " + str(getattr(each, "value", "") or "")
        for kind in kinds
        for each in app.get(kind)
    )


@pytest.fixture(autouse=True)
def _keep_main() -> Iterator[None]:
    """AppTest puts the script in the place of __main__, which processes spawned by later tests would then run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
