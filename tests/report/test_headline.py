"""The first screen: how an answer is marked, and what it says of which data."""

import pytest

from pipeline.bayes_moe.report.results import read_moe
from pipeline.bayes_moe.report.summary import card
from pipeline.metrics.verdict import Comparison
from pipeline.report.headline import overall, tally
from pipeline.report.page import Headline, System
from tests.bayes_moe.simulated_results import AT, Sweep, write_moe
from tests.metrics.boards import PEARSON, board_of

BOARD = board_of({})


def compared(*standings: str) -> list[Comparison]:
    return [Comparison(PEARSON, 1.0, BOARD.baselines[0], 1.0, standing) for standing in standings]


@pytest.mark.parametrize(
    ("standings", "mark"),
    [
        (("ahead", "ahead"), "ahead"),
        (("ahead", "level"), "level"),
        (("ahead", "behind"), "level"),
        (("level", "level"), "level"),
        (("level", "behind"), "behind"),
    ],
)
def test_the_mark_is_no_stronger_than_the_comparisons(standings, mark):
    assert overall(compared(*standings)) == mark


def test_a_tally_counts_every_standing_that_is_there():
    assert tally(compared("ahead", "behind", "ahead")) == "ahead in 2 and behind in 1 of 3 decisive scores"
    assert tally(compared("level")) == "level in 1 of 1 decisive scores"


@pytest.mark.parametrize(
    ("accuracy", "ece", "mark"),
    [
        ((0.02, 0.01, 0.03), (-0.02, -0.03, -0.01), "level"),  # NLL is level
        ((0.02, -0.01, 0.05), (-0.02, -0.05, 0.01), "level"),
        ((0.02, -0.01, 0.05), (0.02, 0.01, 0.03), "behind"),
    ],
)
def test_experts_are_marked_by_their_decisive_scores(tmp_path, monkeypatch, accuracy, ece, mark):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, Sweep(accuracy=accuracy, ece={"raw": ece, "scaled": ece}))
    system = card(read_moe(AT))
    assert system.standing == mark
    assert [number.label for number in system.numbers] == ["accuracy ↑", "NLL, scaled ↓", "ECE, scaled ↓"]


def test_the_first_line_names_what_is_simulated_and_what_is_measured():
    def system(name: str, simulated: bool) -> System:
        return System(name, "", "", "level", "", "", [], simulated=simulated, elsewhere="", anchor="", study="s")

    both = Headline([system("A", True), system("B", False), system("C", True)])
    assert both.simulated == "Simulated data: A · s, C · s. Measured data: B · s."
    assert Headline([system("B", False)]).simulated == "Measured data: B · s."
    assert Headline([system("A", True)]).simulated == "Simulated data: A · s."
