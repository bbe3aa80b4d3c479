"""A report that the tests of chapters and of the page share."""

from pathlib import Path

import pytest

from tests.made_once import made_once


@pytest.fixture(scope="session")
def small_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small results of all other stages, all chapters and the report. Not to be written to."""

    def make(folder: Path) -> None:
        from tests.report.drawn import write_report
        from tests.report.simulated_results import write_results

        write_results(folder, genes=60, cells=200)
        write_report("A title")

    return made_once(tmp_path_factory, "small-report", make)
