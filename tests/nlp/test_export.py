"""The files of the transformer: what int8 costs, and that a GPU would read the same from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nlp import graph
from nlp import manifest as manifests
from nlp.classifier import NlpError
from nlp.export import changed, export, in_float32
from nlp.torch_reader import read_network, reader
from nlp.transformer import TransformerClassifier, load
from tests.nlp import tiny


def distance(one: TransformerClassifier, other: TransformerClassifier) -> float:
    """Root of the mean square between the logits of the two, against how far logits lie apart at all."""
    found, expected = one.logits(tiny.TEXTS), other.logits(tiny.TEXTS)
    return float(np.sqrt(((found - expected) ** 2).mean()) / expected.std())


def test_the_manifest_has_the_digests_of_the_files(tiny_model: Path) -> None:
    digests = json.loads((tiny_model / "mentions.json").read_text(encoding="utf-8"))["sha256"]
    assert set(digests) == {"mentions.onnx", "tokenizer.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((tiny_model / name).read_bytes()).hexdigest() == digest


def test_exporting_twice_gives_the_same_files(tiny_model: Path, tmp_path: Path) -> None:
    export(tiny.network(), tiny.tokenizer(), tiny.manifest(), tmp_path, tiny.TEXTS)
    for file in tiny_model.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_all_large_weights_are_one_byte_each(tiny_model: Path) -> None:
    tensors = onnx.load(tiny_model / "mentions.onnx").graph.initializer
    large = {tensor.name: tensor.data_type for tensor in tensors if ".layer." in tensor.name and len(tensor.dims) > 1}
    assert len(large) == 2 * 4
    assert set(large.values()) == {onnx.TensorProto.INT8}


def test_int8_says_nearly_what_float32_says(tiny_model: Path) -> None:
    exact = in_float32(tiny.network(), tiny.tokenizer(), tiny.manifest())
    assert distance(load(tiny_model, device="cpu"), exact) < 0.05


def test_torch_reads_the_files_like_onnxruntime(tiny_model: Path) -> None:
    on_cpu = load(tiny_model, device="cpu")
    network = read_network(tiny_model / "mentions.onnx")
    by_torch = TransformerClassifier(tiny.manifest(), on_cpu._tokenizer, reader(network, "cpu"), tokens_at_once=64)
    assert distance(by_torch, on_cpu) < 0.05
    assert max(changed(by_torch, on_cpu, tiny.TEXTS).values()) <= 0.2


def test_one_input_that_grows_large_does_not_coarsen_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny.network()
    with torch.no_grad():
        for layer in network.encoder.encoder.layer:
            layer.intermediate.dense.bias[7] = 60.0
    exact = in_float32(network, tiny.tokenizer(), tiny.manifest())
    export(network, tiny.tokenizer(), tiny.manifest(), tmp_path / "damped", tiny.TEXTS)
    monkeypatch.setattr(graph, "WORTH_DAMPING", 0.0)
    export(network, tiny.tokenizer(), tiny.manifest(), tmp_path / "plain", tiny.TEXTS)
    damped, plain = (load(tmp_path / name, device="cpu") for name in ("damped", "plain"))
    assert distance(damped, exact) < 0.5 * distance(plain, exact)


def test_damped_weights_come_back_from_the_file(tmp_path: Path) -> None:
    network = tiny.network()
    with torch.no_grad():
        network.encoder.encoder.layer[0].intermediate.dense.bias[7] = 8.0
    export(network, tiny.tokenizer(), tiny.manifest(), tmp_path, tiny.TEXTS)
    back = read_network(tmp_path / "mentions.onnx").encoder.encoder.layer[0].output.dense.weight
    own = network.encoder.encoder.layer[0].output.dense.weight
    assert (back - own).norm() < 0.2 * own.norm()


def test_a_model_that_is_too_large_to_ship_is_refused_before_it_takes_another_ones_place(
    tmp_path: Path, tiny_model: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    with pytest.raises(NlpError, match="超过随程序发布的上限 1,000"):
        export(tiny.network(), tiny.tokenizer(), tiny.manifest(version="new"), folder, tiny.TEXTS, most_bytes=1000)
    assert manifests.read(folder).version == "bert-tiny"


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "mentions.onnx").write_bytes(b"no model")
    with pytest.raises(NlpError, match=r"mentions\.onnx"):
        read_network(tmp_path / "mentions.onnx")
