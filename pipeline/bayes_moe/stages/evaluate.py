"""Sparse points of the sweep beside their dense twins, on the same test images: accuracy, calibration, robustness."""

from threadpoolctl import threadpool_limits

from pipeline.bayes_moe.decisive import chosen_on_validation, decisive
from pipeline.bayes_moe.evaluation import details, ensembles
from pipeline.bayes_moe.evaluation.abstention import abstention_table, coverage_table
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.evaluation.result_rows import result_rows
from pipeline.bayes_moe.evaluation.stability import agreement_table, stability_table
from pipeline.bayes_moe.glossary import GLOSSARY, RAW
from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder
from pipeline.core.paths import StudyPaths
from pipeline.metrics.headlines import write_headlines
from pipeline.metrics.ranking import table
from pipeline.metrics.results import write_results
from pipeline.metrics.scoreboard import scoreboard

SECTIONS = ("bayes_moe.sweep", "bayes_moe.evaluate")
DIGITS = 6


def run(sweep: Sweep, evaluation: Evaluate, at: StudyPaths) -> None:
    """Score every point; write the results, the headlines and what the figures show."""
    points = {name: PointPredictions(at.models / name) for name in sweep.points}
    bins = evaluation.bins
    with threadpool_limits(sweep.recipe.threads):  # part of the result, since sums depend on their order
        corruption = details.corruption_table(points.values(), bins)
        rows = result_rows(sweep, points, corruption, evaluation)
        board = scoreboard(rows, GLOSSARY)
        chosen = chosen_on_validation(board)
        frames = {
            "points": details.point_table(points.values(), sweep, chosen),
            "reliability": details.reliability_table(points.values(), bins),
            "corruption": corruption,
            "experts": details.expert_table(points.values()),
            "sampled": details.sampled_table(points.values(), bins),
            "ensembles": ensembles.ensemble_table(points, sweep, bins),
            "power": ensembles.power_table(points, sweep, chosen, bins),
            "coverage": coverage_table(points, sweep.twin_of(chosen), chosen),
            "abstention": abstention_table(points.values()),
            "stability": stability_table(points.values()),
            "agreement": agreement_table(points.values()),
        }
    write_results(at.results, at, rows, DIGITS)
    write_headlines(at.headlines, decisive(board, chosen, sweep.twin_of(chosen)))
    with atomic_folder(at.details) as folder:
        for name, frame in frames.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    print(f"mean over {len(board.seeds)} seeds, before temperature scaling (* best); validation chose {chosen}")
    print(table(board, RAW))


if __name__ == "__main__":
    run_study_stage(SECTIONS, run)
