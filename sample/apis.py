"""JSON APIs in the shapes of real ones: microblog search, shop reviews, complaint board, App Store reviews."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, timezone
from html import escape
from typing import Any

from sample.answers import BRAND_APP, COMPETITOR_APP, Answer, View, app_of, as_json, shown_count
from sample.posts import Post, engagement
from sample.timeline import BEIJING

MAX_COUNT = 100
APP_PAGE, APP_PAGES = 50, 10
_COMPANIES = {"brand": "山岚咖啡", "both": "山岚咖啡", "competitor": "青屿咖啡"}
_APP_TZ = timezone(timedelta(hours=-7))


def microblog_search(view: View, query: Mapping[str, str]) -> Answer:
    """Posts with any of the words of q (comma between), oldest first after `cursor`: a crawler goes on where it was.

    next_cursor stays at the last post when all is read, and has_more is false.
    """
    words = [word for word in query.get("q", "").split(",") if word]
    if not words:
        return as_json({"ok": 0, "msg": "缺少搜索词 q"}, status=400)
    count, cursor = _count(query), query.get("cursor", "0")
    if not cursor.isdigit():
        return as_json({"ok": 0, "msg": "cursor 不对"}, status=400)
    by_id = {post.id: post for post in view.posts if post.platform == "weiyan"}
    found = [post for post in by_id.values() if any(word in post.text for word in words) and int(post.id) > int(cursor)]
    found.sort(key=_number)
    shown = found[:count]
    data = {
        "statuses": [_status(post, view, by_id) for post in shown],
        "next_cursor": shown[-1].id if shown else cursor,
        "has_more": len(found) > count,
        "total": len(found),
    }
    return as_json({"ok": 1, "data": data})


def microblog_hot(view: View, query: Mapping[str, str]) -> Answer:
    """The posts of the last day that got most likes and reposts so far, hottest first."""
    by_id = {post.id: post for post in view.posts if post.platform == "weiyan"}
    recent = [post for post in by_id.values() if (view.now - post.published_at).total_seconds() < 86_400]
    heat = {post.id: sum(engagement(post, view.now)[:3]) for post in recent}
    ids = sorted(heat, key=heat.__getitem__, reverse=True)[: _count(query)]
    return as_json({"ok": 1, "data": {"statuses": [_status(by_id[id_], view, by_id) for id_ in ids]}})


def shop_reviews(view: View, query: Mapping[str, str]) -> Answer:
    """Reviews page by page, newest first; a page after the last one is empty."""
    number, size = query.get("page", "1"), _count(query)
    if not number.isdigit() or number == "0":
        return as_json({"code": 400, "msg": "page 从 1 开始"}, status=400)
    reviews = view.of("pinglun")
    first = (int(number) - 1) * size
    rows = []
    for post in reviews[first : first + size]:
        likes, comments, _, _ = engagement(post, view.now)
        rows.append(
            {
                "reviewId": int(post.id),
                "shopName": post.title,
                "star": post.rating,
                "content": post.text,
                "createTime": int(post.published_at.timestamp() * 1000),
                "user": {"userId": post.author.account, "nickName": post.author.name, "province": post.author.region},
                "likeCount": likes,
                "replyCount": comments,
                "url": view.url(post),
            }
        )
    pages = -(-len(reviews) // size)
    return as_json(
        {"code": 200, "msg": "", "data": {"page": int(number), "pages": pages, "total": len(reviews), "list": rows}}
    )


def complaints(view: View, query: Mapping[str, str]) -> Answer:
    """Complaints, newest first, before `cursor`; pager.next is empty on the last page."""
    cursor, size = query.get("cursor", ""), _count(query)
    if cursor and not cursor.isdigit():
        return as_json({"result": {"status": {"code": 11, "msg": "cursor 不对"}}}, status=400)
    found = [post for post in view.of("tousu") if not cursor or int(post.id) < int(cursor)]
    shown = found[:size]
    lists = []
    for post in shown:
        at = int(post.published_at.timestamp())
        main = {
            "sn": post.id,
            "title": post.title,
            "cotitle": _COMPANIES.get(post.about, "其他商家"),
            "summary": post.text,
            "status": 7 if (view.now - post.published_at).days > 6 else 4,
            "timestamp": at,
            "created_at": at,
            "url": view.url(post),
        }
        lists.append({"main": main, "author": {"uid": post.author.account, "title": post.author.name}})
    pager = {"next": shown[-1].id if len(found) > size else "", "item_count": len(view.of("tousu"))}
    data = {"lists": lists, "pager": pager}
    return as_json({"result": {"status": {"code": 0, "msg": "succ"}, "data": data}})


def app_reviews(view: View, app: str, number: int) -> Answer | None:
    """Apple's customer-review feed: 50 a page, ten pages; one review is an object, none is no entry at all."""
    if app not in (BRAND_APP, COMPETITOR_APP) or not 1 <= number <= APP_PAGES:
        return None
    reviews = [post for post in view.of("appstore") if app_of(post) == app]
    entries = [_app_entry(post, view) for post in reviews[(number - 1) * APP_PAGE : number * APP_PAGE]]
    feed: dict[str, Any] = {
        "author": {"name": {"label": "App Store"}},
        "updated": {"label": view.now.isoformat(timespec="seconds")},
        "title": {"label": "顾客评论"},
        "id": {"label": f"{view.base}/cn/rss/customerreviews/page={number}/id={app}/sortby=mostrecent/json"},
    }
    if entries:
        feed["entry"] = entries if len(entries) > 1 else entries[0]
    return as_json({"feed": feed}, content_type="text/javascript; charset=utf-8")


