"""The measurements on Elasticsearch run, go on where they were cut off, and use what is there already."""

import json
import re

import pytest

from index import bench_elastic, bench_queries
from index.elastic import ElasticStore
from index.store import MentionQuery
from settings import StoreSettings
from tests.servers.elastic import store_settings

pytestmark = pytest.mark.es


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setattr(bench_elastic, "SLICE", 60)
    monkeypatch.setattr(bench_queries, "_ROUNDS", 1)
    made = store_settings()
    yield made
    for prefix in list_of_prefixes(made):
        bench_elastic._drop(made.model_copy(update={"prefix": prefix}))


def no_figures(store):
    return {}


@pytest.fixture
def no_questions(monkeypatch):
    """For runs of which only the load matters."""
    monkeypatch.setattr(bench_queries, "figures", no_figures)


def list_of_prefixes(settings: StoreSettings):
    client = bench_elastic.connect(settings)
    found = client.indices.get_alias(index=f"{settings.prefix}-bench-*")
    client.close()
    return {re.sub(r"-(mentions|records)-v.*", "", index) for index in found}


def test_the_slices_hold_every_mention_once_and_each_in_its_own_time(monkeypatch):
    monkeypatch.setattr(bench_elastic, "SLICE", 60)
    ids = set()
    for each in bench_elastic._slices(200, 3):
        made = [mention for batch in each.batches() for mention in batch]
        assert len(made) == each.n
        assert all(each.since <= mention.published_at < each.until for mention in made)
        ids |= {mention.id.partition(":")[2] for mention in made}
    assert ids == {str(number) for number in range(200)}


def test_all_loads_are_timed_and_the_second_run_loads_nothing(settings, tmp_path, monkeypatch):
    figures = bench_elastic.run(settings, 150, tmp_path)
    assert figures["load"]["n_timed"] == 150
    assert figures["load"]["of_bare"] > 0
    assert figures["load"]["of_prepared"] > 0
    assert figures["two_characters_newest_20_and_count"]["n_hits_median"] > 0
    assert list_of_prefixes(settings) == {f"{settings.prefix}-bench-150-3"}
    monkeypatch.setattr(bench_elastic, "_ours", None)
    monkeypatch.setattr(bench_queries, "figures", no_figures)
    assert bench_elastic.run(settings, 150, tmp_path)["load"] == figures["load"]


@pytest.mark.usefixtures("no_questions")
def test_what_was_cut_off_goes_on_and_is_not_timed_where_a_part_was_there(settings, tmp_path):
    whole = bench_elastic._slices(150, 3)
    prefix = f"{settings.prefix}-bench-150-3"
    store = ElasticStore(settings.model_copy(update={"prefix": prefix}))
    for each in whole[:2]:
        (batch,) = each.batches()
        store.add_mentions(
            batch[: each.n - each.first // 60], now=bench_elastic.END
        )  # all of the first, not the second
    (tmp_path / "elasticsearch-150-3.json").write_text(
        json.dumps({"n_slices": 1, "n_timed": 60, "ours_s": 1.0, "bare_s": 1.0, "prepared_s": 1.0})
    )
    figures = bench_elastic.run(settings, 150, tmp_path)
    assert figures["load"]["n_timed"] == 60 + 30
    assert store.count(MentionQuery(hidden="with")) == 150
    store.close()


@pytest.mark.usefixtures("no_questions")
def test_a_large_load_by_several_processes_adds_what_is_missing(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_elastic, "MOST_BESIDE", 100)
    first = bench_elastic.run(settings, 150, tmp_path, months=2)
    store = ElasticStore(settings.model_copy(update={"prefix": f"{settings.prefix}-bench-150-2"}))
    lost = [mention.id for mention in store.search(MentionQuery(), limit=20).mentions]
    store.erase_mentions(lost)
    again = bench_elastic.run(settings, 150, tmp_path, months=2)
    assert (first["load"]["n"], again["load"]["n"]) == (150, 30)
    assert store.mentions(lost).keys() == set(lost)
    store.close()
