"""The page of `dvc plots diff` in a real browser: every curve of both revisions is drawn, without a network."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.devtools import Page

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "dvc.yaml",
    "params.yaml",
    "plan.yaml",
    ".dvc/config",
    ".dvc/plots/curve_per_seed.json",
    ".dvc/plots/page.html",
)
SCRIPT = "share/celldag/vega.js"  # in the environment
COLOURS = ((0x94, 0x5D, 0xD6), (0x13, 0xAD, 0xC7))  # DVC's first two
# For each plot, how many of its pixels have each colour, once all are drawn or after ten seconds.
PIXELS = """(async (plots, colours) => {
    const canvases = () => [...document.querySelectorAll('canvas')];
    for (let n = 0; n < 100 && canvases().length < plots; n++) await new Promise(done => setTimeout(done, 100));
    return canvases().map(canvas => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const counts = colours.map(() => 0);
        for (let p = 0; p < data.length; p += 4)
            colours.forEach((colour, c) => counts[c] += colour.every((part, k) => data[p + k] === part));
        return counts;
    });
})"""

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with this project's DAG and curves, each of which has changed since its commit."""
    curves = [path.relative_to(ROOT) for path in sorted(ROOT.glob("reports/*/*/curves/*.csv"))]
    for path in (*map(Path, SETTINGS), *curves):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message", "curves"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for path in curves:
        raise_losses(tmp_path / path)
    return tmp_path


def raise_losses(path: Path) -> None:
    """By more than a line is wide."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    highest = max(abs(float(row["validation_loss"])) for row in rows)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(row | {"validation_loss": float(row["validation_loss"]) + highest} for row in rows)


def test_every_curve_of_both_revisions_is_drawn_without_a_network(project: Path, chromium_page: Page) -> None:
    command = [sys.executable, "-m", "dvc", "plots", "diff", "HEAD"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    url = (project / "dvc_plots/index.html").as_uri()
    chromium_page.open(url, 1400, 900)
    plots = len(list(project.glob("reports/*/*/curves/*.csv")))
    drawn = chromium_page.evaluate(f"{PIXELS}({plots}, {[list(colour) for colour in COLOURS]})")
    found = chromium_page.findings(url)
    assert found.requests == [(project / ".venv" / SCRIPT).as_uri()]
    # What Vega warns of where DVC's template has a layer that is empty until a pointer touches the plot.
    assert [error for error in found.errors if "Infinite extent" not in error] == []
    assert len(drawn) == plots > 4
    assert all(count > 50 for counts in drawn for count in counts)