def _app_entry(post: Post, view: View) -> dict[str, Any]:
    likes, comments, _, _ = engagement(post, view.now)
    at = post.published_at.astimezone(_APP_TZ)
    return {
        "author": {
            "uri": {"label": f"{view.base}/cn/reviews/id{post.author.account}"},
            "name": {"label": post.author.name},
            "label": "",
        },
        "updated": {"label": at.isoformat(timespec="seconds")},
        "im:rating": {"label": str(post.rating)},
        "im:version": {"label": f"8.{int(post.id) % 4}.1"},
        "id": {"label": post.id},
        "title": {"label": post.title},
        "content": {"label": post.text, "attributes": {"type": "text"}},
        "link": {"attributes": {"rel": "related", "href": view.url(post)}},
        "im:voteSum": {"label": str(likes)},
        "im:contentType": {"attributes": {"term": "Application", "label": "应用程序"}},
        "im:voteCount": {"label": str(likes + comments)},
    }


def _status(post: Post, view: View, by_id: Mapping[str, Post]) -> dict[str, Any]:
    likes, comments, reposts, _ = engagement(post, view.now)
    status: dict[str, Any] = {
        "id": post.id,
        "mid": post.id,
        "created_at": post.published_at.astimezone(BEIJING).strftime("%a %b %d %H:%M:%S +0800 %Y"),
        "text": escape(post.text, quote=False).replace("\n", "<br />"),
        "raw_text": post.text,
        "region_name": f"发布于 {post.author.region}",
        "ip_location": post.author.region,
        "reposts_count": reposts,
        "comments_count": comments,
        "attitudes_count": shown_count(likes) if likes >= 10_000 else likes,
        "url": view.url(post),
        "user": {
            "id": post.author.account,
            "screen_name": post.author.name,
            "verified": post.author.verified,
            "verified_type": 3 if post.author.verified else -1,
            "followers_count": shown_count(post.author.followers),
        },
    }
    origin = by_id.get(post.origin_id or "")
    if post.forwarded and origin:
        status["retweeted_status"] = {
            "id": origin.id,
            "raw_text": origin.text,
            "user": {"screen_name": origin.author.name},
        }
    return status


def _number(post: Post) -> int:
    return int(post.id)


def _count(query: Mapping[str, str]) -> int:
    said = query.get("count") or query.get("size") or "50"
    return max(1, min(MAX_COUNT, int(said))) if said.isdigit() else 50
