"""Who works, as the pages say it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from streamlit.testing.v1 import AppTest

from index.models import WorkerState
from index.store import Store
from tests.builders import a_record
from tests.dashboard.conftest import texts

OpenPage = Callable[..., AppTest]


def a_worker(store: Store, name: str, *roles: str, silent: timedelta = timedelta()) -> None:
    now = datetime.now(UTC)
    state = a_record(WorkerState, id=f"{name}:12:345", roles=roles, started_at=now - timedelta(hours=1))
    store.put_all([state.but(checked_at=now - silent)])


def test_a_role_that_no_running_worker_has_is_said_on_every_page_with_what_to_do(lively: Store, page: OpenPage) -> None:
    a_worker(lively, "east", "crawl", "read")
    a_worker(lively, "west", "decide", silent=timedelta(minutes=10))
    (banner,) = [each.value for each in page("overview").warning]
    assert "预警、通知与清理" in banner
    assert "decide" in banner
    assert "采集" not in banner


def test_nothing_is_said_while_all_roles_are_filled_and_the_workers_stand_on_the_page_of_sources(
    lively: Store, page: OpenPage
) -> None:
    a_worker(lively, "east", "crawl", "read")
    a_worker(lively, "west", "decide")
    app = page("sources")
    assert not app.warning
    said = texts(app)
    assert "east" in said
    assert "west" in said


def test_a_service_whose_worker_was_never_started_is_not_scolded(lively: Store, page: OpenPage) -> None:
    assert not page("overview").warning
