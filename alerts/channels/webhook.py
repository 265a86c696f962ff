"""A generic webhook: one JSON POST with an idempotency key and, if a secret is set, a signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass

from alerts.channels import http
from index.models import Notification


@dataclass(frozen=True)
class Webhook:
    """X-Wensheng-Id is the same for every try of one message, so the receiver can drop a repeat.

    X-Wensheng-Signature is `sha256=` and the hex HMAC of the body.
    """

    id: str
    url: str
    secret: str = ""

    def send(self, notification: Notification) -> None:
        payload = {
            "id": notification.id,
            "event": notification.event,
            "level": notification.level,
            "subject": {"kind": notification.subject_kind, "id": notification.subject_id},
            "title": notification.title,
            "body": notification.body,
            "created_at": notification.created_at.isoformat(),
        }
        body = json.dumps(payload, ensure_ascii=False).encode()
        headers = {"X-Wensheng-Id": notification.id.encode("ascii", "backslashreplace").decode()}
        if self.secret:
            headers["X-Wensheng-Signature"] = (
                "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            )
        http.post(self.url, body, headers)
