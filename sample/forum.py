"""The forum: GB18030 pages that call themselves gb2312, as old forums do; lists of threads, threads with floors."""

from __future__ import annotations

from html import escape

from sample.answers import Answer, View, paragraphs, shown_count, shown_time
from sample.posts import Post, engagement

THREADS_PER_PAGE = 50
MAX_LISTS = 3
FLOORS_PER_PAGE = 60


def list_page(view: View, number: int) -> Answer | None:
    """Threads, newest first (by their first floor, so that a new reply does not move them between pages)."""
    threads = [post for post in view.of("shequ") if post.floor_of is None][: THREADS_PER_PAGE * MAX_LISTS]
    n_pages = max(1, -(-len(threads) // THREADS_PER_PAGE))
    if not 1 <= number <= n_pages:
        return None
    n_replies: dict[str, int] = {}
    for post in view.posts:
        if post.floor_of:
            n_replies[post.floor_of] = n_replies.get(post.floor_of, 0) + 1
    rows = "".join(
        f'<tr class="thread"><td><a class="title" href="/shequ/thread-{post.id}-1.html">{escape(post.title)}</a></td>'
        f'<td class="author">{escape(post.author.name)}</td>'
        f'<td class="time">{shown_time(post.published_at, view.now)}</td>'
        f"<td>{n_replies.get(post.id, 0)}/{shown_count(engagement(post, view.now)[3])}</td></tr>"
        for post in threads[(number - 1) * THREADS_PER_PAGE : number * THREADS_PER_PAGE]
    )
    following = f'<a class="next" href="/shequ/list-{number + 1}.html">下一页</a>' if number < n_pages else ""
    return _page("咖啡社区论坛", f'<table class="threads">{rows}</table><p>第{number}/{n_pages}页 {following}</p>')


def thread_page(view: View, thread_id: str, number: int) -> Answer | None:
    thread = next((post for post in view.of("shequ") if post.id == thread_id and post.floor_of is None), None)
    if thread is None:
        return None
    floors = [post for post in view.posts if post.floor_of == thread_id]
    n_pages = max(1, -(-len(floors) // FLOORS_PER_PAGE))
    if not 1 <= number <= n_pages:
        return None
    first = (number - 1) * FLOORS_PER_PAGE
    shown = "".join(
        _floor(post, view, f"{first + i + 2}楼", "reply")
        for i, post in enumerate(floors[first : first + FLOORS_PER_PAGE])
    )
    following = (
        f'<a class="next" href="/shequ/thread-{thread_id}-{number + 1}.html">下一页</a>' if number < n_pages else ""
    )
    likes, _, _, views = engagement(thread, view.now)
    counts = (
        f'<p class="counts">浏览 <span class="views">{shown_count(views)}</span> '
        f'回复 <span class="comments">{len(floors)}</span> 赞 <span class="likes">{likes}</span></p>'
    )
    inside = f'<h1 class="thread-title">{escape(thread.title)}</h1>{counts}{_floor(thread, view, "楼主", "first")}'
    return _page(thread.title, f"{inside}{shown}<p>{following}</p>")


def _floor(post: Post, view: View, name: str, css: str) -> str:
    return (
        f'<div class="{css}" id="p{post.id}" data-pid="{post.id}"><p class="by"><b>{name}</b> '
        f'<a class="author" data-uid="{post.author.account}" href="/shequ/user-{post.author.account}.html">'
        f'{escape(post.author.name)}</a> <span class="time">发表于 {shown_time(post.published_at, view.now)}</span> '
        f'IP属地：<span class="region">{escape(post.author.region)}</span></p>'
        f'<div class="content">{paragraphs(post.text)}</div></div>'
    )


def _page(title: str, inside: str) -> Answer:
    html = (
        '<!DOCTYPE html><html><head><meta http-equiv="Content-Type" content="text/html; charset=gb2312">'
        f"<title>{escape(title)} - 咖啡社区论坛</title></head><body><h2>咖啡社区论坛</h2>{inside}</body></html>"
    )
    # GB18030 can write every character, emoji included, so nothing is lost.
    return Answer(html.encode("gb18030"), "text/html; charset=gb2312")
