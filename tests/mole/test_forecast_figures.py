"""Figures of forecasts: what leaves the frame is said to, and every expert and size has its place."""

import warnings

import numpy as np
import pytest

from pipeline.mole.plots.forecast_sheet import Panel, draw_sheet
from pipeline.mole.plots.latency import Timing, draw_timings
from pipeline.mole.plots.specialisation import draw_weights
from tests.cfm_vc.test_figures import texts
from tests.mole.forecast_figures import FIGURES


def test_an_error_far_above_the_models_is_cut_off_and_said_to_be():
    drawn = FIGURES["errors_by_step"]()
    assert "last value, in part above" in texts(drawn.light)
    assert "least squares" in texts(drawn.light)
    assert "last value from 1 to 24" in drawn.alt


def test_single_experts_share_one_entry_of_the_legend():
    drawn = FIGURES["forecast"]()
    assert texts(drawn.light).count("single experts") == 1
    assert "its 4 experts" in drawn.alt
    assert "Its interval holds 24 of 24 measured steps." in drawn.alt
    assert "interval" in texts(drawn.light)


def test_few_fields_have_numbers_and_all_experts_have_theirs():
    weekdays = draw_weights("By weekday", "weekday", np.full((4, 7), 0.25), list("MTWTFSS"))
    assert texts(weekdays.light).count("25") == 28
    hours = FIGURES["weights"]()
    assert not any(text == "25" for text in texts(hours.light))
    assert {"1", "2", "3", "4", "0", "21"} <= set(texts(hours.light))
    assert "nan" not in draw_weights("", "", np.zeros((1, 1)), ["0"]).light.decode()


@pytest.mark.parametrize("hours", [6, 72, 100, 3000, 100_000])
def test_time_has_ticks_and_no_warning_whatever_its_length(hours):
    stamps = np.datetime64("2024-02-28T03", "s") + np.linspace(0, hours * 3600, 9).astype("timedelta64[s]")
    panel = Panel("town", np.arange(6.0), np.arange(3.0), {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw_sheet(stamps[:6], stamps[6:], [panel], "svg").decode()
    assert 3 <= drawn.count('id="xtick_') <= 6


def test_batch_sizes_stand_below_the_axis():
    one = draw_timings("", "ms", [Timing("a", 0, True, [1], [2.0])], limit=1.0)
    assert "1" in texts(one.light)
    assert {"1", "8", "64"} <= set(texts(FIGURES["timings"]().light))
