"""Known customers: import, A-E groups, and the links that tie personas to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path

from index.customer_file import BadCell, read_customers
from index.models import Customer, Event, Frozen, Link, LinkBasis, LinkState, Mention, MentionEdit
from index.store import MentionQuery, R, Store, VersionConflict

YEAR = timedelta(days=365)
_ORDER_NUMBER = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{0,6}-?\d{8,24}(?![0-9A-Za-z])")


class LinkError(Exception):
    """A link cannot be changed as asked; the text says why, in Chinese."""


# ------------------------------------------------------------------------------------------------- import


class CustomerChange(Frozen):
    """One line of an import's preview."""

    customer_id: str
    name: str
    change: str
    """new, changed or same."""
    fields: tuple[str, ...] = ()


class ImportReport(Frozen):
    """What an import would do (applied False) or did. With bad cells nothing is written."""

    n_rows: int
    changes: tuple[CustomerChange, ...]
    bad_cells: tuple[BadCell, ...]
    applied: bool

    def n(self, change: str) -> int:
        return sum(line.change == change for line in self.changes)


def import_customers(store: Store, path: Path, *, now: datetime, dry_run: bool = False) -> ImportReport:
    """Check a file, say what would change, and unless dry_run write it, all or nothing.

    A known customer keeps handles and orders that the file does not name; other fields follow the file
    where it gives them. Raises CustomerFileError.
    """
    file = read_customers(path, now=now)
    known = {customer.id: customer for customer in store.find(Customer)}
    merged = {customer.id: _merge(known.get(customer.id), customer) for customer in file.customers}
    changes = tuple(_change(known.get(customer.id), customer) for customer in merged.values())
    if file.bad_cells or dry_run:
        return ImportReport(n_rows=file.n_rows, changes=changes, bad_cells=file.bad_cells, applied=False)
    groups = grouped((known | merged).values(), now=now)
    store.put_all([customer for customer in groups if customer != known.get(customer.id)])
    return ImportReport(n_rows=file.n_rows, changes=changes, bad_cells=(), applied=True)


def _merge(known: Customer | None, new: Customer) -> Customer:
    if known is None:
        return new
    orders = {order.number: order for order in (*known.orders, *new.orders)}
    merged: Customer = known.but(
        name=new.name,
        phone_tail=new.phone_tail or known.phone_tail,
        handles=tuple(dict.fromkeys((*known.handles, *new.handles))),
        orders=tuple(sorted(orders.values(), key=attrgetter("at"))),
        tier=new.tier or known.tier,
        tags=tuple(dict.fromkeys((*known.tags, *new.tags))),
        note=new.note or known.note,
    )
    return merged.but(updated_at=new.updated_at) if merged != known else known


def _change(known: Customer | None, merged: Customer) -> CustomerChange:
    if known is None:
        return CustomerChange(customer_id=merged.id, name=merged.name, change="new")
    fields = tuple(
        name
        for name in Customer.model_fields
        if name not in ("version", "updated_at") and getattr(known, name) != getattr(merged, name)
    )
    return CustomerChange(
        customer_id=merged.id, name=merged.name, change="changed" if fields else "same", fields=fields
    )


def grouped(customers: Iterable[Customer], *, now: datetime) -> list[Customer]:
    """Give each customer a group from the orders of the last 365 days.

    High means at or above the 80th percentile of the customers who ordered: A high value and high
    frequency, B high value, C high frequency, D the others who ordered, E nobody's order in that year.
    """
    customers = list(customers)
    recent = {customer.id: [order for order in customer.orders if now - YEAR <= order.at] for customer in customers}
    values = {key: sum(order.amount for order in orders) for key, orders in recent.items() if orders}
    counts = {key: len(orders) for key, orders in recent.items() if orders}
    high_value, high_count = _percentile(values.values(), 0.8), _percentile(counts.values(), 0.8)
    names = {(True, True): "A", (True, False): "B", (False, True): "C", (False, False): "D"}
    result = []
    for customer in customers:
        group = "E"
        if customer.id in values:
            group = names[values[customer.id] >= high_value, counts[customer.id] >= max(2, high_count)]
        result.append(customer if customer.group == group else customer.but(group=group))
    return result


def regroup(store: Store, *, now: datetime) -> int:
    """Bring the groups up to date, as orders leave the year with time. Returns how many customers moved."""
    known = {customer.id: customer for customer in store.find(Customer)}
    n = 0
    for customer in grouped(known.values(), now=now):
        if customer == known[customer.id]:
            continue
        try:
            store.put(customer)
        except VersionConflict:  # just imported, with a group of its own
            continue
        n += 1
    return n


def _percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# -------------------------------------------------------------------------------------------------- links


