"""The network as an ONNX graph of int8 weights, built node by node out of the operators that onnxruntime has for it.

Every linear layer of the encoder and the word embeddings are int8 with a scale per column (per word), and what the
layers are given is uint8 with a step and a zero of each layer (nlp.quantise); norms and heads stay float32. A float32
initialiser has the name of the tensor in the network, a quantised one that of its layer with .int8, .scale, .bias,
.damping, .input.scale and .input.zero; so the network can be built again from the file (nlp.torch_reader).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nlp.heads import Floats
from nlp.quantise import LAYERS, WORTH_DAMPING, Inputs, damping, quantised, rounded

if TYPE_CHECKING:
    from nlp.network import Network

OPSET = 17
MICROSOFT = "com.microsoft"
NOTHING = -1e9
"""Added to the answer of a word that is padding."""


def build(network: Network, inputs: Mapping[str, Inputs]) -> onnx.ModelProto:
    """Inputs ids and mask, int32 (n, longest); output logits, float32 (n, N_LOGITS).

    inputs: by the name of a linear layer of the encoder, what real texts bring to it.
    """
    return _Builder(network, inputs).model()


class _Builder:
    """Nodes and initialisers so far. A value goes by its name."""

    def __init__(self, network: Network, inputs: Mapping[str, Inputs]) -> None:
        self._network = network
        self._inputs = inputs
        self._config = network.encoder.config
        self._state: dict[str, Floats] = {
            name: tensor.detach().float().cpu().numpy() for name, tensor in network.state_dict().items()
        }
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        words = self._embeddings()
        for layer in range(self._config.num_hidden_layers):
            words = self._layer(words, f"{LAYERS}{layer}")
        self._heads(words)
        graph = helper.make_graph(
            self._nodes,
            "mentions",
            [helper.make_tensor_value_info(name, TensorProto.INT32, ["n", "longest"]) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", None])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="wensheng")
        shape = {"num_attention_heads": self._config.num_attention_heads, "layer_norm_eps": self._config.layer_norm_eps}
        helper.set_model_props(model, {name: repr(value) for name, value in shape.items()})
        onnx.checker.check_model(model)
        return model

    # ------------------------------------------------------------------------------------------------ parts

    def _embeddings(self) -> str:
        prefix = "encoder.embeddings"
        table = f"{prefix}.word_embeddings"
        of_words, scale = quantised(self._state[f"{table}.weight"].T)
        self._constant(f"{table}.int8", np.ascontiguousarray(of_words.T))
        self._constant(f"{table}.scale", scale[:, None])
        whole = self._node("Cast", self._node("Gather", f"{table}.int8", "ids"), to=TensorProto.FLOAT)
        words = self._node("Mul", whole, self._node("Gather", f"{table}.scale", "ids"))
        # All texts are of the first type: its vector is part of every place.
        of_places, of_types = f"{prefix}.position_embeddings.weight", f"{prefix}.token_type_embeddings.weight"
        places = self._constant(of_places, self._state[of_places] + self._state[of_types][0])
        longest = self._node("Slice", self._node("Shape", "ids"), self._whole("one", [1]), self._whole("two", [2]))
        zero = self._whole("zero", [0])
        return self._norm(self._node("Add", words, self._node("Slice", places, zero, longest, zero)), prefix)

    def _layer(self, words: str, prefix: str) -> str:
        seen = self._attention(words, f"{prefix}.attention.self")
        seen = self._linear(seen, f"{prefix}.attention.output.dense")
        words = self._normed(seen, words, f"{prefix}.attention.output")
        inner = self._node("Gelu", self._linear(words, f"{prefix}.intermediate.dense"), domain=MICROSOFT)
        return self._normed(self._linear(inner, f"{prefix}.output.dense"), words, f"{prefix}.output")

    def _attention(self, words: str, name: str) -> str:
        parts = ("query", "key", "value")
        weight = np.concatenate([self._state[f"{name}.{part}.weight"].T for part in parts], axis=1)
        self._constant(f"{name}.bias", np.concatenate([self._state[f"{name}.{part}.bias"] for part in parts]))
        whole, step, zero = self._given(words, name, weight, self._inputs[f"{name}.query"])
        return self._node(
            "QAttention",
            whole,
            f"{name}.int8",
            f"{name}.bias",
            step,
            f"{name}.scale",
            "mask",
            zero,
            domain=MICROSOFT,
            num_heads=self._config.num_attention_heads,
        )

    def _linear(self, value: str, name: str) -> str:
        bias = self._constant(f"{name}.bias", self._state[f"{name}.bias"])
        whole, step, zero = self._given(value, name, self._state[f"{name}.weight"].T, self._inputs[name])
        return self._node(
            "MatMulIntegerToFloat", whole, f"{name}.int8", step, f"{name}.scale", zero, "", bias, domain=MICROSOFT
        )

    def _given(self, value: str, name: str, weight: Floats, inputs: Inputs) -> tuple[str, str, str]:
        """Keeps the weights of a layer as whole numbers; returns those of its inputs, their step and their zero."""
        factors = damping(inputs.largest)
        if factors.min() < WORTH_DAMPING:
            value = self._node("Mul", value, self._constant(f"{name}.damping", factors))
            weight, inputs = weight / factors[:, None], inputs.times(factors)
        whole, scale = rounded(weight, inputs.products)
        self._constant(f"{name}.int8", whole)
        self._constant(f"{name}.scale", scale)
        of_one, of_nothing = inputs.step_and_zero()
        step = self._constant(f"{name}.input.scale", np.array(of_one))
        zero = self._constant(f"{name}.input.zero", np.array(of_nothing))
        return self._node("QuantizeLinear", value, step, zero), step, zero

    def _normed(self, value: str, skipped: str, prefix: str) -> str:
        return self._norm(self._node("Add", value, skipped), prefix)

    def _norm(self, value: str, prefix: str) -> str:
        weight, bias = self._own(f"{prefix}.LayerNorm.weight"), self._own(f"{prefix}.LayerNorm.bias")
        return self._node("LayerNormalization", value, weight, bias, axis=-1, epsilon=self._config.layer_norm_eps)

    def _heads(self, words: str) -> None:
        """As nlp.network.Network.forward says it."""
        heads = list(self._network.classes)
        queries = self._node("Transpose", self._own("queries"), perm=[1, 0])
        size = self._constant("size", np.array(self._config.hidden_size**0.5, dtype=np.float32))
        answers = self._node("Transpose", self._node("Div", self._node("MatMul", words, queries), size), perm=[0, 2, 1])
        is_piece = self._node("Unsqueeze", self._node("Cast", "mask", to=TensorProto.FLOAT), self._whole("one", [1]))
        nothing = self._node(
            "Mul",
            self._node("Sub", self._constant("full", np.array(1, dtype=np.float32)), is_piece),
            self._constant("nothing", np.array(NOTHING, dtype=np.float32)),
        )
        views = self._node("MatMul", self._node("Softmax", self._node("Add", answers, nothing), axis=-1), words)
        first = self._node("Gather", words, self._whole("first", 0), axis=1)
        found = []
        for place, head in enumerate(heads):
            view = self._node("Gather", views, self._whole(f"view {head}", place), axis=1)
            both = self._node("Concat", view, first, axis=1)
            weight, bias = self._own(f"classes.{head}.weight"), self._own(f"classes.{head}.bias")
            found.append(self._node("Gemm", both, weight, bias, transB=1))
        begin, end = self._whole("n heads", [len(heads)]), self._whole("n views", [len(self._state["queries"])])
        of_aspects = self._node("Slice", views, begin, end, self._whole("one", [1]))
        agreed = self._node("Mul", of_aspects, self._own("aspect"))
        spoken_of = self._node("ReduceSum", agreed, self._whole("two", [2]), keepdims=0)
        found.append(self._node("Add", spoken_of, self._own("aspect_bias")))
        polarity = self._node("MatMul", of_aspects, self._node("Transpose", self._own("polarity.weight"), perm=[1, 0]))
        found.append(self._node("Flatten", self._node("Add", polarity, self._own("polarity.bias")), axis=1))
        self._nodes.append(helper.make_node("Concat", found, ["logits"], axis=1))

    # ------------------------------------------------------------------------------------------------ nodes

    def _node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind} {len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def _own(self, name: str) -> str:
        """A tensor of the network as it is."""
        return self._constant(name, self._state[name])

    def _whole(self, name: str, value: int | list[int]) -> str:
        return self._constant(name, np.array(value, dtype=np.int64))

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value) if value.ndim else value, name)
        return name
