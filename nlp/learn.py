"""One stage of training: batches of like lengths, the loss over all heads, steps that can be taken up again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlp.batches import batches, padded
from nlp.brands import BRANDS
from nlp.classifier import NlpError
from nlp.examples import CLASSES, Examples, empty, joined
from nlp.masked import Guesser, hide
from nlp.network import Logits, Network
from nlp.workfolder import write_whole

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS_AT_ONCE = 3072
"""Pieces of a batch, padding included, where a stage does not say otherwise."""

PADDED_TO = 8

SORTED_AT_ONCE = 3000
"""So many texts are sorted by length before batches are cut from them."""

TRAIN_TOKENS = 112
SAVE_EVERY_S = 120

WEIGHT_DECAY = 0.01
WARM_UP = 0.06
LAYER_DECAY = 0.92
"""Learning rate of a layer against that of the one above it: what lies deep knows the language already."""

GUESSER_FACTOR = 3.0
"""Learning rate of what guesses hidden words, which starts from nothing too."""

LABELS_BESIDE = 0.5
"""Weight of the labels where words are guessed: what the encoder knows of them must not be lost meanwhile."""

HEAD_FACTOR = 5.0
"""Learning rate of the heads, which start from nothing, against that of the top layer."""

LOSS_SHARE = {"sentiment": 1.0, "intent": 1.3, "severity": 0.7, "aspects": 8.0, "polarity": 0.5}

_SEEDS_APART = 1_000_000
"""Every step draws from a seed of its own, so that it does not matter how often a run was cut off."""

_EMOTICON = re.compile(r"\[[^\[\]\s]{1,6}\]")
_LAST_SIGN = re.compile(r"[。.!~…]+$")
_DE = re.compile("[的地得]")
_SOUNDS_LIKE = (
    ("垃圾", "辣鸡"), ("什么", "神马"), ("这样", "酱紫"), ("没有", "木有"), ("喜欢", "稀饭"), ("非常", "灰常"),
    ("根本", "跟本"), ("质量", "质亮"), ("坏了", "怀了"), ("服务", "服物"),
    ("客服", "客福"), ("退款", "退宽"), ("好吃", "好次"),
)  # fmt: skip

_NAME_SIGNS = (
    "安柏川初春达淡朵丰芙谷光海禾恒鸿花汇佳嘉简江洁锦景康蓝乐璃良林灵鹿绿满美萌米木南宁平青清晴泉然仁"
    "森山尚生石树素糖天田微唯西溪喜夏贤香小新星轩雪雅阳野叶一艺亿优有雨语元悦云泽致知中竹卓紫"
)
_LATIN_SIGNS = "abcdeefghiiklmnoooprstuvxyz"
_TAILS = (
    "工坊", "良品", "物语", "食集", "小馆", "研究所", "实验室", "家居", "制造", "lab", "plus",
    "max", "club", "s3", " 7",
)  # fmt: skip
_PLACES = ("南桥", "西街", "三号", "半山", "九里", "白塔", "雾海", "松间", "二楼", "渡口", "长风", "旧城")
_THINGS = ("站台", "灯塔", "仓库", "邮局", "花园", "听雨", "归舟", "小岛", "食堂", "来信", "野马", "日记")
"""Of what invented brand names are made: some mean something, and none of it says how good the brand is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage does.

    lr is that of the top layer of the encoder; it rises, then falls to nothing. dropout: in the encoder, behind every
    layer; that of the heads always stays. share_swapped: of the texts whose brands get another name. agreement: weight
    of what two readings of a text, roughened twice and in the second under other brand names, differ by (R-Drop, Liang
    et al. 2021); at 0 each text is read once. masked: share of the pieces that are hidden and guessed (nlp/masked.py),
    beside the labels; then there are no pairs. tokens_at_once: pieces of a batch; a GPU takes ten times what suits a
    CPU. layer_decay: learning rate of a layer against that of the one above it.
    """

    name: str
    lr: float
    n_epochs: int
    seed: int
    share_composed: float = 0.05
    dropout: float = 0.0
    share_swapped: float = 0.3
    agreement: float = 0.0
    masked: float = 0.0
    tokens_at_once: int | None = None
    layer_decay: float = LAYER_DECAY


def learn(
    network: Network, tokenizer: Tokenizer, examples: Examples, stage: Stage, work: Path, say: Callable[[str], None]
) -> None:
    """Trains the network in place, where it lies (CPU or GPU).

    A run that was cut off goes on from its last save in `work` and ends with the very weights of one that was not.
    Raises NlpError if the loss stops being a number.
    """
    device = next(network.parameters()).device
    torch.manual_seed(stage.seed)
    guesser = Guesser(network).to(device)
    optimizer = torch.optim.AdamW(_groups(network, guesser, stage), betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    plan = [len(list(_batches(examples, stage, epoch, tokenizer))) for epoch in range(stage.n_epochs)]
    n_steps = sum(plan)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _factor(step, n_steps))
    saved = part_of(stage, work)
    done = 0
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        guesser.load_state_dict(state["guesser"])
        done = state["done"]
        say(f"{stage.name}: 从第 {done} 步继续")
    network.train()
    _set_dropout(network, stage.dropout)
    texts_per_batch = len(examples) * stage.n_epochs / n_steps
    began = shown = kept_at = time.monotonic()
    step, running = 0, []
    for epoch in range(stage.n_epochs):
        for batch in _batches(examples, stage, epoch, tokenizer):
            step += 1
            if step <= done:
                continue
            torch.manual_seed(stage.seed * _SEEDS_APART + step)
            of_batch = _loss_of_guesses if stage.masked else _loss_of_readings
            loss = of_batch(network, guesser, batch, stage) / texts_per_batch
            if not torch.isfinite(loss):
                raise NlpError(f"{stage.name} 第 {step} 步的损失不是有限的数; 请检查训练数据的标签")
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            running.append(loss.item() * texts_per_batch / len(batch.examples))
            now = time.monotonic()
            if now - shown > 20:
                left = (now - began) / (step - done) * (n_steps - step) / 60
                average = np.mean(running[-100:])
                where = f"{step}/{n_steps} 步 ({step / n_steps:.0%})"
                say(f"{stage.name}: {where}, 损失 {average:.4f}, 约剩 {left:.0f} 分钟")
                shown = now
            if now - kept_at > SAVE_EVERY_S:
                _save(saved, network, guesser, optimizer, schedule, step)
                kept_at = now
    network.eval()


def part_of(stage: Stage, work: Path) -> Path:
    """Where a run of the stage is saved; to be deleted once its outcome is."""
    return work / f"{stage.name}.part"


def logits_of(network: Network, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Logits (n, N_LOGITS) of every text, as training sees it."""
    encoded = _pieces(tokenizer, texts)
    cut = list(batches([len(ids) for ids in encoded], 2 * TOKENS_AT_ONCE, padded_to=PADDED_TO))
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        together = torch.cat([network(*_on(device, [encoded[row] for row in rows])).float().cpu() for rows in cut])
    result = torch.empty_like(together)
    result[torch.tensor([row for rows in cut for row in rows])] = together
    return result


