"""The chapter on perturbation responses: training, evaluation, and measured cells."""

from pipeline.cfm_vc.report.against_baselines import against_baselines
from pipeline.cfm_vc.report.change import change
from pipeline.cfm_vc.report.latent import latent
from pipeline.cfm_vc.report.leave_one_out import leave_one_out
from pipeline.cfm_vc.report.population import population
from pipeline.cfm_vc.report.quality import quality
from pipeline.cfm_vc.report.results import Trained, read_leave_one_out, read_perturbation, read_trained
from pipeline.cfm_vc.report.summary import card, card_of_training, results
from pipeline.cfm_vc.report.training import training
from pipeline.cfm_vc.report.verdict import interval
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths
from pipeline.params.chapter import Chapter
from pipeline.report.definitions import definitions
from pipeline.report.page import Part, Section
from pipeline.report.runs import first_run_in_words
from pipeline.report.study_page import write_chapter

_SCORES = (
    "Expression is log-normalised and averaged over cells. A change is a mean minus that of the control cells of the "
    "same cell type. Genes are ranked by differential expression (DE), |Welch's t| of the held-out cells against "
    "control. For formulas and sources see the docstrings in pipeline/cfm_vc/metrics/."
)


def run(settings: Chapter, at: StudyPaths) -> None:
    """Read the results and write the chapter."""
    if not settings.evaluated:
        trained = read_trained(at, settings.folds)
        sections = [*_of_training(trained)]
        part, summary = Part("CFM-VC: trained on all cells", sections), card_of_training(trained)
        write_chapter(at, settings, part, summary, [f"**{summary.answer}.**"], trained.dataset)
        return
    found = read_perturbation(at, settings.folds)
    measured = read_leave_one_out(found.dataset)
    sections = [
        against_baselines(found),
        change(found),
        population(found),
        *map(leave_one_out, measured),
        definitions(_SCORES, found.board.telling, found.board.methods, interval(found.board)),
        latent(found.latent, first_run_in_words(found.folds, found.cell_types)),
        *_of_training(found),
    ]
    part = Part("CFM-VC: perturbation responses", sections)
    write_chapter(at, settings, part, card(found, measured), results(found), found.dataset)


def _of_training(found: Trained) -> list[Section]:
    return [training(found), quality(found)]


if __name__ == "__main__":
    run_study_stage("cfm_vc.chapter", run)
