"""The whole recipe on a tiny network and a small folder of data: it ends with files that the service reads with."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nlp import learn as learning
from nlp import manifest as manifests
from nlp import train as training
from nlp.classifier import NlpError
from nlp.clean import for_model
from nlp.examples import Examples
from nlp.heads import INTENTS, Floats
from nlp.learn import Stage
from nlp.linear import load as load_linear
from nlp.train import main
from nlp.transformer import load
from nlp.workfolder import claim


@pytest.fixture
def data(training_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(training_data, folder)
    with gzip.open(folder / "mentions" / "unlabelled.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"id": "1", "text": "今天好喝吗"}, ensure_ascii=False) + "\n")
    monkeypatch.setattr(training, "N_HELD_OUT", 60)
    return folder


def test_a_model_of_ours_is_trained_on_and_taken_up_again(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(data), "--base", str(tiny_model), "--work", str(tmp_path / "work")]

    assert main([*command, "--out", str(tmp_path / "first")]) == 0

    linear = load_linear(tmp_path / "work" / "linear.npz")
    model = load(tmp_path / "first", linear=linear, device="cpu")
    assert model.version.startswith(f"{training.VERSION}+")
    assert [label.model_version for label in model.read(["太难喝了", "好喝"])] == [model.version] * 2

    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "again")]) == 0
    assert "third: 已有 third.pt" in capsys.readouterr().out
    weights = [(tmp_path / name / "mentions.onnx").read_bytes() for name in ("first", "again")]
    assert weights[0] == weights[1]


def test_a_stage_that_is_killed_while_its_weights_are_written_goes_on_from_its_last_save(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--data", str(data), "--base", str(tiny_model), "--work", str(tmp_path / "work")]
    save = torch.save

    def killed(state: Any, file: Path) -> None:
        if "third.pt" in file.name:
            file.write_bytes(b"half")
            raise KeyboardInterrupt
        save(state, file)

    monkeypatch.setattr(learning, "SAVE_EVERY_S", 0)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            main([*command, "--out", str(tmp_path / "out")])
    assert (tmp_path / "work" / "third.part").exists()

    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert not list((tmp_path / "work").glob("*.part"))


@pytest.mark.parametrize(("first", "then"), [("some/encoder", "other/encoder"), ("some/encoder", None)])
def test_a_work_folder_knows_a_base_by_its_name(tmp_path: Path, first: str | None, then: str | None) -> None:
    claim(tmp_path, {"--base": first})
    claim(tmp_path, {"--base": first})
    with pytest.raises(NlpError, match="--base"):
        claim(tmp_path, {"--base": then})


def test_only_what_ships_has_the_version_of_the_program(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SHIPPED", tmp_path / "out")
    _taught(data, tiny_model, tmp_path, monkeypatch, extra=[])
    assert manifests.read(tmp_path / "out").version == training.VERSION


def test_what_was_begun_with_other_rows_is_not_taken_up(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"text": "好喝吗", "intent": "question", "sentiment": "neutral", "severity": 0, "aspects": []}
    _taught(data, tiny_model, tmp_path, monkeypatch, extra=[row])
    command = ["--data", str(data), "--base", str(tiny_model), "--work", str(tmp_path / "work")]

    assert main([*command, "--out", str(tmp_path / "other")]) == 1

    said = capsys.readouterr().err
    assert "--extra" in said
    assert "mentions/train.jsonl" not in said
    assert not (tmp_path / "other").exists()


def test_a_text_that_people_read_is_learnt_once_and_by_their_label(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gzip.open(data / "corpora" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        text = for_model(json.loads(next(file))["t"])
    row = {"text": text, "intent": "suggestion", "sentiment": "neutral", "severity": 0, "aspects": []}
    taught = _taught(data, tiny_model, tmp_path, monkeypatch, extra=[row])

    assert list(taught) == ["third", "paired", "last", "closing", "again", "masked", "after"]
    for examples in taught.values():
        assert INTENTS[int(_intent_of(text, examples).argmax())] == "suggestion"


def test_readers_of_extra_rows_are_believed_as_far_as_they_read_mentions_rightly(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "N_READ_AGAIN", 50)
    mentions = [json.loads(line) for line in (data / "mentions" / "train.jsonl").read_text("utf-8").splitlines()]
    # These readers take every complaint for something else, and are right otherwise.
    read_again = [{**row, "intent": "other" if row["intent"] == "complaint" else row["intent"]} for row in mentions]
    new = [{**mentions[0], "text": f"全新的{intent}", "intent": intent} for intent in ("praise", "other")]
    taught = _taught(data, tiny_model, tmp_path, monkeypatch, extra=[*read_again, *new])

    praise, other = (_intent_of(f"全新的{intent}", taught["last"]) for intent in ("praise", "other"))
    assert praise[INTENTS.index("praise")] > 0.8
    assert other[INTENTS.index("other")] < 0.8
    assert other[INTENTS.index("complaint")] > 0.1
    ours = {for_model(row["text"]): row["intent"] for row in mentions}
    learnt = zip(taught["last"].texts, taught["last"].intent, strict=True)
    assert all(INTENTS[int(intent.argmax())] == ours[text] for text, intent in learnt if text in ours)


def _taught(
    data: Path, base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, extra: list[dict[str, Any]]
) -> dict[str, Examples]:
    """By stage what the recipe teaches, with these extra rows; nothing is learnt."""
    taught: dict[str, Examples] = {}

    def note(_network: object, _tokenizer: object, examples: Examples, stage: Stage, *_: object) -> None:
        taught[stage.name] = examples

    monkeypatch.setattr(training, "learn", note)
    file = folder / "extra.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in extra), encoding="utf-8")
    command = ["--data", str(data), "--base", str(base), "--work", str(folder / "work")]
    assert main([*command, "--extra", str(file), "--out", str(folder / "out")]) == 0
    return taught


def _intent_of(text: str, examples: Examples) -> Floats:
    (place,) = (place for place, given in enumerate(examples.texts) if given == text)
    intent: Floats = examples.intent[place]
    return intent
