"""The chapters on perturbation predictions: the verdict, the scores, the latent space, each held-out group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.errors import ExpectedError
from pipeline.metrics.ranking import best
from pipeline.plots.perturbation import ScoreRow, draw_change, draw_embedding, draw_population, draw_scores
from pipeline.plots.theme import Picture
from pipeline.report.inputs import PerturbationResults
from pipeline.report.page import Block, Cell, Figures, Headline, Section, Table
from pipeline.report.scores import (
    Metric,
    Score,
    Scores,
    answer,
    compare,
    decimals_for,
    method_of,
    metric_of,
    shown,
    standing,
    verdict,
)

HEADLINE_METRICS = ("pearson_change", "e_distance")
_ORDER = {"model": 0, "baseline": 1, "ceiling": 2}
_GROUP = ["cell_type", "perturbation"]
_MOST_GROUPS = 6  # held-out groups drawn; the tables have them all
_NAMED_GENES = 8


def headline(results: PerturbationResults) -> Headline:
    """What the first screen says, computed from the scores alone."""
    comparisons = [compare(results.scores, name) for name in HEADLINE_METRICS]
    model = _model(results.scores)
    groups = results.table[_GROUP].drop_duplicates()
    decimals = _decimals(results.scores, HEADLINE_METRICS)
    pictures = [
        draw_scores(
            comparison.metric.label,
            "higher is better" if comparison.metric.higher_is_better else "lower is better",
            [
                ScoreRow(
                    method_of(name).label,
                    method_of(name).role,
                    results.table.loc[results.table["method"] == name, comparison.metric.name].dropna().tolist(),
                    results.scores[name][comparison.metric.name],
                    shown(results.scores[name][comparison.metric.name], decimals[comparison.metric.name]),
                )
                for name in _ordered(results.scores)
            ],
        )
        for comparison in comparisons
    ]
    caption = (
        "Large dots: means over the held-out groups; small dots: the groups themselves. Pearson correlation of "
        "predicted and true mean change against control over all genes; energy distance between predicted and true "
        "cells. The split-half ceiling is how well one half of the truth predicts the other."
    )
    return Headline(
        simulated=bool(results.dataset["simulated"]),
        data=_sentence(results.dataset["description"]),
        answer=answer(comparisons),
        verdict=verdict(model, comparisons, len(groups)),
        detail=_detail(results, model, len(groups)),
        figures=Figures(pictures, caption),
        notes=results.dataset["notes"],
    )


def scores(results: PerturbationResults) -> Section:
    """The table of the model against the baselines, as means and for every held-out group."""
    lead = (
        "Each method predicted the same held-out groups, cell types under a perturbation they were never shown with, "
        "and was scored by the same code."
    )
    names = _ordered(results.scores)
    metrics = [metric_of(name) for name in results.scores[names[0]]]
    decimals = _decimals(results.scores, [metric.name for metric in metrics])
    rows = _score_rows({name: results.scores[name] for name in names}, metrics, decimals)
    header = ["method", *(f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}" for metric in metrics)]
    caption = (
        "Means over the held-out groups. ↑ higher is better, ↓ lower is better; ▸ and bold mark the best of each "
        "column. “Top n”: over the n most differentially expressed genes of the held-out truth. “Undefined”: too few "
        "cells for a score."
    )
    blocks: list[Block] = [Table(header, rows, caption), _group_table(results, metrics)]
    return Section("The model against the baselines", "scores", lead, blocks)


def latent(results: PerturbationResults) -> Section:
    """Cells before the model and in its latent space, coloured by cell type and by batch."""
    spaces = {"expression": "Before: expression", "z_int": "After: latent space"}
    pictures = []
    for column, called, in_place in (("cell_type", "cell type", True), ("batch", "batch", False)):
        for space, title in spaces.items():
            cells = results.latent[results.latent["space"] == space]
            pictures.append(
                draw_embedding(
                    f"{title}, by {called}",
                    cells["x"].to_numpy(np.float64),
                    cells["y"].to_numpy(np.float64),
                    [str(label) for label in cells[column]],
                    "principal component",
                    in_place,
                )
            )
    lead = "A good latent space keeps cell types apart and mixes batches."
    caption = (
        "Two principal components of log-normalised expression (before) and of the encoder's posterior means of z_int, "
        "the intrinsic part of the latent space (after)."
    )
    return Section("Latent space", "latent", lead, [Figures(pictures, caption)])


def held_out(results: PerturbationResults) -> Section:
    """For every held-out group: the generated population, and predicted against true change."""
    groups = [(str(row[0]), str(row[1])) for row in results.table[_GROUP].drop_duplicates().itertuples(index=False)]
    drawn = groups[:_MOST_GROUPS]
    model_name = _ordered(results.scores)[0]
    rival = compare(results.scores, "pearson_change").baseline.name
    populations = [_population(results.population, group) for group in drawn]
    changes = [drawing for group in drawn for drawing in _changes(results, group, [model_name, rival])]
    left_out = f" {len(groups) - len(drawn)} further groups are in the tables only." if len(groups) > len(drawn) else ""
    blocks: list[Block] = [
        Figures(
            populations,
            "Cells on two principal components fitted on control and true cells. Lines lead from the mean control "
            f"cell to the mean true and the mean generated one: the closer their ends, the better.{left_out}",
        ),
        Figures(
            changes,
            "Predicted against true change of mean log-normalised expression against control, one dot per gene: the "
            f"model beside {method_of(rival).label}, its best baseline. Orange: the genes most differentially "
            "expressed in the truth. A perfect prediction lies on the line.",
        ),
    ]
    return Section("Held-out groups", "held-out", "What the model was never shown, and what it made of it.", blocks)


def _score(value: Any) -> Score:
    """A number of the table, where an empty field is NaN."""
    return None if pd.isna(value) else float(value)


def _sentence(description: str) -> str:
    """The description as a sentence of its own; that data is simulated, the line's first words say already."""
    bare = description.removeprefix("Simulated: ")
    first = bare[:1] if bare == description else bare[:1].upper()
    return f"{first}{bare[1:].rstrip('.')}."


