"""Values of a section given as KEY=VALUE: each is checked as the file's are."""

import argparse
from typing import Annotated, Literal, Self

import pytest
from pydantic import Field, model_validator

from pipeline.alphastomics.commands.overrides import add_option, differences, overridden, refuse_idle
from pipeline.commands.changes import parsed
from pipeline.core.errors import ExpectedError
from pipeline.params.section import Count, Positive, Section, Share, Widths


class Inner(Section):
    share: Share
    name: str


class Outer(Section):
    """A field of every kind."""

    inner: Inner
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
    "epochs": 3,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "factor": None,
    "hidden": [8],
    "flip": False,
    "gate": "none",
}


def given(*changes, content=CONTENT):
    return overridden(Outer, "system.part", {"system": {"part": content, "other": 1}}, changes, "file.yaml")


def message(*changes, content=CONTENT):
    with pytest.raises(ExpectedError) as caught:
        given(*changes, content=content)
    return str(caught.value)


def test_without_changes_the_file_holds():
    assert given().model_dump() == CONTENT


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("epochs=5", "epochs", 5),
        ("system.part.epochs=5", "epochs", 5),
        ("learning_rate=1e-3", "learning_rate", 1e-3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("factor=2.5", "factor", 2.5),
        ("hidden=[4, 5]", "hidden", [4, 5]),
        ("gate=headwise", "gate", "headwise"),
        ("inner={share: 1.0, name: b}", "inner", Inner(share=1.0, name="b")),
    ],
)
def test_a_change_beats_the_file(change, field, value):
    changed = given(change)
    assert getattr(changed, field) == value
    assert changed.model_dump(exclude={field}) == {k: v for k, v in CONTENT.items() if k != field}


def test_a_value_of_the_file_can_be_taken_back_to_null():
    assert given("factor=null", content=CONTENT | {"factor": 3.0}).factor is None


def test_a_section_inside_has_dotted_keys_and_the_files_content_is_left_alone():
    changed = given("inner.share=0", "inner.name='1e-3'")
    assert (changed.inner.share, changed.inner.name) == (0, "1e-3")
    assert CONTENT["inner"] == {"share": 0.5, "name": "a"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["epochs=0"], "system.part.epochs = 0: Input should be greater than or equal to 1"),
        (["epochs=2.5"], "system.part.epochs = 2.5: Input should be a valid integer"),
        (["epochs=true"], "system.part.epochs = True: Input should be a valid integer"),
        (["epochs="], "system.part.epochs = None: Input should be a valid integer"),
        (["learning_rate=.nan"], "system.part.learning_rate = nan: Input should be"),
        (["momentum=1"], "system.part.momentum = 1: Input should be less than 1"),
        (["hidden=[4"], "hidden=[4 is not valid YAML"),
        (["gate=headwize"], "system.part.gate = 'headwize': Input should be 'none' or 'headwise'"),
        (["epoch=3"], "system.part.epoch: unknown key; did you mean 'epochs'?"),
        (["inner.shar=1"], "system.part.inner.shar: unknown key; did you mean 'share'?"),
        (["epochs.more=1"], "epochs.more: 'epochs' is one value in file.yaml, not a section"),
        (["epochs"], "epochs: expected KEY=VALUE"),
        (["=3"], "=3: expected KEY=VALUE"),
        (["epochs=2", "system.part.epochs=3"], "epochs is given twice"),
    ],
)
def test_a_change_that_does_not_fit_is_one_message(changes, expected):
    assert expected in message(*changes)


def test_all_values_that_do_not_fit_are_named_at_once():
    assert "file.yaml with epochs=0, momentum=2 has 2 problem(s)" in message("epochs=0", "momentum=2")


def test_changes_and_file_are_judged_together():
    assert given("flip=true", "gate=headwise").flip
    assert "file.yaml with flip=true has 1 problem(s):\n  system.part: flip needs a gate" in message("flip=true")
    lacking = {key: value for key, value in CONTENT.items() if key != "epochs"}
    assert "system.part.epochs: missing" in message(content=lacking)
    assert given("epochs=4", content=lacking).epochs == 4


@pytest.mark.parametrize("content", [None, [1], "text"])
def test_a_file_without_the_section_is_refused(content):
    assert "file.yaml has no section 'system.part'" in message("epochs=1", content=content)


def test_the_option_is_spelled_as_dvc_spells_it():
    parser = argparse.ArgumentParser()
    add_option(parser, "system.part")
    assert parser.parse_args([]).changes == []
    assert parser.parse_args(["-S", "a=1", "--set-param", "b=2"]).changes == ["a=1", "b=2"]


def test_differences_name_fields_and_both_values():
    assert differences(given(), given()) == []
    assert differences(given(), given("epochs=5", "inner.share=1")) == ["inner.share: 0.5 and 1.0", "epochs: 3 and 5"]


def test_a_change_without_effect_is_refused():
    switches = [("gate", "none", ("factor",))]
    changes = parsed(["factor=2"], "system.part")
    with pytest.raises(ExpectedError, match="factor has no effect while gate is none: set gate too"):
        refuse_idle(given("factor=2"), changes, switches)
    refuse_idle(given("factor=2", "gate=headwise"), changes, switches)
    refuse_idle(given(), {}, switches)
