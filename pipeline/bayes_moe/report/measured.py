"""The same sweep on other images, from results of measured data that are in git."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.bayes_moe.decisive import against_twin, chosen_on_validation
from pipeline.bayes_moe.glossary import GLOSSARY, SCALED
from pipeline.bayes_moe.report.abstention import abstention_table
from pipeline.bayes_moe.report.ensembles import ensembles_table, worth_in_words
from pipeline.bayes_moe.report.results import COLUMNS
from pipeline.core.wording import counted
from pipeline.data.file_kind import is_recipe
from pipeline.metrics.results import read_results
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.report.measured import MAKER, MeasuredStudy, measured_studies
from pipeline.report.origin import origin
from pipeline.report.page import Block, Facts, Heading, Section, Table
from pipeline.report.reading import check_names
from pipeline.report.scores import decimals_for, signed

_KNOWN = ("twin", "ensembles", "abstention")


@dataclass(frozen=True)
class MeasuredImages:
    """A sweep on measured images. Frames are as `evaluate` writes them."""

    study: MeasuredStudy
    board: Scoreboard
    ensembles: pd.DataFrame
    abstention: pd.DataFrame

    @property
    def lead(self) -> str:
        """What the sparse point that validation chose is worth, and its difference to the dense twin."""
        chosen, rows = chosen_on_validation(self.board), self.ensembles
        of = rows[(rows["point"] == chosen) & (rows["samples"] == 0)].iloc[0]
        most = int(rows["networks"].max())
        nll = against_twin(self.board, "nll", SCALED, chosen, str(self.study.about["twin"])).difference
        digits = decimals_for([nll.low, nll.high])
        bounds = " to ".join(signed(value or 0.0, digits) for value in (nll.low, nll.high))
        return (
            f"Validation chose “{self.board.method(chosen).label}”: it is worth {worth_in_words(of, most)} dense "
            f"networks, and its scaled NLL differs from that of its twin by {signed(nll.value or 0.0, digits)} "
            f"({bounds}), over {counted(len(self.board.seeds), 'seed')}."
        )

    @property
    def methods_table(self) -> Table:
        return ensembles_table(self.ensembles, self.board)


def read_measured(source: Mapping[str, Any]) -> list[MeasuredImages]:
    """Those in git, for a run on embedded images. None for a run on images of a user's."""
    embedded = is_recipe(Path(str(source.get("input", ""))))
    return [_read(study) for study in measured_studies("bayes_moe", _KNOWN, embedded=embedded, digest="")]


def measured_images(found: Sequence[MeasuredImages]) -> Section:
    """Each study's answer, table and origin."""
    blocks: list[Block] = []
    for one in found:
        said = [("Images", f"{one.study.description}."), ("Answer", one.lead)]
        blocks += [Heading(one.study.title), Facts(said), one.methods_table]
        blocks += [abstention_table(one.abstention, one.board), Facts(origin(one.study.about), small=True)]
    lead = "The same question on other measured images, from results that are in git: this run has not made them."
    return Section("On other images", "other-images", lead, blocks)


def _read(study: MeasuredStudy) -> MeasuredImages:
    rows = read_results(study.scores, MAKER.command, MAKER.again)
    frames = {name: pd.DataFrame(study.about[name]) for name in ("ensembles", "abstention")}
    for name, frame in frames.items():
        check_names(study.path, MAKER, frame.columns, COLUMNS[name])
    return MeasuredImages(study, scoreboard(rows, GLOSSARY), **frames)
