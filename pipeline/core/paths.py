"""Where every file of the pipeline lies, relative to the project's root (the working directory of a stage)."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")
PLAN = Path("plan.yaml")  # the stage instances that params.yaml comes to
INPUTS = Path("data/inputs")  # the standard copy of each file of a study that has several
SETTINGS = Path("data/settings")  # the settings of each study

CATALOGUE = Path("data/catalogue.yaml")  # public data sets
FETCHED = Path("data/catalogue")  # ... those that were downloaded, under DVC
CHECKPOINTS = Path(".checkpoints")  # one folder per training stage; gone once the stage has succeeded

REPORTS = Path("reports")
CHAPTERS = REPORTS / "chapters"  # what the page says of each system, drawn, one JSON file each
PAGES = REPORTS / "pages"  # a report of each study alone
REPORT = REPORTS / "report.html"
RESULTS = REPORTS / "RESULTS.md"  # its tables and verdicts as text, in git
TRACKED = REPORTS / "tracked.json"  # which results were mirrored into MLflow

DAG = Path("docs/dag.svg")  # the picture of dvc.yaml, drawn by `python -m pipeline dag --write`
SCHEMA = Path("schema/params.schema.json")  # for editors, made by `python -m pipeline schema --write`


@dataclass(frozen=True)
class StudyPaths:
    """Where the files of one study lie and, with a fold, a seed or a point, those of one stage instance.

    A study is a data set of a system with its own split, seeds and settings; a fold is one of its splits.
    """

    system: str  # as its folder below pipeline/ and its section of params.yaml
    study: str
    fold: str | None = None
    seed: int | None = None
    point: str | None = None  # of a sweep
    file: str | None = None  # of several that are ingested one by one
    member: int = 0  # of the models that are trained alike with one seed and averaged

    @property
    def key(self) -> str:
        """The key of its section in params.yaml."""
        return f"{self.system}.studies.{self.study}"

    @property
    def instance(self) -> str:
        """What tells this instance from others of its system: `kang-b_cells-0`."""
        member = f"member_{self.member}" if self.member else None
        parts = (self.study, self.fold, self.seed, member, self.point, self.file)
        return "-".join(str(part) for part in parts if part is not None)

    @property
    def run(self) -> str:
        """A fold and a seed, and the member after the first, as in the names of files."""
        return f"{self.fold}-{self.seed}" + (f"-member_{self.member}" if self.member else "")

    @property
    def parts(self) -> Path:
        """Of a study that has several files: a folder for each, and what `list_files` found."""
        return INPUTS / self.system / self.study

    @property
    def part(self) -> Path:
        """The standard copy of one of several files, and what ingest has to know of it."""
        return self.parts / str(self.file)

    @property
    def raw(self) -> Path:
        """What ingest writes."""
        return Path("data/raw") / self.system / self.study

    @property
    def store(self) -> Path:
        """The parquet store of a fold, that preprocess writes."""
        return Path("data/processed") / self.system / self.study / str(self.fold)

    @property
    def models(self) -> Path:
        """A folder per fold and seed, or per point."""
        return Path("models") / self.system / self.study

    @property
    def model(self) -> Path:
        """Of one run, or of one point: weights.safetensors and config.json, or a folder per model. Members after the
        first lie in folders of it."""
        own = f"/member_{self.member}" if self.member else ""
        return self.models / (self.point or f"{self.fold}/seed_{self.seed}{own}")

    @property
    def reports(self) -> Path:
        """All results, from which the study's chapter of the report is drawn."""
        return REPORTS / self.system / self.study

    @property
    def quality(self) -> Path:
        """JSON: what preprocessing found and left out of a fold, in git."""
        return self.reports / "quality" / f"{self.fold}.json"

    @property
    def scored(self) -> Path:
        """What one run scored: its rows of results, and the tables behind the figures."""
        return self.scores / self.run

    @property
    def scores(self) -> Path:
        """What each run scored: a folder per fold and seed."""
        return self.reports / "scores"

    @property
    def results(self) -> Path:
        """CSV: every score, in the columns of `pipeline.metrics.results`, in git."""
        return self.reports / "results.csv"

    @property
    def headlines(self) -> Path:
        """JSON: a file per decisive score, what `dvc metrics` prints, in git."""
        return self.reports / "headlines"

    @property
    def training(self) -> Path:
        """JSON: the final losses of each training, in git."""
        return self.reports / "training"

    @property
    def curves(self) -> Path:
        """CSV: a row per epoch of each training, in git."""
        return self.reports / "curves"

    @property
    def details(self) -> Path:
        """Parquet: what the figures show, from evaluate."""
        return self.reports / "details"

    @property
    def chapter(self) -> Path:
        """What the report says of the study, drawn."""
        return CHAPTERS / self.system / f"{self.study}.json"

    @property
    def page(self) -> Path:
        """HTML: a report of this study alone."""
        return PAGES / f"{self.system}-{self.study}.html"

    @property
    def settings(self) -> Path:
        """JSON: what params.yaml comes to for this study, section by section; written by the stage `code`."""
        return SETTINGS / self.system / f"{self.study}.json"


def measured(system: str) -> Path:
    """Results of studies of measured data that the default run has not, in git: a table and its origin each."""
    return REPORTS / "measured" / system