def persona_key(mention: Mention) -> str:
    """What a link hangs on: the persona, or the mention itself where nobody is named."""
    return mention.persona.id if mention.persona else f"mention:{mention.id}"


def persona_handles(mention: Mention) -> tuple[str, ...]:
    """The spellings under which a customer may have given this account."""
    if mention.persona is None:
        return ()
    return tuple(dict.fromkeys((mention.persona.id, f"{mention.platform}:{mention.persona.name}")))


def named_orders(text: str) -> tuple[str, ...]:
    """What looks like an order number in a text, upper case, without hyphens."""
    return tuple(dict.fromkeys(found.replace("-", "").upper() for found in _ORDER_NUMBER.findall(text)))


def propose(
    mention: Mention,
    *,
    by_handle: Mapping[str, Sequence[Customer]],
    by_order: Mapping[str, Sequence[Customer]],
    by_name: Mapping[str, Sequence[Customer]],
    now: datetime,
) -> list[Link]:
    """The links that a mention gives evidence for; exact evidence for one customer links, the rest suggests."""
    found: dict[str, Link] = {}

    def note(customers: Sequence[Customer], basis: LinkBasis, confidence: float, evidence: str) -> None:
        alone = len(customers) == 1
        for customer in customers:
            if customer.id in found:
                continue
            exact = alone and basis in (LinkBasis.HANDLE, LinkBasis.ORDER_NUMBER)
            found[customer.id] = Link(
                id=f"{persona_key(mention)}>{customer.id}",
                persona_id=persona_key(mention),
                persona_name=mention.persona.name if mention.persona else "匿名",
                customer_id=customer.id,
                state=LinkState.LINKED if exact else LinkState.SUGGESTED,
                basis=basis,
                confidence=confidence if alone else confidence / len(customers),
                evidence=evidence,
                mention_id=mention.id,
                created_at=now,
            )

    for handle in persona_handles(mention):
        note(by_handle.get(handle, ()), LinkBasis.HANDLE, 1.0, f"客户留过这个账号: {handle}")
    for number in named_orders(f"{mention.title} {mention.text}"):
        note(by_order.get(number, ()), LinkBasis.ORDER_NUMBER, 0.95, f"原文写到订单号 {number}")
    if mention.persona:
        same = [customer for customer in by_name.get(mention.persona.name, ()) if customer.id not in found]
        note(same, LinkBasis.NAME, 0.5, f"昵称“{mention.persona.name}”与客户在其他平台的账号相同")
    if sum(link.state == LinkState.LINKED for link in found.values()) > 1:
        return [link.but(state=LinkState.SUGGESTED) for link in found.values()]
    return list(found.values())


def link_mentions(store: Store, mentions: Sequence[Mention], *, now: datetime) -> list[Mention]:
    """Tie mentions to customers by what is known and what they say; writes new links.

    A persona that is linked keeps its customer. What a person refused or undid is not proposed again.
    """
    keys = {persona_key(mention) for mention in mentions}
    links: dict[str, dict[str, Link]] = {}
    for link in _find_any(store, Link, "persona_id", keys):
        links.setdefault(link.persona_id, {})[link.customer_id] = link
    by_handle = _by(_find_any(store, Customer, "handles", {h for m in mentions for h in persona_handles(m)}), "handles")
    by_order = _by(
        _find_any(store, Customer, "order_numbers", {n for m in mentions for n in named_orders(f"{m.title} {m.text}")}),
        "order_numbers",
    )
    names = {mention.persona.name for mention in mentions if mention.persona}
    by_name = _by(_find_any(store, Customer, "handle_names", names), "handle_names")
    for mention in mentions:
        own = links.setdefault(persona_key(mention), {})
        linked = next((link for link in own.values() if link.state == LinkState.LINKED), None)
        for found in propose(mention, by_handle=by_handle, by_order=by_order, by_name=by_name, now=now):
            if found.customer_id in own:
                continue
            link = _put_once(store, found.but(state=LinkState.SUGGESTED) if linked else found)
            own[link.customer_id] = link
            if link.state == LinkState.LINKED:
                linked = link
                _attach(store, link.persona_id, link.customer_id)
    # Only now: a later mention of the batch may have linked the persona of an earlier one.
    customer_of = {
        key: link.customer_id for key, own in links.items() for link in own.values() if link.state == LinkState.LINKED
    }
    return [
        mention.model_copy(update={"customer_id": customer_of[key]}) if key in customer_of else mention
        for mention, key in zip(mentions, map(persona_key, mentions), strict=True)
    ]


def _find_any(store: Store, kind: type[R], field: str, values: Collection[str]) -> list[R]:
    return store.find(kind, {field: tuple(values)}) if values else []


def _by(customers: Iterable[Customer], field: str) -> dict[str, list[Customer]]:
    result: dict[str, list[Customer]] = {}
    for customer in customers:
        for value in getattr(customer, field):
            result.setdefault(value, []).append(customer)
    return result


