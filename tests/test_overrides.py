"""Options made from a section's fields: each value is checked as the file's are, and all problems are named at once."""

import argparse
from typing import Annotated, Literal, Self

import pytest
from pydantic import Field, model_validator

from pipeline.core.errors import ExpectedError
from pipeline.params.overrides import Alias, Change, add_options, differences, overridden, refuse_idle
from pipeline.params.section import Count, Positive, Section, Share, Widths


class Inner(Section):
    share: Share
    name: str


class Outer(Section):
    """A field of every kind."""

    inner: Inner
    several: list[Inner]
    epochs: Count
    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    factor: Positive | None
    hidden: Widths
    flip: bool
    gate: Literal["none", "headwise"]

    @model_validator(mode="after")
    def _rule(self) -> Self:
        if self.flip and self.gate == "none":
            raise ValueError("flip needs a gate")
        return self


CONTENT = {
    "inner": {"share": 0.5, "name": "a"},
    "several": [],
    "epochs": 3,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "factor": None,
    "hidden": [8],
    "flip": False,
    "gate": "none",
}
ALIASES = [Alias("--use-gate", "gate", "headwise"), Alias("--num-epochs", "epochs")]


def given(*words, content=CONTENT):
    parser = argparse.ArgumentParser()
    add_options(parser, Outer, ALIASES)
    return overridden(Outer, "outer", content, parser.parse_args(list(words)).changes, "file.yaml")


def message(*words, content=CONTENT):
    with pytest.raises(ExpectedError) as caught:
        given(*words, content=content)
    return str(caught.value)


def test_without_options_the_file_holds():
    assert given().model_dump() == CONTENT


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--epochs", "5"], "epochs", 5),
        (["--epochs=5", "--num-epochs", "5"], "epochs", 5),
        (["--learning-rate", "1e-3"], "learning_rate", 1e-3),
        (["--learning-rate", "1"], "learning_rate", 1.0),
        (["--factor", "2.5"], "factor", 2.5),
        (["--hidden", "[4, 5]"], "hidden", [4, 5]),
        (["--gate", "headwise"], "gate", "headwise"),
        (["--use-gate"], "gate", "headwise"),
        (["--flip", "true", "--use-gate"], "flip", True),
    ],
)
def test_an_option_beats_the_file(words, field, value):
    changed = given(*words)
    assert getattr(changed, field) == value
    others = {"flip", "gate", field}
    assert changed.model_dump(exclude=others) == {k: v for k, v in CONTENT.items() if k not in others}


def test_a_value_of_the_file_can_be_taken_back_to_null():
    assert given("--factor", "null", content=CONTENT | {"factor": 3.0}).factor is None


def test_a_section_inside_has_options_and_text_stays_text():
    changed = given("--inner-share", "0", "--inner-name", "1e-3")
    assert (changed.inner.share, changed.inner.name) == (0, "1e-3")
    assert CONTENT["inner"] == {"share": 0.5, "name": "a"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epochs", "0"], "--epochs 0: expected a whole number from 1 to 10,000,000"),
        (["--epochs", "2.5"], "--epochs 2.5: expected a whole number from 1 to 10,000,000"),
        (["--num-epochs", "many"], "--num-epochs many: expected a whole number from 1 to 10,000,000"),
        (["--epochs", "true"], "--epochs true: expected a whole number"),
        (["--epochs", ""], "--epochs : expected a whole number"),
        (["--learning-rate", ".nan"], "--learning-rate .nan: expected a number above 0"),
        (["--learning-rate", ".inf"], "expected a number above 0"),
        (["--momentum", "1"], "--momentum 1: expected a number from 0 to below 1"),
        (["--inner-share", "1.5"], "--inner-share 1.5: expected a number from 0 to 1"),
        (["--factor", "0"], "--factor 0: expected a number above 0 to 1,000,000,000 or null"),
        (["--hidden", "[4, 0]"], "expected a list such as [1, 2], each a whole number from 1 to 16,384"),
        (["--hidden", "[4"], "--hidden [4: expected a list"),
        (["--flip", "maybe"], "--flip maybe: expected true or false"),
        (["--gate", "headwize"], "--gate headwize: expected none or headwise; did you mean headwise?"),
        (["--gate", "xyz"], "--gate xyz: expected none or headwise"),
        (["--use-gate", "--gate", "none"], "--use-gate and --gate none contradict each other"),
        (["--epochs", "2", "--num-epochs", "3"], "--epochs 2 and --num-epochs 3 contradict each other"),
    ],
)
def test_a_value_that_does_not_fit_names_its_option_and_what_does(words, expected):
    assert expected in message(*words)


def test_all_problems_are_named_at_once():
    lines = message("--epochs", "0", "--gate", "headwize", "--momentum", "2").splitlines()
    assert len(lines) == 4
    assert lines[0] == "the command line does not fit:"


def test_options_and_file_are_judged_together():
    assert given("--flip", "true", "--gate", "headwise").flip
    assert "file.yaml with --flip true has 1 problem(s):\n  outer: flip needs a gate" in message("--flip", "true")
    lacking = {key: value for key, value in CONTENT.items() if key != "epochs"}
    assert "outer.epochs: missing" in message(content=lacking)
    assert given("--epochs", "4", content=lacking).epochs == 4
    assert "outer.epoch: unknown key; did you mean 'epochs'?" in message(content=CONTENT | {"epoch": 3})


@pytest.mark.parametrize("content", [None, [1], "text", CONTENT | {"inner": 3}])
def test_a_file_that_holds_something_else_is_refused(content):
    assert "file.yaml with --inner-share 1 has 1 problem(s)" in message("--inner-share", "1", content=content)


def test_options_are_not_to_be_shortened(capsys):
    with pytest.raises(SystemExit):
        given("--epoch", "3")
    assert "unrecognized arguments: --epoch" in capsys.readouterr().err


def test_lists_of_sections_have_no_option(capsys):
    with pytest.raises(SystemExit):
        given("--help")
    shown = capsys.readouterr().out
    assert "--several" not in shown
    assert "--epochs N, --num-epochs N" in shown
    assert "--use-gate" in shown


def test_differences_name_fields_and_both_values():
    other = given("--epochs", "5", "--inner-share", "1")
    assert differences(given(), given()) == []
    assert differences(given(), other) == ["inner.share: 0.5 and 1.0", "epochs: 3 and 5"]


def test_a_change_without_effect_is_refused():
    parser = argparse.ArgumentParser()
    add_options(parser, Outer, ALIASES)
    changes = parser.parse_args(["--factor", "2"]).changes
    switches = [("gate", "none", ("factor",))]
    with pytest.raises(ExpectedError, match="--factor 2 says nothing while gate is none: set gate too"):
        refuse_idle(given("--factor", "2"), changes, switches)
    refuse_idle(given("--factor", "2", "--use-gate"), changes, switches)
    refuse_idle(given(), [], switches)


def test_a_change_of_no_field_names_the_right_one():
    with pytest.raises(ExpectedError, match=r"a:epoch=3: no 'epoch'; did you mean 'epochs'\?"):
        overridden(Outer, "outer", CONTENT, [Change("epoch", "epoch", "3", "a:epoch=3")], "file.yaml")
