"""The one entry for people: `python -m pipeline`."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import cli
from pipeline.commands.dag import dag_svg
from pipeline.commands.generated import deliver
from pipeline.commands.schema import schema_text
from pipeline.core.errors import ExpectedError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, check=False)


def code_of(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


def test_help_names_every_command_and_imports_none_of_them() -> None:
    program = (
        "import sys\nfrom pipeline.cli import main\n"
        "try:\n    main(['--help'])\nfinally:\n"
        "    print([m for m in ('torch', 'scanpy', 'mlflow', 'dvc', 'pandas') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("[]\n")
    for name in cli.COMMANDS:
        assert re.search(rf"^    {name}\s", shown, re.MULTILINE)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of([name, "--help"]) == 0
    assert cli.COMMANDS[name][1][1:] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explian"], "unknown command 'explian'; did you mean 'explain'?"),
        (["xyz"], "unknown command 'xyz'; commands are new, add"),
        ([], "COMMAND"),
        (["explain", "--nope"], "unrecognized arguments: --nope\n"),
        (["schema", "--chekc=1"], "unrecognized arguments: --chekc=1; did you mean --check?"),
        (["explain", "vae_pretrian"], "error: no stage vae_pretrian in dvc.yaml; did you mean 'vae_pretrain'?"),
    ],
)
def test_a_wrong_call_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(arguments) == 2
    assert message in capsys.readouterr().err


def test_debug_shows_where_an_expected_problem_arose() -> None:
    for arguments in (["--debug", "explain", "nope"], ["explain", "nope", "--debug"]):
        with pytest.raises(ExpectedError, match="no stage nope"):
            cli.main(arguments)


def test_explain_speaks_of_every_stage() -> None:
    shown = call("explain")
    assert shown.returncode == 0, shown.stderr
    for stage in ("ingest@cfm_vc-pbmc", "vae_pretrain@pbmc-held_out-0", "report", "track"):
        assert f"{stage}: " in shown.stdout


def test_a_closed_pipe_is_no_error() -> None:
    shown = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pipeline schema | head -1"], capture_output=True, text=True, check=False
    )
    assert (shown.stdout, shown.stderr) == ("{\n", "")


# What is generated and committed.


def test_the_committed_schema_is_current() -> None:
    assert Path("schema/params.schema.json").read_text() == schema_text(), "run `make generate`"


def test_the_schema_refuses_unknown_keys_and_accepts_the_file() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(schema_text())
    params = yaml.safe_load(Path("params.yaml").read_text())
    for section in (
        "vae",
        "flow",
    ):  # what this reader takes for text, 1e-3 and the like, is a number to pipeline.params
        params["cfm_vc"][section]["learning_rate"] = 1e-3
    jsonschema.validate(params, schema)
    params["cfm_vc"]["vae"]["latent_intrinsik"] = 3
    with pytest.raises(jsonschema.ValidationError, match="latent_intrinsik"):
        jsonschema.validate(params, schema)


def test_the_committed_picture_of_the_dag_is_current() -> None:
    assert Path("docs/dag.svg").read_text() == dag_svg(), "run `make generate`"


def test_generated_files_are_printed_written_or_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"

    def options(**given: bool) -> argparse.Namespace:
        return argparse.Namespace(**{"write": False, "check": False} | given)

    deliver("new\n", path, options())
    assert capsys.readouterr().out == "new\n"
    assert not path.exists()
    with pytest.raises(ExpectedError, match="out of date: run make generate"):
        deliver("new\n", path, options(check=True))
    deliver("new\n", path, options(write=True))
    deliver("new\n", path, options(check=True))
    assert path.read_text() == "new\n"
