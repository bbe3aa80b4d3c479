"""What a trained point of the sweep predicts, as `moe_sweep` wrote it.

R: seeds, N: test images, K: classes.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from pipeline.bayes_moe.glossary import RAW
from pipeline.bayes_moe.metrics.temperature import fit_temperature
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed


class PointPredictions:
    """Logits of every seed, and what the point is. Parts: validation, test, other, corrupted, and of a point with
    noise sampled_ and each of these; see `pipeline.bayes_moe.model.predictions.EvaluationImages.predictions`."""

    def __init__(self, folder: Path) -> None:
        """ExpectedError where the folder of the point lacks a file, or holds a damaged one."""
        self.name = folder.name
        stage = f"moe_sweep@{folder.parent.name}-{self.name}"
        try:
            self.about = read_sealed(folder / "about.json", "answers.safetensors")
            self.arrays = load_file(folder / "answers.safetensors")
        except FileNotFoundError as error:
            raise ExpectedError(f"{error.filename} not found: `dvc repro {stage}` makes it") from error
        except ValueError as error:
            raise ExpectedError(f"{folder}: {error}; `dvc repro --force {stage}` makes it anew") from error
        self.seeds: list[int] = self.about["seeds"]

    def logits(self, part: str) -> npt.NDArray[np.float64]:
        """Of all seeds, in float64: (R, ...)."""
        return self.arrays[part].astype(np.float64)

    def labels(self, part: str) -> npt.NDArray[np.int64]:
        """The right classes of validation, test or corrupted images."""
        return self.arrays[f"{part}_label"]

    @cached_property
    def temperature_R(self) -> npt.NDArray[np.float64]:
        """Of each seed, fitted on the validation images."""
        label_N = self.labels("validation")
        return np.array([fit_temperature(logit_NK, label_N) for logit_NK in self.logits("validation")])

    def test_logits(self, unit: str) -> npt.NDArray[np.float64]:
        """(R, N, K): raw, or scaled, each seed's divided by its own temperature."""
        logit_RNK = self.logits("test")
        return logit_RNK if unit == RAW else logit_RNK / self.temperature_R[:, None, None]