def _put_once(store: Store, link: Link) -> Link:
    """Create a link unless another worker just did; theirs wins."""
    try:
        return store.put(link)
    except VersionConflict:
        return store.get(Link, link.id) or link


def _attach(store: Store, persona_id: str, customer_id: str | None) -> int:
    """Give all stored mentions of a persona this customer (None takes it away). Safe to repeat."""
    edit = MentionEdit(customer_id=customer_id)
    if persona_id.startswith("mention:"):
        return store.edit_mentions({persona_id.removeprefix("mention:"): edit})
    n, after = 0, None
    query = MentionQuery(persona_ids=(persona_id,), hidden="with")
    while True:
        page = store.search(query, limit=500, after=after)
        n += store.edit_mentions({m.id: edit for m in page.mentions if m.customer_id != customer_id})
        if page.after is None:
            return n
        after = page.after


def relink(store: Store, *, now: datetime, batch: int = 500) -> int:
    """Look at all stored mentions without a customer again (after an import). Returns how many got one."""
    n, after = 0, None
    while True:
        page = store.search(MentionQuery(hidden="with"), limit=batch, after=after)
        free = [mention for mention in page.mentions if mention.customer_id is None]
        linked = {m.id: m for m in link_mentions(store, free, now=now) if m.customer_id}
        n += store.edit_mentions({key: MentionEdit(customer_id=m.customer_id) for key, m in linked.items()})
        if page.after is None:
            return n
        after = page.after


def confirm(store: Store, link_id: str, *, by: str, now: datetime) -> Link:
    """A person says that a suggestion (or a refused or undone link) is right. Raises LinkError."""
    link = _link(store, link_id)
    for other in store.find(Link, {"persona_id": link.persona_id, "state": LinkState.LINKED}):
        if other.id != link.id:
            raise LinkError(f"{link.persona_name} 已关联到客户 {other.customer_id}, 请先撤销那条关联。")
    return _decide(store, link, LinkState.LINKED, "确认关联", by=by, now=now, customer_id=link.customer_id)


def refuse(store: Store, link_id: str, *, by: str, now: datetime) -> Link:
    """A person says that a suggestion is wrong; it is not proposed again. Raises LinkError."""
    link = _link(store, link_id)
    if link.state == LinkState.LINKED:
        raise LinkError("这条关联已生效, 请用撤销。")
    return _decide(store, link, LinkState.REFUSED, "否定建议", by=by, now=now, customer_id=None)


def undo(store: Store, link_id: str, *, by: str, now: datetime, reason: str = "") -> Link:
    """Take a link back; the history stays and it is not made again by itself. Raises LinkError."""
    link = _link(store, link_id)
    if link.state != LinkState.LINKED:
        raise LinkError("这条关联没有生效, 不用撤销。")
    return _decide(store, link, LinkState.UNDONE, "撤销关联", by=by, now=now, customer_id=None, note=reason)


def link_by_hand(store: Store, mention: Mention, customer_id: str, *, by: str, now: datetime, evidence: str) -> Link:
    """A person ties the author of a mention to a customer on evidence of their own. Raises LinkError."""
    if store.get(Customer, customer_id) is None:
        raise LinkError(f"没有编号为 {customer_id} 的客户。")
    key = persona_key(mention)
    link = store.get(Link, f"{key}>{customer_id}") or _put_once(
        store,
        Link(
            id=f"{key}>{customer_id}",
            persona_id=key,
            persona_name=mention.persona.name if mention.persona else "匿名",
            customer_id=customer_id,
            state=LinkState.SUGGESTED,
            basis=LinkBasis.PERSON,
            confidence=1.0,
            evidence=evidence,
            mention_id=mention.id,
            created_at=now,
        ),
    )
    return confirm(store, link.id, by=by, now=now)


def _link(store: Store, link_id: str) -> Link:
    link = store.get(Link, link_id)
    if link is None:
        raise LinkError(f"没有这条关联: {link_id}")
    return link


def _decide(
    store: Store,
    link: Link,
    state: LinkState,
    action: str,
    *,
    by: str,
    now: datetime,
    customer_id: str | None,
    note: str = "",
) -> Link:
    """Write a person's decision, then bring the mentions in line (that second step may be repeated)."""
    was_linked = link.state == LinkState.LINKED
    event = Event(at=now, actor=by, action=action, note=note)
    try:
        saved = store.put(link.but(state=state, history=(*link.history, event)))
    except VersionConflict as error:
        raise LinkError("这条关联刚被别人改过, 请刷新后再试。") from error
    if was_linked or state == LinkState.LINKED:
        _attach(store, link.persona_id, customer_id)
    return saved
