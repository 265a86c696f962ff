"""Articles as feeds, in the output shapes of RSSHub: RSS 2.0, Atom and JSON Feed."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

from sample.answers import Answer, View, as_json, with_validators
from sample.posts import Post
from sample.timeline import BEIJING

MAX_ITEMS = 150
_FEEDS = {"news": "湖滨消费资讯", "blog": "咖啡行业手记", "column": "街头食事专栏"}
_OF_FOUR = ("news", "news", "blog", "column")


def feed_of(post: Post) -> str:
    """Each article is in one of the feeds: half of them news."""
    return _OF_FOUR[int(post.id) % len(_OF_FOUR)]


def articles(view: View, name: str) -> list[Post]:
    return [post for post in view.of("wenzhang") if feed_of(post) == name][:MAX_ITEMS]


def rss(view: View) -> Answer:
    posts = articles(view, "news")
    items = "".join(
        f"<item><title>{_short(post.title)}</title><description>{escape(_html(post))}</description>"
        f'<link>{view.url(post)}</link><guid isPermaLink="false">{view.url(post)}</guid>'
        f"<pubDate>{_gmt(post.published_at)}</pubDate><author>{escape(post.author.name)}</author>"
        f"<category>{escape(post.theme)}</category></item>"
        for post in posts
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:atom="http://www.w3.org/2005/Atom" version="2.0"><channel>'
        f"<title>{_FEEDS['news']}</title><link>{view.base}/wenzhang/</link>"
        f'<atom:link href="{view.base}/wenzhang/news.rss" rel="self" type="application/rss+xml"/>'
        f"<description>{_FEEDS['news']} - Powered by RSSHub</description><generator>RSSHub</generator>"
        f"<language>zh-cn</language><lastBuildDate>{_gmt(_newest(posts))}</lastBuildDate><ttl>5</ttl>"
        f"{items}</channel></rss>"
    )
    return with_validators(Answer(body.encode(), "application/xml; charset=utf-8"), _newest(posts))


def atom(view: View) -> Answer:
    posts = articles(view, "blog")
    entries = "".join(
        f"<entry><title>{_short(post.title)}</title><id>{view.url(post)}</id>"
        f'<link href="{view.url(post)}"/><published>{_iso(post.published_at)}</published>'
        f"<updated>{_iso(post.published_at)}</updated><author><name>{escape(post.author.name)}</name></author>"
        f'<category term="{escape(post.theme)}"/><content type="html">{escape(_html(post))}</content></entry>'
        for post in posts
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="zh-CN">'
        f"<title>{_FEEDS['blog']}</title><id>{view.base}/wenzhang/blog.atom</id>"
        f'<link rel="self" href="{view.base}/wenzhang/blog.atom"/><updated>{_iso(_newest(posts))}</updated>'
        f"{entries}</feed>"
    )
    return with_validators(Answer(body.encode(), "application/atom+xml; charset=utf-8"), _newest(posts))


def json_feed(view: View) -> Answer:
    posts = articles(view, "column")
    answer = as_json(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": _FEEDS["column"],
            "home_page_url": f"{view.base}/wenzhang/",
            "feed_url": f"{view.base}/wenzhang/feed.json",
            "language": "zh-cn",
            "items": [
                {
                    "id": view.url(post),
                    "url": view.url(post),
                    "title": post.title,
                    "content_html": _html(post),
                    "date_published": post.published_at.astimezone(BEIJING).isoformat(timespec="seconds"),
                    "authors": [{"name": post.author.name}],
                    "tags": [post.theme],
                }
                for post in posts
            ],
        },
        content_type="application/feed+json; charset=utf-8",
    )
    return with_validators(answer, _newest(posts))


def _newest(posts: list[Post]) -> datetime:
    return posts[0].published_at if posts else datetime(2000, 1, 1, tzinfo=UTC)


def _html(post: Post) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in post.text.splitlines() if line.strip())


def _short(title: str) -> str:
    return escape(title if len(title) <= 150 else title[:150] + "…")


def _gmt(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC).replace(microsecond=0), usegmt=True)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
