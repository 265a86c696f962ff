"""The customer file, read by the import that the service uses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from index.customer_file import COLUMNS as IMPORT_COLUMNS
from index.customer_file import CustomerFile, read_customers
from sample.customers import COLUMNS, write_customers
from sample.posts import Post
from sample.world import World
from tests.sample.conftest import ANCHOR


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    path = tmp_path_factory.mktemp("data") / "sample" / "customers.csv"
    assert write_customers(path, ANCHOR, world=world) == 200
    return path


@pytest.fixture(scope="module")
def file(path: Path) -> CustomerFile:
    return read_customers(path, now=ANCHOR)


def test_the_import_takes_it_without_a_bad_cell(file: CustomerFile) -> None:
    assert file.bad_cells == ()
    assert len(file.customers) == 200


def test_its_columns_are_those_of_the_import() -> None:
    assert set(COLUMNS) == set(IMPORT_COLUMNS)


def test_there_is_one_row_an_order(path: Path, file: CustomerFile) -> None:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        numbers = [row["order_number"] for row in csv.DictReader(lines)]
    assert len(numbers) == len(set(numbers)) == sum(len(customer.orders) for customer in file.customers)


def test_no_order_lies_after_the_start(file: CustomerFile) -> None:
    assert all(order.at < ANCHOR for customer in file.customers for order in customer.orders)


def test_some_customers_write_under_the_handle_they_gave(file: CustomerFile, posts: list[Post]) -> None:
    names = {f"{post.platform}:{post.author.name}": post for post in posts}
    known = [handle for customer in file.customers for handle in customer.handles if handle in names]
    assert 50 <= len(known) <= 80
    assert sum(names[handle].crisis for handle in known) >= 10
    assert len(known) == len(set(known))


def test_some_customers_only_have_the_nickname_of_somebody_on_another_platform(
    file: CustomerFile, posts: list[Post]
) -> None:
    exact = {f"{post.platform}:{post.author.name}" for post in posts}
    names = {post.author.name for post in posts}
    handles = [handle for customer in file.customers for handle in customer.handles]
    assert 5 <= sum(handle not in exact and handle.partition(":")[2] in names for handle in handles) <= 25


def test_the_same_start_writes_the_same_file(path: Path, tmp_path: Path) -> None:
    write_customers(tmp_path / "again.csv", ANCHOR)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
