"""Nested leave-one-out: the choice for a type rests on models that have not seen it, and on scores of other types."""

import itertools

import pandas as pd

from benchmarks.nested import CANDIDATES, METRICS, TYPES, rounds, studies, tables
from pipeline.cfm_vc.params.study import Study


def test_every_two_types_are_held_out_together_once_and_no_type_twice_in_a_study():
    pairs = [frozenset(pair) for one in rounds() for pair in one]
    assert sorted(map(sorted, pairs)) == sorted(map(sorted, itertools.combinations(TYPES, 2)))
    for one in rounds():
        assert len({label for pair in one for label in pair}) == 2 * len(one)


def test_the_studies_are_valid_and_differ_by_the_candidate_alone():
    found = studies()
    assert len(found) == len(CANDIDATES) * len(TYPES)
    for described in found.values():
        Study.model_validate(described)
    first = [{key: value for key, value in found[f"pairs_{c}_0"].items() if key != "vae"} for c in CANDIDATES]
    assert all(one == first[0] for one in first)


def chosen(scores):
    """The kl_weight of the line in bold, for one type and these scores of the candidates."""
    rows = [
        (candidate, "B cells", "CD4 T cells", metric, value)
        for candidate, of in zip(CANDIDATES, scores, strict=True)
        for metric, value in zip(METRICS, of, strict=True)
    ]
    lines = tables(pd.DataFrame(rows, columns=["candidate", "held_out", "by", "metric", "value"]))
    (line,) = [line for line in lines if "**" in line]
    return float(line.split("**")[5])


def test_the_first_in_both_decisive_scores_is_chosen_and_among_equals_the_one_of_least_error():
    worse = [(0.7, 0.9, 0.03), (0.6, 0.95, 0.04)]
    assert chosen([(0.8, 0.8, 0.01), (0.9, 0.7, 0.02), *worse]) == 0.3  # whatever its squared error
    assert chosen([(0.8, 0.7, 0.02), (0.9, 0.8, 0.01), *worse]) == 0.3  # each first in one score
    assert chosen([(0.8, 0.7, 0.01), (0.9, 0.8, 0.02), *worse]) == 1.0
