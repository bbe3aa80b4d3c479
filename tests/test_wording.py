"""Pieces of messages."""

import pytest

from pipeline.core.wording import closest, counted, did_you_mean, suggestion

KNOWN = ["learning_rate", "Learning", "epochs"]


def test_numbers_have_their_noun():
    assert [counted(number, "cell") for number in (0, 1, 2_000)] == ["0 cells", "1 cell", "2,000 cells"]


@pytest.mark.parametrize("name", ["learing_rate", "LEARNING_RATE", "Learning_Rate"])
def test_a_name_is_found_in_whatever_case(name):
    assert did_you_mean(name, KNOWN, "none") == "did you mean 'learning_rate'?"


def test_what_resembles_nothing_is_not_guessed():
    assert did_you_mean("gamma", KNOWN, "there are three") == "there are three"
    assert suggestion("gamma", KNOWN) == "there are: learning_rate, Learning, epochs"


def test_several_come_with_the_likest_first():
    assert closest("learning_rat", KNOWN, most=2) == ["learning_rate", "Learning"]
    assert suggestion("learning", KNOWN) == "did you mean 'Learning' or 'learning_rate'?"
