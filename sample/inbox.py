"""The site's own message inbox: what a webhook channel sends here can be seen with no outside service."""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime
from html import escape
from threading import Lock
from typing import Any

from sample.answers import Answer, as_json, page
from sample.timeline import BEIJING

MAX_MESSAGES = 1000
MAX_BYTES = 1_000_000


class Inbox:
    """The newest messages, in memory. May be used by several threads."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque(maxlen=MAX_MESSAGES)
        self._lock = Lock()

    def receive(self, body: bytes, content_type: str, now: datetime) -> Answer:
        """Keep a message; JSON as what it says, anything else as text."""
        text = body.decode("utf-8", "replace")
        try:
            content = json.loads(text)
        except ValueError:
            content = text
        with self._lock:
            self._messages.append({"received_at": now.isoformat(), "content_type": content_type, "content": content})
            n = len(self._messages)
        return as_json({"ok": True, "n_messages": n})

    def messages(self) -> list[dict[str, Any]]:
        """Oldest first."""
        with self._lock:
            return list(self._messages)

    def as_page(self) -> Answer:
        messages = self.messages()
        shown = "".join(_shown(message) for message in reversed(messages))
        empty = "<p>还没有收到消息。预警触发后，会推送到这里。</p>"
        return Answer(page("收到的消息", f"<h1>收到的消息（{len(messages)} 条）</h1>{shown or empty}").encode())


def _shown(message: dict[str, Any]) -> str:
    at = datetime.fromisoformat(message["received_at"]).astimezone(BEIJING)
    content = message["content"]
    title, body = "消息", content
    if isinstance(content, dict):
        title = str(content.get("title") or title)
        body = content.get("body") or content.get("text") or json.dumps(content, ensure_ascii=False, indent=2)
    return (
        f'<div class="message"><p class="by">{at:%Y-%m-%d %H:%M:%S}</p><h2>{escape(title)}</h2>'
        f"<pre>{escape(str(body))}</pre></div>"
    )
