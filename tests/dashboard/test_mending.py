"""A damaged model file is put back under a running worker: the model returns, is told of, and reads again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from crawlers.spool import SpoolWriter
from index.models import Mention, MentionEdit, ReaderState
from index.readers import outdated
from index.store import MentionQuery, Store
from nlp.load import LINEAR, SHIPPED, TRANSFORMER
from settings import ROOT
from tests.builders import a_mention, a_review

PATIENCE_S = 60
SETTINGS = """
[service]
data_dir = "{folder}"
[worker]
roles = ["crawl", "read"]
tick_s = 0.2
port = 0
[[topics]]
id = "shanlan"
name = "山岚咖啡"
kind = "brand"
query = "山岚咖啡"
"""
WORKER = """
import sys
from pathlib import Path
import manage, nlp.load, worker
nlp.load.SHIPPED = Path(sys.argv.pop())
worker.EVERY_S = {**worker.EVERY_S, worker.check_model: 0.2, worker.reread: 0.2}
manage.main()
"""
"""`manage.py work` that looks more often, in a program that was shipped with the linear model alone."""


@contextmanager
def working(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    shipped = folder / "shipped"
    shipped.mkdir()
    shutil.copy(SHIPPED / LINEAR, shipped)
    environ = {**os.environ, "WENSHENG_SETTINGS": str(folder / "settings.toml")}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, "work", str(shipped)], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_until(what: Callable[[], bool], folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail((folder / "worker.log").read_text(encoding="utf-8")[-3000:])
        time.sleep(0.1)


def spooled(folder: Path, run_id: str, *mentions: Mention) -> None:
    with SpoolWriter(folder / "spool", run_id) as writer:
        for mention in mentions:
            writer.write(mention)


def said(text: str) -> Mention:
    """Just now, as the worker and the pages go by the real clock."""
    now = datetime.now(UTC)
    return a_mention(text, published_at=now - timedelta(minutes=5), collected_at=now)


def versions(store: Store) -> set[str]:
    return {version for (version,) in store.group(MentionQuery(), ["model_version"])}


def test_a_model_file_that_is_put_back_reads_again_without_a_restart(
    folder: Path, store: Store, page: Callable[..., AppTest]
) -> None:
    (folder / "settings.toml").write_text(SETTINGS.format(folder=folder), encoding="utf-8")
    home = folder / "model"
    home.mkdir()
    for name in TRANSFORMER:
        shutil.copy(SHIPPED / name, home)
    os.truncate(home / "mentions.onnx", 1_000_000)
    version = json.loads((SHIPPED / "mentions.json").read_text(encoding="utf-8"))["version"]
    early = [said(text) for text in ("山岚咖啡太难喝了，退钱", "山岚咖啡几点关门？", "今天的山岚咖啡真香")]
    spooled(folder, "run-1", *early)

    with working(folder) as worker:
        wait_until(lambda: store.count(MentionQuery()) == len(early), folder, worker)
        (state,) = store.find(ReaderState)
        assert str(home) in state.fallback_reason
        assert versions(store) == {state.model_version}
        assert version not in versions(store)
        (banner,) = page("overview").info
        assert "linear" in banner.value
        assert "恢复" in banner.value
        judged = early[0].id
        store.edit_mention(judged, MentionEdit(review=a_review()))

        shutil.copy(SHIPPED / "mentions.onnx", home)
        wait_until(lambda: store.count(outdated(version)) == 0, folder, worker)
        late = said("山岚咖啡的杯子漏了，没人管")
        spooled(folder, "run-2", late)
        wait_until(lambda: late.id in store.mentions([late.id]), folder, worker)
        assert versions(store) == {version}
        assert store.mentions([judged])[judged].review == a_review()
        (state,) = store.find(ReaderState)
        assert (state.model_version, state.fallback_reason) == (version, "")
        assert not page("overview").info
        assert worker.poll() is None
