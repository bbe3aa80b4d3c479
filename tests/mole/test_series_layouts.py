"""Layouts of public series: their splits by the published rule, and files that do not fit."""

from typing import get_args

import pytest

from pipeline.data.source import Findings
from pipeline.mole.data.layouts import LAYOUTS, check_layout, rows_needed, split_rows
from pipeline.mole.data.step import Step, told_step
from pipeline.mole.params.ingest import Ingest


def published(rows: int) -> dict[str, tuple[int, int]]:
    """The rule as the field's loaders have it (Wu et al. 2021, Autoformer)."""
    train, test = int(rows * 0.7), int(rows * 0.2)
    return {"train": (0, train), "validation": (train, rows - test), "test": (rows - test, rows)}


@pytest.mark.parametrize(
    ("layout", "rows", "sizes"),
    [
        ("etth", 17_420, (8640, 2880, 2880)),
        ("ettm", 69_680, (34_560, 11_520, 11_520)),
        ("weather", 52_696, (36_887, 5_270, 10_539)),
        ("electricity", 26_304, (18_412, 2_632, 5_260)),
        ("traffic", 17_544, (12_280, 1_756, 3_508)),
    ],
)
def test_public_files_are_split_as_published(layout: str, rows: int, sizes: tuple[int, int, int]) -> None:
    splits = split_rows(layout, rows)
    assert splits is not None
    assert tuple(after - first for first, after in splits.values()) == sizes
    assert splits["train"][0] == 0
    assert splits["train"][1] == splits["validation"][0]
    assert splits["validation"][1] == splits["test"][0]


def test_shares_are_those_of_the_published_rule() -> None:
    for rows in range(10, 3000):
        assert split_rows(None, rows) == published(rows)
        assert all(after > first for first, after in published(rows).values())


def test_too_few_rows_are_not_split() -> None:
    for layout in (None, *LAYOUTS):
        needed = rows_needed(layout)
        assert split_rows(layout, needed) is not None
        assert split_rows(layout, needed - 1) is None
    assert rows_needed("etth") == 14_400
    assert rows_needed("ettm") == 57_600


def test_params_know_every_layout() -> None:
    annotation = Ingest.model_fields["layout"].annotation
    assert {name for kind in get_args(annotation) for name in get_args(kind)} == set(LAYOUTS)


def findings(layout: str, channels: list[str], rows: int, step: int | None) -> Findings:
    found = Findings()
    check_layout(layout, "mole.ingest.layout", channels, rows, None if step is None else Step(step), found)
    return found


def test_a_file_that_fits_has_no_problem() -> None:
    seven = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert findings("etth", seven, 17_420, 3600) == Findings()
    assert findings("ettm", seven, 69_680, 900) == Findings()
    other = findings("weather", seven, 52_696, 600)
    assert other.problems == []
    assert other.notes == ["7 channels, where the public file of layout weather has 21"]


def test_a_file_that_does_not_fit_is_told_how() -> None:
    told = [str(problem) for problem in findings("etth", ["load", "ot"], 100, 900).problems]
    assert len(told) == 3
    assert "step of time: found 15 minutes; expected 1 hour" in told[0]
    assert "set mole.ingest.layout to null (or ettm, of this step)" in told[0]
    assert "rows: found 100; expected 14,400 or more" in told[1]
    assert "channel 'OT': found none of this name; there are 'load', 'ot'" in told[2]


def test_steps_are_told_in_their_largest_unit() -> None:
    assert [told_step(seconds) for seconds in (1, 90, 60, 900, 3600, 7200, 86_400, 604_800)] == [
        "1 second", "90 seconds", "1 minute", "15 minutes", "1 hour", "2 hours", "1 day", "7 days",
    ]  # fmt: skip