def _decimals(scores: Scores, metrics: Iterable[str]) -> dict[str, int]:
    return {metric: decimals_for([values[metric] for values in scores.values()]) for metric in metrics}


def _model(scores: Scores) -> str:
    return method_of(_ordered(scores)[0]).label


def _ordered(scores: Scores) -> list[str]:
    """Methods: the model first, then baselines, then ceilings."""
    return sorted(scores, key=lambda name: _ORDER[method_of(name).role])


def _detail(results: PerturbationResults, model: str, groups: int) -> str:
    """How broad the headline is: over all metrics, and over the groups."""
    model_name = _ordered(results.scores)[0]
    comparisons = [compare(results.scores, name) for name in results.scores[model_name]]
    ahead = sum(comparison.standing == "ahead" for comparison in comparisons)
    level = sum(comparison.standing == "level" for comparison in comparisons)
    parts = [
        f"Over all {len(comparisons)} metrics, {model} is ahead of the best baseline in {ahead}, level in {level} "
        f"and behind in {len(comparisons) - ahead - level}."
    ]
    cells = int(results.table.loc[results.table["method"] == model_name, "cells"].sum())
    if groups == 1:
        parts.append(f"One held-out group of {cells:,} cells is an example, not a statistic.")
    else:
        won = _groups_won(results, comparisons[0].metric)
        parts.append(f"By {comparisons[0].metric.label} it is ahead in {won} of {groups} groups ({cells:,} cells).")
    return " ".join(parts)


def _groups_won(results: PerturbationResults, metric: Metric) -> int:
    won = 0
    for _, group in results.table.groupby(_GROUP, sort=False, observed=True):
        values = {str(name): _score(value) for name, value in zip(group["method"], group[metric.name], strict=True)}
        rivals = {name: value for name, value in values.items() if method_of(name).role == "baseline"}
        model = next(value for name, value in values.items() if method_of(name).role == "model")
        rival = best(metric.name, rivals)
        won += rival is None or standing(metric, model, rivals[rival]) == "ahead"
    return won


