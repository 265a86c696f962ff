"""Every command works, prints JSON on demand, and fails with one clear line."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
import structlog

import manage
import worker
from index import models
from index.embedded import EmbeddedStore
from settings import SettingsError
from tests.builders import ago
from tests.index.backends import TemporaryElasticStore
from tests.servers import elastic
from tests.servers.quiet import serve_text

SETTINGS = """
[worker]
port = 0
[[topics]]
id = "shanlan"
name = "山岚咖啡"
kind = "brand"
query = "山岚咖啡"
[[topics]]
id = "qingyu"
name = "青屿咖啡"
kind = "competitor"
query = "青屿咖啡"
[[rules]]
id = "many"
name = "负面过多"
kind = "threshold"
topics = ["shanlan"]
sentiment = "any"
at_least = 3
window_m = 60
[[sources]]
id = "feed"
name = "资讯"
kind = "feed"
platform = "wenzhang"
url = "FEED"
basis = "公开的订阅源"
reviewed = 2026-11-01
allow_private = true
options = { delay_s = 0 }
"""
ROWS = [
    {"id": number, "text": text, "published_at": f"2026-11-{moment}:00+08:00", "platform": platform}
    for number, moment, platform, text in (
        ("w:1", "20T10:00", "weiyan", "山岚咖啡的新品太好喝了，强烈推荐给大家"),
        ("w:2", "20T10:20", "weiyan", "山岚咖啡喝完拉肚子，退款也没人理，投诉无门"),
        ("w:3", "20T10:40", "shequ", "请问山岚咖啡几点开门？周末营业吗"),
        ("w:4", "21T09:00", "shequ", "山岚咖啡喝完拉肚子，退款也没人理，投诉无门！"),
        ("w:5", "21T11:00", "shequ", "青屿咖啡的拿铁一般般吧"),
        ("w:6", "21T12:00", "weiyan", "今天天气不错"),
    )
]
RSS = """<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>资讯</title>
<item><title>山岚咖啡在成都开店</title><link>https://example.com/1</link><guid>1</guid>
<description>山岚咖啡成都首店今日开业。</description><pubDate>Fri, 20 Nov 2026 03:04:05 GMT</pubDate></item>
</channel></rss>"""


class Said(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs manage.py in this process on a data folder and settings of its own."""
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS.replace("FEED", "http://127.0.0.1:9/feed"), encoding="utf-8")
    monkeypatch.setenv("WENSHENG_SETTINGS", str(path))
    monkeypatch.setenv("WENSHENG_DATA_DIR", str(tmp_path / "data"))

    def ran(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["manage.py", *map(str, arguments)])
        capfd.readouterr()
        status: int | str | None = 0
        try:
            manage.main()
        except SystemExit as end:
            status = end.code
        said = capfd.readouterr()
        return Said(int(status or 0), said.out, said.err)

    yield ran
    structlog.reset_defaults()  # its logger writes to a file that ends with this test


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def filled(run: Run, rows: Path) -> Run:
    assert run("import", "mentions", rows, "--json").status == 0
    return run


# ------------------------------------------------------------------------------------------------- import


def test_import_matches_topics_and_counts_what_belongs_to_none(run: Run, rows: Path) -> None:
    said = run("import", "mentions", rows, "--json")
    assert said.status == 0
    assert said.document["n_new"] == 5
    assert said.document["n_unmatched"] == 1


def test_import_with_a_topic_takes_every_row(run: Run, rows: Path) -> None:
    run("import", "mentions", rows, "--topic", "qingyu", "--json")
    assert run("count", "--by", "topic", "--topic", "qingyu", "--json").document["total"] == 6


def test_the_same_file_twice_adds_nothing(filled: Run, rows: Path) -> None:
    document = filled("import", "mentions", rows, "--json").document
    assert (document["n_new"], document["n_known"]) == (0, 5)


def test_refused_rows_are_reported_and_the_others_imported(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "text,published_at\n山岚咖啡好喝,2026-11-20 10:00\n山岚咖啡,someday\n,2026-11-20\n", encoding="utf-8"
    )
    document = run("import", "mentions", path, "--json").document
    assert (document["n_new"], document["n_refused"]) == (1, 2)
    assert [(row["row"], row["column"]) for row in document["refused"]] == [(3, "published_at"), (4, "text")]


