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
from pipeline.core.paths import measured
from pipeline.data.file_kind import is_recipe
from pipeline.metrics.results import read_results
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.report.numbers import counted
from pipeline.report.page import Block, Facts, Heading, Section, Table
from pipeline.report.reading import Maker, check_names, read_json
from pipeline.report.scores import decimals_for, signed

COMMAND = "git checkout reports/measured"

_ABOUT = ("title", "description", "commands", "commit", "machine", "seeds", "twin", "ensembles", "abstention")
_ENSEMBLES = (
    *("point", "networks", "samples", "accuracy", "nll", "brier", "ece", "aurc", "auroc"),
    *("corrupted_accuracy", "corrupted_nll", "equivalents", "low", "high", "flops"),
)
_ABSTENTION = ("point", "score", "aurc", "difference", "low", "high")


@dataclass(frozen=True)
class MeasuredImages:
    """A sweep on measured images. Frames are as `evaluate` writes them."""

    about: Mapping[str, Any]  # has the keys of `_ABOUT`
    board: Scoreboard
    ensembles: pd.DataFrame
    abstention: pd.DataFrame

    @property
    def title(self) -> str:
        return str(self.about["title"])

    @property
    def lead(self) -> str:
        """What the sparse point that validation chose is worth, and its difference to the dense twin."""
        chosen, rows = chosen_on_validation(self.board), self.ensembles
        of = rows[(rows["point"] == chosen) & (rows["samples"] == 0)].iloc[0]
        most = int(rows["networks"].max())
        nll = against_twin(self.board, "nll", SCALED, chosen, str(self.about["twin"])).difference
        digits = decimals_for([nll.low, nll.high])
        bounds = " to ".join(signed(value or 0.0, digits) for value in (nll.low, nll.high))
        return (
            f"Validation chose “{self.board.method(chosen).label}”: it is worth {worth_in_words(of, most)} dense "
            f"networks, and its scaled NLL differs from that of its twin by {signed(nll.value or 0.0, digits)} "
            f"({bounds}), over {counted(int(self.about['seeds']), 'seed')}."
        )

    @property
    def methods_table(self) -> Table:
        return ensembles_table(self.ensembles, self.board)


def read_measured(source: Mapping[str, Any]) -> list[MeasuredImages]:
    """Those in git, for a run on embedded images. None for a run on images of a user's: nobody should read these scores
    as those of their own."""
    if not is_recipe(Path(str(source.get("input", "")))):
        return []
    return [_read(path) for path in sorted(measured("bayes_moe").glob("*.json"))]


def measured_images(found: Sequence[MeasuredImages]) -> Section:
    """Each study's answer, table and origin."""
    blocks: list[Block] = []
    for one in found:
        said = [("Images", str(one.about["description"])), ("Answer", one.lead)]
        said += [("Commands", "; ".join(one.about["commands"])), ("Commit", str(one.about["commit"])[:9])]
        said += [("Machine", str(one.about["machine"]))]
        blocks += [Heading(one.title), Facts(said), one.methods_table, abstention_table(one.abstention, one.board)]
    lead = "The same question on other measured images, from results that are in git: this run has not made them."
    return Section("On other images", "other-images", lead, blocks)


def _read(path: Path) -> MeasuredImages:
    maker = Maker(COMMAND, COMMAND)
    about = read_json(path, maker, _ABOUT)
    rows = read_results(path.with_suffix(".csv"), maker.command, maker.again)
    frames = [pd.DataFrame(about[name]) for name in ("ensembles", "abstention")]
    for frame, columns in zip(frames, (_ENSEMBLES, _ABSTENTION), strict=True):
        check_names(path, maker, frame.columns, columns)
    return MeasuredImages(about, scoreboard(rows, GLOSSARY), *frames)
