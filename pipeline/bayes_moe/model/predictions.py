"""Predictions of a trained classifier on held-out images: validation, test, corrupted and out-of-distribution ones.

R: seeds, V: validation images, N: test images, M: out-of-distribution images, Q: test images that are corrupted,
T: corruptions, L: severities, S: numbers of sampled routes, K: classes, E: experts.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from pipeline.bayes_moe.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from pipeline.bayes_moe.data.images import Images, fitted
from pipeline.bayes_moe.data.resident import ImageBatch, ResidentImages, evaluated_at_once
from pipeline.bayes_moe.model.classifier import averaged, logits, routings
from pipeline.bayes_moe.model.moe_statistics import expert_by_label
from pipeline.bayes_moe.model.resnet import ResNet18
from pipeline.nn.moe.gates import normalised_entropy
from pipeline.training.determinism import Purpose, entropy, torch_generator

Arrays = dict[str, npt.NDArray[np.generic]]


class EvaluationImages:
    """The images that every point of a sweep is evaluated on, the same for all."""

    def __init__(
        self,
        validation: Images,
        test: Images,
        other: Images,
        *,
        corrupted: int,
        seed: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        """corrupted: how many test images, chosen at random, are evaluated under every corruption too."""
        self.batch_size, self.device, self.seed = batch_size, device, seed
        random = np.random.default_rng(entropy(seed, Purpose.PREDICTION))
        rows = np.sort(random.permutation(len(test.label_N))[:corrupted])
        self.chosen = test.select(rows)
        known = fitted(other.image_NHWC, test.image_NHWC.shape[1:])
        self.splits = {"validation": validation, "test": test, "other": Images(known, other.label_N)}

    def labels(self) -> Arrays:
        """validation_label (V,), test_label (N,), corrupted_label (Q,)."""
        return {
            "validation_label": self.splits["validation"].label_N,
            "test_label": self.splits["test"].label_N,
            "corrupted_label": self.chosen.label_N,
        }

    def corrupted(self) -> list[Images]:
        """The chosen images, T x L times, kind by kind, severity by severity, in whole numbers again."""
        found, white, kind = [], self.chosen.white, self.chosen.image_NHWC.dtype
        whole = self.chosen.image_NHWC.astype(np.float32) / np.float32(white)
        for name in CORRUPTIONS:
            for severity in SEVERITIES:
                worse = corrupt(whole, name, severity, self.seed)
                found.append(Images(np.rint(worse * white).astype(kind), self.chosen.label_N))
        return found

    def predictions(self, model: ResNet18, corrupted: list[Images], samples: list[int], seed: int) -> Arrays:
        """Logits: validation (V, K), test (N, K), other (M, K), corrupted (T, L, Q, K).

        Of a sparse network also expert_label (E, K): how many tokens of each class an expert was given, of test
        images; first_expert (tokens of test images); and same_expert (T, L): the share of tokens of corrupted images
        whose first expert is that of the image as it was. gate_entropy (N,), normalised, and experts_used (N,) of the
        test images, and validation_gate_entropy (V,), are means over an image's tokens.

        Of a stochastic one also log probabilities averaged over passes with noise: sampled_test (S, N, K) over each
        number of them; over the largest sampled_validation, sampled_other and sampled_corrupted, shaped as above.
        """
        model.eval()
        found: Arrays = {name: logits(model, self._batches(part)).numpy() for name, part in self.splits.items()}
        found["corrupted"] = _by_kind([logits(model, self._batches(part)).numpy() for part in corrupted])
        if model.mixture is not None:
            found |= self._routing(model, corrupted)
        if model.stochastic:
            found |= self._sampled(model, corrupted, samples, torch_generator(self.device, seed, Purpose.PREDICTION))
        return found

    def _sampled(
        self, model: ResNet18, corrupted: list[Images], samples: list[int], generator: torch.Generator
    ) -> Arrays:
        def of(images: Images, numbers: list[int]) -> npt.NDArray[np.float32]:
            return averaged(model, self._batches(images), numbers, generator).numpy()

        most = [max(samples)]
        found: Arrays = {"sampled_test": of(self.splits["test"], samples)}
        found |= {f"sampled_{name}": of(self.splits[name], most)[0] for name in ("validation", "other")}
        return found | {"sampled_corrupted": _by_kind([of(part, most)[0] for part in corrupted])}

    def _routing(self, model: ResNet18, corrupted: list[Images]) -> Arrays:
        classes, first = model.classifier.out_features, []
        assert model.mixture is not None
        total_EK = torch.zeros(len(model.mixture.experts.up_EDH), classes, dtype=torch.int64)
        for routing, label_N in routings(model, self._batches(self.splits["test"])):
            total_EK += expert_by_label(routing, label_N, classes).cpu()
            first.append(routing.expert_NK[:, 0].cpu())
        before = self._first_experts(model, self.chosen)
        same = np.array([(self._first_experts(model, part) == before).mean() for part in corrupted], np.float32)
        entropy_N, used_N = self._by_image(model, "test")
        return {
            "expert_label": total_EK.numpy(),
            "first_expert": torch.cat(first).to(torch.int16).numpy(),
            "same_expert": same.reshape(len(CORRUPTIONS), len(SEVERITIES)),
            "gate_entropy": entropy_N,
            "experts_used": used_N,
            "validation_gate_entropy": self._by_image(model, "validation")[0],
        }

    def _by_image(self, model: ResNet18, part: str) -> npt.NDArray[np.float32]:
        """Gate entropy and experts used of each image of a split, means over its tokens: (2, N)."""
        images, found = self.splits[part], []
        tokens = model.tokens(*images.image_NHWC.shape[1:3])
        for routing, _ in routings(model, self._batches(images)):
            each_2N = torch.stack([normalised_entropy(routing.probability_NE), routing.kept_NK.sum(1)])
            found.append(each_2N.view(2, -1, tokens).mean(2).cpu())
        return torch.cat(found, dim=1).numpy()

    def _first_experts(self, model: ResNet18, images: Images) -> npt.NDArray[np.int64]:
        chosen = [routing.expert_NK[:, 0].cpu() for routing, _ in routings(model, self._batches(images))]
        found: npt.NDArray[np.int64] = torch.cat(chosen).numpy()
        return found

    def _batches(self, images: Images) -> Iterator[ImageBatch]:
        return ResidentImages(images, evaluated_at_once(images, self.batch_size), self.device).epoch(0)


def _by_kind(each: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Of every corruption and severity, one after the other: (T, L, Q, K)."""
    return np.stack(each).reshape(len(CORRUPTIONS), len(SEVERITIES), *each[0].shape)
