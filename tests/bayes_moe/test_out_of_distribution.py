import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.bayes_moe.metrics.out_of_distribution import auroc, false_positive_rate


@pytest.mark.parametrize("decimals", [1, 8])
def test_equals_an_independent_implementation(decimals):
    random = np.random.default_rng(0)
    known, other = random.normal(1, 1, 300).round(decimals), random.normal(0, 1, 200).round(decimals)
    label, score = np.r_[np.ones(300), np.zeros(200)], np.r_[known, other]
    assert auroc(known, other) == pytest.approx(roc_auc_score(label, score))
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    assert false_positive_rate(known, other) == pytest.approx(fpr[tpr >= 0.95].min())


def test_controls():
    apart, same = np.arange(10.0), np.zeros(50)
    assert auroc(apart + 100, apart) == 1
    assert auroc(apart - 100, apart) == 0
    assert auroc(same, same) == 0.5
    assert false_positive_rate(apart + 100, apart) == 0
    assert false_positive_rate(same, same) == 1
