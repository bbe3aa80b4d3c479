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
    """Rewrite every path in `database` below the store's original folder to its present folder.

    artifacts: absolute path of the folder of run files beside the database. The original folder is inferred from
    experiments whose files are in a folder of the same name; other locations are left alone, and so is a folder of that
    name without a database beside it, since someone chose it. Always takes the write lock, so that a read-only store
    fails before any result is read. Reports changes on stderr. Raises sqlite3.Error if the database cannot be read or
    written.
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
                f"note: {database.name} was created in {folder.parent}; its run files are now read from and written "
                f"to {artifacts}",
                file=sys.stderr,
            )
        connection.execute("COMMIT")
    finally:
        connection.close()


def _path(location: str) -> Path:
    """The folder of a file:// URI; for any other URI, a path that equals none of ours."""
    return Path(unquote(location.removeprefix("file://")))


def _replace_folder(connection: sqlite3.Connection, former: Path, present: Path) -> None:
    for old, new in ((f"{former.as_uri()}/", f"{present.as_uri()}/"), (f"{former}/", f"{present}/")):
        for table, column in LOCATIONS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (new, len(old) + 1, len(old), old),
            )
