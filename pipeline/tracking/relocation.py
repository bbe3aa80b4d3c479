"""The project's own MLflow store in a checkout that was moved or copied.

MLflow stores absolute locations. In a copy they still name the folder of the original, so that the copy would write its
files there and serve the models of the original.
"""

import sqlite3
import sys
from pathlib import Path
from urllib.parse import unquote

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def relocate(database: Path, artifacts: Path) -> None:
    """Point every location in `database` that lies in the folder it was made in to the folder it lies in now.

    artifacts: absolute, the folder of the runs' files beside the database. Where the store was made is told by its
    experiments, whose files lie in a folder of the same name; one whose files lie anywhere else stays as it is, and so
    does a folder of that name that has no database beside it: someone has chosen that place. Takes the write lock in
    any case, so a store that cannot be written to shows it before any result has been read. Says on stderr what it
    changed. Raises sqlite3.Error where the database cannot be read or written.
    """
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        stored = {_path(uri) for (uri,) in connection.execute("SELECT artifact_location FROM experiments")}
        for folder in sorted(path for path in stored if path.name == artifacts.name and path != artifacts):
            if folder.is_dir() and not (folder.parent / database.name).exists():
                continue
            _replace_folder(connection, folder.parent, artifacts.parent)
            print(
                f"note: {database.name} was made in {folder.parent}; the files of its runs are now looked for, and "
                f"written, in {artifacts}",
                file=sys.stderr,
            )
        connection.execute("COMMIT")
    finally:
        connection.close()


def _path(location: str) -> Path:
    """The folder of a location, which is a file:// URI; of any other, a path that none of ours is equal to."""
    return Path(unquote(location.removeprefix("file://")))


def _replace_folder(connection: sqlite3.Connection, former: Path, present: Path) -> None:
    for old, new in ((f"{former.as_uri()}/", f"{present.as_uri()}/"), (f"{former}/", f"{present}/")):
        for table, column in LOCATIONS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (new, len(old) + 1, len(old), old),
            )
