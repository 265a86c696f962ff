"""What every page stands on: the settings, the store, the clock and the person signed in."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard import access
from dashboard.access import Viewer
from index.open import open_store
from index.store import Store
from settings import Settings, load


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    return load()


@st.cache_resource(show_spinner=False)
def store() -> Store:
    return open_store(settings())


def clock() -> datetime:
    return datetime.now(UTC)


def start_session(token: str) -> None:
    """Remember the person in this browser tab at once, and have the browser keep the cookie."""
    st.session_state["token"] = token
    st.session_state["ticket"] = access.tickets.issue(token, now=clock())


def token() -> str | None:
    """The token of this tab, else the cookie's; none right after signing out, though the cookie is still there."""
    kept: str | None = st.session_state.get("token")
    return kept or (None if st.session_state.get("left") else cookie())


def cookie() -> str | None:
    return st.context.cookies.get(access.COOKIE)


def signed_in() -> Viewer | None:
    return access.viewer_of(store(), token(), now=clock())


def viewer() -> Viewer:
    """The person signed in; app.py lets no page run without one."""
    person = st.session_state.get("viewer")
    if not isinstance(person, Viewer):
        st.stop()
    return person


def leave() -> None:
    """Sign out: the session is removed from the store, so the cookie opens nothing any more."""
    kept = token()
    if kept:
        access.sign_out(store(), kept)
    st.session_state.clear()
    st.session_state["left"] = True
