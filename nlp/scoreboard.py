"""Several models on all sets: what is measured, and the tables that show it side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nlp.figures import ALL_HEADS, Reader, ReadsSome, figures_of, value_at
from nlp.intervals import intervals
from nlp.lines import LINES, MENTIONS, POLARITY, SETS, STRICT, TWO_WAY, Line
from nlp.probes import PROBES, probe
from nlp.robustness import CHANGES, flips
from nlp.rows import read_rows, sample

Measured = dict[str, Any]
"""version, n_rows (of a corpus at most, None: all), sets (figures by file), intervals, robustness (by change), probes
(by file), left_out (files that are not there)."""

CHINESE = {
    "line": "线", "target": "目标", "reached": "达到", "yes": "是", "no": "**否**",
    "trial": "初试 (参考)", "linear_on_corpora": "线性, 只用语料 (参考)",
    "strict": "只有正负的集, 读成中性算错", "neutral": "读成中性",
    "calibration": "mentions/test 的把握与待复核", "robustness": "mentions/test 改写后翻转的比例", "most": "最多",
    "probes": "编写的测试集, 读对的比例", "pairs": "成对都对",
    "traditional": "繁体 (s2t)", "taiwanese": "繁体台湾用词 (s2twp)", "full_width": "全角",
    "brand_short": "品牌换成短名", "brand_long": "品牌换成长名", "brand_hidden": "品牌隐去",
    "no_emoticons": "去掉表情", "de": "的地得混用", "sounds": "谐音", "slips": "错别字",
    "no_last_sign": "去掉句末标点", "full_stop": "句末加句号",
}  # fmt: skip
ENGLISH = {
    "line": "line", "target": "target", "reached": "reached", "yes": "yes", "no": "**no**",
    "trial": "trial (reference)", "linear_on_corpora": "linear, corpora alone (reference)",
    "strict": "sets without neutral, neutral counted as wrong", "neutral": "read as neutral",
    "calibration": "confidence on mentions/test", "robustness": "flips on mentions/test", "most": "at most",
    "probes": "written sets, share right", "pairs": "both of a pair",
    "traditional": "traditional script (s2t)", "taiwanese": "traditional, Taiwan's words (s2twp)",
    "full_width": "full width", "brand_short": "brand to a short name", "brand_long": "brand to a long name",
    "brand_hidden": "brand hidden",
    "no_emoticons": "emoticons removed", "de": "的地得 mixed up", "sounds": "written by sound (谐音)",
    "slips": "slips of the input method", "no_last_sign": "last sign dropped", "full_stop": "full stop added",
}  # fmt: skip
"""Words of the tables: on screen, and in the model card."""

WRITTEN = Path(__file__).parents[1] / "tests" / "model"
"""Where the sets of nlp.probes lie; they are part of the project."""


def measure(
    reader: Reader,
    data: Path | None,
    *,
    review_below: float,
    n_rows: int | None = None,
    lines_only: bool = False,
    say: Callable[[str], None] | None = None,
) -> Measured:
    """All about one model; of a large corpus a fixed sample of n_rows. Without data, the probes only.

    lines_only leaves out robustness and probes, as do peers that read only some of the heads.
    """
    lines_only = lines_only or (isinstance(reader, ReadsSome) and not set(reader.heads) >= ALL_HEADS)
    files = {name: data / name for name in SETS} if data else {}
    here = {name: file for name, file in files.items() if file.is_file()}
    measured: Measured = {"version": reader.version, "n_rows": n_rows, "sets": {}, "probes": {}}
    measured["left_out"] = [name for name in files if name not in here]
    for name, file in here.items():
        if say:
            say(f"{reader.version}: {name} …")
        rows = read_rows(file)
        if n_rows is not None and name != MENTIONS:
            rows = sample(rows, n_rows)
        labels = reader.read([row.text for row in rows])
        measured["sets"][name] = figures_of(rows, labels, reader, review_below=review_below)
        if name == MENTIONS and not lines_only:
            measured["intervals"] = {figure: asdict(bounds) for figure, bounds in intervals(rows, labels).items()}
            measured["robustness"] = flips(rows, reader)
    for name in () if lines_only else PROBES:
        if (WRITTEN / name).is_file():
            measured["probes"][name] = probe(read_rows(WRITTEN / name), reader)
    return measured


def value_of(line: Line, measured: Measured) -> float | None:
    return value_at(measured["sets"].get(line.data, {}), line.figure)


def worse_than(one: Measured, other: Measured, *, by: float = 0.0, with_target: bool = False) -> list[str]:
    """Lines on which `one` lies more than `by` below `other`, with both figures; if asked, of those with a target."""
    found = []
    for line in LINES:
        if line.figure == POLARITY or (with_target and line.target is None):
            continue
        ours, theirs = value_of(line, one), value_of(line, other)
        if ours is not None and theirs is not None and ours < theirs - by:
            found.append(f"{line.name} {ours:.3f} < {theirs:.3f}")
    return found


def tables(models: Mapping[str, Measured], words: Mapping[str, str] = CHINESE) -> Iterator[str]:
    """Markdown, so that it can be read in a terminal and put on a page. The first model is the one that is judged."""
    yield from _line_table(models, words)
    yield ""
    yield from _strict_table(models, words)
    first = next(iter(models.values()))
    if "calibration" in first["sets"].get(MENTIONS, {}).get("intent", {}):
        yield ""
        yield from _calibration_table(models, words)
    if any(measured.get("robustness") for measured in models.values()):
        yield ""
        yield from _robustness_table(models, words)
    if any(measured["probes"] for measured in models.values()):
        yield ""
        yield from _probe_table(models, words)


def _line_table(models: Mapping[str, Measured], words: Mapping[str, str]) -> Iterator[str]:
    judged = next(iter(models.values()))
    yield _row(words["line"], words["target"], *models, words["reached"], words["trial"], words["linear_on_corpora"])
    yield _rule(5 + len(models))
    for line in LINES:
        values = [value_of(line, measured) for measured in models.values()]
        bounds = judged.get("intervals", {}).get(line.figure) if line.data == MENTIONS else None
        shown = [_number(value) for value in values]
        if bounds:
            shown[0] += f" [{bounds['low']:.3f}, {bounds['high']:.3f}]"
        reached = ""
        if line.target is not None and values[0] is not None:
            reached = words["yes"] if values[0] >= line.target else words["no"]
        yield _row(
            line.name, _number(line.target), *shown, reached, _number(line.trial), _number(line.linear_on_corpora)
        )


def _strict_table(models: Mapping[str, Measured], words: Mapping[str, str]) -> Iterator[str]:
    yield _row(words["strict"], *(title for name in models for title in (name, f"{name} {words['neutral']}")))
    yield _rule(1 + 2 * len(models))
    for line in LINES:
        if line.figure == TWO_WAY:
            strict = Line(line.data, STRICT)
            share = Line(line.data, "sentiment.neutral_share")
            cells = [(value_of(strict, measured), value_of(share, measured)) for measured in models.values()]
            yield _row(strict.name, *(_number(value) for pair in cells for value in pair))


def _calibration_table(models: Mapping[str, Measured], words: Mapping[str, str]) -> Iterator[str]:
    """Of mentions/test: how well probabilities are meant, and what a person who looks at the unsure ones catches."""
    paths = [f"{head}.calibration.{what}" for head in ("intent", "sentiment", "severity") for what in _CALIBRATION]
    paths += [f"review.{what}" for what in ("below", "share", "wrong_inside", "wrong_outside", "wrong_caught")]
    yield _row(words["calibration"], *models)
    yield _rule(1 + len(models))
    for path in paths:
        cells = [value_at(measured["sets"].get(MENTIONS, {}), path) for measured in models.values()]
        yield _row(path, *map(_number, cells))


def _robustness_table(models: Mapping[str, Measured], words: Mapping[str, str]) -> Iterator[str]:
    of_all = {name: measured["robustness"] for name, measured in models.items() if measured.get("robustness")}
    heads = ("sentiment", "intent", "severity_at_least_1")
    yield _row(words["robustness"], "n", words["most"], *(f"{name} {head}" for name in of_all for head in heads))
    yield _rule(3 + len(heads) * len(of_all))
    for change in CHANGES:
        found = [of_one[change.name] for of_one in of_all.values()]
        cells = [of_change.get(head) for of_change in found for head in heads]
        yield _row(words[change.name], str(found[0]["n"]), _number(change.most), *map(_number, cells))


def _probe_table(models: Mapping[str, Measured], words: Mapping[str, str]) -> Iterator[str]:
    of_all = {name: measured["probes"] for name, measured in models.items() if measured["probes"]}
    heads = ("sentiment", "intent", "severity", "severity_at_least_1")
    yield _row(words["probes"], "n", *(f"{name} {head}" for name in of_all for head in heads))
    yield _rule(2 + len(heads) * len(of_all))
    first = next(iter(of_all.values()))
    for file, figures in first.items():
        for kind, of_kind in figures["kinds"].items():
            cells = [found[file]["kinds"][kind][head] for found in of_all.values() for head in heads]
            yield _row(f"{file.removesuffix('.jsonl')} {kind}", str(of_kind["n"]), *map(_number, cells))
        if "pairs" in figures:
            pairs = [found[file]["pairs"]["sentiment"] for found in of_all.values()]
            cells = [cell for value in pairs for cell in (value, None, None, None)]
            yield _row(
                f"{file.removesuffix('.jsonl')} {words['pairs']}", str(figures["pairs"]["n"]), *map(_number, cells)
            )


_CALIBRATION = ("ece", "accuracy_at_80_coverage")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(n: int) -> str:
    return "|---" * n + "|"
