"""What stages in processes of their own read of params.yaml, and what they know of the code."""

from contextlib import chdir
from functools import cache
from pathlib import Path

from pipeline.core.files import write_json
from pipeline.plan import make_plan
from pipeline.registry import Params, load_params
from workflow.manifests import DIGESTS, Digests

ROOT = Path(__file__).parents[1]


def settled(folder: Path) -> Params:
    """Write plan.yaml, data/settings/ by params.yaml, and the digests of the code in a folder, as the stage `code`
    does."""
    with chdir(folder):
        make_plan()
        make_plan(with_settings=True)
        write_json(DIGESTS, _digests_of_the_code())
        return load_params()


@cache
def _digests_of_the_code() -> dict[str, str]:
    """Without them, each process of a training takes a second to parse what it is made of."""
    digests = Digests()
    for file in (ROOT / "pipeline").rglob("*.py"):
        digests.of(file)
    return digests.used
