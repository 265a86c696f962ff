"""The transformer: reads texts in batches of like lengths, each different text once, in onnxruntime or on a GPU.

On a CPU the int8 graph runs in onnxruntime, which needs neither torch nor transformers; where torch sees a
GPU, the same weights run there.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import expit, softmax

from index.models import ASPECTS, Labels
from nlp import manifest as manifests
from nlp.batches import Numbers, batches, padded
from nlp.classifier import HOME, NlpError
from nlp.clean import for_model
from nlp.heads import N_LOGITS, SENTIMENTS, SLICES, Floats, aspects_of, labels_of
from nlp.linear import LinearClassifier
from nlp.manifest import Manifest
from nlp.pool import evidence, pooled

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Reader = Callable[[Numbers, Numbers], Floats]
"""Piece numbers (n, longest) and a mask of 1 for every piece -> logits (n, N_LOGITS)."""

CPU_INFO = Path("/proc/cpuinfo")
TOKENS_ON_CPU = 512
TOKENS_ON_GPU = 8192
"""Pieces of a batch, padding included: what fits the cache of a core is fastest, and it bounds the memory."""

SLOWER = ["SkipLayerNormFusion"]
"""What onnxruntime fuses to its loss: addition and norm as one step take several times as long as the two."""

TEXTS_AT_ONCE = 2000
"""So many texts are sorted by length and cut into batches together."""

TAIL = 4
"""A text that is too long keeps its beginning and, for one piece in so many, its end."""

SPOKEN_OF_FROM = 0.5
"""Probability from which an aspect counts. Thresholds of each, found on held-out rows, were worse on others."""

ALONE = "-alone"
"""Ends the version of labels that were read without the linear model, so that they are read again once it is back."""

N_REMEMBERED = 20_000
"""Texts whose logits are kept, about 10 MB: reposts come hours apart."""


class TransformerClassifier:
    """Implements nlp.classifier.Classifier; safe to use from several threads, which then take turns."""

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Tokenizer,
        reader: Reader,
        *,
        tokens_at_once: int,
        n_at_once: int = 1,
        linear: LinearClassifier | None = None,
    ) -> None:
        self.version = manifest.version
        if any(share for _, share in manifest.linear_share):
            self.version += ALONE if linear is None else "".join(linear.version.partition(HOME)[1:])
        self._linear = linear
        self._manifest = manifest
        self._tokenizer = tokenizer
        self._reader = reader
        self._tokens_at_once = tokens_at_once
        self._pool = ThreadPoolExecutor(n_at_once, "reader")
        self._remembered: OrderedDict[bytes, Floats] = OrderedDict()
        self._turn = Lock()

    def read(self, texts: Sequence[str]) -> list[Labels]:
        """One Labels per text, in order."""
        logits = self.logits(texts)
        probable = self.probabilities_of(logits, texts)
        spoken_of = probable["aspects"] >= SPOKEN_OF_FROM
        polarity = logits[:, SLICES["polarity"]].reshape(-1, len(ASPECTS), len(SENTIMENTS)).argmax(axis=2)
        aspects = [aspects_of(spoken_of[row], polarity[row], probable["aspects"][row]) for row in range(len(texts))]
        return labels_of(probable, aspects, self.version)

    def probabilities(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Per head a row for each text: of every class, or of every aspect that it is spoken of."""
        return self.probabilities_of(self.logits(texts), texts)

    def probabilities_of(self, logits: Floats, texts: Sequence[str]) -> dict[str, Floats]:
        """The same of texts whose logits are known."""
        temperature = self._manifest.temperature
        scaled = {head: logits[:, SLICES[head]] / warmth for head, warmth in temperature}
        if self._linear is not None:
            said = evidence(self._linear.probabilities(texts))
            for head, share in self._manifest.linear_share:
                scaled[head] = pooled(logits[:, SLICES[head]], getattr(temperature, head), share, said[head])
        return {
            "sentiment": softmax(scaled["sentiment"], axis=1),
            "intent": softmax(scaled["intent"], axis=1),
            "severity": softmax(scaled["severity"], axis=1),
            "aspects": expit(scaled["aspects"]),
        }

    def logits(self, texts: Sequence[str]) -> Floats:
        """One row per text as the network gives them; a text that comes twice, even hours apart, is read once."""
        folded = [for_model(text) for text in texts]
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in folded]
        text_of = dict(zip(keys, folded, strict=True))
        with self._turn:
            known = {key: self._remembered[key] for key in text_of if key in self._remembered}
            fresh = [key for key in text_of if key not in known]
            for start in range(0, len(fresh), TEXTS_AT_ONCE):
                part = fresh[start : start + TEXTS_AT_ONCE]
                known |= zip(part, self._read_different([text_of[key] for key in part]), strict=True)
            self._remember(known)
        found = np.empty((len(texts), N_LOGITS), dtype=np.float32)
        for row, key in enumerate(keys):
            found[row] = known[key]
        return found

    def _read_different(self, texts: list[str]) -> Floats:
        encoded = [self._fitting(encoding.ids) for encoding in self._tokenizer.encode_batch(texts)]
        found = np.empty((len(texts), N_LOGITS), dtype=np.float32)
        cut = list(batches([len(ids) for ids in encoded], self._tokens_at_once))
        inputs = [padded([encoded[row] for row in rows]) for rows in cut]
        for rows, logits in zip(cut, self._pool.map(self._reader, *zip(*inputs, strict=True)), strict=True):
            found[rows] = logits
        return found

    def _fitting(self, ids: list[int]) -> list[int]:
        most = self._manifest.max_tokens
        return ids if len(ids) <= most else ids[: most - most // TAIL] + ids[-(most // TAIL) :]

    def _remember(self, known: dict[bytes, Floats]) -> None:
        for key, row in known.items():
            # A copy, as a view would keep the array of its whole batch alive.
            self._remembered[key] = row.copy() if row.base is not None else row
            self._remembered.move_to_end(key)
        while len(self._remembered) > N_REMEMBERED:
            self._remembered.popitem(last=False)


def load(
    folder: Path, *, linear: LinearClassifier | None = None, device: Literal["auto", "cpu", "cuda"] = "auto"
) -> TransformerClassifier:
    """linear: the model whose word is pooled with the transformer's; where it should be and is not, version ends so.

    Raises NlpError that names the file that is missing, damaged or of another making, and how to mend it.
    """
    try:
        import onnxruntime  # noqa: F401
        import tokenizers  # noqa: F401
    except ImportError as e:
        raise NlpError(f"没有安装 {e.name}, 无法用 {folder} 的模型; 请运行 pip install -r requirements.txt") from e
    manifest = manifests.read(folder)
    tokenizer = read_tokenizer(folder / manifests.TOKENIZER)
    if device == "cuda" or (device == "auto" and _has_cuda_driver()):
        reader = _gpu_reader(folder / manifests.WEIGHTS, device)
        if reader is not None:
            return TransformerClassifier(manifest, tokenizer, reader, tokens_at_once=TOKENS_ON_GPU, linear=linear)
    return TransformerClassifier(
        manifest,
        tokenizer,
        _cpu_reader(folder / manifests.WEIGHTS),
        tokens_at_once=TOKENS_ON_CPU,
        n_at_once=len(os.sched_getaffinity(0)),
        linear=linear,
    )


def read_tokenizer(file: Path) -> Tokenizer:
    """Neither cuts nor pads. Raises NlpError that names the file."""
    from tokenizers import Tokenizer

    # tokenizers raises plain Exception.
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as e:
        raise NlpError(f"模型文件 {file} 已损坏, 无法读取 ({e}). {manifests.MEND}") from e
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _cpu_reader(file: Path) -> Reader:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One core a batch and several batches at once: cores that share a batch wait for each other at every step.
    options.intra_op_num_threads = 1
    # Batches differ in shape: a plan of memory for each would only pile up.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    if not _has_vnni():
        # Without these instructions products of 8 bits would overflow; the safe way costs nearly half the speed.
        options.add_session_config_entry("session.x64quantprecision", "1")
    # onnxruntime has an exception of its own for each of its status codes.
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
        )
    except Exception as e:
        raise NlpError(f"模型文件 {file} 无法装入 onnxruntime ({e}). {manifests.MEND}") from e

    def logits(ids: Numbers, mask: Numbers) -> Floats:
        found: Floats = session.run(None, {"ids": ids, "mask": mask})[0]
        return found

    return logits


