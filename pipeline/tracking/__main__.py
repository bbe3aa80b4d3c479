"""`python -m pipeline.tracking`: make the MLflow store ready to be browsed (made if missing, followed if moved)."""

from pipeline.core.entry import guarded
from pipeline.tracking.store import open_store


def _ready() -> None:
    with open_store():
        pass


guarded(_ready)
