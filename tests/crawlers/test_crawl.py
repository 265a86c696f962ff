"""Real crawls of a misbehaving site: a real child process, real sockets, one test per outcome."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crawlers.job import Job
from crawlers.launch import conclude, launch, read_stats, run_child
from crawlers.parsers import feed
from crawlers.spool import SpoolFile, pending, read, read_bad
from index.models import Mention, Outcome, Run
from settings import ROOT, CrawlSettings
from tests.crawlers.conftest import NOW, a_source
from tests.servers.ports import free_port
from tests.servers.site import UNDATED_FEED, Site

CRAWL = CrawlSettings(delay_s=0.01, timeout_s=2, run_timeout_s=30, max_bytes=256 * 1024, max_pages=6, max_retries=1)
LIST = {
    "links": "a.t",
    "next": "a.next",
    "text": "div.body",
    "published_at": "span.date",
    "id_pattern": r"/article/(\d+)",
}
API = {
    "items": "data.list",
    "fields": {"text": "text", "published_at": "at"},
    "code": "code",
    "error": "msg",
    "login_codes": [100005],
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "feed": ("feed", "/feed", {}),
    "empty feed": ("feed", "/empty-feed", {}),
    "wrong charset": ("feed", "/wrong-charset", {}),
    "bad dates": ("feed", "/bad-dates", {}),
    "busy once": ("feed", "/busy-once", {}),
    "busy for an hour": ("feed", "/busy-for-an-hour", {}),
    "robots": ("feed", "/no/feed", {}),
    "garbage": ("feed", "/garbage", {}),
    "bomb": ("feed", "/bomb", {}),
    "huge": ("feed", "/huge", {}),
    "huge declared": ("feed", "/huge-declared", {}),
    "endless": ("page", "/endless", {}),
    "drip": ("page", "/drip", {}),
    "drop": ("feed", "/drop", {}),
    "to metadata": ("feed", "/to-metadata", {}),
    "to private": ("feed", "/to-private", {}),
    "to hex loopback": ("feed", "/to-hex-loopback", {}),
    "to file": ("feed", "/to-file", {}),
    "403": ("feed", "/status/403", {}),
    "418": ("feed", "/status/418", {}),
    "432": ("feed", "/status/432", {}),
    "401": ("feed", "/status/401", {}),
    "404": ("feed", "/status/404", {}),
    "500": ("feed", "/status/500", {}),
    "503": ("feed", "/status/503", {}),
    "members": ("page", "/members", {}),
    "captcha": ("page", "/captcha", {"text": "div.body", "published_at": "span.date"}),
    "list": ("page", "/list", LIST),
    "dead link": ("page", "/list-with-a-dead-link", LIST),
    "calendar": ("page", "/calendar", LIST),
    "changed list": ("page", "/changed-list", LIST),
    "changed api": ("json", "/changed-api", API),
    "api login": ("json", "/api-login", API),
    "nobody there": ("feed", "{nowhere}/feed", {}),
    "etag": ("feed", "/etag", {}),
    "undated and tagged": ("feed", "/undated", {}),
    "undated": ("feed", "/undated", {"undated": "collected"}),
    "teasers": ("feed", "/teasers", {"follow": True, "follow_below": 50}),
    "no robots.txt": ("feed", "{without_robots}/feed", {}),
    "broken robots.txt": ("feed", "{broken_robots}/feed", {}),
    "crawl delay": ("page", "{slow}/list", LIST),
    "secret": ("feed", "{without_robots}/with-secret", {"headers_env": {"X-Token": "LAB_TOKEN"}}),
    "secret led away": ("feed", "/away?to={slow}/without-secret", {"headers_env": {"X-Token": "LAB_TOKEN"}}),
}


class Lab:
    """All cases crawled side by side in one child; asking for a case gives its Run and its mentions."""

    def __init__(self, site: Site, others: dict[str, Site], folder: Path) -> None:
        self.site = site
        self.others = others
        places = {name: other.url for name, other in others.items()} | {"nowhere": f"http://127.0.0.1:{free_port()}"}
        jobs = {
            name: Job(
                run_id=name.replace(" ", "-"),
                source=a_source(kind, url_of(path, site, places), options=options, allow_private=True),
                crawl=CRAWL,
                spool_dir=folder,
                now=NOW,
            )
            for name, (kind, path, options) in CASES.items()
        }
        killed, self.log = run_child(list(jobs.values()), limit_s=120)
        assert not killed, self.log
        ended = {name: conclude(job, read_stats(job), finished_at=NOW) for name, job in jobs.items()}
        self.runs = {name: run for name, (run, _) in ended.items()}
        self.states = {name: state for name, (_, state) in ended.items()}
        self.files = {file.run_id: file for file in pending(folder)}

    def mentions(self, name: str) -> list[Mention]:
        return mentions_of(self.files[name.replace(" ", "-")])


def url_of(path: str, site: Site, places: dict[str, str]) -> str:
    url = path.format(**places)
    return url if url.startswith("http") else site.url + url


def mentions_of(file: SpoolFile) -> list[Mention]:
    batches = list(read(file, 100))
    assert not any(batch.bad for batch in batches)
    return [mention for batch in batches for mention in batch.mentions]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def lab(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    forbidding = "User-agent: *\nDisallow: /\n"
    with (
        Site(robots=forbidding, robots_status=404) as without_robots,
        Site(robots=forbidding, robots_status=500) as broken_robots,
        Site(robots="User-agent: *\nCrawl-delay: 1\n") as slow,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("LAB_TOKEN", "s3cret")
        others = {"without_robots": without_robots, "broken_robots": broken_robots, "slow": slow}
        yield Lab(site, others, tmp_path_factory.mktemp("spool"))


@pytest.mark.parametrize(
    ("case", "outcome", "said"),
    [
        ("feed", Outcome.OK, "2 条"),
        ("wrong charset", Outcome.OK, "1 条"),
        ("busy once", Outcome.OK, "2 条"),
        ("list", Outcome.OK, "2 条"),
        ("calendar", Outcome.OK, "到达页数上限"),
        ("empty feed", Outcome.EMPTY, "没有新的内容"),
        ("busy for an hour", Outcome.BLOCKED, "3600 秒后"),
        ("robots", Outcome.BLOCKED, "robots.txt"),
        ("403", Outcome.BLOCKED, "403"),
        ("418", Outcome.BLOCKED, "418"),
        ("432", Outcome.BLOCKED, "432"),
        ("captcha", Outcome.BLOCKED, "验证码"),
        ("401", Outcome.LOGIN_EXPIRED, "401"),
        ("members", Outcome.LOGIN_EXPIRED, "登录"),
        ("api login", Outcome.LOGIN_EXPIRED, "100005"),
        ("changed list", Outcome.CHANGED, "找不到链接"),
        ("changed api", Outcome.CHANGED, "items"),
        ("garbage", Outcome.CHANGED, "不是 RSS"),
        ("dead link", Outcome.PARTIAL, "404"),
        ("bad dates", Outcome.PARTIAL, "2099"),
        ("404", Outcome.FAILED, "404"),
        ("500", Outcome.FAILED, "500"),
        ("503", Outcome.FAILED, "503"),
        ("bomb", Outcome.FAILED, "解压后超过大小上限"),
        ("huge", Outcome.FAILED, "超过大小上限"),
        ("huge declared", Outcome.FAILED, "超过大小上限"),
        ("endless", Outcome.FAILED, "超过大小上限"),
        ("drip", Outcome.FAILED, "迟迟没有读完"),
        ("drop", Outcome.FAILED, "连接中断"),
        ("to metadata", Outcome.FAILED, "169.254.169.254"),
        ("to private", Outcome.FAILED, "10.0.0.1"),
        ("to hex loopback", Outcome.FAILED, "内网"),
        ("to file", Outcome.FAILED, "302"),
        ("nobody there", Outcome.FAILED, "拒绝连接"),
        ("etag", Outcome.OK, "2 条"),
        ("undated and tagged", Outcome.CHANGED, "没有发布时间"),
        ("undated", Outcome.OK, "1 条"),
        ("teasers", Outcome.PARTIAL, "404"),
        ("no robots.txt", Outcome.OK, "2 条"),
        ("broken robots.txt", Outcome.FAILED, "robots.txt 出错（HTTP 500）"),
        ("crawl delay", Outcome.OK, "2 条"),
        ("secret", Outcome.OK, "2 条"),
        ("secret led away", Outcome.OK, "2 条"),
    ],
)
def test_a_run_ends_in_its_outcome_and_says_why(lab: Lab, case: str, outcome: Outcome, said: str) -> None:
    run = lab.runs[case]
    assert (run.outcome, run.outcome.value) == (outcome, outcome.value), run.message
    assert said in run.message


def test_every_case_is_looked_at(lab: Lab) -> None:
    marks = test_a_run_ends_in_its_outcome_and_says_why.pytestmark  # type: ignore[attr-defined]
    assert {case for case, _, _ in marks[0].args[1]} == set(CASES)


def test_only_runs_that_read_something_leave_a_spool_file(lab: Lab) -> None:
    assert set(lab.files) == {name.replace(" ", "-") for name, run in lab.runs.items() if run.n_items}


def test_a_wrong_charset_declaration_does_not_garble_the_text(lab: Lab) -> None:
    assert [mention.text for mention in lab.mentions("wrong charset")] == ["山岚咖啡的拿铁真香"]


def test_bad_lines_keep_their_reason(lab: Lab) -> None:
    bad = read_bad(lab.files["bad-dates"])
    assert len(bad) == 2
    assert all("不可信" in line.reason for line in bad)


def test_a_disallowed_path_is_never_requested(lab: Lab) -> None:
    assert "/no/feed" not in lab.site.paths()


def test_the_user_agent_is_the_one_of_the_settings(lab: Lab) -> None:
    assert {seen.headers["user-agent"] for seen in lab.site.seen} == {CRAWL.user_agent}


def test_no_cookie_is_sent(lab: Lab) -> None:
    assert not any("cookie" in seen.headers for seen in lab.site.seen)


def test_retry_after_is_waited_for(lab: Lab) -> None:
    first, second = [seen.at_s for seen in lab.site.seen if seen.path == "/busy-once"]
    assert second - first >= 1


def test_a_long_retry_after_is_not_tried_again(lab: Lab) -> None:
    assert lab.site.paths().count("/busy-for-an-hour") == 1


def test_paging_without_end_stops_at_max_pages(lab: Lab) -> None:
    assert sum(path.startswith("/calendar") for path in lab.site.paths()) <= CRAWL.max_pages


def test_crawl_delay_is_kept_although_the_settings_are_faster(lab: Lab) -> None:
    times = [seen.at_s for seen in lab.others["slow"].seen if seen.path.startswith(("/list", "/article"))]
    assert len(times) == 3
    # Less than the second that is asked for, because a busy machine notes arrivals late.
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


def test_secret_headers_reach_their_own_host_and_no_other(lab: Lab) -> None:
    def token(site: Site, path: str) -> list[str | None]:
        return [seen.headers.get("x-token") for seen in site.seen if seen.path.startswith(path)]

    assert token(lab.others["without_robots"], "/with-secret") == ["s3cret"]
    assert token(lab.site, "/away") == ["s3cret"]
    assert token(lab.others["slow"], "/without-secret") == [None]


def test_short_entries_are_completed_from_their_page(lab: Lab) -> None:
    texts = {mention.url.rpartition("/")[2]: mention.text for mention in lab.mentions("teasers")}
    assert "押金杯的归还流程" in texts["story"]
    assert texts["gone"] == "短讯"


def test_an_undated_item_keeps_the_time_of_its_first_collection(lab: Lab) -> None:
    (first,) = lab.mentions("undated")
    source = a_source("feed", lab.site.url, options={"undated": "collected"}, state=lab.states["undated"])
    later = NOW + timedelta(hours=1)
    (second,) = feed.parse(UNDATED_FEED, source.url, source=source, now=later).mentions
    assert (first.id, first.published_at) == (second.id, second.published_at) == (second.id, NOW)
    assert second.collected_at == later


def crawl(source: Any, folder: Path, crawl: CrawlSettings = CRAWL, run_id: str = "r1") -> tuple[Run, dict[str, Any]]:
    return launch(source, run_id=run_id, crawl=crawl, spool_dir=folder, clock=lambda: datetime.now(UTC))


def test_a_second_crawl_asks_only_for_changes(lab: Lab, tmp_path: Path) -> None:
    state = lab.states["etag"]
    assert state["etag"] == '"v1"'
    source = a_source("feed", lab.site.url + "/etag", allow_private=True, state=state)
    run, kept = crawl(source, tmp_path)
    assert (run.outcome, run.n_items, kept) == (Outcome.EMPTY, 0, state)
    assert "没有更新" in run.message


def test_with_other_options_an_unchanged_page_is_read_again(lab: Lab, tmp_path: Path) -> None:
    source = a_source(
        "feed", lab.site.url + "/etag", allow_private=True, state=lab.states["etag"], options={"max_items": 1}
    )
    run, _ = crawl(source, tmp_path)
    assert (run.outcome, run.n_items) == (Outcome.OK, 1)


def test_a_page_that_could_not_be_understood_is_not_remembered_as_read(lab: Lab) -> None:
    assert lab.runs["undated and tagged"].outcome is Outcome.CHANGED
    assert lab.states["undated and tagged"] == {}


def test_without_leave_no_private_address_is_touched_whatever_its_name(site: Site, tmp_path: Path) -> None:
    n_before = len(site.seen)
    name = socket.gethostname()  # resolves to an address of this machine
    quick = CRAWL.model_copy(update={"max_retries": 0})
    jobs = [
        Job(run_id=host, source=a_source("feed", url), crawl=quick, spool_dir=tmp_path, now=NOW)
        for host in ("127.0.0.1", name)
        for url in [site.url.replace("127.0.0.1", host) + "/feed"]
    ]
    run_child(jobs, limit_s=60)
    runs = [conclude(job, read_stats(job), finished_at=NOW)[0] for job in jobs]
    assert ([run.outcome for run in runs], len(site.seen)) == ([Outcome.FAILED] * 2, n_before)
    assert all("allow_private" in run.message for run in runs)


def test_redirects_without_end_fail(site: Site, tmp_path: Path) -> None:
    run, _ = crawl(a_source("feed", site.url + "/loop", allow_private=True), tmp_path)
    assert run.outcome is Outcome.FAILED
    assert "跳转没有尽头" in run.message


@pytest.mark.parametrize(
    ("kind", "url", "options", "said"),
    [
        ("feed", "https://a.example/", {"headers_env": {"X-Token": "NO_SUCH_TOKEN"}}, "NO_SUCH_TOKEN"),
        ("feed", "not a url", {}, "not a url"),
        ("page", "https://a.example/", {"linkz": "a"}, "options.linkz"),
        ("page", "https://a.example/", {"links": "a[["}, "选择器"),
        ("page", "https://a.example/", {"id_pattern": "("}, "正则表达式"),
        ("page", "https://a.example/", {"headers": {"Cookie": "x"}}, "Cookie"),
        ("feed", "https://a.example/", {"encoding": "klingon"}, "klingon"),
        ("json", "https://a.example/", {"items": "a", "fields": {"text": "t"}}, "published_at"),
        ("json", "https://a.example/", {"items": "a[", "fields": {}}, "JMESPath"),
        ("appstore", "https://a.example/", {}, "customerreviews"),
    ],
)
def test_wrong_options_are_told_with_their_name_before_anything_is_asked(
    tmp_path: Path, kind: str, url: str, options: dict[str, Any], said: str
) -> None:
    run, _ = crawl(a_source(kind, url, options=options), tmp_path)
    assert run.outcome is Outcome.FAILED
    assert said in run.message


def test_a_run_that_takes_too_long_ends_as_timeout_and_keeps_what_it_read(tmp_path: Path) -> None:
    with Site(robots="User-agent: *\nCrawl-delay: 1.5\n") as site:
        source = a_source("page", site.url + "/calendar", options=LIST, allow_private=True)
        run, state = crawl(source, tmp_path, CRAWL.model_copy(update={"run_timeout_s": 4, "max_pages": 50}))
    assert run.outcome is Outcome.TIMEOUT
    assert run.n_items >= 1
    assert len(mentions_of(pending(tmp_path)[0])) == run.n_items
    assert state == {}


def test_a_child_that_hangs_is_killed_with_its_group(site: Site, tmp_path: Path) -> None:
    job = Job(
        run_id="hang",
        source=a_source("page", site.url + "/drip", allow_private=True),
        crawl=CRAWL.model_copy(update={"timeout_s": 100, "run_timeout_s": 100}),
        spool_dir=tmp_path,
        now=NOW,
    )
    killed, log = run_child([job], limit_s=3)
    run, _ = conclude(job, read_stats(job), finished_at=NOW, killed=killed, log=log)
    assert run.outcome is Outcome.TIMEOUT
    assert not list(tmp_path.glob(".*.part"))


def test_a_child_killed_at_work_leaves_only_whole_lines(tmp_path: Path) -> None:
    with Site(robots="User-agent: *\nCrawl-delay: 0.3\n") as site:
        job = Job(
            run_id="killed",
            source=a_source("page", site.url + "/calendar", options=LIST, allow_private=True),
            crawl=CRAWL.model_copy(update={"max_pages": 500}),
            spool_dir=tmp_path,
            now=NOW,
        )
        child = subprocess.Popen([sys.executable, "-m", "crawlers.run"], stdin=subprocess.PIPE, cwd=ROOT)
        assert child.stdin is not None
        child.stdin.write(job.model_dump_json().encode())
        child.stdin.close()
        part = tmp_path / ".killed.part"
        wait_for(lambda: part.exists() and part.stat().st_size > 0)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with part.open("a") as lines:
        lines.write('{"id": "lab:half')
    assert pending(tmp_path) == []

    run, _ = conclude(job, read_stats(job), finished_at=NOW)
    assert run.outcome is Outcome.FAILED
    assert len(mentions_of(pending(tmp_path)[0])) == run.n_items >= 1


def wait_for(condition: Any, limit_s: float = 30) -> None:
    pause = threading.Event()
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        pause.wait(0.02)


def test_the_child_does_not_inherit_the_services_secrets(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crawlers.launch import _environment

    monkeypatch.setenv("WENSHENG_BOT_SECRET", "x")
    job = Job(run_id="r", source=a_source("feed", site.url), crawl=CRAWL, spool_dir=tmp_path, now=NOW)
    assert "WENSHENG_BOT_SECRET" not in _environment([job])


def test_stats_are_plain_json_for_people_to_read(lab: Lab) -> None:
    assert json.loads(json.dumps(lab.runs["dead link"].stats))["ends"] == {"parsed": 2, "gone": 1}