@dataclass(frozen=True, slots=True)
class _Batch:
    examples: Examples
    ids: list[list[int]]
    """Of the texts, and behind them, where a stage wants agreement, of their twins."""


def _save(
    file: Path,
    network: Network,
    guesser: Guesser,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    done: int,
) -> None:
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "guesser": guesser.state_dict(),
        "done": done,
    }
    write_whole(file, partial(torch.save, state))


class _Dropout(nn.Module):
    """Like nn.Dropout, with the share rounded to 256ths: a random number has eight bytes and decides on eight places.

    Drawing one for every place was an eighth of a training step on a CPU.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.n_of_256 = round(share * 256)

    def forward(self, states: Tensor) -> Tensor:
        if not self.training or not self.n_of_256:
            return states
        drawn = torch.empty(-(-states.numel() // 8), dtype=torch.int64, device=states.device).random_(-(2**63), None)
        kept = drawn.view(torch.uint8)[: states.numel()].view(states.shape) >= self.n_of_256
        return states * (kept.to(states.dtype) * (256 / (256 - self.n_of_256)))


def _set_dropout(network: Network, share: float) -> None:
    """Behind the parts of every layer, not between the words: masks of all pairs of words cost too much on a CPU."""
    for part in [part for part in network.encoder.modules() if hasattr(part, "LayerNorm")]:
        part.dropout = _Dropout(share)


def _groups(network: Network, guesser: Guesser, stage: Stage) -> list[dict[str, object]]:
    """Parameters by depth: the deeper, the slower; norms and biases are not decayed."""
    depth = network.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        layer = re.search(r"encoder\.layer\.(\d+)\.", name)
        if not name.startswith("encoder."):
            factor = HEAD_FACTOR
        elif layer:
            factor = stage.layer_decay ** (depth - 1 - int(layer[1]))
        else:
            factor = stage.layer_decay**depth
        decay = WEIGHT_DECAY if parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    groups[GUESSER_FACTOR, 0.0] = list(guesser.parameters())
    return [
        {"params": parameters, "lr": stage.lr * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def _factor(step: int, n_steps: int) -> float:
    rising = max(1.0, WARM_UP * n_steps)
    return min((step + 1) / rising, max(0.02, (n_steps - step) / (n_steps - rising + 1)))


def _batches(examples: Examples, stage: Stage, epoch: int, tokenizer: Tokenizer) -> Iterator[_Batch]:
    """The batches of an epoch; the same every time for the same stage and epoch."""
    chance = np.random.default_rng((stage.seed, epoch))
    order = chance.permutation(len(examples))
    for start in range(0, len(order), SORTED_AT_ONCE):
        part = examples.take(order[start : start + SORTED_AT_ONCE])
        part = _with_composed(part, stage.share_composed, chance)
        shares = (stage.share_swapped, 1.0) if stage.agreement else (stage.share_swapped,)
        readings = [_pieces(tokenizer, [_roughened(text, chance, share) for text in part.texts]) for share in shares]
        lengths = [max(map(len, of_text)) for of_text in zip(*readings, strict=True)]
        cut = list(batches(lengths, stage.tokens_at_once or TOKENS_AT_ONCE, padded_to=PADDED_TO))
        for place in chance.permutation(len(cut)):
            rows = cut[place]
            yield _Batch(part.take(rows), [encoded[row] for encoded in readings for row in rows])


def _pieces(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _on(device: torch.device, encoded: list[list[int]]) -> tuple[Tensor, Tensor]:
    # Few shapes: the kernels of each are made once and kept.
    ids, mask = padded(encoded, padded_to=PADDED_TO)
    return torch.from_numpy(ids).long().to(device), torch.from_numpy(mask).long().to(device)


def _roughened(text: str, chance: np.random.Generator, share_swapped: float) -> str:
    """The text as somebody else might have typed it; means the same."""
    dice = chance.random(5)
    if dice[0] < 0.25:
        text = _EMOTICON.sub("", text) or text
    if dice[1] < 0.15:
        text = _LAST_SIGN.sub("", text) or text
    if dice[2] < 0.08:
        text = _DE.sub(lambda _: "的地得"[chance.integers(3)], text)
    if dice[3] < 0.1:
        for proper, slang in _SOUNDS_LIKE:
            text = text.replace(proper, slang)
    if dice[4] < share_swapped:
        text = _of_other_brands(text, chance)
    return text


def _of_other_brands(text: str, chance: np.random.Generator) -> str:
    """Every brand under a name that no brand has, the same one wherever it stands."""
    new: dict[str, str] = {}
    for found in BRANDS.finditer(text):
        new.setdefault(found[0].lower(), _invented(chance, is_latin=found[0].isascii() or chance.random() < 0.2))
    return BRANDS.sub(lambda found: new[found[0].lower()], text)


def _invented(chance: np.random.Generator, *, is_latin: bool) -> str:
    """The name of a brand that there is not."""
    if not is_latin and chance.random() < 0.2:
        return _PLACES[chance.integers(len(_PLACES))] + _THINGS[chance.integers(len(_THINGS))]
    signs = _LATIN_SIGNS if is_latin else _NAME_SIGNS
    n = int(chance.integers(2, 5)) + 2 * is_latin
    name = "".join(signs[place] for place in chance.integers(len(signs), size=n))
    return name + _TAILS[chance.integers(len(_TAILS))] if chance.random() < 0.3 else name


def _with_composed(part: Examples, share: float, chance: np.random.Generator) -> Examples:
    """Some texts more, each made of one that praises and one that blames: they teach whose polarity is whose.

    Of such a text only aspects and polarity are known.
    """
    spoken = part.aspects.any(axis=1)
    good = np.flatnonzero(spoken & (part.sentiment[:, 2] > 0))
    bad = np.flatnonzero(spoken & (part.sentiment[:, 0] > 0))
    n = min(round(share * len(part)), len(good), len(bad))
    if not n:
        return part
    pairs = np.stack([chance.permutation(good)[:n], chance.permutation(bad)[:n]], axis=1)
    pairs = chance.permuted(pairs, axis=1)
    first, second = part.take(pairs[:, 0]), part.take(pairs[:, 1])
    link = [",", "。", ",但是", "。不过", ",就是", " "]
    texts = [
        f"{one.rstrip('。.!,~ ')}{link[chance.integers(len(link))]}{other}"
        for one, other in zip(first.texts, second.texts, strict=True)
    ]
    made = empty(texts, ["composed"] * n)
    made.aspects[:] = np.maximum(first.aspects, second.aspects)
    made.aspects_weight[:] = np.minimum(first.aspects_weight, second.aspects_weight)
    only_one = (first.aspects > 0) != (second.aspects > 0)
    made.polarity[:] = (first.polarity + second.polarity) * only_one[:, :, None] * 2
    return joined(part, made)


def _loss_of_readings(network: Network, _: Guesser, batch: _Batch, stage: Stage) -> Tensor:
    """Of the texts or, if there is to be agreement, of them and their twins; sum over the texts."""
    ids, mask = _on(network.queries.device, batch.ids)
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        found = network(ids, mask)
    if not stage.agreement:
        return _loss(Logits.of(found), batch.examples)
    one, other = (Logits.of(half) for half in found.chunk(2))
    return (_loss(one, batch.examples) + _loss(other, batch.examples)) / 2 + stage.agreement * _difference(one, other)


def _loss_of_guesses(network: Network, guesser: Guesser, batch: _Batch, stage: Stage) -> Tensor:
    """Of hidden words and, from the same reading, of the labels; sum over the texts."""
    ids, mask = _on(network.queries.device, batch.ids)
    given, places = hide(ids, mask, stage.masked)
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        words = network.words(given, mask)
        surprise = guesser.surprise(words.flatten(0, 1)[places], ids.flatten()[places])
        found = network.judged(words, mask)
    return len(batch.examples) * surprise + LABELS_BESIDE * _loss(Logits.of(found), batch.examples)


def _difference(one: Logits, other: Logits) -> Tensor:
    """Of two readings: Kullback-Leibler both ways, halved, by the shares of the heads; sum over the texts."""
    total = one.sentiment.new_zeros(())
    for head in CLASSES:
        p, q = (functional.log_softmax(getattr(read, head), dim=-1) for read in (one, other))
        total = total + LOSS_SHARE[head] * ((p.exp() - q.exp()) * (p - q)).sum() / 2
    # For a yes or no the same sum is (p - q) (logit p - logit q).
    p, q = one.aspects.sigmoid(), other.aspects.sigmoid()
    spoken = ((p - q) * (one.aspects - other.aspects)).sum() / 2
    return total + LOSS_SHARE["aspects"] * spoken / one.aspects.shape[1]


def _loss(found: Logits, true: Examples) -> Tensor:
    """Sum over the texts; a head of which nothing is known adds nothing."""
    device = found.sentiment.device
    total = found.sentiment.new_zeros(())
    for head in ("sentiment", "intent", "severity", "polarity"):
        target = torch.from_numpy(getattr(true, head)).to(device)
        surprise = -(functional.log_softmax(getattr(found, head), dim=-1) * target)
        total = total + LOSS_SHARE[head] * surprise.sum()
    spoken = functional.binary_cross_entropy_with_logits(
        found.aspects,
        torch.from_numpy(true.aspects).to(device),
        weight=torch.from_numpy(true.aspects_weight).to(device),
        reduction="sum",
    )
    return total + LOSS_SHARE["aspects"] * spoken / found.aspects.shape[1]
