"""Which model reads: the best whose files are sound, and why it is not a better one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import pytest

from nlp import load as loading
from nlp import manifest as manifests
from nlp import transformer
from nlp.classifier import NlpError
from nlp.linear import FILE
from nlp.load import fingerprint, load_classifier
from settings import NlpSettings, ServiceSettings, Settings
from tests.nlp import tiny

TRANSFORMER = ("mentions.json", "mentions.onnx", "tokenizer.json")


@pytest.fixture
def shipped(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models as the service ships with one, to be damaged at will."""
    folder = tmp_path / "shipped"
    shutil.copytree(tiny_model, folder)
    shutil.copyfile(FILE, folder / "linear.npz")
    monkeypatch.setattr(loading, "SHIPPED", folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(service=ServiceSettings(data_dir=tmp_path / "data"))


def test_the_transformer_reads_where_it_is_sound(shipped: Path, settings: Settings) -> None:
    loaded = load_classifier(settings)
    assert loaded.classifier.version == "bert-tiny"
    assert loaded.fallback_reason is None


@pytest.mark.parametrize("name", TRANSFORMER)
def test_a_missing_file_is_named_and_the_linear_model_reads(shipped: Path, settings: Settings, name: str) -> None:
    (shipped / name).unlink()
    loaded = load_classifier(settings)
    assert loaded.classifier.version.startswith("linear-")
    assert loaded.classifier.read(["太难喝了"])[0].model_version == loaded.classifier.version
    assert loaded.fallback_reason is not None
    assert f"找不到模型文件 {shipped / name}" in loaded.fallback_reason
    assert "python -m nlp.train" in loaded.fallback_reason


@pytest.mark.parametrize("name", TRANSFORMER)
def test_a_damaged_file_is_named_and_the_linear_model_reads(shipped: Path, settings: Settings, name: str) -> None:
    content = bytearray((shipped / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (shipped / name).write_bytes(content)
    loaded = load_classifier(settings)
    assert loaded.classifier.version.startswith("linear-")
    assert loaded.fallback_reason is not None
    assert str(shipped / name) in loaded.fallback_reason


@pytest.mark.parametrize("name", TRANSFORMER)
def test_a_cut_file_is_named_and_the_linear_model_reads(shipped: Path, settings: Settings, name: str) -> None:
    (shipped / name).write_bytes((shipped / name).read_bytes()[:100])
    loaded = load_classifier(settings)
    assert loaded.fallback_reason is not None
    assert str(shipped / name) in loaded.fallback_reason


@pytest.mark.parametrize("name", ["mentions.onnx", "tokenizer.json"])
def test_a_file_that_has_its_digest_but_cannot_be_used_is_named(shipped: Path, settings: Settings, name: str) -> None:
    (shipped / name).write_bytes(b"no model")
    manifests.write(tiny.manifest(), shipped)
    loaded = load_classifier(settings)
    assert loaded.fallback_reason is not None
    assert str(shipped / name) in loaded.fallback_reason


def test_a_manifest_of_another_format_is_refused(shipped: Path, settings: Settings) -> None:
    manifests.write(tiny.manifest(format=99), shipped)
    loaded = load_classifier(settings)
    assert loaded.fallback_reason is not None
    assert "格式版本 99" in loaded.fallback_reason


def test_a_package_that_is_missing_is_named(shipped: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    loaded = load_classifier(settings)
    assert loaded.classifier.version.startswith("linear-")
    assert loaded.fallback_reason is not None
    assert "没有安装 onnxruntime" in loaded.fallback_reason


def test_a_transformer_trained_at_home_wins(shipped: Path, settings: Settings, tiny_model: Path) -> None:
    home = settings.data_dir / "model"
    shutil.copytree(tiny_model, home)
    manifests.write(tiny.manifest(version="bert-home"), home)
    loaded = load_classifier(settings)
    assert (loaded.classifier.version, loaded.fallback_reason) == ("bert-home", None)


def test_where_that_of_home_is_damaged_the_shipped_one_reads_and_says_so(shipped: Path, settings: Settings) -> None:
    home = settings.data_dir / "model"
    home.mkdir(parents=True)
    (home / "mentions.onnx").write_bytes(b"")
    loaded = load_classifier(settings)
    assert loaded.classifier.version == "bert-tiny"
    assert loaded.fallback_reason is not None
    assert str(home) in loaded.fallback_reason


def test_the_linear_model_trained_at_home_comes_before_the_shipped_one(shipped: Path, settings: Settings) -> None:
    (shipped / "mentions.onnx").unlink()
    home = settings.data_dir / "model"
    home.mkdir(parents=True)
    (home / "linear.npz").write_bytes(b"no model")
    loaded = load_classifier(settings)
    assert loaded.classifier.version.startswith("linear-")
    assert loaded.fallback_reason is not None
    assert f"{home / 'linear.npz'} 已损坏" in loaded.fallback_reason


def test_the_transformer_reads_alone_where_the_linear_model_is_damaged(shipped: Path, settings: Settings) -> None:
    manifests.write(tiny.manifest(linear_share={"intent": 0.5}), shipped)
    assert load_classifier(settings).classifier.version == "bert-tiny"
    (shipped / "linear.npz").write_bytes(b"no model")
    loaded = load_classifier(settings)
    assert loaded.classifier.version == "bert-tiny-alone"
    assert loaded.fallback_reason is not None
    assert f"{shipped / 'linear.npz'} 已损坏" in loaded.fallback_reason


def test_without_any_sound_model_every_reason_is_told(shipped: Path, settings: Settings) -> None:
    (shipped / "mentions.onnx").unlink()
    (shipped / "linear.npz").write_bytes(b"no model")
    with pytest.raises(NlpError, match=r"找不到模型文件 .*mentions\.onnx.*linear\.npz 已损坏"):
        load_classifier(settings)


def test_a_gpu_that_is_asked_for_and_missing_is_said(shipped: Path, settings: Settings) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    loaded = load_classifier(settings.model_copy(update={"nlp": NlpSettings(device="cuda")}))
    assert loaded.classifier.version.startswith("linear-")
    assert loaded.fallback_reason is not None
    assert "显卡" in loaded.fallback_reason


@pytest.mark.parametrize(("device", "reads"), [("cuda", "linear-"), ("auto", "bert-tiny")])
def test_without_torch_a_gpu_is_not_used_and_that_is_said_where_it_was_asked_for(
    shipped: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    device: Literal["auto", "cuda"],
    reads: str,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(transformer, "_has_cuda_driver", lambda: True)
    loaded = load_classifier(settings.model_copy(update={"nlp": NlpSettings(device=device)}))
    assert loaded.classifier.version.startswith(reads)
    assert ("没有安装 torch" in (loaded.fallback_reason or "")) == (device == "cuda")


@pytest.mark.parametrize(
    "raised",
    [
        "OSError('libcudart.so.13: cannot open shared object file')",
        "ImportError('libcudart.so.13: cannot open shared object file', name='torch._C')",
        "ValueError('libcudart.so.13 not found in the system path')",
    ],
)
@pytest.mark.parametrize(("device", "reads"), [("cuda", "linear-"), ("auto", "bert-tiny")])
def test_a_torch_whose_cuda_libraries_are_broken_is_not_used_and_that_is_said(
    shipped: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    device: Literal["auto", "cuda"],
    reads: str,
    raised: str,
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text(f"raise {raised}")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "broken")
    monkeypatch.setattr(transformer, "_has_cuda_driver", lambda: True)
    loaded = load_classifier(settings.model_copy(update={"nlp": NlpSettings(device=device)}))
    assert loaded.classifier.version.startswith(reads)
    assert ("CUDA 的库不全 (libcudart.so.13" in (loaded.fallback_reason or "")) == (device == "cuda")


def test_a_file_that_may_be_read_again_changes_the_fingerprint(shipped: Path, settings: Settings) -> None:
    file = shipped / "mentions.onnx"
    file.chmod(0o000)
    before = fingerprint(settings)
    file.chmod(0o644)
    assert fingerprint(settings) != before


def test_a_file_put_back_with_its_size_and_time_changes_the_fingerprint(
    shipped: Path, settings: Settings, tmp_path: Path
) -> None:
    file, copy = shipped / "mentions.onnx", tmp_path / "copy"
    shutil.copy2(file, copy)
    before = fingerprint(settings)
    shutil.copy2(copy, file)
    assert fingerprint(settings) != before


def test_the_fingerprint_changes_with_the_files_and_only_then(shipped: Path, settings: Settings) -> None:
    before = fingerprint(settings)
    assert fingerprint(settings) == before
    (shipped / "mentions.onnx").unlink()
    assert fingerprint(settings) != before


def test_some_model_of_this_house_loads(tmp_path: Path) -> None:
    loaded = load_classifier(Settings(service=ServiceSettings(data_dir=tmp_path)))
    assert loaded.classifier.read([""])[0].model_version == loaded.classifier.version
    assert FILE.stat().st_size < 6_000_000
