"""The spool: all or nothing, replayable, half-written lines recognised."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.parsers.common import BadLine
from crawlers.spool import SpoolError, SpoolWriter, discard, done, pending, read, read_bad, salvage, sweep
from index.models import Engagement, Mention, Persona
from tests.crawlers.conftest import NOW


def a_mention(number: int, text: str = "好喝") -> Mention:
    return Mention(
        id=f"lab:{number}",
        platform="lab",
        text=text,
        persona=Persona(id="lab:甲", name="甲", followers=3),
        published_at=NOW,
        collected_at=NOW,
        engagement=Engagement(likes=number),
        source="lab",
    )


def spool(folder: Path, run_id: str, *mentions: Mention) -> None:
    with SpoolWriter(folder, run_id) as writer:
        for mention in mentions:
            writer.write(mention)


def test_what_is_written_is_read_back_in_batches(tmp_path: Path) -> None:
    mentions = [a_mention(number) for number in range(5)]
    spool(tmp_path, "r1", *mentions)
    batches = list(read(pending(tmp_path)[0], 2))
    assert [len(batch.mentions) for batch in batches] == [2, 2, 1]
    assert [mention for batch in batches for mention in batch.mentions] == mentions


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_is_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    spool(folder, "r1", a_mention(1, text))
    (batch,) = read(pending(folder)[0], 10)
    assert [mention.text for mention in batch.mentions] == [text]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, "r1")
    writer.write(a_mention(1))
    writer.flush()
    assert pending(tmp_path) == []
    writer.close()
    assert [file.run_id for file in pending(tmp_path)] == ["r1"]


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with SpoolWriter(tmp_path, "r1") as writer:
            writer.write(a_mention(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_lines_leaves_no_file(tmp_path: Path) -> None:
    spool(tmp_path, "r1")
    assert list(tmp_path.iterdir()) == []


def test_bad_lines_are_kept_apart_and_stay_after_ingest(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path, "r1") as writer:
        writer.write(a_mention(1))
        writer.write_bad(BadLine("https://a.example/1", "没有正文", {"text": ""}))
    (file,) = pending(tmp_path)
    done(file)
    assert pending(tmp_path) == []
    assert read_bad(file) == [BadLine("https://a.example/1", "没有正文", {"text": ""})]


def test_files_come_oldest_first(tmp_path: Path) -> None:
    for number, run_id in enumerate(["b", "c", "a"]):
        spool(tmp_path, run_id, a_mention(number))
        os.utime(tmp_path / f"{run_id}.jsonl", (number, number))
    assert [file.run_id for file in pending(tmp_path)] == ["b", "c", "a"]


def test_a_run_id_with_dots_comes_back_whole(tmp_path: Path) -> None:
    spool(tmp_path, "news.daily-1", a_mention(1))
    (file,) = pending(tmp_path)
    assert (file.run_id, file.bad_path.name) == ("news.daily-1", "news.daily-1.bad.jsonl")


def test_a_damaged_line_is_bad_and_the_others_go_on(tmp_path: Path) -> None:
    spool(tmp_path, "r1", a_mention(1), a_mention(2))
    path = tmp_path / "r1.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{{}}\nnot json\n{second}\n{second[:20]}")
    (batch,) = read(pending(tmp_path)[0], 10)
    assert [mention.id for mention in batch.mentions] == ["lab:1", "lab:2"]
    assert [bad.where for bad in batch.bad] == ["r1.jsonl 行 2", "r1.jsonl 行 3", "r1.jsonl 行 5"]
    assert "没有写完" in batch.bad[2].reason


@given(st.integers(0, 400))
def test_a_killed_run_keeps_its_whole_lines_wherever_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, n_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    writer = SpoolWriter(folder, "r1")
    for number in range(3):
        writer.write(a_mention(number))
    writer.flush()
    part = folder / ".r1.part"
    whole = part.read_bytes()
    part.write_bytes(whole[:n_bytes])

    n_items, n_bad = salvage(folder, "r1")
    read_back = [mention for file in pending(folder) for batch in read(file, 10) for mention in batch.mentions]
    assert (n_items, n_bad) == (whole[:n_bytes].count(b"\n"), 0) == (len(read_back), 0)
    assert not part.exists()


def test_salvage_and_discard_of_an_unknown_run_do_nothing(tmp_path: Path) -> None:
    assert salvage(tmp_path, "nobody") == (0, 0)
    discard(tmp_path, "nobody")
    assert pending(tmp_path / "missing") == []


def test_sweep_removes_old_remains_but_never_mentions(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path, "old") as writer:
        writer.write(a_mention(1))
        writer.write_bad(BadLine("x", "y"))
    (tmp_path / ".dead.part").write_text("half")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    assert sweep(tmp_path, before=datetime(2026, 1, 1, tzinfo=UTC)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["old.jsonl"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpoolError, match="暂存目录"):
        SpoolWriter(tmp_path / "file" / "spool", "r1")
