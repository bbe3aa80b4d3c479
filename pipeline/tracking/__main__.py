"""`python -m pipeline.tracking`: prepare the MLflow store for browsing (created if missing, relocated if moved)."""

from pipeline.core.entry import guarded
from pipeline.tracking.store import open_store


def _ready() -> None:
    with open_store():
        pass


guarded(_ready)
