"""Speed and memory of the models on mentions of the sample's lengths, in one run beside what others would use.

    python -m nlp.bench

Every reader runs in a process of its own, which only loads it and reads, one after the other; each gets as many
texts as it can read in a few seconds. The texts are all different.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlp.classifier import NlpError
from nlp.load import LINEAR, SHIPPED
from settings import ROOT

TEXTS = ROOT / "sample" / "texts"
LONGEST_S = 120
BERT_BASE_WORDS = 21_128
N_TEXTS = {"transformer": 2500, "linear": 2500, "bert_base_pipeline": 40, "snownlp": 200}
"""bert_base_pipeline: the size of bert-base-chinese with random weights, in a transformers pipeline as it comes."""

ROUNDS = 2
"""The machine may be busy for a moment; the better round counts."""

Read = Callable[[Sequence[str]], object]


def run(model: Path = SHIPPED) -> dict[str, Any]:
    """Per reader texts_per_s, load_s and the peak_mb of its process, or `skipped` with the reason.

    model: folder of the transformer and the linear model.
    """
    texts = different_texts(TEXTS)
    figures: dict[str, Any] = {
        "n_texts": len(texts),
        "mean_chars": round(sum(map(len, texts)) / len(texts), 1),
        "n_cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }
    for name, n in N_TEXTS.items():
        figures[name] = _in_a_process(name, model, _spread(texts, n))
    ours, theirs = figures["transformer"], figures["bert_base_pipeline"]
    if "skipped" not in ours and "skipped" not in theirs:
        figures["times_bert_base"] = round(ours["texts_per_s"] / theirs["texts_per_s"], 1)
    return figures


def different_texts(folder: Path) -> list[str]:
    """All posts and replies of the sample, each once."""
    found: dict[str, None] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            post = json.loads(line)
            found[f"{post.get('title') or ''}\n{post['text']}".strip()] = None
            found |= dict.fromkeys(reply["text"] for reply in post.get("replies", ()))
    return list(found)


def _spread(texts: Sequence[str], n: int) -> list[str]:
    """n of them at equal steps, so that all kinds and lengths are among them."""
    n = min(n, len(texts))
    return [texts[place * len(texts) // n] for place in range(n)]


def _in_a_process(name: str, model: Path, texts: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "nlp.bench", name, str(model)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(texts),
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return {"skipped": f"{LONGEST_S} 秒内没有测完"}
    if done.returncode:
        return {"skipped": f"测量进程以 {done.returncode} 结束"}
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _measured(name: str, model: Path, texts: Sequence[str]) -> dict[str, Any]:
    """load_s is the time until the first text is read, imports included; peak_mb that of this process."""
    started = time.perf_counter()
    try:
        read = _READERS[name](model)
    except NlpError as e:
        return {"skipped": str(e)}
    read(texts[:1])
    load_s = time.perf_counter() - started
    rates = []
    for number in range(ROUNDS):
        part = texts[1 + number :: ROUNDS]
        started = time.perf_counter()
        read(part)
        rates.append(len(part) / (time.perf_counter() - started))
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"texts_per_s": round(max(rates), 1), "load_s": round(load_s, 2), "peak_mb": round(peak_kb / 1024)}


def _transformer(model: Path) -> Read:
    from nlp.linear import load as load_linear
    from nlp.transformer import load

    return load(model, linear=load_linear(model / LINEAR), device="cpu").read


def _linear(model: Path) -> Read:
    from nlp.linear import load

    return load(model / LINEAR).read


def _bert_base_pipeline(_: Path) -> Read:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    # Random weights read as slowly as trained ones; one character a piece, as bert-base-chinese does.
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + BERT_BASE_WORDS - len(special))]
    words = {piece: number for number, piece in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=special[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # The library's types stop at its constructors.
    library: Any = transformers
    fast = library.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512)
    fast.add_special_tokens({"unk_token": "[UNK]", "pad_token": "[PAD]"})
    network = library.BertForSequenceClassification(library.BertConfig(vocab_size=BERT_BASE_WORDS))
    pipeline = library.TextClassificationPipeline(model=network.eval(), tokenizer=fast)

    def read(texts: Sequence[str]) -> object:
        return pipeline(list(texts), truncation=True)

    return read


def _snownlp(_: Path) -> Read:
    from nlp.peers import SnowNlp

    return SnowNlp().read


_READERS: dict[str, Callable[[Path], Read]] = {
    "transformer": _transformer,
    "linear": _linear,
    "bert_base_pipeline": _bert_base_pipeline,
    "snownlp": _snownlp,
}


def main(arguments: Sequence[str]) -> None:
    if arguments:
        name, model = arguments
        figures = _measured(name, Path(model), json.load(sys.stdin))
    else:
        figures = run()
    print(json.dumps(figures, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