def test_import_customers_reports_bad_cells_and_fails(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("customer_id,name,phone\nC1,林,1\nC2,陈,13800001234\n", encoding="utf-8")
    said = run("import", "customers", path, "--json")
    assert said.status == 1
    assert said.document["bad_cells"][0]["row"] == 2
    assert run("customers", "--json").document == []


def test_import_customers_links_mentions_that_are_there(run: Run, tmp_path: Path) -> None:
    mentions, customers = tmp_path / "m.jsonl", tmp_path / "c.csv"
    row = {"text": "山岚咖啡不错", "published_at": "2026-11-20", "platform": "weiyan", "author": "小满"}
    mentions.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    customers.write_text("customer_id,name,handles\nC1,林,weiyan:小满\n", encoding="utf-8")
    run("import", "mentions", mentions)
    assert run("import", "customers", customers, "--json").document["n_mentions_linked"] == 1


# ------------------------------------------------------------------------------------------------ reading


def test_search_gives_the_exact_total_and_the_newest_first(filled: Run) -> None:
    document = filled("search", "拉肚子", "--json").document
    assert document["total"] == 2
    assert [mention["id"] for mention in document["mentions"]] == ["w:4", "w:2"]
    assert {mention["sentiment"] for mention in document["mentions"]} == {"negative"}


def test_search_counts_a_copy_once_when_copies_are_folded(filled: Run) -> None:
    document = filled("search", "拉肚子", "--copies", "fold", "--json").document
    assert [mention["id"] for mention in document["mentions"]] == ["w:2"]


def test_search_is_bounded_by_from_and_to_in_beijing_time(filled: Run) -> None:
    found = filled("search", "山岚", "--from", "2026-11-20T10:20", "--to", "2026-11-20T10:40", "--json").document
    assert [mention["id"] for mention in found["mentions"]] == ["w:2"]


@pytest.mark.parametrize("by", ["sentiment", "intent", "severity", "topic", "platform", "source", "day", "hour"])
def test_count_by_each_dimension_adds_up_to_the_total(filled: Run, by: str) -> None:
    document = filled("count", "--by", by, "--json").document
    assert document["total"] == 5
    assert sum(document["counts"].values()) == 5


def test_count_takes_a_query_and_a_time(filled: Run) -> None:
    document = filled("count", "--by", "day", "山岚", "--from", "2026-11-20", "--to", "2026-11-21", "--json").document
    assert document == {"total": 3, "counts": {"2026-11-20": 3}}


@pytest.fixture
def reviewed(filled: Run) -> Run:
    _, store = manage.opened()
    for key, intent in (("w:1", "praise"), ("w:2", "complaint")):
        labels = store.mentions([key])[key].labels
        review = models.Review(reviewer="小李", at=manage.now(), intent=models.Intent(intent))
        store.put_all([models.Reviewed(id=key, at=review.at, labels=labels)])
        store.edit_mention(key, models.MentionEdit(review=review))
    store.close()
    return filled


def test_export_labels_writes_one_json_line_a_review_to_standard_output(reviewed: Run) -> None:
    said = reviewed("export", "labels")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [(row["id"], row["intent"], row["sentiment"]) for row in rows] == [
        ("w:1", "praise", None),
        ("w:2", "complaint", None),
    ]
    assert rows[0]["text"] == ROWS[0]["text"]
    assert rows == [json.loads(line) for line in reviewed("export", "labels").out.splitlines()]


def test_export_labels_writes_a_file_and_says_how_many(reviewed: Run, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    assert reviewed("export", "labels", "--out", file, "--json").document == {"file": str(file), "n_rows": 2}
    assert len(file.read_text(encoding="utf-8").splitlines()) == 2
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_export_labels_takes_only_what_was_reviewed_since(reviewed: Run) -> None:
    later = f"{manage.now() + timedelta(days=2):%Y-%m-%d}"
    assert reviewed("export", "labels", "--since", later).out == ""


@pytest.mark.parametrize("command", ["topics", "sources", "alerts", "tasks", "customers"])
def test_each_list_is_json_whose_items_have_ids(filled: Run, command: str) -> None:
    said = filled(command, "--json")
    assert said.status == 0
    assert all(item["id"] for item in said.document)


def test_a_complaint_and_a_question_became_tasks_and_a_copy_did_not(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "now.jsonl"
    lines = [
        row | {"published_at": (manage.now() - timedelta(minutes=9 - n)).isoformat()} for n, row in enumerate(ROWS)
    ]
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    run("import", "mentions", path)
    assert {task["mention_id"] for task in run("tasks", "--json").document} == {"w:2", "w:3"}


@pytest.mark.parametrize(
    "command",
    [("topics",), ("sources",), ("alerts",), ("tasks",), ("search", "山岚"), ("count", "--by", "day"), ("doctor",)],
)
def test_without_json_a_table_for_people_is_printed(filled: Run, command: tuple[str, ...]) -> None:
    said = filled(*command)
    assert said.status == 0
    assert not said.out.startswith(("{", "["))


def test_console_markup_in_a_mention_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("text,published_at\n山岚咖啡[red]红[/red],2026-11-20\n", encoding="utf-8")
    run("import", "mentions", path)
    assert "[red]红[/red]" in run("search", "山岚").out


# --------------------------------------------------------------------------------------------- rule, crawl


def test_rule_try_tells_when_the_rule_would_have_fired_and_does_nothing(filled: Run) -> None:
    said = filled("rule", "try", "many", "--from", "2026-11-20", "--to", "2026-11-22", "--json")
    (breach,) = said.document["breaches"]
    assert breach["value"] == 3
    assert breach["reason"] == "threshold"
    assert breach["at"].startswith("2026-11-20T02:4")
    assert filled("alerts", "--json").document == []


def test_rule_try_takes_no_time_to_come_for_silence(run: Run, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    text = SETTINGS.replace('kind = "threshold"\ntopics = ["shanlan"]', 'kind = "quiet"')
    settings.write_text(text, encoding="utf-8")
    run("sources")
    _, store = manage.opened()
    moments = (manage.now() - timedelta(hours=2), manage.now())
    failures = [
        models.Run(id=f"r{n}", source="feed", started_at=at, finished_at=at, outcome=models.Outcome.FAILED, message="")
        for n, at in enumerate(moments)
    ]
    store.put_all(failures)
    store.close()
    tomorrow = f"{manage.now() + timedelta(days=1):%Y-%m-%dT%H:%MZ}"
    assert run("rule", "try", "many", "--from", "2026-11-20", "--to", tomorrow, "--json").document["breaches"] == []


def test_crawl_brings_a_feeds_mentions_in(run: Run, tmp_path: Path) -> None:
    with serve_text(RSS, "application/rss+xml") as url:
        settings = tmp_path / "settings.toml"
        settings.write_text(SETTINGS.replace("FEED", url), encoding="utf-8")
        said = run("crawl", "feed", "--json")
    assert said.status == 0
    assert (said.document["run"]["outcome"], said.document["n_new"]) == ("ok", 1)


def test_a_crawl_that_fails_says_so_and_is_an_error(run: Run) -> None:
    said = run("crawl", "feed", "--json")
    assert said.status == 1
    assert said.document["run"]["outcome"] == "failed"
    (source,) = run("sources", "--json").document
    assert source["last_outcome"] == "failed"
    assert source["last_message"] == said.document["run"]["message"]


def test_work_until_idle_does_what_is_due_and_ends(run: Run, tmp_path: Path) -> None:
    with serve_text(RSS, "application/rss+xml") as url:
        (tmp_path / "settings.toml").write_text(SETTINGS.replace("FEED", url), encoding="utf-8")
        assert run("work", "--until-idle", "--json").status == 0
    assert run("search", "成都", "--json").document["total"] == 1


# ------------------------------------------------------------------------------------------- doctor, users


def test_doctor_is_content_with_a_new_service(run: Run) -> None:
    said = run("doctor", "--json")
    assert said.status == 0
    assert {check["name"] for check in said.document["checks"]} >= {"设置", "磁盘", "模型", "存储", "时钟"}


def test_doctor_names_a_damaged_model_file_and_is_no_error_while_another_model_reads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "model").mkdir(parents=True)
    (tmp_path / "data" / "model" / "mentions.onnx").write_bytes(b"half a file")
    said = run("doctor", "--json")
    (model,) = [check for check in said.document["checks"] if check["name"] == "模型"]
    assert said.status == 0
    assert model["status"] == "warning"
    assert str(tmp_path / "data" / "model") in model["finding"]
    assert model["mend"]


def test_doctor_tells_how_much_is_to_be_read_again(filled: Run) -> None:
    _, store = manage.opened()
    now = manage.now()
    store.put(models.ReaderState(id="m", model_version="new-1", since_at=now, checked_at=now))
    store.close()
    findings = [check["finding"] for check in filled("doctor", "--json").document["checks"] if check["name"] == "读取"]
    assert len(findings) == 1
    assert findings[0].startswith("还有 5 条")


def test_doctor_names_a_broken_topic_and_how_to_mend_it(run: Run, tmp_path: Path) -> None:
    text = SETTINGS.replace('query = "青屿咖啡"', 'query = "(青屿咖啡"').replace("FEED", "http://127.0.0.1:9/")
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    said = run("doctor", "--json")
    assert said.status == 1
    (error,) = [check for check in said.document["checks"] if check["status"] == "error"]
    assert "qingyu" in error["name"]
    assert error["mend"]


def test_doctor_names_the_brands_whose_names_the_model_can_see(run: Run, tmp_path: Path) -> None:
    text = SETTINGS.replace('query = "青屿咖啡"', 'query = "青屿咖啡"\nnames = ["青屿"]').replace(
        "FEED", "http://127.0.0.1:9/"
    )
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    said = run("doctor", "--json")
    (warning,) = [check for check in said.document["checks"] if check["name"] == "主题名称"]
    assert "shanlan" in warning["finding"]
    assert "qingyu" not in warning["finding"]
    assert "names" in warning["mend"]


def test_doctor_asks_no_names_of_a_topic_that_is_not_listened_to(run: Run, tmp_path: Path) -> None:
    text = SETTINGS.replace('kind = "brand"', 'kind = "brand"\nenabled = false').replace("FEED", "http://127.0.0.1:9/")
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    said = run("doctor", "--json")
    (warning,) = [check for check in said.document["checks"] if check["name"] == "主题名称"]
    assert "shanlan" not in warning["finding"]


def test_doctor_names_a_damaged_store(filled: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "wensheng.db").write_bytes(b"not a database" * 1000)
    said = filled("doctor", "--json")
    assert said.status == 1
    assert any(check["name"] == "存储" and check["status"] == "error" for check in said.document["checks"])


def test_doctor_names_wrong_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[service]\nprt = 1\n", encoding="utf-8")
    said = run("doctor", "--json")
    assert said.status == 1
    assert "prt" in said.document["checks"][0]["finding"]


def test_backup_makes_a_copy_that_holds_everything(filled: Run, tmp_path: Path) -> None:
    target = tmp_path / "copy" / "wensheng.db"
    target.parent.mkdir()
    assert filled("backup", target, "--json").document["n_bytes"] > 0
    (tmp_path / "data" / "wensheng.db").unlink()
    for rest in (tmp_path / "data").glob("wensheng.db-*"):
        rest.unlink()
    target.rename(tmp_path / "data" / "wensheng.db")
    assert filled("search", "山岚", "--json").document["total"] == 4


# -------------------------------------------------------------------------------------- to another backend


@pytest.fixture
def server(run: Run, tmp_path: Path) -> Iterator[None]:
    """[store] names a real Elasticsearch with indices of its own; what is used is still the embedded store."""
    wanted = elastic.store_settings(retries=0)
    with (tmp_path / "settings.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[store]\nhosts = ["{wanted.hosts[0]}"]\nprefix = "{wanted.prefix}"\nreplicas = 0\n')
    yield
    TemporaryElasticStore(wanted).close()


def test_store_copy_moves_everything_to_elasticsearch_and_back(
    server: None, filled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = filled("store", "copy", "--to", "elasticsearch", "--json")
    assert (there.status, there.document["equal"], there.document["n_new"]) == (0, True, 5)
    assert filled("store", "compare", "--to", "elasticsearch", "--every", "--json").document["n_sampled"] == 5
    before = filled("search", "山岚", "--json").document
    monkeypatch.setenv("WENSHENG_STORE__BACKEND", "elasticsearch")
    assert filled("search", "山岚", "--json").document == before
    refused = filled("store", "copy", "--to", "embedded")
    assert refused.status == 1
    assert "[store] file" in refused.err
    monkeypatch.setenv("WENSHENG_STORE__FILE", "back.db")
    back = filled("store", "copy", "--to", "embedded", "--json")
    assert (back.status, back.document["equal"], back.document["n_new"]) == (0, True, 5)


def test_once_the_new_store_was_used_the_old_one_is_not_copied_over_it(
    server: None, filled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filled("store", "copy", "--to", "elasticsearch").status == 0
    assert filled("store", "copy", "--to", "elasticsearch").status == 0
    monkeypatch.setenv("WENSHENG_STORE__BACKEND", "elasticsearch")
    filled("topics")
    monkeypatch.delenv("WENSHENG_STORE__BACKEND")
    said = filled("store", "copy", "--to", "elasticsearch")
    assert said.status == 1
    assert "--into-existing" in said.err


def test_store_compare_shows_what_differs_and_fails(server: None, filled: Run, tmp_path: Path) -> None:
    assert filled("store", "copy", "--to", "elasticsearch").status == 0
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({**ROWS[0], "id": "w:9", "text": "山岚咖啡的杯子真好看"}), encoding="utf-8")
    assert filled("import", "mentions", more).status == 0
    said = filled("store", "compare", "--to", "elasticsearch", "--json")
    assert (said.status, said.document["equal"]) == (1, False)
    assert {"what": "提及总数", "field": "", "source": "6", "target": "5"} in said.document["differences"]
    assert "提及总数" in filled("store", "compare", "--to", "elasticsearch").out
    assert filled("store", "copy", "--to", "elasticsearch", "--json").document["equal"] is True


def test_a_half_copied_store_is_not_used_unless_somebody_says_so(filled: Run, tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "data" / "wensheng.db")
    store.put(models.Copying(id="copy", source="Elasticsearch wensheng", began_at=ago(hours=1)))
    store.close()
    for command in (("search", "山岚"), ("topics",)):
        said = filled(*command)
        assert said.status == 1
        assert "store use" in said.err
    assert filled("store", "use").status == 0
    assert filled("search", "山岚").status == 0


def test_a_copy_to_a_server_that_cannot_be_reached_names_the_setting(filled: Run, tmp_path: Path) -> None:
    with (tmp_path / "settings.toml").open("a", encoding="utf-8") as file:
        file.write('\n[store]\nhosts = ["http://127.0.0.1:9"]\nretries = 0\n')
    said = filled("store", "copy", "--to", "elasticsearch")
    assert said.status == 1
    assert "[store] hosts" in said.err
    assert "Traceback" not in said.err


def test_users_add_reads_the_password_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda: "a long password 1")
    assert run("users", "add", "xiaoli", "--role", "service", "--name", "小李", "--json").document["role"] == "service"
    said = run("users", "list", "--json")
    assert [user["id"] for user in said.document] == ["xiaoli"]
    assert "password" not in said.out


def test_a_second_account_of_the_same_name_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda: "a long password 1")
    run("users", "add", "xiaoli", "--role", "service")
    said = run("users", "add", "xiaoli", "--role", "pr")
    assert said.status == 1
    assert "xiaoli" in said.err


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "mentions", "nowhere.jsonl"), "nowhere.jsonl"),
        (("import", "customers", "nowhere.csv"), "nowhere.csv"),
        (("import", "mentions", __file__), ".py"),
        (("search", "(山岚"), "括号"),
        (("search", "sentiment:angry"), "angry"),
        (("search", "山岚", "--from", "someday"), "someday"),
        (("count", "--by", "day", "山岚 AND"), "第 6 个字符"),
        (("rule", "try", "manny", "--from", "2026-11-20", "--to", "2026-11-22"), "many"),
        (("rule", "try", "many", "--from", "2026-11-22", "--to", "2026-11-20"), "--from"),
        (("crawl", "fed"), "feed"),
        (("search", "山岚", "--topic", "shanlang"), "shanlan"),
        (("count", "--by", "day", "--topic", "shanlang"), "shanlan"),
        (("search", "山岚", "--from", "2026-11-22", "--to", "2026-11-20"), "--from"),
        (("import", "mentions", Path(__file__).parent), "文件夹"),
        (("import", "customers", Path(__file__).parent), "文件夹"),
        (("export", "labels", "--out", "/nowhere/labels.jsonl"), "/nowhere/labels.jsonl"),
        (("export", "labels", "--json"), "--out"),
        (("export", "labels", "--since", "someday"), "someday"),
        (("store", "copy", "--to", "embedded"), "embedded"),
        (("store", "compare", "--to", "embedded"), "embedded"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_clear_line(run: Run, arguments: tuple[str | Path, ...], words: str) -> None:
    said = run(*arguments)
    assert said.status == 1
    assert words in said.err
    assert "Traceback" not in said.err


def test_an_unknown_topic_is_refused_before_anything_is_imported(run: Run, rows: Path) -> None:
    said = run("import", "mentions", rows, "--topic", "shanlang")
    assert said.status == 1
    assert "shanlan" in said.err


def test_a_backup_never_overwrites(filled: Run, tmp_path: Path) -> None:
    target = tmp_path / "there.db"
    target.write_text("mine")
    said = filled("backup", target)
    assert said.status == 1
    assert target.read_text() == "mine"


def test_wrong_settings_stop_every_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[crawl]\ndelay = 1\n", encoding="utf-8")
    said = run("topics")
    assert said.status == 1
    assert "delay_s" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search",), "缺少 query"),
        (("search", "山岚", "--limit", "-1"), "--limit: 应不小于 0"),
        (("search", "山岚", "--limit", "many"), "--limit: 应为整数"),
        (("search", "山岚", "--copies", "none"), "fold"),
        (("count", "--by", "colour"), "sentiment"),
        (("search", "山岚", "--topic"), "--topic 后面缺少值"),
        (("search", "山岚", "--colour"), "没有选项 --colour"),
        (("search", "山岚", "咖啡"), "多余的参数 (咖啡)"),
        (("listen",), "没有命令 'listen'"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_one_line_in_chinese(run: Run, arguments: tuple[str, ...], words: str) -> None:
    said = run(*arguments)
    assert said.status == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WENSHENG_DATA_DIR", str(tmp_path / "file" / "data"))
    said = run("topics")
    assert said.status == 1
    assert str(tmp_path / "file" / "data") in said.err
    assert len(said.err.splitlines()) == 1


def test_users_add_without_a_password_says_how_to_give_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    said = run("users", "add", "xiaoli", "--role", "service")
    assert said.status == 1
    assert "没有口令" in said.err


def test_a_full_disk_behind_the_output_is_one_clear_line(run: Run) -> None:
    run("topics")
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, manage.__file__, "topics", "--json"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("错误: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_long_text_is_cut_in_the_table_and_whole_in_json(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    row = {"text": "山岚咖啡" + "很长" * 5000, "published_at": "2026-11-20T10:00:00+08:00"}
    path.write_text(json.dumps(row), encoding="utf-8")
    run("import", "mentions", path)
    assert len(run("search", "山岚咖啡").out) < 2000
    assert len(run("search", "山岚咖啡", "--json").document["mentions"][0]["text"]) == 10_004


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        ('query = "青屿咖啡"', 'query = "(青屿咖啡"', "(qingyu)"),
        ('sentiment = "any"', 'sentiment = "any"\nquery = "店 AND"', "(many)"),
    ],
)
@pytest.mark.parametrize("command", [("work", "--until-idle"), ("up",)], ids=" ".join)
def test_a_broken_query_in_the_settings_stops_the_start(
    run: Run, tmp_path: Path, command: tuple[str, ...], right: str, wrong: str, place: str
) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS.replace(right, wrong), encoding="utf-8")
    said = run(*command)
    assert said.status == 1
    assert place in said.err
    assert len(said.err.splitlines()) == 1


def test_health_names_the_model_that_reads(run: Run) -> None:
    run("topics")
    service = manage.service()
    worker.check_model(service)
    server = worker.serve_health(service, 0)
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/health", timeout=10) as answer:
            facts = json.load(answer)
    finally:
        server.shutdown()
    assert (facts["status"], facts["model_version"]) == ("ok", service.classifier.version)
    assert "fallback_reason" in facts


def test_a_taken_port_of_the_worker_is_named(run: Run) -> None:
    run("topics")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="WENSHENG_WORKER__PORT"):
        worker.serve_health(manage.service(), taken.getsockname()[1])
