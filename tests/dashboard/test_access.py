from __future__ import annotations

from datetime import timedelta

import pytest

from dashboard import access
from dashboard.access import AccessError
from index.models import Account, Role, Session
from index.store import Store
from tests.builders import NOW

PASSWORD = "a-long-password"


@pytest.fixture
def lin(store: Store) -> Account:
    return access.create_account(store, "lin", name="林岚", role=Role.PR, topics=("shanlan",), password=PASSWORD)


def test_the_right_password_opens_a_session_with_role_and_scope(store: Store, lin: Account) -> None:
    token = access.sign_in(store, "lin", PASSWORD, now=NOW)
    viewer = access.viewer_of(store, token, now=NOW)
    assert viewer == access.Viewer("lin", "林岚", Role.PR, ("shanlan",))


def test_the_store_never_holds_the_token_or_the_password(store: Store, lin: Account) -> None:
    token = access.sign_in(store, "lin", PASSWORD, now=NOW)
    assert token not in str(store.find(Session))
    assert PASSWORD not in str(store.find(Account))


def test_a_stranger_and_a_wrong_password_are_told_the_same(store: Store, lin: Account) -> None:
    with pytest.raises(AccessError) as stranger:
        access.sign_in(store, "nobody", PASSWORD, now=NOW)
    with pytest.raises(AccessError) as wrong:
        access.sign_in(store, "lin", "wrong", now=NOW)
    assert str(stranger.value) == str(wrong.value)


def test_five_wrong_passwords_lock_the_account_for_a_quarter_of_an_hour(store: Store, lin: Account) -> None:
    for _ in range(access.MAX_FAILED):
        with pytest.raises(AccessError, match="不对"):
            access.sign_in(store, "lin", "wrong", now=NOW)
    with pytest.raises(AccessError, match="锁定"):
        access.sign_in(store, "lin", PASSWORD, now=NOW + timedelta(minutes=14))
    assert access.sign_in(store, "lin", PASSWORD, now=NOW + timedelta(minutes=16))


def test_a_session_ends_with_signing_out_with_time_and_with_the_account(store: Store, lin: Account) -> None:
    token = access.sign_in(store, "lin", PASSWORD, now=NOW)
    assert access.viewer_of(store, token, now=NOW + access.SESSION_LASTS) is None
    account = store.get(Account, "lin")
    assert account is not None
    store.put(account.but(disabled=True))
    assert access.viewer_of(store, token, now=NOW) is None
    access.sign_out(store, token)
    assert not store.find(Session)


def test_accounts_of_the_sample_have_no_password_that_opens_them(store: Store) -> None:
    access.enter_sample(store, "小李", now=NOW)
    for guess in ("", "!", "小李"):
        with pytest.raises(AccessError):
            access.sign_in(store, "小李", guess, now=NOW)


def test_two_colleagues_cannot_have_the_same_name(store: Store, lin: Account) -> None:
    with pytest.raises(AccessError, match="已有同事"):
        access.create_account(store, "lin2", name="林岚", role=Role.PR, password=PASSWORD)
    with pytest.raises(AccessError, match="已存在"):
        access.create_account(store, "lin", name="林一", role=Role.PR, password=PASSWORD)


def test_a_short_password_is_refused(store: Store) -> None:
    with pytest.raises(AccessError, match="8"):
        access.create_account(store, "a", name="甲", role=Role.PR, password="short")


def test_a_ticket_is_good_once_and_for_a_minute() -> None:
    tickets = access.Tickets()
    ticket = tickets.issue("token", now=NOW)
    assert tickets.redeem(ticket, now=NOW) == "token"
    assert tickets.redeem(ticket, now=NOW) is None
    late = tickets.issue("token", now=NOW)
    assert tickets.redeem(late, now=NOW + timedelta(minutes=2)) is None
