"""Customers: import, groups, and links that are made on evidence and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import customers
from index.customers import LinkError, import_customers, link_mentions, named_orders
from index.embedded import EmbeddedStore
from index.models import Customer, Link, LinkBasis, LinkState, Mention, Order
from index.store import MentionQuery, Store
from tests.builders import NOW, a_mention, a_persona

HEAD = "customer_id,name,handles,order_number,order_at,order_amount\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = EmbeddedStore(tmp_path / "wensheng.db")
    yield made
    made.close()


def a_customer(customer_id: str = "C1", *, handles: tuple[str, ...] = (), orders: tuple[str, ...] = ()) -> Customer:
    return Customer(
        id=customer_id,
        name="林小满",
        handles=handles,
        orders=tuple(Order(number=number, at=NOW, amount=20) for number in orders),
        created_at=NOW,
        updated_at=NOW,
    )


def linked(store: Store, mention: Mention) -> Mention:
    """The mention as ingest would leave it in the store."""
    (mention,) = link_mentions(store, [mention], now=NOW)
    store.add_mentions([mention], now=NOW)
    return store.mentions([mention.id])[mention.id]


def by_persona(name: str, text: str = "山岚咖啡不错") -> Mention:
    return a_mention(text, platform="weiyan", persona=a_persona(id=f"weiyan:{name}-id", name=name))


# ------------------------------------------------------------------------------------------------- import


def importing(store: Store, tmp_path: Path, rows: str, *, dry_run: bool = False):
    path = tmp_path / "c.csv"
    path.write_text(HEAD + rows, encoding="utf-8")
    return import_customers(store, path, now=NOW, dry_run=dry_run)


def test_a_preview_says_what_would_change_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    report = importing(store, tmp_path, "C1,林,weiyan:a,N1,2026-11-01,10\n", dry_run=True)
    assert (report.n("new"), report.applied) == (1, False)
    assert store.tally(Customer) == 0


def test_the_same_file_twice_changes_nothing_the_second_time(store: Store, tmp_path: Path) -> None:
    importing(store, tmp_path, "C1,林,weiyan:a,N1,2026-11-01,10\n")
    report = importing(store, tmp_path, "C1,林,weiyan:a,N1,2026-11-01,10\n")
    assert (report.n("new"), report.n("changed"), report.n("same")) == (0, 0, 1)


def test_a_later_file_adds_handles_and_orders_and_keeps_the_old_ones(store: Store, tmp_path: Path) -> None:
    importing(store, tmp_path, "C1,林,weiyan:a,N1,2026-11-01,10\n")
    report = importing(store, tmp_path, "C1,林,shequ:b,N2,2026-11-02,20\n")
    customer = store.get(Customer, "C1")
    assert report.changes[0].fields == ("handles", "orders")
    assert customer is not None
    assert customer.handles == ("weiyan:a", "shequ:b")
    assert customer.order_numbers == ("N1", "N2")


def test_one_bad_cell_keeps_the_whole_file_out(store: Store, tmp_path: Path) -> None:
    report = importing(store, tmp_path, "C1,林,weiyan:a,N1,2026-11-01,10\nC2,陈,b,N2,2026-11-01,10\n")
    assert [cell.column for cell in report.bad_cells] == ["handles"]
    assert store.tally(Customer) == 0


def test_groups_follow_value_and_frequency_of_the_last_year() -> None:
    def buyer(name: str, amounts: list[float], *, days_ago: int = 10) -> Customer:
        at = NOW - timedelta(days=days_ago)
        orders = tuple(Order(number=f"{name}{n}", at=at, amount=amount) for n, amount in enumerate(amounts))
        return a_customer(name).but(orders=orders)

    people = [
        buyer("rich-often", [500] * 9),
        buyer("rich-once", [5000]),
        *(buyer(f"some-{n}", [20, 20]) for n in range(8)),
        buyer("gone", [900], days_ago=400),
    ]
    groups = {customer.id: customer.group for customer in customers.grouped(people, now=NOW)}
    assert groups["rich-often"] == "A"
    assert groups["rich-once"] == "B"
    assert groups["some-1"] in ("C", "D")
    assert groups["gone"] == "E"


def test_a_customer_who_stopped_buying_moves_to_another_group_with_time(store: Store) -> None:
    store.put_all(customers.grouped([a_customer(orders=("N1",))], now=NOW))
    assert customers.regroup(store, now=NOW) == 0
    assert customers.regroup(store, now=NOW + timedelta(days=366)) == 1
    assert store.find(Customer, {"group": "E"})


# -------------------------------------------------------------------------------------------------- links


def test_an_exact_handle_links_by_itself_with_its_evidence(store: Store) -> None:
    store.put(a_customer(handles=("weiyan:小满",)))
    mention = linked(store, by_persona("小满"))
    (link,) = store.find(Link)
    assert mention.customer_id == "C1"
    assert (link.state, link.basis, link.confidence) == (LinkState.LINKED, LinkBasis.HANDLE, 1.0)
    assert "weiyan:小满" in link.evidence


def test_an_order_number_in_the_text_links_the_persona_and_its_earlier_mentions(store: Store) -> None:
    store.put(a_customer(orders=("SL202611180012",)))
    early = linked(store, by_persona("路人", "等了半小时"))
    assert early.customer_id is None
    late = linked(store, by_persona("路人", "订单 sl202611180012 还没退款"))
    assert late.customer_id == "C1"
    assert store.mentions([early.id])[early.id].customer_id == "C1"


def test_an_anonymous_mention_with_an_order_number_links_itself_only(store: Store) -> None:
    store.put(a_customer(orders=("SL202611180012",)))
    mention = linked(store, a_mention("SL202611180012 退款", persona=None))
    assert mention.customer_id == "C1"
    (link,) = store.find(Link)
    assert link.persona_id == f"mention:{mention.id}"


def test_a_nickname_of_another_platform_is_only_suggested(store: Store) -> None:
    store.put(a_customer(handles=("shequ:小满",)))
    assert linked(store, by_persona("小满")).customer_id is None
    (link,) = store.find(Link)
    assert (link.state, link.basis) == (LinkState.SUGGESTED, LinkBasis.NAME)
    assert link.confidence < 1


def test_a_handle_that_two_customers_gave_is_only_suggested(store: Store) -> None:
    store.put(a_customer("C1", handles=("weiyan:小满",)))
    store.put(a_customer("C2", handles=("weiyan:小满",)))
    assert linked(store, by_persona("小满")).customer_id is None
    assert {link.state for link in store.find(Link)} == {LinkState.SUGGESTED}


def test_evidence_for_two_customers_in_one_text_is_only_suggested(store: Store) -> None:
    store.put(a_customer("C1", orders=("SL202611180012",)))
    store.put(a_customer("C2", orders=("SL202611180013",)))
    mention = linked(store, by_persona("路人", "SL202611180012 和 SL202611180013 都没退"))
    assert mention.customer_id is None


def test_a_linked_persona_that_names_another_customers_order_keeps_its_customer(store: Store) -> None:
    store.put(a_customer("C1", handles=("weiyan:小满",)))
    store.put(a_customer("C2", orders=("SL202611180013",)))
    linked(store, by_persona("小满"))
    assert linked(store, by_persona("小满", "帮朋友问 SL202611180013")).customer_id == "C1"
    assert {link.customer_id: link.state for link in store.find(Link)} == {
        "C1": LinkState.LINKED,
        "C2": LinkState.SUGGESTED,
    }


def test_an_undone_link_frees_the_mentions_keeps_history_and_is_not_made_again(store: Store) -> None:
    store.put(a_customer(handles=("weiyan:小满",)))
    mention = linked(store, by_persona("小满"))
    (link,) = store.find(Link)
    undone = customers.undo(store, link.id, by="小李", now=NOW, reason="同名")
    assert store.mentions([mention.id])[mention.id].customer_id is None
    assert [(event.actor, event.note) for event in undone.history] == [("小李", "同名")]
    assert linked(store, by_persona("小满", "又来了")).customer_id is None


def test_a_confirmed_suggestion_links_the_mentions(store: Store) -> None:
    store.put(a_customer(handles=("shequ:小满",)))
    mention = linked(store, by_persona("小满"))
    (link,) = store.find(Link)
    customers.confirm(store, link.id, by="小李", now=NOW)
    assert store.mentions([mention.id])[mention.id].customer_id == "C1"


def test_a_second_link_of_one_persona_cannot_be_confirmed_before_the_first_is_undone(store: Store) -> None:
    store.put(a_customer("C1", handles=("weiyan:小满",)))
    store.put(a_customer("C2", handles=("shequ:小满",)))
    linked(store, by_persona("小满"))
    suggestion = next(link for link in store.find(Link) if link.state == LinkState.SUGGESTED)
    with pytest.raises(LinkError, match="撤销"):
        customers.confirm(store, suggestion.id, by="小李", now=NOW)


def test_a_refused_suggestion_is_not_proposed_again(store: Store) -> None:
    store.put(a_customer(handles=("shequ:小满",)))
    linked(store, by_persona("小满"))
    (link,) = store.find(Link)
    customers.refuse(store, link.id, by="小李", now=NOW)
    linked(store, by_persona("小满", "第二条"))
    assert [found.state for found in store.find(Link)] == [LinkState.REFUSED]


def test_a_person_can_link_on_evidence_of_their_own(store: Store) -> None:
    store.put(a_customer())
    mention = linked(store, by_persona("某人"))
    link = customers.link_by_hand(store, mention, "C1", by="小李", now=NOW, evidence="电话里确认")
    assert (link.state, link.basis) == (LinkState.LINKED, LinkBasis.PERSON)
    assert store.count(MentionQuery(customer_id="C1")) == 1


def test_an_import_that_brings_a_handle_links_mentions_that_are_there(store: Store) -> None:
    mention = linked(store, by_persona("小满"))
    store.put(a_customer(handles=("weiyan:小满",)))
    assert customers.relink(store, now=NOW) == 1
    assert store.mentions([mention.id])[mention.id].customer_id == "C1"


def test_order_numbers_are_found_in_any_case_and_dates_in_words_are_not() -> None:
    assert named_orders("单号sl-202611180012，2026年11月18日下单") == ("SL202611180012",)


@given(st.text())
def test_no_text_breaks_the_search_for_order_numbers(text: str) -> None:
    assert all(number == number.upper() for number in named_orders(text))
