"""Results of measured data that are in git, for reports of other runs: `python -m benchmarks.measured` writes them.

Of each study two files: a table of scores, as the study's `evaluate` writes it, and a JSON file with what is known of
it. A third, `<study>_ablation.csv`, is of benchmarks that train or predict otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.paths import measured
from pipeline.report.reading import Maker, read_json

COMMAND = "git checkout reports/measured"
MAKER = Maker(COMMAND, COMMAND)
ABLATION = "_ablation"

_ABOUT = ("title", "description", "data_sha256", "commands", "commit", "study", "changed")


@dataclass(frozen=True)
class MeasuredStudy:
    """A study of measured data."""

    path: Path  # of the JSON file
    about: Mapping[str, Any]
    of_this_run: bool  # whether the run is on the same data

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def scores(self) -> Path:
        return self.path.with_suffix(".csv")

    @property
    def ablation(self) -> Path:
        """There need not be one."""
        return self.path.with_name(f"{self.name}{ABLATION}.csv")

    @property
    def title(self) -> str:
        return str(self.about["title"]).rstrip(".")

    @property
    def description(self) -> str:
        return str(self.about["description"]).rstrip(".")


def measured_studies(system: str, names: Sequence[str], *, embedded: bool, digest: str) -> list[MeasuredStudy]:
    """Those of a system, by name; `names`: what the system needs to know of each, beside what all have.

    All for a run on embedded data. For one on other data, whose SHA-256 is `digest`, none but that of the very same:
    nobody should read these scores as those of their own data.

    ExpectedError where a file lacks something, or the table is there and its origin is not.
    """
    stems = {
        path.stem.removesuffix(ABLATION) for path in measured(system).glob("*.*") if path.suffix in (".csv", ".json")
    }
    found = []
    for stem in sorted(stems):
        path = measured(system) / f"{stem}.json"
        about = read_json(path, MAKER, [*_ABOUT, *names])
        same = about["data_sha256"] == digest
        if embedded or same:
            found.append(MeasuredStudy(path, about, same))
    return found
