"""The MLflow store: its location, its creation, a lock for one writer at a time, and no telemetry."""

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pipeline.core.checkout import main_checkout
from pipeline.core.errors import ExpectedError
from pipeline.tracking.relocation import relocate

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
DEFAULT_DATABASE = "mlflow.db"  # in the project's root, where `mlflow ui` looks for it too
ARTIFACTS = "mlartifacts"  # beside the database

# Environment variables for MLflow; values already set take precedence.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Otherwise an unreachable server is retried for minutes without a message.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # No terminal output per artifact and run.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file of this project; of an experiment of DVC, that of its main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{main_checkout() / DEFAULT_DATABASE}"


def load_mlflow() -> Any:
    """Import MLflow without telemetry and logging (takes about a second, so only the mirror does it)."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import logging

    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs a traceback of the error that it then raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return mlflow


@contextmanager
def open_store() -> Iterator["MlflowClient"]:
    """A client of the store, created if it is a missing SQLite file; other processes of this project wait.

    ExpectedError if the store cannot be reached, read or written, also later in the context.
    """
    uri = tracking_uri()
    database = _database(uri)
    mlflow = load_mlflow()
    with _locked(artifacts_folder(uri)), _explained(uri):
        if database is not None and not database.exists():
            _create(database, mlflow)
        # Set the model registry to the same store: MLflow would keep the first one it was given.
        address = uri if database is None else f"{SQLITE}{database.resolve()}"
        client = mlflow.MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_experiments(max_results=1)
        if database is not None:
            relocate(database, artifacts_folder(uri))
        yield client


def artifacts_folder(uri: str) -> Path:
    """Absolute path of the run files beside an SQLite store."""
    return (_database(uri) or Path(DEFAULT_DATABASE)).resolve().parent / ARTIFACTS


def _database(uri: str) -> Path | None:
    """The SQLite file that a URI names; None for any other store, and for a file opened with options."""
    return Path(unquote(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) and "?" not in uri else None


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, which is created if missing."""
    found = client.get_experiment_by_name(name)
    if found is None:
        uri = tracking_uri()
        location = artifacts_folder(uri).as_uri() if _database(uri) else None
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage != "active":
        raise ExpectedError(
            f"the MLflow experiment {name!r} was deleted: restore it with `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or set another name at track.experiment in params.yaml"
        )
    return str(found.experiment_id)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system however the process ends
        yield


def _create(database: Path, mlflow: Any) -> None:
    # Under another name first: a process killed between two migrations would leave a database that MLflow cannot open.
    with tempfile.TemporaryDirectory(dir=artifacts_folder(f"{SQLITE}{database}"), prefix=".create.") as folder:
        partial = Path(folder).resolve() / database.name
        mlflow.MlflowClient(f"{SQLITE}{partial}").search_experiments(max_results=1)
        partial.replace(database)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn errors of the MLflow store into ExpectedError; a rejected value remains a bug."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise
        raise _store_error(uri, error) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _store_error(uri, error) from error


def _store_error(uri: str, error: Exception) -> ExpectedError:
    cause: BaseException | None = error
    while cause is not None and not hasattr(cause, "orig"):  # the database's error below SQLAlchemy's
        cause = cause.__cause__ or cause.__context__
    said = str(error if cause is None else cause.orig).strip()
    reason = said.splitlines()[0] if said else type(error).__name__
    return ExpectedError(
        f"the MLflow store {uri} cannot be used: {reason}; "
        "start the server or make the file writable, or point MLFLOW_TRACKING_URI at another store "
        "(unset: mlflow.db in the project); running the same command again adds only what is missing"
    )
