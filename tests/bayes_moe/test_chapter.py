"""The chapters on the mixture of experts: their verdict follows the intervals, whichever way, and the shape of the
sweep is not theirs to know."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline.bayes_moe.report.chapter import mixture
from pipeline.bayes_moe.report.results import Moe, read_moe
from pipeline.bayes_moe.report.robustness import robustness
from pipeline.bayes_moe.report.routing import compared, routing, usage_in_words
from pipeline.bayes_moe.report.tables import away_table, corruptions_table, differences_table, main_table, sampled_table
from pipeline.bayes_moe.report.verdict import answer, verdict
from pipeline.core.errors import ExpectedError
from pipeline.report.numbers import amount
from pipeline.report.page import Figures, Notes
from pipeline.report.scores import signed
from tests.bayes_moe.simulated_results import POINTS, Sweep, write_moe

BETTER, WORSE, UNCLEAR = (-0.02, -0.03, -0.01), (0.02, 0.01, 0.03), (-0.02, -0.05, 0.01)


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Moe:
        write_moe(tmp_path, Sweep(**how))
        return read_moe()

    return write


@pytest.mark.parametrize(
    ("raw", "scaled", "short", "long"),
    [
        (
            BETTER,
            BETTER,
            "Better calibrated, before and after temperature scaling.",
            "it is better calibrated than its",
        ),
        (WORSE, WORSE, "Worse calibrated, before and after temperature scaling.", "it is worse calibrated than its"),
        (UNCLEAR, UNCLEAR, "No difference in calibration could be shown.", "Neither as trained nor after temperature"),
        (
            BETTER,
            UNCLEAR,
            "Better calibrated as trained; after temperature scaling, no difference could be shown.",
            "As trained, it is better calibrated than its dense twin: ECE 0.0",
        ),
        (
            UNCLEAR,
            WORSE,
            "No difference in calibration could be shown as trained; worse after temperature scaling.",
            "that 450 test pictures and 3 seeds could show: ECE 0.0",
        ),
        (
            WORSE,
            BETTER,
            "Worse calibrated as trained, but better after temperature scaling.",
            "After temperature scaling, it is better calibrated than its dense twin",
        ),
    ],
)
def test_the_verdict_is_that_of_the_intervals(found, raw, scaled, short, long):
    moe = found(ece={"raw": raw, "scaled": scaled})
    assert answer(moe) == short
    assert long in verdict(moe)
    for words in (answer(moe), verdict(moe)):
        assert ("better calibrated" in words.lower() or "better after" in words) == (BETTER in (raw, scaled)), words
        assert ("worse calibrated" in words.lower() or "worse after" in words) == (WORSE in (raw, scaled)), words
        assert ("difference in calibration" in words or "no difference" in words) == (UNCLEAR in (raw, scaled)), words


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        ((0.02, 0.01, 0.03), "It is more accurate"),
        ((-0.02, -0.03, -0.01), "It is less accurate"),
        ((0.0, 0.0, 0.0), "Nor could a difference in accuracy be shown"),
    ],
)
def test_more_accurate_is_higher_and_better_calibrated_is_lower(found, accuracy, said):
    assert said in verdict(found(accuracy=accuracy))


def test_the_verdict_has_the_numbers_of_the_files(found):
    moe = found(p=0.0004)
    table = pd.read_csv("reports/bayes_moe/table.csv")
    rows = table[(table["kind"] == "raw") & (table["metric"] == "ece")].groupby("point")["value"].mean()
    assert f"ECE {rows['top_1']:.4f} against {rows['dense']:.4f} (difference −0.0100" in verdict(moe)  # noqa: RUF001
    assert "95 % interval −0.0300 to +0.0100, p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.001" in verdict(moe)  # noqa: RUF001
    assert "Of 3 sparse points, the validation pictures chose “top 1” (4 experts, 1 active; lowest NLL)." in verdict(
        moe
    )


ODD = {
    "least": Sweep(
        points={"plain": {}, "only": {"experts": 2, "top_k": 2}},
        chosen="only",
        seeds=1,
        classes=100,
        pictures=7,
        bins=1,
        epochs=1,
    ),
    "most": Sweep(
        points={
            "dense": {},
            "wide": {"place": "block"},
            "a_point_with_quite_a_long_name_indeed": {"experts": 64, "top_k": 8, "gate": "gumbel_top_k"},
            "free": {"experts": 64, "balance_weight": 0.0},
            "inner": {"experts": 3, "place": "block"},
        },
        chosen="a_point_with_quite_a_long_name_indeed",
        seeds=10,
        classes=30,
    ),
}


@pytest.mark.parametrize("shape", ODD)
def test_the_chapters_of_a_sweep_of_any_shape_are_drawn(tmp_path, monkeypatch, shape):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD[shape])
    moe = read_moe()
    sections = [mixture(moe), routing(moe), robustness(moe)]
    pictures = [p for s in sections for b in s.blocks if isinstance(b, Figures) for p in b.pictures]
    assert len(pictures) == {"least": 16, "most": 21}[shape]  # of one point; of two, and with sampled routes
    assert all(picture.alt for picture in pictures)
    assert not re.search(r"\bnan\b|None", " ".join([*(p.alt for p in pictures), *(s.lead for s in sections)]))


def test_one_seed_has_no_deviation_and_says_what_it_cannot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD["least"])
    moe = read_moe()
    assert "The one sparse point is “only” (2 experts, 2 active)." in verdict(moe)
    assert "One seed says nothing of how much another training run would differ." in verdict(moe)
    assert not any(cell.remark.startswith("±") for row in main_table(moe).rows for cell in row)
    assert compared(moe) == ["only"]


def test_each_dense_twin_stands_before_its_points_and_has_its_own_best(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD["most"])
    rows = main_table(read_moe()).rows
    assert [row[0].text for row in rows] == [
        "Network in the head",
        "dense",
        "a point with quite a long name indeed",
        "free",
        "Network in the block",
        "wide",
        "inner",
    ]
    for part in (rows[1:4], rows[5:]):
        assert sum(row[1].best for row in part) == 1
        assert max(part, key=lambda row: float(row[1].text))[1].best


def test_the_table_has_mean_and_deviation_over_seeds(found):
    table = main_table(found())
    scores = pd.read_csv("reports/bayes_moe/table.csv")
    of = scores[(scores["point"] == "unbalanced") & (scores["metric"] == "ece") & (scores["kind"] == "scaled")]["value"]
    row = next(row for row in table.rows if row[0].text == "unbalanced")
    cell = row[[h.replace("\N{NO-BREAK SPACE}", " ") for h in table.header].index("ECE, scaled ↓")]
    assert (cell.text, cell.remark) == (f"{of.mean():.4f}", f"± {of.std():.4f}")
    assert table.rows[0][0].remark == "dense twin"


def test_all_differences_are_listed_and_only_sure_ones_marked(found):
    table = differences_table(found(ece={"raw": BETTER, "scaled": WORSE}))
    assert [row[0].text for row in table.rows] == ["top 1", "gumbel top 2", "unbalanced"]
    assert all([cell.best for cell in row[1:]] == [True, False, False, False, False] for row in table.rows)


def test_tables_of_what_was_not_learned_from(found):
    moe = found()
    assert len(away_table(moe).rows) == 4
    assert [row[0].text for row in corruptions_table(moe).rows] == ["gaussian noise", "jpeg"]
    assert [row[0].text for row in sampled_table(moe).rows][:3] == [
        "gumbel top 2",
        "the route without noise",
        "1 sampled route",
    ]


def test_a_lost_expert_is_said_to_be_and_a_kept_one_too(found):
    moe = found()
    assert compared(moe) == ["top_1", "unbalanced"]
    assert "fell below a quarter of its fair share, on average over seeds, in “unbalanced”." in usage_in_words(moe)
    assert re.search(
        r"“unbalanced”, without balancing: the least used of its 4 experts gets 2 ± 0 % of", usage_in_words(moe)
    )
    table = pd.read_csv("reports/bayes_moe/table.csv")
    table.loc[table["metric"] == "least_used", "value"] = 0.8
    table.to_csv("reports/bayes_moe/table.csv", index=False)
    said = usage_in_words(read_moe())
    assert "the least used expert fell below" not in said
    assert "no expert fell below a quarter of its fair share" in said


def test_the_point_that_differs_in_nothing_but_balance_is_named_too(found):
    """The chosen one has another gate; each of the three is named once."""
    said = usage_in_words(found(chosen="gumbel_top_2"))
    assert [said.count(f"“{name}”, with") for name in ("gumbel top 2", "unbalanced", "top 1")] == [1, 1, 1]


def test_a_chosen_point_without_balance_is_shown_beside_the_most_alike_with_it(found):
    assert compared(found(chosen="unbalanced")) == ["unbalanced", "top_1"]


def test_without_a_stochastic_gate_nothing_is_said_of_sampled_routes(found):
    points = {name: point for name, point in POINTS.items() if name != "gumbel_top_2"}
    moe = found(points=points)
    assert moe.sampled.empty


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("reports/bayes_moe/metrics.json", "dvc repro evaluate@bayes_moe"),
        ("reports/bayes_moe/table.csv", "dvc repro evaluate@bayes_moe"),
        ("reports/bayes_moe/details/sampled.parquet", "dvc repro evaluate@bayes_moe"),
        ("reports/bayes_moe/curves/unbalanced.csv", "dvc repro moe_sweep@unbalanced"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(found, path, command):
    found()
    Path(path).unlink()
    with pytest.raises(ExpectedError, match=f"{path} not found: `{command}` makes it"):
        read_moe()


@pytest.mark.parametrize("name", ["reliability", "corruption", "experts", "differences"])
def test_a_point_that_the_evaluation_left_out_is_named(found, name):
    found()
    path = f"reports/bayes_moe/details/{name}.parquet"
    frame = pd.read_parquet(path)
    frame[frame["point"] != "unbalanced"].to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: nothing about unbalanced: `dvc repro --force"):
        read_moe()


def test_an_unknown_choice_and_an_absent_score_are_named(found):
    found()
    table = pd.read_csv("reports/bayes_moe/table.csv")
    table[~((table["point"] == "top_1") & (table["metric"] == "nll"))].to_csv(
        "reports/bayes_moe/table.csv", index=False
    )
    with pytest.raises(ExpectedError, match=r"moe.csv: no nll \(raw\) of top_1"):
        read_moe()
    Path("reports/bayes_moe/metrics.json").write_text(json.dumps({"chosen": "dense"}))
    with pytest.raises(ExpectedError, match="the chosen dense is no sparse point"):
        read_moe()


def test_numbers_for_reading():
    numbers = [7, 999, 1000, 61286, 999_950, 1_234_567, 5.6e8, 3e9]
    shown = [amount(number).replace("\N{NO-BREAK SPACE}", " ") for number in numbers]
    assert shown == ["7", "999", "1.00 k", "61.3 k", "1.00 M", "1.23 M", "560 M", "3.00 G"]
    assert [signed(value, 2) for value in (0.5, -0.5, 0.001, 0.0)] == ["+0.50", "\N{MINUS SIGN}0.50", "0.00", "0.00"]


def test_what_was_made_of_the_pictures_stands_first(found):
    note = "passed over 2 dangling links: a.png, b.png"
    first = mixture(found(notes=(note,))).blocks[0]
    assert first == Notes([f"Pictures: {note}"])
    assert not any(isinstance(block, Notes) for block in mixture(found()).blocks)
