"""The chapters on forecasting: a gain is claimed only where the seeds carry it, and whichever method is the rival."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.mole.glossary import label_of, listed_horizons
from pipeline.mole.report.chapter import example_of, forecasting, measured
from pipeline.mole.report.intervals import interval_table, intervals, intervals_in_words
from pipeline.mole.report.results import Forecasting, read_forecasting
from pipeline.mole.report.specialisation import (
    in_words,
    judged_parts,
    most_moved,
    regime_gap,
    specialisation,
    swing,
    weights,
)
from pipeline.mole.report.summary import card, results
from pipeline.mole.report.tables import channel_table, choice_table, main_table, reduced_table, ridge_table
from pipeline.mole.report.ttnn_results import read_inference
from pipeline.mole.report.verdict import answer_of, on_measured, sentences, verdict
from pipeline.report.page import Figures, Notes
from tests.mole.simulated_results import AT, BASELINES, Series, write_forecasting

TABLE = AT.results.as_posix()
FOLDER = AT.details.as_posix()
RIDGES = ["ridge", "ridge per channel"]


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**how) -> Forecasting:
        write_forecasting(tmp_path, Series(**how))
        return read_forecasting(AT)

    return write


def leads(short: float, long: float) -> dict[int, float]:
    return {24: short, 96: long}


@pytest.mark.parametrize(
    ("lead", "answer", "said", "mark"),
    [
        (leads(0.05, 0.04), "It worked.", "it is ahead of the best baseline (0.3078", "ahead"),
        (leads(0.05, 0.001), "It worked in part.", "but level with the best baseline (0.3956", "level"),
        (leads(0.001, -0.001), "No gain.", "it is level with the best baseline (0.3237", "level"),
        (leads(0.001, -0.05), "It did not work.", "but behind the best baseline (0.4158", "behind"),
        (leads(-0.05, -0.05), "It did not work.", "it is behind the best baseline (0.3402", "behind"),
    ],
)
def test_the_verdict_is_that_of_the_numbers(found, lead, answer, said, mark):
    series = found(lead=lead)
    assert answer_of(series.board) == answer
    assert said in verdict(series)
    assert ("ahead of" in sentences(series.board)) == ("worked" in answer and "not" not in answer)
    assert card(series).standing == mark
    assert card(series).answer == answer


def test_a_gain_within_the_noise_of_the_seeds_is_none(found):
    """The same means: first carried by the seeds, then not."""
    assert found(lead=leads(0.05, 0.05), noise=0.002).board.comparison(24, "least_squares").standing == "ahead"
    assert found(lead=leads(0.05, 0.05), noise=0.06).board.comparison(24, "least_squares").standing == "level"


def test_a_small_gain_counts_where_the_seeds_carry_it(found):
    """No fixed share of the error is called level."""
    assert found(lead=leads(0.004, 0.004), noise=1e-6).board.comparison(24, "least_squares").standing == "ahead"
    assert found(lead=leads(-0.004, 0.0), noise=1e-6).board.comparison(24, "least_squares").standing == "behind"
    assert found(lead=leads(0.0, 0.0), noise=1e-3).board.comparison(24, "least_squares").standing == "level"


def test_one_seed_carries_no_gain_and_says_so(found):
    series = found(seeds=1, lead=leads(0.2, -0.2))
    assert series.board.comparison(24, "least_squares").standing == "level"
    assert series.board.comparison(96, "least_squares").standing == "level"
    assert "One seed says nothing" in verdict(series)
    assert not any("±" in cell.remark for row in main_table(series.board).rows for cell in row)


@pytest.mark.parametrize(("gain", "said"), [(0.05, "better than it"), (0.0, "level with it"), (-0.05, "worse than it")])
def test_the_dense_twin_is_compared_too(found, gain, said):
    assert f"the mixture is {said} (" in verdict(found(gain=gain))


def test_the_rival_is_the_best_baseline_whichever_it_is(found, monkeypatch):
    monkeypatch.setitem(BASELINES, "seasonal_naive", -0.3)
    series = found(lead=leads(0.05, 0.05))
    assert answer_of(series.board) == "It did not work."
    assert series.board.rival(24) == "seasonal_naive"
    assert "for seasonal naive, 24 steps ahead" in verdict(series)


def test_a_run_on_another_measured_series_does_not_show_this_one(found):
    series = found(simulated=False)
    assert series.measured == []
    assert on_measured(series) == ""
    assert card(series).elsewhere == ""
    assert "ETTh1" not in "".join(results(series, read_inference(AT)))


def test_the_choice_is_that_of_validation_not_of_the_test_windows(found):
    found()
    path = AT.details / "choices.json"
    about = json.loads(path.read_text())
    about["horizons"]["96"] |= {"chosen": "mole_rmlp", "twin": "rmlp"}
    path.write_text(json.dumps(about))
    series = read_forecasting(AT)
    assert "chose MoLE-DLinear for 24 steps and MoLE-RMLP for 96 steps." in verdict(series)
    table = main_table(series.board)
    row = {row[0].text: row for row in table.rows}
    assert ["chosen" in cell.remark for cell in row["MoLE-RMLP"][1:]] == [False, False, True, True]
    assert ["chosen" in cell.remark for cell in row["MoLE-DLinear"][1:]] == [True, True, False, False]
    assert [cell.best for cell in row["MoLE-DLinear"][1:]] == [True] * 4  # the best there is, chosen or not


def test_the_measured_series_has_a_choice_of_its_own(found):
    found()
    path = Path("reports/measured/mole/etth1.json")
    about = json.loads(path.read_text())
    for of in about["horizons"].values():
        of |= {"chosen": "mole_rlinear", "twin": "rlinear"}
    path.write_text(json.dumps(about))
    series = read_forecasting(AT)
    assert series.measured[0].board.choices[24].chosen == "mole_rlinear"
    assert series.measured[0].board.choices[24].twin == "rlinear"
    assert series.board.choices[24].chosen == "mole_dlinear"
    section = measured(series.measured[0])
    assert section.lead.startswith("Not the series of this run. ETTh1, seven channels")
    assert on_measured(series).endswith(
        "ahead of the best baseline at 1 and behind the best baseline at 1 of 2 horizons."
    )


def test_the_table_has_all_methods_with_mean_and_deviation(found):
    series = found()
    table = pd.read_csv(TABLE)
    of = table[(table["method"] == "rlinear") & (table["metric"] == "mae") & (table["unit"] == "horizon 96")]["value"]
    rows = {row[0].text: row for row in main_table(series.board).rows}
    assert (rows["RLinear"][4].text, rows["RLinear"][4].remark) == (f"{of.mean():.4f}", f"± {of.std():.4f}")
    assert list(rows)[-3:] == ["least squares", "seasonal naive", "last value"]
    assert list(rows)[-5:-3] == ["ridge", "ridge per channel"]
    assert len(rows) == 11


def test_the_choice_has_its_losses_origin_by_origin_and_their_geometric_mean(found):
    table = choice_table(found().board)
    assert list(table.header) == [
        "method", "from 2021-04-12", "from 2021-05-03", "from 2021-05-25", "geometric mean\N{NO-BREAK SPACE}↓"
    ]  # fmt: skip
    horizon, best, second, last = table.rows[:4]
    assert len(horizon) == 1
    assert [cell.text for cell in best] == [
        "MoLE-DLinear",
        "0.970",
        "0.980",
        "0.990",
        f"{(0.97 * 0.98 * 0.99) ** (1 / 3):.4f}",
    ]
    assert [row[-1].best for row in (best, second, last)] == [True, False, False]
    assert [cell.quiet for cell in second[1:-1]] == [False, False, True]


def _with_ridge(ratio: float | None, *horizons: str) -> Forecasting:
    """The results with such losses of the ridge over those of least squares; None: older results, without one."""
    path = AT.details / "choices.json"
    about = json.loads(path.read_text())
    for horizon in horizons:
        choice = about["horizons"][horizon]
        if ratio is None:
            del choice["ridges"], choice["origins"]["ridge"], choice["origins"]["channel_ridge"]
        else:
            choice["origins"]["ridge"] = dict.fromkeys(choice["origins"]["ridge"], ratio)
    path.write_text(json.dumps(about))
    return read_forecasting(AT)


def test_where_validation_prefers_the_ridge_the_report_says_so(found):
    found()
    series = _with_ridge(1.05, "24", "96")
    rule = "The ridge is used unless another gains over it on validation rows that had no part in its choices, by more"
    made = "than the standard error over 3 origins. So forecasts are made with"
    gains = "+6.7 ± 0.6 %"
    assert f"{rule} {made} MoLE-DLinear at every horizon ({gains} at 24 steps; {gains} at 96 steps)." in verdict(series)
    series = _with_ridge(0.98, "96")
    assert f"{made} MoLE-DLinear at 24 steps ({gains} at 24 steps) and the ridge at 96 steps (" in verdict(series)
    series = _with_ridge(0.5, "96")
    rows = {row[0].text: row for row in choice_table(series.board).rows}  # the last horizon's
    assert (rows["ridge"][-1].text, rows["ridge"][-1].remark, rows["ridge"][-1].best) == ("0.5000", "preferred", True)
    assert (rows["MoLE-DLinear"][-1].remark, rows["MoLE-DLinear"][-1].best) == ("chosen", False)
    series = _with_ridge(0.5, "24", "96")
    assert f"{made} the ridge at every horizon (MoLE-DLinear \N{MINUS SIGN}96.0 ± 0.6 % at 24" in verdict(series)
    table = ridge_table(series.board)
    assert [cell.text for cell in table.rows[2]] == ["96 steps ahead", "192", "last value", "0.1", "0.5000"]


def test_results_without_a_ridge_are_shown_without_it(found):
    found()
    series = _with_ridge(None, "24", "96")
    assert ridge_table(series.board) is None
    assert "the ridge" not in verdict(series)
    assert "preferred" not in choice_table(series.board).caption


def test_a_ridge_without_its_losses_is_named(found):
    found()
    path = AT.details / "choices.json"
    about = json.loads(path.read_text())
    del about["horizons"]["24"]["origins"]["ridge"]
    path.write_text(json.dumps(about))
    with pytest.raises(ExpectedError, match="a ridge at horizon 24 lacks its settings or its losses"):
        read_forecasting(AT)


def test_a_mixture_without_one_of_the_origins_is_named(found):
    found()
    path = AT.details / "choices.json"
    about = json.loads(path.read_text())
    del about["horizons"]["96"]["origins"]["mole_rmlp"]["2021-05-03T00:00:00"]
    path.write_text(json.dumps(about))
    with pytest.raises(ExpectedError, match="at horizon 96 does not hold every origin of every mixture"):
        read_forecasting(AT)


def test_every_channel_has_its_row_and_its_best(found):
    table = channel_table(found(), 24)
    assert [row[0].text for row in table.rows] == ["load", "heat", "wind", "sun"]
    assert table.header[1:] == ["MoLE-DLinear", "DLinear", *RIDGES, "least squares", "seasonal naive", "last value"]
    assert all([cell.best for cell in row[1:]] == [True, *[False] * 6] for row in table.rows)
    assert table.folded


def test_fewer_experts_are_told_with_what_they_cost(found):
    series = found(noise=0.0)
    table = reduced_table(series, 24)
    assert [row[0].text for row in table.rows[1:5]] == ["4 experts", "3 experts", "2 experts", "1 expert"]
    assert [row[-1].text for row in table.rows[1:5]] == ["+0.1 %", "+1.1 %", "+2.1 %", "+3.1 %"]
    assert "Pruned to its 2 experts of most weight, its test MSE changes by +2.1 %." in in_words(series)


def test_weights_are_those_of_the_file(found):
    series = found()
    weight_EV, hours = weights(series, 24, "hour", "heat")
    rows = pd.read_parquet(f"{FOLDER}/expert_weights.parquet").query(
        "point == 'mole_dlinear' and horizon == 24 and seed == 0"
    )
    for expert in range(4):
        for hour in hours:
            one = rows.query("by == 'hour' and channel == 'heat' and expert == @expert and value == @hour")["weight"]
            assert weight_EV[expert, hour] == one.item()
    assert hours == list(range(24))
    channels = ("load", "heat", "wind", "sun")
    moves = {name: max(swing(series, 24, by, name) for by in ("hour", "weekday")) for name in channels}
    assert most_moved(series, 24) == max(channels, key=moves.__getitem__)


def test_weights_are_held_against_the_known_regimes(found):
    series = found()
    assert "regimes" not in in_words(series)  # of a series that is not simulated, or whose truth is not told
    frame = series.expert_weights.copy()
    frame.loc[frame["by"] == "weekday", "weight"] = 0.25
    of = (frame["by"] == "weekday") & (frame["channel"] == "load")
    frame.loc[of, "weight"] = ((frame["value"] >= 5) == (frame["expert"] == 0)).astype(float)[of]
    kinds = {"load": "weekend", "heat": "night", "wind": "unannounced"}
    truth = {"night": [21, 6], "regimes": {name: {"regime": kind} for name, kind in kinds.items()}}
    series = replace(series, source={**series.source, "truth": truth}, expert_weights=frame)
    assert regime_gap(series, 24, "load", "weekday", {5, 6}) == 1
    assert regime_gap(series, 24, "wind", "weekday", {5, 6}) == 0
    hours = {*range(21, 24), *range(6)}
    weight_EV, values = weights(series, 24, "hour", "heat")
    night = [value in hours for value in values]
    means = [abs(of[night].mean() - of[~np.array(night)].mean()) for of in weight_EV]
    assert regime_gap(series, 24, "heat", "hour", hours) == pytest.approx(max(means))
    said = in_words(series)
    assert "differ by 100 percentage points in load (weekend) and " in said
    assert "in channels without such a regime, by at most 0." in said


def test_a_series_of_months_is_told_by_month(found):
    series = found()
    weekdays = series.expert_weights[series.expert_weights["by"] == "weekday"]
    monthly = replace(series, expert_weights=weekdays.assign(by="month"))
    assert judged_parts(series, 24) == ["hour", "weekday"]
    assert judged_parts(monthly, 24) == ["month"]
    assert "percentage points over the months (mean over channels" in in_words(monthly)
    assert "hours" not in in_words(monthly)
    pictures = next(block for block in specialisation(monthly).blocks if isinstance(block, Figures)).pictures
    assert [picture.alt.partition(":")[0] for picture in pictures] == [
        "By month, mean over channels",
        f"By month, {most_moved(monthly, 24)}",
    ]
    assert "(Jan)" in pictures[0].alt


def test_what_was_odd_in_the_file_is_told_first(found):
    series = found()
    assert not any(isinstance(block, Notes) for block in forecasting(series).blocks)
    told = replace(series, source={**series.source, "notes": ["3 of 10 rows are not used"]})
    assert forecasting(told).blocks[0] == Notes(["3 of 10 rows are not used"])


def test_of_many_channels_some_are_listed(found):
    series = found()
    table = channel_table(series, 24)
    heat = series.channels[series.channels["channel"] == "heat"]
    more = [series.channels, *(heat.assign(channel=f"heat {number}") for number in range(60))]
    long = channel_table(replace(series, channels=pd.concat(more)), 24)
    assert len(long.rows) == 50
    assert long.rows[: len(table.rows)] == table.rows
    assert long.caption.endswith("Listed are the first 50 of 64 channels.")


def test_an_example_has_history_truth_and_every_expert_in_order(found):
    series = found(experts=12)
    rows = series.of_chosen(series.example, 24)
    example = example_of(rows, "heat", "least_squares")
    assert example.history[0].tolist() == list(range(-47, 1))  # twice the horizon
    assert example.truth[0].tolist() == list(range(1, 25))
    expected = rows[(rows["channel"] == "heat") & (rows["series"] == "expert_12")]["value"].tolist()
    assert example.experts[-1][1].tolist() == expected


SHAPES = {
    "least": {
        "horizons": (1,),
        "experts": 1,
        "seeds": 1,
        "channels": ("OT",),
        "backbones": ("dlinear",),
        "lookback": 2,
    },
    "most": {
        "horizons": (96, 192, 336, 720),
        "experts": 16,
        "lookback": 336,
        "channels": tuple(f"channel_{number}" for number in range(12)),
        "lead": {},
    },
}


@pytest.mark.parametrize(
    ("shape", "drawn"), [("least", 1 + 1 + 1 + 1 + 4 + 2 + 1), ("most", 4 + 4 + 4 + 4 + 4 + 2 + 4)]
)
def test_the_chapters_of_any_shape_are_drawn(found, shape, drawn):
    series = found(**SHAPES[shape])
    sections = [forecasting(series), specialisation(series), measured(series.measured[0])]
    pictures = [p for s in sections for b in s.blocks if isinstance(b, Figures) for p in b.pictures]
    assert len(pictures) == drawn
    assert all(picture.alt for picture in pictures)
    assert not re.search(r"\bnan\b|None", " ".join([*(p.alt for p in pictures), *(s.lead for s in sections)]))
    assert len(card(series).numbers) == len(series.board.horizons)


def test_the_data_is_said_to_be_simulated_or_measured(found):
    assert verdict(found()).startswith("Simulated series: four channels of a plant over four months. A step is 1 hour.")
    assert verdict(found(simulated=False)).startswith("Measured series: ")
    assert not card(found(simulated=False)).simulated


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "duplicate score: series, horizon 24, dlinear, 0, mse"),
        (lambda t: t[t["role"] != "baseline"], "holds 6 models and 0 baselines"),
        (lambda t: t.assign(role=t["role"].replace("baseline", "rival")), "role 'rival'"),
        (lambda t: t[~((t["method"] == "last_value") & (t["metric"] == "mae"))], "no mae of last_value at horizon 24"),
        (lambda t: t[t["method"] != "mole_dlinear"], "mole_dlinear, named as chosen or as its twin at horizon 24"),
        (lambda t: t.assign(value=t["value"].where(t.index != 3, float("inf"))), "not finite: series, horizon 24"),
    ],
)
def test_a_table_that_contradicts_itself_is_named(found, change, problem):
    found()
    change(pd.read_csv(TABLE, dtype={"seed": "Int64"})).to_csv(TABLE, index=False)
    with pytest.raises(ExpectedError, match=re.escape(f"{TABLE}: ") + ".*" + re.escape(problem)):
        read_forecasting(AT)


@pytest.mark.parametrize("name", ["expert_weights", "usage", "reduced", "example", "channels", "steps"])
def test_what_a_file_leaves_out_is_named(found, name):
    found()
    path = f"{FOLDER}/{name}.parquet"
    frame = pd.read_parquet(path)
    column = "method" if "method" in frame else "point"
    frame[~((frame[column] == "mole_dlinear") & (frame["horizon"] == 96))].to_parquet(path)
    with pytest.raises(ExpectedError, match=f"{name}.parquet: nothing about mole_dlinear at 96: `dvc repro --force"):
        read_forecasting(AT)


def test_a_value_that_is_not_finite_is_named(found):
    found()
    path = f"{FOLDER}/steps.parquet"
    pd.read_parquet(path).assign(mse=float("nan")).to_parquet(path)
    with pytest.raises(ExpectedError, match=r"steps.parquet: a value of mse is not finite"):
        read_forecasting(AT)


def test_a_choice_without_its_twin_or_windows_is_named(found):
    found()
    path = AT.details / "choices.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "horizons": {"24": {"chosen": "mole_dlinear"}}}))
    with pytest.raises(ExpectedError, match=r"choices.json: not the chosen point, its twin, the origins"):
        read_forecasting(AT)
    path.write_text(json.dumps({**about, "windows": {"24": 500}}))
    with pytest.raises(ExpectedError, match="without its number of windows"):
        read_forecasting(AT)


def test_names_and_horizons_for_reading():
    assert label_of("mole_rmlp") == "MoLE-RMLP"
    assert label_of("my_own") == "my own"
    assert [listed_horizons(steps) for steps in ([1], [24], [24, 96], [1, 2, 3])] == [
        "1 step",
        "24 steps",
        "24 and 96 steps",
        "1, 2 and 3 steps",
    ]


def test_intervals_are_told_by_step_and_hour_and_beside_the_ridge(found):
    series = found()
    said = intervals_in_words(series)
    assert said.startswith("90 % intervals of the chosen mixture cover 91.0 % at 24 steps (90.0 to 91.0 % over steps, ")
    # 0.9 + 0.0004 k in block k of 5: mean 0.9008, t(0.975; 4) s / sqrt(5) = 2.776 x 0.000632 / 2.236
    assert "90.0 to 90.9 % over hours of the day, 95 % interval over 5 blocks of test windows [90.0, 90.2]), " in said
    assert "), CRPS 0.27" in said
    assert "against the ridge's 0.28" in said
    section = intervals(series)
    figures = next(block for block in section.blocks if isinstance(block, Figures))
    assert len(figures.pictures) == 2 * 2
    table = interval_table(series.board, 24)
    assert [row[0].text for row in table.rows] == ["MoLE-DLinear", "ridge", "seasonal naive"]
    assert [cell.text for cell in table.rows[1]][1:3] == ["0.9100", "1.140"]
    assert table.rows[0][4].best
    drawn = example_of(series.of_chosen(series.example, 24), "load", "least_squares")
    assert drawn.band is not None
    assert said in "".join(results(series, read_inference(AT)))


def test_intervals_that_take_more_windows_have_no_column(found):
    board = found().board
    rows = {key: value for key, value in board.scores.rows.items() if not key[2].startswith("split")}
    few = interval_table(replace(board, scores=replace(board.scores, rows=rows)), 24)
    assert [len(row) for row in few.rows] == [5, 5, 5]
    assert len(few.header) == 5
    assert few.caption.endswith("take more windows than the validation rows have.")


def test_without_intervals_nothing_is_said_of_them(found):
    series = found(intervals=False)
    assert intervals(series) is None
    assert intervals_in_words(series) == ""
    assert example_of(series.of_chosen(series.example, 24), "load", "least_squares").band is None
    assert results(series, read_inference(AT))


def test_maps_of_each_channel_are_told_by_their_ends(found):
    rows = ridge_table(found().board).rows
    assert [row[0].remark for row in rows] == ["ridge", "ridge per channel"] * 2
    assert [cell.text for cell in rows[0]] == ["24 steps ahead", "192", "last value", "0.1", "1.0500"]
    assert [cell.text for cell in rows[1]][1:4] == ["96 to 384", "last value", "0.0001 to 0.1"]


def test_where_the_ridge_is_used_the_answer_and_the_numbers_are_its(found):
    found(lead={24: 0.05, 96: -0.05})
    worse = _with_ridge(0.5, "96")
    assert answer_of(worse.board) == "It worked in part."  # at 24 steps the mixture is used, and ahead
    one = worse.board.used(96)
    assert (one.model, one.baseline.name) == (worse.board.mean(96, "ridge"), "least_squares")
    assert card(worse).numbers[1].ours.startswith("0.3968")
    said = verdict(worse)
    assert "By MSE on the test windows what is used is ahead of the best baseline (" in said
    assert "The mixture that is not used would be behind the best baseline (0.4158 ± 0.0008 against 0.3960" in said
    words = intervals_in_words(worse)
    assert words.startswith("90 % intervals of what is used cover 91.0 % of MoLE-DLinear at 24 steps (")
    assert "91.0 % of ridge at 96 steps (" in words
    assert "the ridge's" not in words.partition("of ridge at 96")[2]  # its own
    row = {row[0].text: row for row in main_table(worse.board).rows}
    assert [cell.remark for cell in row["ridge"][1:]] == ["", "", "preferred", "preferred"]


def test_a_ridge_that_is_the_best_baseline_is_told_as_itself(found, monkeypatch):
    monkeypatch.setitem(BASELINES, "ridge", -0.01)
    found()
    series = _with_ridge(0.5, "24", "96")
    assert answer_of(series.board) == "No gain."
    assert "what is used is the best baseline itself (0.3208, 24 steps ahead; 0.3920, 96 steps ahead)." in verdict(
        series
    )
    assert {number.standing for number in card(series).numbers} == {"level"}
