import math

import pytest
import torch

from pipeline.core.errors import ExpectedError
from pipeline.training import fit as fit_module
from pipeline.training.checkpoint import Checkpoints
from tests.training.line import KilledError, Line, Regression, trained


def assert_same_bits(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_training_fits(ema_decay):
    _, fitted = trained(epochs=60, patience=60, ema_decay=ema_decay)
    assert fitted.validation["loss"] < 0.1 < fitted.curve[0]["validation_loss"]
    assert fitted.curve[-1]["train_loss"] < fitted.curve[0]["train_loss"]


def test_two_runs_are_the_same_bits_and_another_seed_is_not():
    one, first = trained()
    two, second = trained()
    other, _ = trained(seed=1)
    assert_same_bits(one, two)
    assert first == second
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kill_at", [(0, 1), (0, 4), (1, 0), (2, 7), (3, 9)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch, kill_at, ema_decay):
    monkeypatch.setattr(fit_module, "CHECKPOINT_STEPS", 3)
    expected, uninterrupted = trained(ema_decay=ema_decay)
    keeper = Checkpoints(tmp_path / "key")
    with pytest.raises(KilledError):
        trained(Line(kill_at=kill_at), checkpoints=keeper, ema_decay=ema_decay)
    weights, resumed = trained(checkpoints=keeper, ema_decay=ema_decay)
    assert_same_bits(weights, expected)
    assert resumed == uninterrupted


def test_a_resumed_run_does_not_repeat_what_was_done(tmp_path, capsys):
    keeper = Checkpoints(tmp_path / "key")
    with pytest.raises(KilledError):
        trained(Line(kill_at=(2, 5)), checkpoints=keeper)
    capsys.readouterr()
    trained(Line(kill_at=(1, 5)), checkpoints=keeper)  # epochs 1 and 2 are not entered again
    assert "continues at epoch 3, step 1" in capsys.readouterr().out


def test_a_run_killed_after_its_last_epoch_only_hands_out_its_result(tmp_path):
    keeper = Checkpoints(tmp_path / "key")
    expected, first = trained(checkpoints=keeper)
    weights, second = trained(checkpoints=keeper)
    assert_same_bits(weights, expected)
    assert first == second


def test_a_damaged_checkpoint_costs_time_but_not_the_result(tmp_path, capsys):
    expected, _ = trained()
    keeper = Checkpoints(tmp_path / "key")
    with pytest.raises(KilledError):
        trained(Line(kill_at=(3, 2)), checkpoints=keeper)
    latest = tmp_path / "key" / "latest.pt"
    latest.write_bytes(latest.read_bytes()[:-100])
    weights, _ = trained(checkpoints=keeper)
    assert "damaged" in capsys.readouterr().err
    assert_same_bits(weights, expected)


def test_training_stops_when_validation_does_not_get_better_and_keeps_the_best_weights():
    class Elsewhere(Line):
        """Validation that wants another line: it gets worse as training goes on."""

        def __init__(self):
            super().__init__()
            self.y = -self.y

    objective = Regression()
    weights, fitted = trained(validation=Elsewhere(), objective=objective, epochs=50, patience=3, learning_rate=0.03)
    losses = [row["validation_loss"] for row in fitted.curve]
    assert fitted.best_epoch == losses.index(min(losses)) + 1
    assert len(losses) == fitted.best_epoch + 3
    assert fitted.validation["loss"] == min(losses)
    again, _ = trained(validation=Elsewhere(), epochs=fitted.best_epoch, patience=3, learning_rate=0.03)
    assert_same_bits(weights, again)


def test_initial_weights_are_kept_only_where_no_epoch_is_better_and_that_is_asked_for(tmp_path):
    best, _ = trained(epochs=60, patience=60)

    def again(**changes):
        objective = Regression()
        objective.load_state_dict(best)
        return trained(objective=objective, learning_rate=10.0, epochs=5, patience=2, **changes)

    kept, fitted = again(keep_initial=True)
    assert_same_bits(kept, best)
    assert (fitted.best_epoch, len(fitted.curve)) == (0, 2)
    assert fitted.validation["loss"] < fitted.curve[0]["validation_loss"]
    assert again()[1].best_epoch > 0
    keeper = Checkpoints(tmp_path / "key")
    with pytest.raises(KilledError):
        again(train=Line(kill_at=(1, 5)), keep_initial=True, checkpoints=keeper)
    resumed, found = again(keep_initial=True, checkpoints=keeper)
    assert_same_bits(resumed, best)
    assert found == fitted
    assert_same_bits(trained(keep_initial=True)[0], trained()[0])


def test_weights_may_have_learning_rates_of_their_own():
    same, _ = trained()
    names = list(same)
    again, _ = trained(rate_factors={"elsewhere": 10.0})
    assert_same_bits(same, again)
    still, _ = trained(rate_factors={names[0]: 1e-9})
    initial = Regression().state_dict()
    torch.testing.assert_close(still[names[0]], initial[names[0]], atol=1e-6, rtol=0)
    assert not torch.allclose(same[names[0]], initial[names[0]], atol=1e-3)


def test_the_average_is_what_is_judged_and_kept():
    plain, _ = trained()
    averaged, _ = trained(ema_decay=0.99)
    assert any(not torch.equal(plain[name], averaged[name]) for name in plain)


def test_the_curve_has_the_losses_first_and_then_their_parts():
    _, fitted = trained(epochs=2)
    names = ["epoch", "train_loss", "validation_loss", "train_error", "validation_error"]
    assert [list(row) for row in fitted.curve] == [names, names]
    assert [row["epoch"] for row in fitted.curve] == [1, 2]


def test_a_loss_that_is_not_finite_names_epoch_step_cells_and_cause():
    with pytest.raises(ExpectedError) as caught:
        trained(Line(spoil=17))
    message = str(caught.value)
    assert "loss, error is not finite in training, epoch 1, step " in message
    assert "point17" in message
    assert "look for extreme values among them" in message


def test_a_run_that_diverges_is_told_from_bad_cells():
    class Diverging(Regression):
        def forward(self, batch, generator):
            with torch.no_grad():
                self.layers[2].weight.fill_(math.inf)
            return super().forward(batch, generator)

    with pytest.raises(ExpectedError, match=r"not finite.*learning_rate"):
        trained(objective=Diverging())


def test_a_gradient_that_is_not_finite_is_stopped_before_it_reaches_the_weights():
    class Root(Regression):
        def forward(self, batch, _generator):
            loss = (self.layers(batch.x[:, None]) * 0).abs().sum().sqrt()
            return {"loss": loss}

    objective = Root()
    with pytest.raises(ExpectedError, match="the gradient is not finite in training, epoch 1, step 1"):
        trained(objective=objective)
    assert all(torch.isfinite(weight).all() for weight in objective.parameters())


def test_validation_that_is_not_finite_is_an_error_too():
    with pytest.raises(ExpectedError, match=r"evaluation after epoch 1.*point3"):
        trained(validation=Line(spoil=3))


def test_without_a_terminal_progress_is_plain_lines(capsys):
    trained(epochs=2)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("line: epoch 1/2  train ")
    assert captured.err == ""
    assert "\r" not in captured.out
