"""The calibration error after each epoch. It is no mean over minibatches, and so no part of the objective."""

from collections.abc import Callable

import numpy as np
from torch import nn

from pipeline.bayes_moe.data.resident import ResidentImages
from pipeline.bayes_moe.metrics.calibration import expected_calibration_error
from pipeline.bayes_moe.model.classifier import ClassifierObjective, logits


def epoch_calibration(validation: ResidentImages) -> Callable[[nn.Module], dict[str, float]]:
    """What `fit` calls after an epoch: the expected calibration error on the validation images."""

    def judge(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, ClassifierObjective)
        logit_NK = logits(module.model, validation.epoch(0)).double().numpy()
        label_N = np.concatenate([batch.label_B.cpu().numpy() for batch in validation.epoch(0)])
        return {"validation_ece": expected_calibration_error(logit_NK, label_N)}

    return judge
