"""Who may see what: local accounts, sign-in with lock-out, sessions that survive a reload.

A password is checked once; the browser then holds a random token in an HttpOnly cookie and the store
holds only its SHA-256. The cookie is set by dashboard/server.py in exchange for a ticket: a page cannot
set an HttpOnly cookie itself, and the token must not pass through the page's own script.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from pwdlib import PasswordHash

from index.models import Account, LogEntry, Role, Session
from index.store import Store, VersionConflict

COOKIE = "wensheng_session"
SESSION_LASTS = timedelta(days=7)
TICKET_LASTS = timedelta(minutes=1)
MAX_FAILED = 5
LOCKED_FOR = timedelta(minutes=15)

_HASHER = PasswordHash.recommended()
_UNUSABLE = "!"
"""A password hash that no password has: accounts of the sample, which one enters without."""

SAMPLE_PEOPLE = (
    ("林岚", Role.PR),
    ("小李", Role.SERVICE),
    ("小周", Role.SERVICE),
    ("程远", Role.PRODUCT),
    ("管理员", Role.ADMIN),
)


class AccessError(Exception):
    """Not let in; the text says why, in Chinese, and no more than a stranger may know."""


@dataclass(frozen=True)
class Viewer:
    """A signed-in person. scope holds the topics that may be seen; empty means all."""

    account_id: str
    name: str
    role: Role
    scope: tuple[str, ...] = ()

    def may(self, *roles: Role) -> bool:
        return self.role in (*roles, Role.ADMIN)


def hash_password(password: str) -> str:
    if len(password) < 8:
        raise AccessError("密码至少 8 个字符。")
    return _HASHER.hash(password)


def create_account(
    store: Store, account_id: str, *, name: str, role: Role, topics: tuple[str, ...] = (), password: str
) -> Account:
    """A new local account. Raises AccessError where the id or the shown name is taken, or the password too short.

    The shown name must be unique: owners and timelines are kept by it.
    """
    account_id, name = account_id.strip(), name.strip()
    if not account_id or not name:
        raise AccessError("登录名和显示名都不能为空。")
    hashed = hash_password(password)
    if any(account.name == name for account in store.find(Account)):
        raise AccessError(f"已有同事叫 {name}, 请换一个显示名 (任务和预警按显示名记负责人)。")
    try:
        return store.put(Account(id=account_id, name=name, role=role, topics=topics, password_hash=hashed))
    except VersionConflict as error:
        raise AccessError(f"登录名 {account_id} 已存在。") from error


_HASH_OF_NOTHING = _HASHER.hash(secrets.token_urlsafe(16))
"""Checked for unknown names, so that a stranger cannot tell by the time whether a name exists."""


def sign_in(store: Store, name: str, password: str, *, now: datetime) -> str:
    """Check a password and open a session; returns its token. Raises AccessError."""
    account = store.get(Account, name.strip())
    usable = account is not None and not account.disabled and account.password_hash != _UNUSABLE
    if usable and account is not None and account.locked_until is not None and now < account.locked_until:
        minutes = int((account.locked_until - now).total_seconds() // 60) + 1
        raise AccessError(f"连续输错 {MAX_FAILED} 次, 账号已锁定, 请 {minutes} 分钟后再试。")
    right = _HASHER.verify(password, account.password_hash if usable and account else _HASH_OF_NOTHING)
    if account is None or not usable or not right:
        if account is not None and usable:
            _count_failure(store, account.id, now=now)
        raise AccessError("账号或密码不对。")
    if account.n_failed or account.locked_until:
        _forget_failures(store, account.id)
    return _open_session(store, account, now=now)


def enter_sample(store: Store, name: str, *, now: datetime) -> str:
    """Enter as one of the sample's invented people; only to be called where the sample is on."""
    role = dict(SAMPLE_PEOPLE)[name]
    account = store.get(Account, name)
    if account is None:
        try:
            account = store.put(Account(id=name, name=name, role=role, password_hash=_UNUSABLE))
        except VersionConflict:
            account = store.get(Account, name)
    if account is None or account.disabled:
        raise AccessError("这个示例账号已停用。")
    return _open_session(store, account, now=now)


def viewer_of(store: Store, token: str | None, *, now: datetime) -> Viewer | None:
    """The person whose valid session this token opens."""
    if not token:
        return None
    session = store.get(Session, _digest(token))
    if session is None or session.expires_at <= now:
        return None
    account = store.get(Account, session.account_id)
    if account is None or account.disabled:
        return None
    return Viewer(account.id, account.name, account.role, account.topics)


def sign_out(store: Store, token: str) -> None:
    store.delete(Session, _digest(token))


class Tickets:
    """Single-use vouchers that turn into a cookie: valid for a minute, kept in this process only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def issue(self, token: str, *, now: datetime) -> str:
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens = {key: kept for key, kept in self._tokens.items() if kept[1] > now}
            self._tokens[ticket] = (token, now + TICKET_LASTS)
        return ticket

    def redeem(self, ticket: str, *, now: datetime) -> str | None:
        with self._lock:
            token, until = self._tokens.pop(ticket, ("", now))
        return token if until > now else None


tickets = Tickets()


def _open_session(store: Store, account: Account, *, now: datetime) -> str:
    token = secrets.token_urlsafe(32)
    session = Session(id=_digest(token), account_id=account.id, created_at=now, expires_at=now + SESSION_LASTS)
    store.put(session)
    store.put(LogEntry(id=secrets.token_hex(12), at=now, actor=account.id, action="sign_in"))
    return token


def _count_failure(store: Store, account_id: str, *, now: datetime) -> None:
    """One more; also where several fail at once, or guesses made side by side would not be counted."""
    while (account := store.get(Account, account_id)) is not None:
        n_failed = account.n_failed + 1
        if n_failed >= MAX_FAILED:
            changed = account.but(n_failed=0, locked_until=now + LOCKED_FOR)
        else:
            changed = account.but(n_failed=n_failed)
        try:
            store.put(changed)
        except VersionConflict:
            continue
        return


def _forget_failures(store: Store, account_id: str) -> None:
    while (account := store.get(Account, account_id)) is not None:
        try:
            store.put(account.but(n_failed=0, locked_until=None))
        except VersionConflict:
            continue
        return


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
