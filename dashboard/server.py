"""Starts the dashboard: Streamlit with two own routes (session cookie, health) and safe headers.

python -m dashboard.server
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import access, failures
from settings import SettingsError, load

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
)


class SafeHeaders:
    """Adds HEADERS to every HTTP answer; web sockets pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


async def keep_session(request: Request) -> Response:
    """Turn a ticket into the session cookie.

    The ticket comes in a header of its own: another site's page cannot send one without a CORS
    preflight, which nothing here allows, so nobody can be signed in as somebody else unawares.
    """
    token = access.tickets.redeem(request.headers.get("x-wensheng-ticket", ""), now=datetime.now(UTC))
    if token is None:
        return Response(status_code=204)
    response = Response(status_code=204)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
    response.set_cookie(
        access.COOKIE,
        token,
        max_age=int(access.SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return response


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[
        Route("/auth/session", keep_session, methods=["POST"]),
        Route("/healthz", health),
    ],
    middleware=[Middleware(SafeHeaders)],
    on_script_error=failures.show,
)


def run() -> None:
    """Serve until stopped, at the host and port of the settings."""
    service = load().service
    app.run(config={"server.address": service.host, "server.port": service.port})


if __name__ == "__main__":
    try:
        run()
    except SettingsError as error:
        sys.exit(str(error))