def _group_table(results: PerturbationResults, metrics: Sequence[Metric]) -> Table:
    rows: list[list[Cell]] = []
    decimals = {metric.name: decimals_for(results.table[metric.name].tolist()) for metric in metrics}
    for key, group in results.table.groupby(_GROUP, sort=False, observed=True):
        by_method = {
            str(row["method"]): {metric.name: _score(row[metric.name]) for metric in metrics}
            for row in group.to_dict("records")
        }
        remark = f"{key[1]} in {key[0]}"
        rows += _score_rows({name: by_method[name] for name in _ordered(by_method)}, metrics, decimals, remark)
    header = ["method and group", *(f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}" for metric in metrics)]
    return Table(header, rows, "▸ and bold mark the best of each group.", folded="Every held-out group by itself")


def _score_rows(
    scores: Scores, metrics: Sequence[Metric], decimals: Mapping[str, int], remark: str = ""
) -> list[list[Cell]]:
    """A row per method; the best of each column is marked, where a ceiling does not compete."""
    rivals = [name for name in scores if method_of(name).role != "ceiling"]
    winner = {
        metric.name: best(metric.name, {name: scores[name][metric.name] for name in rivals}) for metric in metrics
    }
    return [
        [
            Cell(method_of(name).label, remark=remark),
            *(
                Cell(shown(scores[name][metric.name], decimals[metric.name]), best=name == winner[metric.name])
                for metric in metrics
            ),
        ]
        for name in scores
    ]


def _population(population: pd.DataFrame, group: tuple[str, str]) -> Picture:
    cells = population[(population["cell_type"] == group[0]) & (population["perturbation"] == group[1])]
    parts = {origin: cells[cells["origin"] == origin] for origin in ("control", "true", "generated")}
    for origin, part in parts.items():
        if part.empty:
            raise _incomplete("population.parquet", f"{origin} cells", group)
    coordinates = {
        origin: (part["x"].to_numpy(np.float64), part["y"].to_numpy(np.float64)) for origin, part in parts.items()
    }
    return draw_population(f"{group[1]} in {group[0]}", coordinates)


def _changes(results: PerturbationResults, group: tuple[str, str], methods: Sequence[str]) -> list[Picture]:
    """A picture per method, all on the same axes so that they can be compared."""
    change, table = results.change, results.table
    in_group = change[(change["cell_type"] == group[0]) & (change["perturbation"] == group[1])]
    by_method = {name: in_group[in_group["method"] == name].sort_values("de_rank", kind="stable") for name in methods}
    for name, genes in by_method.items():
        if genes.empty:
            raise _incomplete("change.parquet", f"changes predicted by {name}", group)
    drawn = pd.concat(by_method.values())[["change_true", "change_predicted"]].to_numpy(np.float64)
    low, high = min(0.0, float(drawn.min())), max(0.0, float(drawn.max()))
    margin = 0.09 * (high - low) or 1.0
    scored = table[(table["cell_type"] == group[0]) & (table["perturbation"] == group[1])].set_index("method")
    return [
        draw_change(
            f"{group[1]} in {group[0]}",
            genes["change_true"].to_numpy(np.float64),
            genes["change_predicted"].to_numpy(np.float64),
            [str(gene) for gene in genes["gene"]],
            range(min(_NAMED_GENES, len(genes))),
            f"{method_of(name).label}: Pearson {shown(_score(scored.loc[name, 'pearson_change']))}",
            (low - margin, high + margin),
        )
        for name, genes in by_method.items()
    ]


def _incomplete(file: str, what: str, group: tuple[str, str]) -> ExpectedError:
    return ExpectedError(
        f"{paths.EVALUATION / 'perturbation' / file} has no {what} for {group[1]} in {group[0]}: "
        "`dvc repro --force evaluate@perturbation` makes it anew"
    )
