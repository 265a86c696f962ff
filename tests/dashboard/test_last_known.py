"""While the store cannot be reached pages show what they showed last, and say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import context, last_known, queries
from index.models import Role
from index.store import MentionQuery, QueryError, SchemaError, Store, StoreError, StoreUnavailable
from tests.builders import NOW
from tests.dashboard.conftest import APP, texts

OpenPage = Callable[..., AppTest]


@contextmanager
def the_file_is_away(folder: Path) -> Iterator[None]:
    """The database is moved and, at the end, put back."""
    (folder / "wensheng.db").rename(folder / "away.db")
    try:
        yield
    finally:
        (folder / "away.db").rename(folder / "wensheng.db")


@pytest.mark.parametrize("name", ["overview", "mentions", "alerts", "tasks", "customers", "sources"])
def test_every_page_shows_its_last_data_while_the_file_is_away(
    lively: Store, page: OpenPage, folder: Path, name: str
) -> None:
    app = page(name)
    before = facts(app)
    with the_file_is_away(folder):
        app.run()
        assert not app.exception
        assert not app.error
        assert "数据库连不上" in said(app)
        assert facts(app) == before


def test_another_file_in_its_place_is_not_taken_for_the_data(lively: Store, page: OpenPage, folder: Path) -> None:
    app = page("overview")
    before = facts(app)
    with the_file_is_away(folder):
        (folder / "wensheng.db").write_bytes(b"no database at all")
        app.run()
        assert facts(app) == before
        assert "数据库连不上" in said(app)


def test_a_value_that_the_store_cannot_take_is_no_loss() -> None:
    assert not last_known.is_loss(StoreError("有一个值无法写入数据库"))
    assert not last_known.is_loss(QueryError("第 1 个字符"))
    assert last_known.is_loss(StoreUnavailable("被别的进程占用"))
    assert last_known.is_loss(SchemaError("不是数据库文件"))


def test_when_the_file_is_back_the_banner_is_gone(
    lively: Store, page: OpenPage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "PAUSE", timedelta(0))
    app = page("overview")
    with the_file_is_away(folder):
        assert "数据库连不上" in said(app.run())
    assert "数据库连不上" not in said(app.run())
    assert not app.error


def test_a_page_that_was_never_drawn_says_so_with_the_id_of_the_log(
    lively: Store, page: OpenPage, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = page("overview")
    with the_file_is_away(folder):
        app.switch_page("app_pages/customers.py").run()
    assert not app.exception
    error_id = re.search(r"编号 (\w{8})", app.error[0].value)
    assert error_id is not None
    assert f"id={error_id.group(1)}" in caplog.text


def test_who_is_not_known_sees_nothing_old_and_cannot_enter(lively: Store, page: OpenPage, folder: Path) -> None:
    page("overview")
    with the_file_is_away(folder):
        stranger = AppTest.from_file(str(APP), default_timeout=60).run()
        assert [box.label for box in stranger.text_input] == ["账号", "密码"]
        stranger.button(key="enter_小李").click().run()
    assert not stranger.metric
    assert not stranger.exception
    assert "现在无法进入" in stranger.error[0].value


def test_old_data_of_one_scope_are_not_shown_in_another(lively: Store, page: OpenPage, folder: Path) -> None:
    narrow = page("overview", role=Role.PRODUCT, topics=("qingyu",))
    page("mentions")
    with the_file_is_away(folder):
        narrow.switch_page("app_pages/mentions.py").run()
    assert "没有打开过" in narrow.error[0].value


def test_an_act_during_the_loss_is_not_done_and_says_so(lively: Store, page: OpenPage, folder: Path) -> None:
    app = page("tasks", role=Role.SERVICE)
    claim = next(button for button in app.button if button.label == "认领")
    with the_file_is_away(folder):
        claim.click().run()
    assert not app.exception
    assert "没有执行" in app.error[0].value
    assert "数据库连不上" in said(app)


def test_a_run_that_fails_halfway_keeps_what_was_known_before(lively: Store) -> None:
    view = "view"
    query = MentionQuery()
    with last_known.run(view, NOW, None):
        n = queries.count((), query)
    with pytest.raises(StoreUnavailable), last_known.run(view, NOW + timedelta(minutes=1), None):
        raise StoreUnavailable("gone")
    loss = last_known.lose("id", NOW)
    with last_known.run(view, NOW + timedelta(hours=1), loss):
        assert context.moment() == NOW
        assert queries.count((), query) == n
        with pytest.raises(last_known.NotKnown):
            queries.count((), MentionQuery(text="没有问过"))


def test_only_so_many_views_are_kept(lively: Store) -> None:
    for number in range(last_known.MAX_VIEWS + 1):
        with last_known.run(number, NOW, None):
            queries.count((), MentionQuery())
    with pytest.raises(last_known.NotKnown), last_known.run(0, NOW, last_known.lose("id", NOW)):
        pass


def facts(app: AppTest) -> tuple[list[str], list[str], int]:
    """What a page says, without the clock of the banner and of the freshness."""
    metrics = [f"{each.label} {each.value}" for each in app.metric]
    return metrics, [each.value for each in app.markdown], len(app.button)


def said(app: AppTest) -> str:
    return texts(app) + " ".join(str(each.proto.title) for each in app.warning)
