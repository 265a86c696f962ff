"""How the float32 network becomes one of whole numbers, with as little loss as there can be.

What a layer is given is rounded with one step and one zero for all its inputs and all texts, found once on real texts:
so what a text is read as does not depend on the texts beside it. Before that the inputs are brought close to each
other (centred, damping), and each weight is rounded so that it makes up for those before it (rounded).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlp.heads import Floats

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlp.network import Network

LAYERS = "encoder.encoder.layer."
USUAL = 0.9
"""Inputs of a layer beyond this share of them are outliers."""

WORTH_DAMPING = 0.5
"""What no input needs to be damped below is left as it is: it costs a step of the graph."""

SOFTENED = 0.01
"""Share of the mean square of the inputs that is added to each one's, so that few texts do not settle too much."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What real texts bring to a layer: of every input the least and the most, and the sums of the products of any two.

    Shapes: (n), (n), (n, n).
    """

    least: Floats
    most: Floats
    products: NDArray[np.float64]

    def times(self, factors: Floats) -> Inputs:
        return Inputs(self.least * factors, self.most * factors, self.products * np.outer(factors, factors))

    @property
    def largest(self) -> Floats:
        """Magnitudes (n)."""
        return np.maximum(np.abs(self.least), np.abs(self.most))

    def step_and_zero(self) -> tuple[np.float32, np.uint8]:
        """Of an input x round(x / step) + zero is kept, from 0 to 255; zero stays zero."""
        least, most = min(float(self.least.min()), 0.0), max(float(self.most.max()), 0.0)
        step = (most - least) / 255 or 1.0
        return np.float32(step), np.uint8(round(-least / step))


def watched(network: Network, read: Callable[[], object]) -> dict[str, Inputs]:
    """By the name of a linear layer of the encoder, what it is given while `read` has the network read."""
    seen: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            words = inputs[0].detach().float().flatten(0, -2)
            least, most, products = words.amin(dim=0), words.amax(dim=0), (words.T @ words).double()
            if name in seen:
                before = seen[name]
                least, most, products = before[0].minimum(least), before[1].maximum(most), before[2] + products
            seen[name] = (least, most, products)

        return look

    hooks = [
        module.register_forward_pre_hook(watch(name))
        for name, module in network.named_modules()
        if name.startswith(LAYERS) and hasattr(module, "in_features")
    ]
    read()
    for hook in hooks:
        hook.remove()
    return {name: Inputs(*(values.cpu().numpy() for values in found)) for name, found in seen.items()}


def centred(network: Network, inputs: Mapping[str, Inputs]) -> Network:
    """The same function by other weights: what the norms give lies around zero in every place.

    In some places of the encoder all words have a large value, always nearly the same: it would take most of the
    steps. A norm that gives c less, the layer behind it a bias with what its weights make of c, and the layer whose
    result is added to what the norm gave one with c: nothing is changed but what has to be rounded.
    """
    moved = copy.deepcopy(network)
    part: dict[str, Any] = dict(moved.named_modules())
    norm = "encoder.embeddings.LayerNorm"
    for place in range(network.encoder.config.num_hidden_layers):
        layer = f"{LAYERS}{place}"
        heads = [f"{layer}.attention.self.{name}" for name in ("query", "key", "value")]
        _move(part, norm, heads, f"{layer}.attention.output.dense", inputs)
        norm = f"{layer}.attention.output.LayerNorm"
        _move(part, norm, [f"{layer}.intermediate.dense"], f"{layer}.output.dense", inputs)
        norm = f"{layer}.output.LayerNorm"
    return moved


def _move(part: Mapping[str, Any], norm: str, behind: list[str], beside: str, inputs: Mapping[str, Inputs]) -> None:
    import torch

    with torch.no_grad():
        bias = part[norm].bias
        middle = torch.from_numpy((inputs[behind[0]].least + inputs[behind[0]].most) / 2).to(bias)
        bias -= middle
        for name in behind:
            part[name].bias += part[name].weight @ middle
        part[beside].bias += middle


def damping(largest: Floats) -> Floats:
    """Factors for the inputs of a layer that bring the few that grow far beyond all others down to the rest.

    largest: of every input the greatest magnitude seen. All are rounded with one step, so a single such input would
    leave the others few; the rows of the weights are multiplied up in return.
    """
    usual = np.quantile(largest, USUAL)
    factors: Floats = np.minimum(1, usual / np.maximum(largest, 1e-6)).astype(np.float32)
    return factors


def quantised(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """A matrix as whole numbers from -127 to 127 and a scale for every column; zero stays zero."""
    scale = _scale(weight)
    return np.rint(weight / scale).astype(np.int8), scale


def rounded(weight: Floats, products: NDArray[np.float64]) -> tuple[NDArray[np.int8], Floats]:
    """Like quantised, but with what comes out of the layer in view: the weights (inputs, outputs) are rounded one
    input after the other, and what that does to the outputs is made up for in those still to come, as far as the
    inputs go together (GPTQ, Frantar et al. 2022).

    products: as Inputs has them.
    """
    scale = _scale(weight)
    squares = products.diagonal()
    order = np.argsort(-squares, kind="stable")
    softened = products + np.diag(np.full(len(squares), SOFTENED * squares.mean() or 1.0))
    inverse = np.linalg.inv(softened[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T
    left = weight[order].astype(np.float64)
    whole = np.empty(weight.shape, dtype=np.int8)
    for place, row in enumerate(order):
        whole[row] = np.clip(np.rint(left[place] / scale), -127, 127)
        error = (left[place] - whole[row] * scale) / upper[place, place]
        left[place + 1 :] -= np.outer(upper[place, place + 1 :], error)
    return whole, scale


def _scale(weight: Floats) -> Floats:
    scale: Floats = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    scale[scale == 0] = 1
    return scale
