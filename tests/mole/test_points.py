"""Which mixture is chosen, by losses that are made up."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.mole.points import ForecastPoint, Origin, chosen_mixture, preferred

MONTHS = ("2016-01-01T00:00:00", "2016-03-01T00:00:00", "2016-05-01T00:00:00")


def point(name: str, *ratios: float, experts: int = 4) -> ForecastPoint:
    """With these losses over those of least squares, which are larger from origin to origin."""
    origins = [
        Origin(month, month, ratio * 2.0**place, ratio * 2.0**place, 2.0**place)
        for place, (month, ratio) in enumerate(zip(MONTHS[-len(ratios) :], ratios, strict=True))
    ]
    return ForecastPoint(Path(name), "rlinear", experts, None, {8: 24}, {8: {0: origins[-1].loss}}, {8: origins})


def test_a_mixture_that_is_best_in_one_stretch_of_time_is_not_chosen_for_it() -> None:
    wild, steady = point("wild", 0.99, 1.20, 0.90), point("steady", 0.98, 0.99, 0.97)
    assert chosen_mixture([wild, steady], 8).name == "steady"
    # on the validation rows alone it would be: the control
    assert chosen_mixture([point("wild", 0.90), point("steady", 0.97)], 8).name == "wild"


def test_every_stretch_counts_alike_whatever_its_level() -> None:
    assert point("one", 0.5, 1.0, 2.0).relative_loss(8) == pytest.approx(1.0)
    assert point("one", 0.5, 0.5, 2.0).relative_loss(8) == pytest.approx(0.5 ** (1 / 3))


def test_a_backbone_alone_is_never_chosen() -> None:
    assert chosen_mixture([point("alone", 0.1, experts=1), point("mixture", 1.1)], 8).name == "mixture"


def test_forecasts_are_made_with_the_ridge_unless_another_gains_clearly() -> None:
    mixture, alone = point("mixture", 0.96, 0.98, 0.97), point("alone", 0.1, 0.1, 0.1, experts=1)
    better, level, worse = (point("ridge", *of, experts=1) for of in ((0.9,) * 3, (0.97, 0.98, 0.97), (1.2,) * 3))
    assert preferred([alone, mixture, better], 8) is better
    assert preferred([alone, mixture, level], 8) is level
    assert preferred([alone, mixture, worse], 8) is mixture
    assert preferred([alone, mixture], 8) is mixture
    assert preferred([alone, worse], 8) is worse
    of_each = point("channel_ridge", 0.8, 0.8, 0.8, experts=1)
    assert preferred([alone, mixture, better, of_each], 8) is of_each
    assert preferred([mixture, point("channel_ridge", 0.999, 0.999, 0.999, experts=1), worse], 8) is mixture
    assert preferred([alone], 8) is None


def test_what_settings_gain_by_being_searched_on_the_same_rows_is_no_gain() -> None:
    """Half the loss where all origins choose its settings, the ridge's where the others do."""
    searched, ridge = point("channel_ridge", 1.0, 1.01, 0.99, experts=1), point("ridge", 1.0, 1.0, 1.0, experts=1)
    lower = {8: [replace(origin, loss=origin.loss / 2) for origin in searched.origins[8]]}
    assert preferred([ridge, replace(searched, origins=lower)], 8) is ridge
    as_good = {8: [replace(origin, held_out=origin.loss) for origin in lower[8]]}
    assert preferred([ridge, replace(searched, origins=as_good)], 8) is not ridge  # the positive control
