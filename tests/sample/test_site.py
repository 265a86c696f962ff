"""The site over HTTP: shapes, character sets, paging, conditional requests, the inbox."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import feedparser
import pytest

from sample.answers import path_of, shown_count, shown_time
from sample.posts import Post
from sample.site import Site, serve
from sample.texts import Text
from sample.timeline import BEIJING
from sample.world import World
from settings import ROOT
from tests.sample.conftest import ANCHOR, Answered, Clock, running

Fetch = Callable[..., Answered]
FEEDS = ("/wenzhang/news.rss", "/wenzhang/blog.atom", "/wenzhang/feed.json")
APP = "/cn/rss/customerreviews/page={}/id=1600000001/sortby=mostrecent/json"


def by_platform(posts: list[Post], platform: str) -> set[str]:
    return {post.id for post in posts if post.platform == platform}


# --------------------------------------------------------------------------------------------- feeds


def test_the_feeds_together_hold_every_article(fetch: Fetch, posts: list[Post]) -> None:
    links = set()
    for path in FEEDS[:2]:
        parsed = feedparser.parse(fetch(path).body)
        assert not parsed.bozo
        assert all(entry.published_parsed and entry.author and entry.summary for entry in parsed.entries)
        links |= {entry.link for entry in parsed.entries}
    items = fetch(FEEDS[2]).json()["items"]
    assert all(datetime.fromisoformat(item["date_published"]).tzinfo for item in items)
    links |= {item["url"] for item in items}
    assert {re.findall(r"/a/(\d+)\.html", link)[0] for link in links} == by_platform(posts, "wenzhang")


def test_the_rss_feed_has_the_shape_of_rsshub(fetch: Fetch) -> None:
    answered = fetch(FEEDS[0])
    text = answered.body.decode()
    assert answered.headers["Content-Type"].startswith("application/xml")
    assert "<generator>RSSHub</generator>" in text
    assert '<guid isPermaLink="false">' in text
    assert fetch(FEEDS[2]).headers["Content-Type"].startswith("application/feed+json")


@pytest.mark.parametrize("path", FEEDS)
def test_an_unchanged_feed_is_not_sent_again(fetch: Fetch, path: str) -> None:
    first = fetch(path)
    again = fetch(path, If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert fetch(path, If_Modified_Since=first.headers["Last-Modified"]).status == 304
    assert fetch(path, If_None_Match='"other"').status == 200
    assert fetch(path, If_Modified_Since="neulich").status == 200


def test_a_feed_changes_when_an_article_comes(fetch: Fetch, world: World, clock: Clock, posts: list[Post]) -> None:
    old = {path: fetch(path).headers["ETag"] for path in FEEDS}
    coming = (post for post in world.posts_until(ANCHOR + timedelta(hours=9)) if post.published_at > ANCHOR)
    clock.now = next(post.published_at for post in coming if post.platform == "wenzhang")
    assert any(fetch(path, If_None_Match=tag).status == 200 for path, tag in old.items())


# --------------------------------------------------------------------------------------------- forum


def forum_threads(fetch: Fetch) -> list[str]:
    threads, path = [], "/shequ/list-1.html"
    while path:
        html = fetch(path).body.decode("gb18030")
        threads += re.findall(r'<a class="title" href="([^"]+)"', html)
        found = re.search(r'<a class="next" href="([^"]+)"', html)
        path = found[1] if found else ""
    return threads


def test_the_forum_is_gb18030_under_an_old_name(fetch: Fetch) -> None:
    answered = fetch("/shequ/list-1.html")
    assert answered.headers["Content-Type"] == "text/html; charset=gb2312"
    assert "咖啡社区论坛" in answered.body.decode("gb18030")
    with pytest.raises(UnicodeDecodeError):
        answered.body.decode("utf-8")


def test_all_threads_and_floors_can_be_reached(fetch: Fetch, posts: list[Post]) -> None:
    found: list[str] = []
    for thread in forum_threads(fetch):
        path = thread
        while path:
            html = fetch(path).body.decode("gb18030")
            found += re.findall(r'data-pid="(\d+)"', html)
            more = re.search(r'<a class="next" href="([^"]+)"', html)
            path = more[1] if more else ""
    assert set(found) == by_platform(posts, "shequ")


def test_the_whole_forum_is_few_pages(fetch: Fetch) -> None:
    threads = forum_threads(fetch)
    assert len(threads) == len(set(threads)) < 90


def test_the_forum_shows_chinese_times(fetch: Fetch) -> None:
    html = "".join(fetch(f"/shequ/list-{number}.html").body.decode("gb18030") for number in (1, 2))
    times = re.findall(r'<td class="time">([^<]+)</td>', html)
    shapes = (r"\d+分钟前", r"今天 \d\d:\d\d", r"昨天 \d\d:\d\d", r"\d\d-\d\d \d\d:\d\d")
    assert all(any(re.fullmatch(shape, time) for shape in (*shapes, "刚刚")) for time in times)
    assert any(re.fullmatch(shapes[3], time) for time in times)


def test_markup_in_a_post_is_shown_as_text(fetch: Fetch, posts: list[Post]) -> None:
    odd = next(post for post in posts if post.platform == "shequ" and "<div onclick" in post.text)
    html = fetch(path_of(odd).partition("#")[0]).body.decode("gb18030")
    assert "&lt;div onclick" in html
    assert "<div onclick" not in html


@pytest.mark.parametrize(
    ("minutes_ago", "shown"),
    [
        (0, "刚刚"),
        (3, "3分钟前"),
        (120, "今天 00:05"),
        (180, "昨天 23:05"),
        (3000, "12-30 00:05"),
        (6000, "2026-12-27 22:05"),
    ],
)
def test_times_are_shown_as_forums_do(minutes_ago: int, shown: str) -> None:
    now = datetime(2027, 1, 1, 2, 5, tzinfo=BEIJING)
    at = now - timedelta(minutes=minutes_ago)
    assert shown_time(at, now) == (shown if at.year == 2027 or shown[0] not in "1" else f"2026-{shown}")


@pytest.mark.parametrize(("n", "shown"), [(0, "0"), (9999, "9999"), (10000, "1.0万"), (12345, "1.2万")])
def test_large_counts_are_shown_in_wan(n: int, shown: str) -> None:
    assert shown_count(n) == shown


# --------------------------------------------------------------------------------------------- APIs


def microblog(fetch: Fetch, q: str, cursor: str = "0") -> tuple[list[dict], str]:
    statuses: list[dict] = []
    while True:
        data = fetch(f"/weiyan/api/search?q={q}&count=100&cursor={cursor}").json()["data"]
        statuses += data["statuses"]
        cursor = data["next_cursor"]
        if not data["statuses"]:
            return statuses, cursor


SHANLAN = "%E5%B1%B1%E5%B2%9A"


def test_microblog_search_finds_every_post_with_the_word_once(fetch: Fetch, posts: list[Post]) -> None:
    ids = [status["id"] for status in microblog(fetch, SHANLAN)[0]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {post.id for post in posts if post.platform == "weiyan" and "山岚" in post.text}


def test_a_cursor_goes_on_where_it_stopped_while_new_posts_come(
    fetch: Fetch, clock: Clock, world: World, posts: list[Post]
) -> None:
    before, cursor = microblog(fetch, SHANLAN)
    clock.now = ANCHOR + timedelta(hours=2)
    new, _ = microblog(fetch, SHANLAN, cursor)
    both = [status["id"] for status in (*before, *new)]
    later = world.posts_until(clock.now)
    assert new
    assert len(both) == len(set(both))
    assert set(both) == {post.id for post in later if post.platform == "weiyan" and "山岚" in post.text}


def test_a_status_has_the_shape_of_a_microblog(fetch: Fetch) -> None:
    statuses, _ = microblog(fetch, SHANLAN)
    status = statuses[0]
    assert {"id", "created_at", "text", "raw_text", "region_name", "reposts_count", "comments_count", "user"} <= set(
        status
    )
    datetime.strptime(status["created_at"], "%a %b %d %H:%M:%S %z %Y")
    assert {"id", "screen_name", "verified", "followers_count"} <= set(status["user"])
    assert any(str(one["user"]["followers_count"]).endswith("万") for one in statuses)
    assert any(one["user"]["verified"] for one in statuses)
    forwards = [one for one in statuses if "retweeted_status" in one]
    assert forwards
    assert all("//@" in one["raw_text"] for one in forwards)


def test_search_without_a_word_is_refused(fetch: Fetch) -> None:
    assert fetch("/weiyan/api/search").status == 400
    assert fetch("/weiyan/api/search?q=a&cursor=x").status == 400


def test_hot_posts_come_hottest_first_and_gain_likes(fetch: Fetch, clock: Clock) -> None:
    def hottest() -> dict:
        return fetch("/weiyan/api/hot?count=5").json()["data"]["statuses"][0]

    before = hottest()
    clock.now = ANCHOR + timedelta(hours=3)
    after = {status["id"]: status for status in fetch("/weiyan/api/hot?count=100").json()["data"]["statuses"]}
    assert after[before["id"]]["comments_count"] >= before["comments_count"]


def test_shop_reviews_page_to_the_end(fetch: Fetch, posts: list[Post]) -> None:
    found, number = [], 1
    while rows := fetch(f"/pinglun/api/reviews?page={number}&size=100").json()["data"]["list"]:
        found += [str(row["reviewId"]) for row in rows]
        number += 1
    assert len(found) == len(set(found))
    assert set(found) == by_platform(posts, "pinglun")
    assert fetch("/pinglun/api/reviews?page=0").status == 400


def test_no_review_is_lost_when_a_new_one_moves_the_pages(fetch: Fetch, clock: Clock, posts: list[Post]) -> None:
    first = fetch("/pinglun/api/reviews?page=1&size=50").json()["data"]["list"]
    clock.now = ANCHOR + timedelta(hours=5)
    found, number = {str(row["reviewId"]) for row in first}, 2
    while rows := fetch(f"/pinglun/api/reviews?page={number}&size=50").json()["data"]["list"]:
        found |= {str(row["reviewId"]) for row in rows}
        number += 1
    assert by_platform(posts, "pinglun") <= found


def test_complaints_page_by_cursor_to_the_end(fetch: Fetch, posts: list[Post]) -> None:
    found, cursor = [], ""
    while True:
        data = fetch(f"/tousu/api/complaints?size=50&cursor={cursor}").json()["result"]["data"]
        found += [one["main"]["sn"] for one in data["lists"]]
        cursor = data["pager"]["next"]
        if not cursor:
            break
    assert len(found) == len(set(found))
    assert set(found) == by_platform(posts, "tousu")


# --------------------------------------------------------------------------------------------- App Store


def test_app_reviews_have_the_shape_of_apples_feed(fetch: Fetch) -> None:
    answered = fetch(APP.format(1))
    entries = answered.json()["feed"]["entry"]
    assert answered.headers["Content-Type"].startswith("text/javascript")
    assert len(entries) == 50
    entry = entries[0]
    assert entry["im:rating"]["label"] in "12345"
    assert entry["updated"]["label"].endswith("-07:00")
    assert entry["content"]["attributes"]["type"] == "text"
    assert entry["link"]["attributes"]["href"].startswith("http://127.0.0.1")


def test_app_reviews_end_with_a_page_without_entry(fetch: Fetch) -> None:
    assert "entry" not in fetch(APP.format(10)).json()["feed"]
    assert fetch(APP.format(11)).status == 404


def test_other_spellings_of_the_address_give_the_same_reviews(fetch: Fetch) -> None:
    usual = fetch(APP.format(1)).json()["feed"]["entry"]
    for path in ("page=1/id=1600000001/sortBy=mostRecent/json", "page=1/id=1600000001/json", "id=1600000001/json"):
        assert fetch(f"/cn/rss/customerreviews/{path}").json()["feed"]["entry"] == usual
    assert fetch("/cn/rss/customerreviews/page=1/id=77/json").status == 404


def test_a_single_review_is_an_object(clock: Clock) -> None:
    text = Text(platform="appstore", theme="app", about="brand", sentiment="positive", intent="praise", text="好用")
    world = World(ANCHOR, [text.model_copy(update={"text": f"好用{n}"}) for n in range(2)])
    for site in running(serve(0, clock, world=world)):
        import urllib.request

        with urllib.request.urlopen(site.url + APP.format(1), timeout=10) as response:
            entry = json.load(response)["feed"]["entry"]
        assert entry["content"]["label"].startswith("好用")


# --------------------------------------------------------------------------------------------- the site


def test_robots_may_come(fetch: Fetch) -> None:
    answered = fetch("/robots.txt")
    assert answered.headers["Content-Type"].startswith("text/plain")
    assert b"Disallow" not in answered.body


def test_every_kind_of_post_has_a_page_of_its_own(fetch: Fetch, posts: list[Post]) -> None:
    for platform in ("weiyan", "appstore", "pinglun", "wenzhang", "tousu"):
        post = next(post for post in posts if post.platform == platform)
        answered = fetch(path_of(post))
        assert answered.status == 200
        assert post.author.name in answered.body.decode()


@pytest.mark.parametrize(
    "path", ["/nothing", "/weiyan/detail/1", "/shequ/list-99.html", "/shequ/thread-1-1.html", "/shequ/list-0.html"]
)
def test_an_unknown_page_is_404(fetch: Fetch, path: str) -> None:
    assert fetch(path).status == 404


def test_a_post_of_the_future_is_not_there_yet(fetch: Fetch, world: World, clock: Clock) -> None:
    coming = world.posts_until(ANCHOR + timedelta(hours=1))[-1]
    assert fetch(path_of(coming).partition("#")[0]).status == 404 or coming.floor_of
    clock.now = coming.published_at
    assert fetch(path_of(coming).partition("#")[0]).status == 200


def test_the_front_page_opens_every_door(fetch: Fetch) -> None:
    html = fetch("/").body.decode()
    assert "虚构" in html
    for path in re.findall(r"<li><a href='([^']+)'", html):
        encoded = path.replace("山岚", SHANLAN)
        assert fetch(encoded).status == 200, path


def test_head_sends_no_body(fetch: Fetch) -> None:
    answered = fetch("/wenzhang/news.rss", method="HEAD")
    assert answered.status == 200
    assert answered.body == b""


# --------------------------------------------------------------------------------------------- inbox


def test_the_inbox_shows_what_was_sent(fetch: Fetch) -> None:
    message = {"title": "橙色预警 <b>", "body": "桂花冷萃 拉肚子", "level": "orange"}
    assert fetch("/inbox", data=json.dumps(message).encode(), Content_Type="application/json").json()["ok"]
    fetch("/inbox", data="不是 JSON".encode(), Content_Type="text/plain")
    messages = fetch("/inbox.json").json()
    assert [one["content"] for one in messages] == [message, "不是 JSON"]
    assert messages[0]["received_at"] == ANCHOR.isoformat()
    html = fetch("/inbox").body.decode()
    assert "橙色预警 &lt;b&gt;" in html
    assert "收到的消息（2 条）" in html


def test_an_empty_inbox_says_what_it_is_for(fetch: Fetch) -> None:
    assert "还没有收到消息" in fetch("/inbox").body.decode()


def test_messages_to_other_places_are_refused(fetch: Fetch) -> None:
    assert fetch("/elsewhere", data=b"{}").status == 400


def test_a_message_that_is_too_long_is_refused(site: Site) -> None:
    with socket.create_connection(site.server_address[:2], timeout=10) as client:
        client.sendall(b"POST /inbox HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400")


# --------------------------------------------------------------------------------------------- command line


def test_it_runs_as_a_module_and_says_where_it_is() -> None:
    command = [sys.executable, "-m", "sample.site", "--port", "0", "--started-at", "2026-11-18T10:00:00+08:00"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert re.match(r"示例站点：http://127\.0\.0\.1:\d+", process.stdout.readline())
        finally:
            process.terminate()


def test_a_taken_port_is_an_error_that_names_it(site: Site) -> None:
    port = str(site.server_address[1])
    command = [sys.executable, "-m", "sample.site", "--port", port]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert port in result.stderr


def test_a_start_without_offset_is_refused() -> None:
    command = [sys.executable, "-m", "sample.site", "--started-at", "2026-11-18T10:00:00"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "started-at" in result.stderr
