"""The chapters on the mixture of experts: their verdict follows the intervals, whichever way, and the shape of the
sweep is not theirs to know."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.bayes_moe.metrics.crossed import crossed
from pipeline.bayes_moe.report.abstention import abstention_table
from pipeline.bayes_moe.report.chapter import mixture
from pipeline.bayes_moe.report.ensembles import ensembles, ensembles_table, power_lines, worth_in_words
from pipeline.bayes_moe.report.results import Moe, read_moe
from pipeline.bayes_moe.report.robustness import robustness
from pipeline.bayes_moe.report.routing import compared, routing, usage_in_words
from pipeline.bayes_moe.report.stability import by_chance, stability_table
from pipeline.bayes_moe.report.summary import results
from pipeline.bayes_moe.report.tables import (
    corruptions_table,
    differences_table,
    main_table,
    sampled_table,
    unlike_table,
)
from pipeline.bayes_moe.report.verdict import lead
from pipeline.core.errors import ExpectedError
from pipeline.report.numbers import amount
from pipeline.report.page import Figures, Notes
from pipeline.report.scores import answer, signed
from tests.bayes_moe.simulated_results import AT, POINTS, Sweep, write_moe

RESULTS = AT.results.as_posix()
BETTER, WORSE, UNCLEAR = (-0.02, -0.03, -0.01), (0.02, 0.01, 0.03), (-0.02, -0.05, 0.01)
BETTER_ACCURACY, LEVEL = (0.02, 0.01, 0.03), (0.0, -0.01, 0.01)


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Moe:
        write_moe(tmp_path, Sweep(**how))
        return read_moe(AT)

    return write


def table_of_results() -> pd.DataFrame:
    return pd.read_csv(RESULTS, dtype={"seed": "Int64"})


@pytest.mark.parametrize(
    ("accuracy", "scaled", "short", "long"),
    [
        (BETTER_ACCURACY, BETTER, "It worked in part.", "ahead of its dense twin in accuracy (0."),
        (LEVEL, BETTER, "It worked in part.", "ahead of its dense twin in ECE, scaled (0."),
        (LEVEL, UNCLEAR, "No gain.", "it is level with its dense twin in accuracy (0."),
        (LEVEL, WORSE, "It did not work.", ", but behind its dense twin in ECE, scaled (0."),
    ],
)
def test_the_verdict_is_that_of_the_intervals(found, accuracy, scaled, short, long):
    moe = found(accuracy=accuracy, ece={"raw": UNCLEAR, "scaled": scaled})
    assert answer(moe.decisive) == short
    assert long in lead(moe)
    standings = {one.standing for one in moe.decisive}
    assert {word for word in ("ahead", "level", "behind") if f"{word} " in lead(moe)} == standings


@pytest.mark.parametrize(("raw", "said"), [(BETTER, "ahead of"), (WORSE, "behind"), (UNCLEAR, "level with")])
def test_calibration_as_trained_is_said_too(found, raw, said):
    assert f"Before temperature scaling, it is {said} its dense twin in ECE (0." in lead(
        found(ece={"raw": raw, "scaled": raw})
    )


def test_it_is_said_in_how_many_points_the_gate_tells_better_when_to_abstain(found):
    moe = found()
    table = abstention_table(moe.abstention, moe.board)
    assert table.caption.startswith(
        "To abstain by, beside confidence: gate entropy, better in 0 of 3 sparse points and worse in 3; confidence and "
        "gate, better in 0 of 3 sparse points and worse in 0. AURC: "
    )
    assert [row[3].text for row in table.rows[:3]] == ["", "+0.0200", "\N{MINUS SIGN}0.0020"]
    better = moe.abstention.assign(low=-0.02, high=-0.01)
    assert abstention_table(better, moe.board).rows[1][3].best


def test_the_verdict_has_the_numbers_of_the_files(found):
    moe = found()
    table = table_of_results()
    rows = table[(table["unit"] == "raw") & (table["metric"] == "ece")].groupby("method")["value"].mean()
    assert f"ECE ({rows['top_1']:.4f} against {rows['dense']:.4f} for dense; difference −0.0100" in lead(moe)  # noqa: RUF001
    assert "95 % interval −0.0300 to +0.0100)" in lead(moe)  # noqa: RUF001
    assert "Of 3 sparse points, “top 1” (4 experts, 1 active) has the lowest NLL on the validation images." in lead(moe)
    assert "On 450 test images and 3 seeds, it is" in lead(moe)


def test_no_p_value_stands_beside_an_interval(found):
    moe = found()
    tables = [main_table(moe), differences_table(moe), unlike_table(moe)]
    words = [lead(moe), *(cell.remark for table in tables for row in table.rows for cell in row)]
    assert not any(re.search(r"\bp\s*[=<]|p-value", text) for text in words)


ODD = {
    "least": Sweep(
        points={"plain": {}, "only": {"experts": 2, "top_k": 2}},
        chosen="only",
        seeds=1,
        classes=100,
        images=7,
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
    "dropout": Sweep(points={"dense": {}, "top_1": {"experts": 4}, "dropped_out": {"dropout": 0.1}}),  # no other key
    "baselines": Sweep(
        points={**POINTS, "dropped_out": {"dropout": 0.1}, "small": {"hidden": 36}, "four": {"members": 4}}
    ),
}


@pytest.mark.parametrize("shape", ODD)
def test_the_chapters_of_a_sweep_of_any_shape_are_drawn(tmp_path, monkeypatch, shape):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD[shape])
    moe = read_moe(AT)
    sections = [mixture(moe), ensembles(moe), routing(moe), robustness(moe)]
    pictures = [p for s in sections for b in s.blocks if isinstance(b, Figures) for p in b.pictures]
    many = {"least": 19, "most": 28, "dropout": 25, "baselines": 28}  # of one point; of two, and sampled
    assert len(pictures) == many[shape]
    assert all(picture.alt for picture in pictures)
    assert not re.search(r"\bnan\b|None", " ".join([*(p.alt for p in pictures), *(s.lead for s in sections)]))


def test_one_seed_has_no_deviation_and_says_what_it_cannot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD["least"])
    moe = read_moe(AT)
    assert "The one sparse point is “only” (2 experts, 2 active)." in lead(moe)
    assert "One seed says nothing about how much another training run would differ." in lead(moe)
    assert not any(cell.remark.startswith("±") for row in main_table(moe).rows for cell in row)
    assert compared(moe) == ["only"]


def test_each_place_has_its_own_best_beside_its_dense_twin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD["most"])
    moe = read_moe(AT)
    rows = main_table(moe).rows
    assert [row[0].text for row in rows] == [
        "Network in the head",
        "a point with quite a long name indeed",
        "free",
        "dense",
        "Network in the block",
        "inner",
        "wide",
    ]
    for part in (rows[1:4], rows[5:]):
        assert sum(row[1].best for row in part) == 1
        assert max(part, key=lambda row: float(row[1].text))[1].best
    assert moe.against_twin("inner", "ece").baseline.name == "wide"


def test_the_table_has_mean_and_deviation_over_seeds(found):
    table = main_table(found())
    scores = table_of_results()
    of = scores[(scores["method"] == "unbalanced") & (scores["metric"] == "ece") & (scores["unit"] == "scaled")][
        "value"
    ]
    row = next(row for row in table.rows if row[0].text == "unbalanced")
    cell = row[[h.replace("\N{NO-BREAK SPACE}", " ") for h in table.header].index("ECE, scaled ↓")]
    assert (cell.text, cell.remark) == (f"{of.mean():.4f}", f"± {of.std():.4f}")
    assert table.rows[-1][0].remark == "dense twin"


def test_all_differences_are_listed_and_only_sure_ones_marked(found):
    points = POINTS | {"narrow": {"hidden": 36}}
    table = differences_table(found(ece={"raw": BETTER, "scaled": WORSE}, points=points))
    sparse = ("top 1", "gumbel top 2", "unbalanced")
    pairs = [f"{of} \N{MINUS SIGN} {dense}" for of in sparse for dense in ("dense", "narrow")]
    assert [row[0].text for row in table.rows] == pairs
    assert all([cell.best for cell in row[1:]] == [False, False, False, True, False] for row in table.rows)


def test_tables_of_what_was_not_learned_from(found):
    moe = found()
    assert len(unlike_table(moe).rows) == 4
    assert [row[0].text for row in corruptions_table(moe).rows] == ["gaussian noise", "jpeg"]
    assert [row[0].text for row in sampled_table(moe).rows][:3] == [
        "gumbel top 2",
        "one pass without noise",
        "1 sample",
    ]


def test_a_lost_expert_is_said_to_be_and_a_kept_one_too(found):
    moe = found()
    assert compared(moe) == ["top_1", "unbalanced"]
    assert "fell below a quarter of its fair share, on average over seeds, in “unbalanced”." in usage_in_words(moe)
    assert re.search(
        r"“unbalanced”, without balancing: the least used of its 4 experts gets 2 ± 0 % of", usage_in_words(moe)
    )
    table = table_of_results()
    table.loc[table["metric"] == "least_used", "value"] = 0.8
    table.to_csv(RESULTS, index=False)
    said = usage_in_words(read_moe(AT))
    assert "the least used expert fell below" not in said
    assert "no expert fell below a quarter of its fair share" in said


def test_the_point_that_differs_in_nothing_but_balance_is_named_too(found):
    """The chosen one has another gate; each of the three is named once."""
    said = usage_in_words(found(chosen="gumbel_top_2"))
    assert [said.count(f"“{name}”, with") for name in ("gumbel top 2", "unbalanced", "top 1")] == [1, 1, 1]


def test_a_chosen_point_without_balance_is_shown_beside_the_most_alike_with_it(found):
    assert compared(found(chosen="unbalanced")) == ["unbalanced", "top_1"]


def test_stability_has_what_stays_what_chance_gives_and_how_seeds_agree(found):
    moe = found()
    first = stability_table(moe).rows[0]
    assert [cell.text for cell in first] == ["top 1", "90", "50", f"{100 * by_chance(moe, 'top_1'):.0f}", "0.23"]
    assert first[-1].remark == "0.20 to 0.30"
    rows = moe.experts[moe.experts["point"] == "top_1"]
    each = []
    for seed in range(3):
        tokens = [rows[(rows["seed"] == seed) & (rows["expert"] == e)]["tokens"].sum() for e in range(4)]
        each.append(sum((count / sum(tokens)) ** 2 for count in tokens))
    assert by_chance(moe, "top_1") == pytest.approx(sum(each) / 3)


def test_baselines_stand_beside_the_ensembles_and_are_called_what_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_moe(tmp_path, ODD["baselines"])
    moe = read_moe(AT)
    assert [row[0].text for row in ensembles_table(moe.ensembles, moe.board).rows] == [
        *("dense", "2 x dense", "3 x dense", "top 1", "gumbel top 2", "gumbel top 2, 4 routes", "unbalanced"),
        *("dropped out", "dropped out, 4 dropout masks", "small", "four"),
    ]
    assert [row[1].text for row in ensembles_table(moe.ensembles, moe.board).rows[:4]] == ["1", "2", "3", "1.4"]
    assert "“dropped out, 4 dropout masks” 1.4, “small” 1.4, “four” 1.4" in ensembles(moe).lead
    remarks = {row[0].text: row[0].remark for row in main_table(moe).rows}
    assert [remarks[name] for name in ("dense", "dropped out", "small", "four")] == [
        "dense twin",
        "dense, dropout 0.1",
        "dense, 36 units",
        "4 members, averaged",
    ]


def test_without_a_stochastic_gate_nothing_is_said_of_sampled_routes(found):
    points = {name: point for name, point in POINTS.items() if name != "gumbel_top_2"}
    moe = found(points=points)
    assert moe.sampled.empty


@pytest.mark.parametrize(
    ("path", "command"),
    [
        (RESULTS, "dvc repro evaluate@bayes_moe-digits"),
        ("reports/bayes_moe/digits/details/sampled.parquet", "dvc repro evaluate@bayes_moe-digits"),
        ("reports/bayes_moe/digits/curves/unbalanced.csv", "dvc repro moe_sweep@digits-unbalanced"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(found, path, command):
    found()
    Path(path).unlink()
    with pytest.raises(ExpectedError, match=f"{path} not found: `{command}` makes it"):
        read_moe(AT)


@pytest.mark.parametrize("name", ["reliability", "corruption", "experts"])
def test_a_point_that_the_evaluation_left_out_is_named(found, name):
    found()
    path = f"reports/bayes_moe/digits/details/{name}.parquet"
    frame = pd.read_parquet(path)
    frame[frame["point"] != "unbalanced"].to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: nothing about unbalanced: `dvc repro --force"):
        read_moe(AT)


@pytest.mark.parametrize("missing", ["top_1", "top_1 - dense"])
def test_an_absent_score_or_difference_is_named(found, missing):
    found()
    table = table_of_results()
    table[~((table["method"] == missing) & (table["metric"] == "nll"))].to_csv(RESULTS, index=False)
    with pytest.raises(ExpectedError, match=rf"results.csv: no nll \(raw\) of {missing}: `dvc repro --force"):
        read_moe(AT)


@pytest.mark.parametrize("chosen", [[], ["dense"], ["top_1", "unbalanced"]])
def test_one_sparse_point_is_chosen(found, chosen):
    found()
    path = "reports/bayes_moe/digits/details/points.parquet"
    points = pd.read_parquet(path)
    points.assign(chosen=points["point"].isin(chosen)).to_parquet(path)
    with pytest.raises(ExpectedError, match=r"points.parquet: does not say which one sparse point was chosen"):
        read_moe(AT)


def test_points_and_results_name_the_same_points(found):
    found()
    path = "reports/bayes_moe/digits/details/points.parquet"
    points = pd.read_parquet(path)
    points[points["point"] != "unbalanced"].to_parquet(path)
    with pytest.raises(ExpectedError, match=r"points.parquet: nothing about unbalanced"):
        read_moe(AT)
    pd.concat([points, points.iloc[1:2].assign(point="new", chosen=False)]).to_parquet(path)
    with pytest.raises(ExpectedError, match=r"results.csv: nothing about new"):
        read_moe(AT)


def test_numbers_for_reading():
    numbers = [7, 999, 1000, 61286, 999_950, 1_234_567, 5.6e8, 3e9]
    shown = [amount(number).replace("\N{NO-BREAK SPACE}", " ") for number in numbers]
    assert shown == ["7", "999", "1.00 k", "61.3 k", "1.00 M", "1.23 M", "560 M", "3.00 G"]
    assert [signed(value, 2) for value in (0.5, -0.5, 0.001, 0.0)] == ["+0.50", "\N{MINUS SIGN}0.50", "0.00", "0.00"]


def test_notes_on_the_images_stand_first(found):
    note = "skipped 2 dangling links: a.png, b.png"
    first = mixture(found(notes=(note,))).blocks[0]
    assert first == Notes([f"Images: {note}"])
    assert not any(isinstance(block, Notes) for block in mixture(found()).blocks)


@pytest.mark.parametrize(
    ("equivalents", "said"),
    [(1.0, "at most 1.0 (95 % interval 1.0 to 4.0)"), (1.4, "1.4 (95"), (5.0, "at least 5.0 (95")],
)
def test_what_a_point_is_worth_says_where_the_scale_ends(equivalents, said):
    assert worth_in_words({"equivalents": equivalents, "low": 1.0, "high": 4.0}, 5).startswith(said)


def test_the_lines_of_power_are_what_simulated_trainings_would_show():
    """With the difference that the line gives at 4 seeds, the verdict's interval excludes 0 in four of five cases; with
    half of it, in fewer."""
    deviation, images, random = 0.15, 0.9 / 200, np.random.default_rng(0)  # variance over images
    of = {"difference": -0.2, "deviation": deviation, "floor": images**0.5}
    smallest, seen = power_lines(of, 30)
    (seeds, difference), (_, flat) = smallest.seeds[0], seen.seeds[0]
    assert (seeds[0], seeds[-1], set(flat)) == (2, 30, {0.2})
    assert (np.diff(difference) < 0).all()

    def found(true: float) -> float:
        excluded = 0
        for _ in range(1000):
            of_seed = deviation * random.standard_normal((4, 1))
            uncertain = crossed(true + of_seed + 0.9**0.5 * random.standard_normal(200))
            excluded += abs(uncertain.value) > uncertain.half
        return excluded / 1000

    assert found(difference[2]) == pytest.approx(0.8, abs=0.05)
    assert found(difference[2] / 2) < 0.5


def test_results_say_what_the_seeds_can_show(found):
    assert any("| score | difference | standard deviation over seeds |" in text for text in results(found(seeds=2)))
    assert not any("standard deviation over seeds" in text for text in results(found(seeds=1)))
