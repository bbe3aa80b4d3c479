"""Where every file of the pipeline lies, relative to the project's root (the working directory of a stage)."""

from pathlib import Path

PARAMS = Path("params.yaml")
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")

CATALOGUE = Path("data/catalogue.yaml")  # public data sets
FETCHED = Path("data/catalogue")  # ... those that were downloaded, under DVC
RAW = Path("data/raw")  # one folder per data set kind, written by ingest
PROCESSED = Path("data/processed")  # one parquet store per kind, written by preprocess
MODELS = Path("models")  # <kind>/<model>/: weights.safetensors, config.json
CHECKPOINTS = Path(".checkpoints")  # one folder per training stage; gone once the stage has succeeded

REPORTS = Path("reports")
METRICS = REPORTS / "metrics"  # JSON, in git
CURVES = REPORTS / "curves"  # CSV, one row per epoch, in git
TABLES = REPORTS / "tables"  # CSV, in git
LATENCY = REPORTS / "latency"  # JSON: times of this machine, in git; no metric, since they never repeat
QUALITY = REPORTS / "quality"  # JSON histograms before and after filtering, in git
EVALUATION = REPORTS / "evaluation"  # parquet behind the figures, one folder per kind
LEAVE_ONE_OUT = REPORTS / "leave_one_out"  # on measured cells, in git, made by benchmarks/leave_one_out.py
LEAVE_SECTION_OUT = REPORTS / "leave_section_out"  # on measured tissue, likewise, by benchmarks/leave_section_out.py
MEASURED_SERIES = REPORTS / "forecasting"  # on a measured series, likewise, by benchmarks/forecasting.py
CHAPTERS = REPORTS / "chapters"  # what the page says of each system, drawn, one JSON file each
REPORT = REPORTS / "report.html"
RESULTS = REPORTS / "RESULTS.md"  # its tables and verdicts as text, in git
TRACKED = REPORTS / "tracked.json"  # which results were mirrored into MLflow

DAG = Path("docs/dag.svg")  # the picture of dvc.yaml, drawn by `python -m pipeline dag --write`
SCHEMA = Path("schema/params.schema.json")  # for editors, made by `python -m pipeline schema --write`
