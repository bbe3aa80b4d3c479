"""Which score to abstain by, of networks whose errors are known by their confidence, by their gate, or by neither."""

import numpy as np
import pytest

from pipeline.bayes_moe.evaluation.abstention import COVERAGES, abstention_table, combined, coverage_table
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.classification import aurc

IMAGES, SEEDS = 600, 3


def point(name: str, gate: float | None = None, adaptive: bool = False, margin: float = 0.0) -> PointPredictions:
    """Three in ten images are wrong. Confidence is noise, plus `margin` where an image is right; entropy of the gate is
    noise, less `gate` where it is right; None: a dense point."""
    found = PointPredictions.__new__(PointPredictions)
    found.name, found.seeds, arrays = name, list(range(SEEDS)), {}
    for part in ("validation", "test"):
        random = np.random.default_rng([len(part), round(10 * (gate or 0.0)), round(10 * margin)])
        label_N = random.integers(0, 4, IMAGES)
        right_RN = random.random((SEEDS, IMAGES)) < 0.7
        chosen_RN = np.where(right_RN, label_N, (label_N + 1) % 4)
        height_RN1 = 1 + random.random((SEEDS, IMAGES, 1)) + margin * right_RN[..., None]
        arrays |= {part: height_RN1 * np.eye(4)[chosen_RN], f"{part}_label": label_N}
        if gate is not None:
            entropy_RN = 0.5 + 0.2 * random.random((SEEDS, IMAGES)) - 0.2 * gate * right_RN
            arrays[{"test": "gate_entropy"}.get(part, f"{part}_gate_entropy")] = entropy_RN.astype(np.float32)
            arrays["experts_used"] = (1 + adaptive * (entropy_RN > 0.6)).astype(np.float32)  # in the end of test images
    found.arrays = arrays
    return found


def table(one: PointPredictions):
    return abstention_table([point("dense"), one]).set_index("score")


def test_a_gate_that_knows_is_better_than_confidence_that_does_not():
    found = table(point("sparse", gate=1.0))
    assert set(found["point"]) == {"sparse"}
    for score in ("gate entropy", "confidence and gate"):
        assert found.loc[score, "high"] < 0, score
        assert found.loc[score, "low"] <= found.loc[score, "difference"] <= found.loc[score, "high"]
    assert found.loc["confidence", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert found.loc["confidence", "aurc"] == pytest.approx(0.3, abs=0.03)


def test_a_gate_that_knows_nothing_is_worse_than_confidence_and_harms_nothing_beside_it():
    found = table(point("sparse", gate=0.0, margin=1.0))
    assert found.loc["gate entropy", "low"] > 0
    assert abs(found.loc["confidence and gate", "difference"]) < 0.005
    assert found.loc["confidence", "aurc"] < 0.1


def test_the_number_of_experts_is_a_score_where_it_adapts_to_the_image():
    assert "experts used" not in table(point("sparse", gate=1.0)).index
    found = table(point("sparse", gate=1.0, adaptive=True))
    assert found.loc["gate entropy", "aurc"] < found.loc["experts used", "aurc"] < found.loc["confidence", "aurc"]


def test_the_aurc_by_confidence_is_that_of_the_results():
    sparse = point("sparse", gate=1.0, margin=0.3)
    expected = np.mean([aurc(logit_NK, sparse.labels("test")) for logit_NK in sparse.logits("test")])
    assert table(sparse).loc["confidence", "aurc"] == pytest.approx(expected)


def test_without_an_error_on_validation_images_confidence_is_all_there_is():
    sure_N = np.array([0.5, 0.9, 0.7])
    assert combined((sure_N, sure_N), np.ones(3, bool), (sure_N, sure_N)) is sure_N


def test_risk_is_shown_for_the_twin_by_confidence_and_for_the_point_by_its_gate_too():
    points = {"dense": point("dense"), "sparse": point("sparse", gate=1.0)}
    found = coverage_table(points, "dense", "sparse")
    assert len(found) == 3 * SEEDS * COVERAGES
    assert set(found.loc[found["point"] == "dense", "score"]) == {"confidence"}
    everything = found[found["coverage"] == 1.0].set_index(["point", "score", "seed"])["risk"]
    for name, score in (("dense", "confidence"), ("sparse", "confidence"), ("sparse", "gate entropy")):
        for seed, logit_NK in enumerate(points[name].logits("test")):
            wrong = (logit_NK.argmax(1) != points[name].labels("test")).mean()
            assert everything[name, score, seed] == pytest.approx(wrong)
    half = found[(found["coverage"] == 0.5) & (found["point"] == "sparse")].groupby("score")["risk"].mean()
    assert half["gate entropy"] < 0.01 < half["confidence"]
