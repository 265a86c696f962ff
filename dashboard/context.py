"""What every page stands on: the settings, the store, the clock and the person signed in."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard import access, failures, last_known
from dashboard.access import Viewer
from dashboard.last_known import Loss
from index.copy import take_into_use
from index.open import open_store
from index.store import Store, StoreError
from settings import Settings, load


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    return load()


@st.cache_resource(show_spinner=False)
def store() -> Store:
    opened = open_store(settings())
    take_into_use(opened)
    return opened


def clock() -> datetime:
    return datetime.now(UTC)


def moment() -> datetime:
    """The present for what a page shows: one instant for a whole run, an earlier one while the store is lost."""
    return last_known.moment() or clock()


def on_phone() -> bool:
    """By what the browser says of itself: the width of the window is not known here."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


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


def who(now: datetime) -> tuple[Viewer | None, Loss | None]:
    """The person signed in; while the store is lost, as last known, with the loss. Raises StoreError if unknown."""
    key = token()
    if key is None:
        return None, None
    if not last_known.resting(now):
        try:
            person = signed_in()
        except StoreError as error:
            if not last_known.is_loss(error):
                raise
            last_known.lose(failures.note(error), now)
        else:
            last_known.found_again()
            last_known.keep_viewer(key, person, now)
            return person, None
    known = last_known.viewer(key, now)
    if known is None:
        raise last_known.NotKnown("数据库连不上, 也不知道是谁在访问")
    return known, last_known.present_loss()


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
