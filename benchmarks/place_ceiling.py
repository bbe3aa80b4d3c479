"""What expression tells of a cell's place: regressions that know places in the held-out section itself.

    python -m pipeline run starmap && python -m benchmarks.place_ceiling starmap

Ridge, kNN and extremely randomised trees (Geurts et al., Machine Learning 63, 3, 2006; 300 trees, leaves of 3 cells or
more, a third of the genes at each node) place the cells of each held-out section, types unknown, from

- others: the training and validation cells, as the model does;
- itself: four fifths of the section's own cells at random, in turns, with no other section between them and the rest;
- both.

Cells next to those asked about are among the latter, of the same slide and staining. The trained model, which
sees other sections alone, stands beside them: means over the sections, and over its seeds. Nothing is trained but the
regressions.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.combination import runs, seeds
from pipeline.alphastomics.data.neighbourhoods import expression_of
from pipeline.alphastomics.data.sections import Section, read_sections
from pipeline.alphastomics.metrics.placement import placement_scores
from pipeline.alphastomics.model.baselines import Array, Method, Query, Reference, knn, ridge
from pipeline.alphastomics.model.network import SpatialDiffusion
from pipeline.alphastomics.model.spatial_sampler import Sampling
from pipeline.alphastomics.model.tissue_inference import TrainedTissue
from pipeline.alphastomics.params.evaluate import Evaluate
from pipeline.alphastomics.stages.score import MOST_JUDGED
from pipeline.core.machine import describe_machine
from pipeline.data.store import Store, open_store
from pipeline.registry import load_params
from pipeline.training.weights import load_model

SHOWN = {"spearman_distances": "Spearman", "knn_overlap": "kNN overlap", "contact_f1": "contact F1"}
PARTS = 5  # of a section's cells, of which one at a time is asked about
Row = tuple[str, str, str, dict[str, float]]  # method, what it knows, section, scores


def trees(reference: Reference, query: Query) -> Array:
    """Extremely randomised trees, from expression to both or all three coordinates at once."""
    forest = ExtraTreesRegressor(300, min_samples_leaf=3, max_features=1 / 3, random_state=query.seed)
    placed_MS: Array = forest.fit(reference.expression_NG, reference.position_NS).predict(query.expression_MG)
    return placed_MS


METHODS: dict[str, Method] = {"ridge": ridge, "kNN": knn, "extra trees": trees}


def of_regressions(trained: TrainedTissue, store: Store) -> Iterator[Row]:
    """Every method on every held-out section, from each of the three kinds of known cells."""
    learned = [*read_sections(store, "train", 1.0), *read_sections(store, "validation", 1.0)]
    others = joined([reference_of(trained, section) for section in learned])
    for section in read_sections(store, "test", MOST_JUDGED / max(store.cells("test"), 1)):
        own = reference_of(trained, section)
        for name, method in METHODS.items():
            for knows, placed_NS in {
                "others": method(others, Query(own.expression_NG, None, None, 0)),
                "itself": in_turns(method, own),
                "both": in_turns(method, own, others),
            }.items():
                yield name, knows, section.name, placement_scores(own.position_NS, placed_NS)


def in_turns(method: Method, own: Reference, others: Reference | None = None) -> Array:
    """Places of all cells of a section, each from those of the other parts, and from `others`."""
    cells = len(own.position_NS)
    part_N = np.random.default_rng(0).permutation(cells) % PARTS
    placed_NS = np.empty_like(own.position_NS, np.float64)
    for part in range(PARTS):
        known = rows_of(own, part_N != part)
        query = Query(own.expression_NG[part_N == part], None, None, 0)
        placed_NS[part_N == part] = method(joined([known, others]) if others else known, query)
    return placed_NS


def of_model(trained: TrainedTissue, store: Store, settings: Evaluate) -> Iterator[Row]:
    """The model's estimate, types unknown, as the stage `score` makes it."""
    sampling = Sampling("expr_to_pos", settings.steps, neighbourhood=settings.neighbourhood)
    for section in read_sections(store, "test", MOST_JUDGED / max(store.cells("test"), 1)):
        x_NG = expression_of(section.cells, slice(None), trained.standard)
        given = trained.given(len(x_NG), x_NG)
        placed = trained.expected_place(given, sampling, settings.draws, seeds(section, settings))
        yield "AlphaSTomics", "others", section.name, placement_scores(section.position_NS, placed.estimate_NS)


def reference_of(trained: TrainedTissue, section: Section) -> Reference:
    """The cells of a section, their expression standardised as the model's."""
    x_NG = expression_of(section.cells, slice(None), trained.standard)
    return Reference(x_NG, np.asarray(section.position_NS, np.float64), section.cells.cell_type)


def rows_of(reference: Reference, rows: np.ndarray) -> Reference:
    """Some of the cells."""
    return Reference(reference.expression_NG[rows], reference.position_NS[rows], reference.cell_type_N[rows])


def joined(parts: list[Reference]) -> Reference:
    """The cells of all parts."""
    names = ("expression_NG", "position_NS", "cell_type_N")
    return Reference(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    study = parser.parse_args().study
    settings = load_params().alphastomics.studies[study].evaluate
    torch.set_num_threads(1)
    rows: list[Row] = []
    folds: set[Path] = set()
    for at in runs(study):
        store = open_store(at.store, "spatial")
        trained = TrainedTissue.of(*load_model(at.model, SpatialDiffusion, torch.device("cpu")))
        rows += of_model(trained, store, settings)
        if at.store not in folds:
            rows += of_regressions(trained, store)
        folds.add(at.store)
    sections = list(dict.fromkeys(section for _, _, section, _ in rows))
    print(f"{describe_machine()}; {study}, types unknown, {len(sections)} section(s): {', '.join(sections)}\n")
    print(
        f"| method | knows | {' | '.join(SHOWN.values())} | Spearman by section |\n|---|---|{'--:|' * len(SHOWN)}---|"
    )
    for name, knows in dict.fromkeys((name, knows) for name, knows, _, _ in rows):
        of = [(section, scores) for method, known, section, scores in rows if (method, known) == (name, knows)]
        cells = [f"{np.mean([scores[metric] for _, scores in of]):.3f}" for metric in SHOWN]
        each = [
            f"{np.mean([one['spearman_distances'] for at, one in of if at == section]):.3f}" for section in sections
        ]
        print(f"| {name} | {knows} | {' | '.join(cells)} | {' '.join(each)} |")


if __name__ == "__main__":
    main()
