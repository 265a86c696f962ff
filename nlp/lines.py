"""The sets that a model is measured on, and the lines that it should reach on them."""

from __future__ import annotations

from dataclasses import dataclass

MENTIONS = "mentions/test.jsonl"
TWO_WAY = "sentiment.two_way_accuracy"
STRICT = "sentiment.strict_accuracy"
MACRO_F1 = "sentiment.macro_f1"
POLARITY = "polarity.accuracy"
"""Of the aspects that a model finds: one that finds more is asked more, so this figure compares no models."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one set. target is what the shipped model should reach; None: measured for information.

    trial and linear_on_corpora are fixed reference figures, measured once and not by this program: a first trial of
    the transformer (6,035 labelled mentions, no tuning), and linear models trained on the corpora alone.
    """

    data: str
    figure: str
    target: float | None = None
    trial: float | None = None
    linear_on_corpora: float | None = None

    @property
    def name(self) -> str:
        short = self.data.removeprefix("corpora/test_").removesuffix(".gz").removesuffix(".jsonl")
        return f"{short} {self.figure}"


def _corpus(name: str) -> str:
    return f"corpora/test_{name}.jsonl.gz"


LINES = (
    Line(MENTIONS, "intent.accuracy", 0.87, 0.80),
    Line(MENTIONS, "intent.macro_f1", 0.83, 0.74),
    Line(MENTIONS, "sentiment.accuracy"),
    Line(MENTIONS, MACRO_F1, 0.84, 0.76),
    Line(MENTIONS, "severity.at_least_1.f1", 0.74),
    Line(MENTIONS, "severity.macro_f1"),
    Line(MENTIONS, "aspects.micro_f1", 0.80),
    Line(MENTIONS, "aspects.macro_f1"),
    Line(_corpus("waimai_10k"), TWO_WAY, 0.915, 0.900, 0.892),
    Line(_corpus("online_shopping_10_cats"), TWO_WAY, 0.94, 0.902, 0.922),
    Line(_corpus("EPRSTMT"), TWO_WAY, 0.90, 0.864, 0.890),
    Line(_corpus("SMP_usual"), MACRO_F1, 0.84, 0.800, 0.796),
    Line(_corpus("SMP_virus"), MACRO_F1, None, None, 0.744),
    Line(_corpus("DiaASQ"), TWO_WAY, 0.84, None, 0.777),
    Line(_corpus("NLPCC14_SC"), TWO_WAY, None, None, 0.776),
    Line(_corpus("o2o_food_safety"), "food_safety.f1", 0.92, None, 0.89),
    Line(_corpus("zhijiang"), "aspects.micro_f1", 0.91, None, 0.880),
    Line(_corpus("zhijiang"), "aspects.micro_f1_judged"),
    Line(_corpus("zhijiang"), POLARITY),
    Line(_corpus("zhijiang"), "polarity.micro_f1_with_polarity"),
    Line(_corpus("zhijiang"), MACRO_F1, None, None, 0.605),
    Line(_corpus("BDCI_car"), "aspects.micro_f1", None, None, 0.873),
    Line(_corpus("BDCI_car"), "aspects.micro_f1_judged"),
    Line(_corpus("BDCI_car"), POLARITY),
    Line(_corpus("BDCI_car"), "polarity.micro_f1_with_polarity"),
    Line(_corpus("BDCI_car"), MACRO_F1, None, None, 0.487),
    Line(_corpus("ABSA_restaurant"), MACRO_F1, None, None, 0.552),
    Line(_corpus("CLUEmotion_test"), TWO_WAY, None, None, 0.778),
    Line(_corpus("weibo_senti_noemo"), TWO_WAY, None, None, 0.708),
)
SETS = tuple(dict.fromkeys(line.data for line in LINES))
