"""How well models read: python -m nlp.evaluate --data DIR|FILE [--model NAME ...] [--json | --card | --write-floors].

A folder is read as all held-out sets (nlp/lines.py) with robustness and the written sets, models side by side; a file
gives the figures of one model class by class.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp import floors
from nlp.classifier import NlpError
from nlp.figures import Reader, evaluate
from nlp.load import LINEAR, SHIPPED
from nlp.rows import CLASSES, read_rows
from nlp.scoreboard import ENGLISH, Measured, measure, tables, worse_than
from settings import NlpSettings

if TYPE_CHECKING:
    from nlp.linear import LinearClassifier

MODELS = ("transformer", "float32", "linear", "snownlp")
SHIPPED_MODELS = ("transformer", "linear")
N_PEER_ROWS = 1000
"""Of each corpus the peers, which are slow, read a fixed sample of so many rows."""

MOST_LOST = 0.005
"""So much may int8 lose against float32."""

_CARD_BEGIN, _CARD_END = "<!-- figures -->", "<!-- end of figures -->"


def load(name: str, folder: Path, trained: Path | None = None) -> Reader:
    """A model of `folder`; float32 is the transformer there with the weights as they were trained (a state_dict).

    Raises NlpError with what is missing.
    """
    if name in ("transformer", "float32", "linear"):
        from nlp.linear import load as load_linear

        own = folder / LINEAR
        linear = load_linear(own if own.exists() else SHIPPED / LINEAR)
        if name == "linear":
            return linear
        return _in_float32(folder, trained, linear) if name == "float32" else _transformer(folder, linear)
    from nlp.peers import SnowNlp

    return SnowNlp()


def _transformer(folder: Path, linear: LinearClassifier) -> Reader:
    from nlp.transformer import load as load_transformer

    return load_transformer(folder, linear=linear, device="cpu")


def _in_float32(folder: Path, trained: Path | None, linear: LinearClassifier) -> Reader:
    if trained is None:
        raise NlpError("float32 需要 --trained: 训练写下的未量化权重 (.pt)")
    import torch
    from tokenizers import Tokenizer

    from nlp import manifest
    from nlp.export import in_float32
    from nlp.torch_reader import read_network

    made = manifest.read(folder)
    network = read_network(folder / manifest.WEIGHTS)
    types, places = (f"encoder.embeddings.{of}_embeddings.weight" for of in ("token_type", "position"))
    try:
        state = torch.load(trained, weights_only=True)
        # Every text is of the first type, which in the graph is a part of every place.
        state[places] = state[places] + state[types][0]
        state[types] = torch.zeros_like(network.state_dict()[types])
        network.load_state_dict(state)
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as e:
        raise NlpError(f"权重文件 {trained} 读不了, 或不是 {folder} 里那个网络的: {e}") from e
    reader = in_float32(network, Tokenizer.from_file(str(folder / manifest.TOKENIZER)), made, linear)
    reader.version += " float32"
    return reader


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        if given.data.is_dir():
            _evaluate_folder(given)
        else:
            _evaluate_file(given)
    except NlpError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nlp.evaluate", description="在标注数据上衡量模型")
    parser.add_argument("--data", type=Path, required=True, help="数据目录, 或一个标注文件 .jsonl 或 .jsonl.gz")
    parser.add_argument(
        "--model", choices=MODELS, action="append", help="用哪个模型, 可重复 (默认: 目录用全部, 文件用能用的最好的)"
    )
    parser.add_argument("--trained", type=Path, help="训练写下的未量化权重 (.pt), 用于模型 float32")
    parser.add_argument("--folder", type=Path, default=SHIPPED, help="模型文件所在目录 (默认随程序发布的)")
    parser.add_argument("--rows", type=int, help="每个语料集只取固定的这么多行 (默认全部)")
    parser.add_argument("--review-below", type=float, default=NlpSettings().review_below, help="低于此概率进入待复核")
    parser.add_argument("--json", action="store_true", help="输出一个 JSON 文档")
    parser.add_argument("--card", type=Path, help="把表格写进这个模型卡 (两个 figures 标记之间)")
    parser.add_argument("--write-floors", action="store_true", help="按测得的指标提高下限")
    parser.add_argument("--floors", type=Path, default=floors.FILE, help="下限文件 (默认 tests/model/floors.json)")
    parser.add_argument("--lower", metavar="理由", help="允许降低下限, 理由记入文件")
    return parser


def _evaluate_file(given: argparse.Namespace) -> None:
    rows = read_rows(given.data)
    if given.model:
        readers = [load(name, given.folder, given.trained) for name in given.model]
    else:
        readers = [_best(given.folder)]
    found = [evaluate(rows, reader, review_below=given.review_below) for reader in readers]
    if given.json:
        _print(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=2))
    else:
        _print("\n\n".join("\n".join(_table(figures)) for figures in found))


def _evaluate_folder(given: argparse.Namespace) -> None:
    n_rows = floors.N_ROWS if given.write_floors else given.rows
    models: dict[str, Measured] = {}
    for name in given.model or MODELS:
        # Only what is shipped has floors, and float32 is measured only where its weights are given.
        if (given.write_floors and name not in SHIPPED_MODELS) or (name == "float32" and not given.trained):
            continue
        try:
            reader = load(name, given.folder, given.trained)
        except NlpError as e:
            if given.model:
                raise
            _say(f"{name} 略过: {e}")
            continue
        of_peer = N_PEER_ROWS if n_rows is None else min(n_rows, N_PEER_ROWS)
        most = of_peer if name == "snownlp" else n_rows
        models[name] = measure(
            reader,
            given.data,
            review_below=given.review_below,
            n_rows=most,
            lines_only=name == "float32",
            say=_say,
        )
    if not models:
        raise NlpError("没有一个模型可以衡量")
    if not any(measured["sets"] for measured in models.values()):
        raise NlpError(f"{given.data} 里没有 mentions/ 和 corpora/ 的测试集; --data 应指向含有它们的目录")
    if given.write_floors:
        _write_floors(models, given)
    if given.card:
        _write_card(models, given.card)
    _print(json.dumps(models, ensure_ascii=False, indent=2) if given.json else "\n".join(_report(models)))


def _best(folder: Path) -> Reader:
    try:
        return load("transformer", folder)
    except NlpError as e:
        _say(f"用线性模型: {e}")
        return load("linear", folder)


def _report(models: Mapping[str, Measured]) -> Iterator[str]:
    for name, measured in models.items():
        most = measured["n_rows"]
        yield f"{name}: {measured['version']}, 语料集{f'每个至多取固定的 {most} 行' if most else '取全部行'}"
        if measured["left_out"]:
            yield f"  没有这些数据文件, 未衡量: {', '.join(measured['left_out'])}"
    yield ""
    yield from tables(models)
    if "linear" in models and "transformer" in models:
        yield ""
        yield f"低于线性模型的线: {'; '.join(worse_than(models['transformer'], models['linear'])) or '没有'}"
    if "float32" in models and "transformer" in models:
        lost = worse_than(models["transformer"], models["float32"], by=MOST_LOST)
        yield ""
        yield f"int8 比 float32 低 {MOST_LOST:.1%} 以上的线: {'; '.join(lost) or '没有'}"


def _write_floors(models: Mapping[str, Measured], given: argparse.Namespace) -> None:
    gate = floors.read(given.floors)
    for name, measured in models.items():
        gate = floors.risen(gate, name, floors.figures_with_floors(measured), reason=given.lower)
    gate = floors.Gate(gate.floors, gate.sha256 | floors.digests(given.data), gate.lowered)
    floors.write(gate, given.floors)
    _say(f"已写入 {given.floors}")


def _write_card(models: Mapping[str, Measured], card: Path) -> None:
    try:
        text = card.read_text(encoding="utf-8")
        before, rest = text.split(_CARD_BEGIN)
        _, after = rest.split(_CARD_END)
    except (OSError, ValueError) as e:
        raise NlpError(f"模型卡 {card} 读不了, 或没有一对标记 {_CARD_BEGIN} 与 {_CARD_END}: {e}") from e
    shown = "\n".join(tables(models, ENGLISH))
    card.write_text(f"{before}{_CARD_BEGIN}\n{shown}\n{_CARD_END}{after}", encoding="utf-8")


def _table(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"模型 {figures['model_version']}, {figures['n']} 行"
    for head in (*CLASSES, "aspects"):
        if head not in figures:
            continue
        of_head = figures[head]
        yield ""
        if head == "aspects":
            yield f"aspects ({of_head['n']} 行)  micro-F1 {of_head['micro_f1']:.3f}  macro-F1 {of_head['macro_f1']:.3f}"
        else:
            calibration = of_head["calibration"]
            yield (
                f"{head} ({of_head['n']} 行)  准确率 {of_head['accuracy']:.3f}  macro-F1 {of_head['macro_f1']:.3f}  "
                f"ECE {calibration['ece']:.3f}  80% 覆盖准确率 {calibration['accuracy_at_80_coverage']:.3f}"
            )
        if "two_way_accuracy" in of_head:
            yield f"  只分正负的准确率 {of_head['two_way_accuracy']:.3f}, 读成中性算错 {of_head['strict_accuracy']:.3f}"
        classes = dict(of_head["classes"])
        if "at_least_1" in of_head:
            classes[">= 1"] = of_head["at_least_1"]
        yield f"  {'':<14}{'P':>7}{'R':>7}{'F1':>7}{'n':>7}"
        for name, of_class in classes.items():
            numbers = "".join(f"{of_class[key]:>7.3f}" for key in ("precision", "recall", "f1"))
            yield f"  {name:<14}{numbers}{of_class['support']:>7}"
    if "polarity" in figures and figures["polarity"]["n"]:
        yield f"\n方面的情感 ({figures['polarity']['n']} 个)  准确率 {figures['polarity']['accuracy']:.3f}"
    if "food_safety" in figures:
        yield f"\n食品安全  F1 {figures['food_safety']['f1']:.3f}"
    if "review" in figures:
        review = figures["review"]
        caught = _or_dash(review["wrong_caught"])
        yield f"\n待复核 (低于 {review['below']:.2f})  占 {review['share']:.3f}, 拦下全部错误的 {caught}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
