"""Where every file of the pipeline lies, relative to the project's root (the working directory of a stage)."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")

CATALOGUE = Path("data/catalogue.yaml")  # public data sets
FETCHED = Path("data/catalogue")  # ... those that were downloaded, under DVC
CHECKPOINTS = Path(".checkpoints")  # one folder per training stage; gone once the stage has succeeded

REPORTS = Path("reports")
CHAPTERS = REPORTS / "chapters"  # what the page says of each system, drawn, one JSON file each
REPORT = REPORTS / "report.html"
RESULTS = REPORTS / "RESULTS.md"  # its tables and verdicts as text, in git
TRACKED = REPORTS / "tracked.json"  # which results were mirrored into MLflow

DAG = Path("docs/dag.svg")  # the picture of dvc.yaml, drawn by `python -m pipeline dag --write`
SCHEMA = Path("schema/params.schema.json")  # for editors, made by `python -m pipeline schema --write`


@dataclass(frozen=True)
class SystemPaths:
    """Where the data, models and results of one system lie."""

    name: str  # as its folder below pipeline/ and its section of params.yaml

    @property
    def raw(self) -> Path:
        """What ingest writes."""
        return Path("data/raw") / self.name

    @property
    def store(self) -> Path:
        """The parquet store that preprocess writes."""
        return Path("data/processed") / self.name

    @property
    def models(self) -> Path:
        """A folder per model, or the model itself: weights.safetensors and config.json."""
        return Path("models") / self.name

    @property
    def reports(self) -> Path:
        """All results, from which the system's chapter of the report is drawn."""
        return REPORTS / self.name

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
    def measured(self) -> Path:
        """Results on measured data, in git, made by a script of benchmarks/."""
        return self.reports / "measured"

    @property
    def chapter(self) -> Path:
        """What the report says of the system, drawn."""
        return CHAPTERS / f"{self.name}.json"
