"""`dvc plots` draws its page without a network, with the script that the environment holds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.devtools import browser, find_chromium

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a learning curve of this project, in a scratch project with its settings and environment."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    curve = "reports/cfm_vc/curves/vae.csv"
    (tmp_path / curve).parent.mkdir(parents=True)
    shutil.copy(ROOT / curve, tmp_path / curve)
    (tmp_path / "dvc.yaml").write_text(f"plots:\n  - {curve}: {{x: epoch, y: validation_loss}}\n")
    dvc = str(Path(sys.executable).with_name("dvc"))
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run([dvc, "init", "--quiet", "--no-scm"], cwd=tmp_path, env=environment, check=True)
    (tmp_path / ".dvc/plots").mkdir()
    shutil.copy(ROOT / ".dvc/plots/page.html", tmp_path / ".dvc/plots")
    settings = (ROOT / ".dvc/config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (tmp_path / ".dvc/config").write_text(settings)
    subprocess.run([dvc, "plots", "show"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    return tmp_path / "dvc_plots/index.html"


def test_the_page_draws_its_curves_and_asks_for_nothing(page: Path) -> None:
    program = find_chromium()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on the PATH; install it with: apt-get install chromium")
        pytest.skip("no Chromium on the PATH; install it with: apt-get install chromium")
    with browser(program) as shown:
        shown.open(page.as_uri(), 1200, 900)
        drawn = "document.querySelectorAll('canvas, svg.marks').length"
        assert shown.evaluate(f"new Promise(done => setTimeout(() => done({drawn}), 2000))") == 1
        found = shown.findings(page.as_uri())
        assert [url for url in found.requests if not url.startswith("file:")] == []
