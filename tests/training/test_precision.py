"""Mixed precision: a training in bfloat16 stays close to that in float32, and what is kept of it is float32."""

import pytest
import torch

from pipeline.params.optimisation import Optimisation
from pipeline.training.fit import fit
from tests.training.line import settings
from tests.training.objectives import OBJECTIVES, InPieces, made


def trained(name, precision):
    """Validation loss after two short epochs, and the objective."""
    objective, batch = made(name)
    pieces = InPieces(batch, 2 if "alphastomics" in name else 9)
    values = settings(epochs=2, learning_rate=1e-3, precision=precision)
    return fit(name, objective, pieces, pieces, values, torch.device("cpu")).validation["loss"], objective


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_training_in_bfloat16_is_close_to_one_in_float32(name):
    expected, _ = trained(name, "float32")
    loss, objective = trained(name, "bfloat16")
    assert loss != expected
    assert loss == pytest.approx(expected, rel=0.02)
    assert {weight.dtype for weight in objective.parameters()} == {torch.float32}


def test_the_default_precision_is_not_written_down():
    """So that settings and provenance of trainings in float32 are what they were before there was a choice."""
    given = {"learning_rate": 0.1, "weight_decay": 0, "gradient_clip": 1, "batch_size": 1, "epochs": 1, "patience": 1}
    assert "precision" not in Optimisation(**given).model_dump()
    assert Optimisation(**given, precision="bfloat16").model_dump()["precision"] == "bfloat16"