def _gpu_reader(file: Path, device: str) -> Reader | None:
    """None where no GPU can be used and none was insisted on."""
    try:
        import torch

        if torch.cuda.is_available():
            from nlp.torch_reader import read_network, reader

            return reader(read_network(file), "cuda")
        reason = "torch 看不到显卡; 请安装 CUDA 版 torch 与驱动"
    except ModuleNotFoundError as e:
        reason = f"没有安装 {e.name}; 请安装 CUDA 版 torch, 以及 transformers 和 onnx"
    except (ImportError, OSError, ValueError) as e:  # what torch raises where a library of CUDA is missing or broken
        reason = f"CUDA 的库不全 ({e}); 请重新安装 CUDA 版 torch"
    except RuntimeError as e:  # what torch raises where the memory of a GPU is full or its driver too old
        reason = f"模型放不到显卡上 ({e}); 请腾出显存或更新驱动"
    if device == "cuda":
        raise NlpError(f'[nlp] device = "cuda", 但{reason}, 或改为 device = "auto"')
    return None


def _has_vnni() -> bool:
    """Whether the processor says that it adds up products of 8 bits without overflow; where it says nothing, no."""
    try:
        return "vnni" in CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _has_cuda_driver() -> bool:
    """Asked before torch, whose import takes seconds and memory that a machine without GPU need not spend."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
