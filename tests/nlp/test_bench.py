"""The figures of the models: what is measured, and that what cannot be is said."""

from __future__ import annotations

from pathlib import Path

from nlp.bench import TEXTS, _in_a_process, _spread, different_texts
from nlp.load import SHIPPED


def test_a_reader_is_measured_in_its_own_process() -> None:
    figures = _in_a_process("linear", SHIPPED, ["太难喝了", "非常好喝", "请问几点关门"])
    assert set(figures) == {"texts_per_s", "load_s", "peak_mb"}
    assert min(figures.values()) > 0


def test_a_model_that_is_missing_is_said_to_be_skipped(tmp_path: Path) -> None:
    figures = _in_a_process("transformer", tmp_path, ["太难喝了"])
    assert "找不到模型文件" in figures["skipped"]


def test_texts_of_the_sample_are_all_different() -> None:
    texts = different_texts(TEXTS)
    assert len(texts) == len(set(texts)) > 1000


def test_a_part_of_the_texts_is_taken_from_everywhere() -> None:
    assert _spread(list("abcdefgh"), 4) == ["a", "c", "e", "g"]
    assert _spread(["a"], 4) == ["a"]
