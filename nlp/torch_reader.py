"""The transformer on a GPU: the network built again out of the weights of the int8 graph, so that both say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from nlp import manifest as manifests
from nlp.batches import Numbers
from nlp.classifier import NlpError
from nlp.heads import Floats
from nlp.network import Network, make_encoder
from nlp.transformer import Reader

if TYPE_CHECKING:
    from transformers import BertModel

_LAYER = re.compile(r"encoder\.encoder\.layer\.(\d+)\.")


def read_network(file: Path) -> Network:
    """The network whose graph nlp.graph built; float32. Raises NlpError that names the file."""
    # For bytes that are no model onnx, numpy and torch raise what each thinks best.
    try:
        model = onnx.load(file)
        state = _state({tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer})
        network = Network(_encoder(state, {entry.key: entry.value for entry in model.metadata_props}))
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    except Exception as e:
        raise NlpError(f"模型文件 {file} 无法还原为网络 ({e}). {manifests.MEND}") from e
    return network.eval()


def reader(network: Network, device: str) -> Reader:
    network.to(device)

    def logits(ids: Numbers, mask: Numbers) -> Floats:
        with torch.inference_mode():
            found = network(torch.from_numpy(ids).long().to(device), torch.from_numpy(mask).long().to(device))
        numbers: Floats = found.float().cpu().numpy()
        return numbers

    return logits


def _state(tensors: dict[str, Floats]) -> dict[str, Floats]:
    """Tensors under the names of nlp.network.Network: float32 ones have them already, int8 ones are multiplied out."""
    own = ("encoder.", "queries", "classes.", "aspect", "polarity.")
    state = {
        name: value
        for name, value in tensors.items()
        if name.startswith(own) and not name.endswith((".int8", ".scale", ".damping", ".zero"))
    }
    for name in [name.removesuffix(".int8") for name in tensors if name.endswith(".int8")]:
        weight = tensors[f"{name}.int8"].astype(np.float32) * tensors[f"{name}.scale"]
        if f"{name}.damping" in tensors:
            weight = weight * tensors[f"{name}.damping"][:, None]
        if name.endswith(".attention.self"):
            bias = state.pop(f"{name}.bias")
            for part, of_part, of_bias in zip(
                ("query", "key", "value"), np.split(weight, 3, axis=1), np.split(bias, 3), strict=True
            ):
                state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"] = of_part.T, of_bias
        else:
            state[f"{name}.weight"] = weight if name.endswith(".word_embeddings") else weight.T
    # The one type of text is part of every place.
    types = "encoder.embeddings.token_type_embeddings.weight"
    state[types] = np.zeros((1, state["queries"].shape[1]), dtype=np.float32)
    return state


def _encoder(state: dict[str, Floats], made: dict[str, str]) -> BertModel:
    n_words, hidden = state["encoder.embeddings.word_embeddings.weight"].shape
    layers = {int(found[1]) for name in state if (found := _LAYER.match(name))}
    return make_encoder(
        n_words=n_words,
        hidden=hidden,
        n_layers=len(layers),
        n_heads=int(made["num_attention_heads"]),
        inner=len(state["encoder.encoder.layer.0.intermediate.dense.bias"]),
        eps=float(made["layer_norm_eps"]),
        n_places=len(state["encoder.embeddings.position_embeddings.weight"]),
        n_types=1,
    )
