"""The mirror as people see it: through `mlflow ui` on the default store, and written through a tracking server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.project import mirror

VAE, FLOW = "vae_pretrain@pbmc-held_out-0", "flow_train@pbmc-held_out-0"

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """MLflow's REST API, without MLflow's client."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, /, **query: str) -> Any:
        return json.loads(self.read(f"/api/2.0/mlflow/{path}", **query))

    def post(self, path: str, /, **content: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def read(self, path: str, /, **query: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
            content: bytes = answer.read()
            return content

    def runs(self) -> dict[str, Any]:
        """Tags, parameters and metrics of every run, by stage."""
        experiment = self.get("experiments/get-by-name", experiment_name="celldag")["experiment"]
        found = {}
        for run in self.post("runs/search", experiment_ids=[experiment["experiment_id"]])["runs"]:
            data = {kind: {i["key"]: i["value"] for i in run["data"].get(kind, [])} for kind in run["data"]}
            found[data["tags"]["stage"]] = {"run_id": run["info"]["run_id"], **data}
        return found


@contextmanager
def started(*command: str) -> Iterator[Server]:
    port = free_port()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by name
    environment = {**os.environ, "PATH": programs, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    log = Path("server.log")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # MLflow starts uvicorn as a process of its own, which ends with the group
        )
    server = Server(port)
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                server.read("/health")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.25)
        else:
            pytest.fail(f"no answer within a minute:\n{log.read_text()}")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        for _ in range(120):
            if not listeners(port):
                break
            time.sleep(0.25)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"still listening half a minute after the end:\n{log.read_text()}")


def listeners(port: int) -> set[str]:
    """Addresses that listen on the port, from the kernel's tables (hexadecimal)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


def test_the_ui_shows_runs_metrics_artifacts_and_the_model(project: Any, perturbation_store: Any) -> None:
    perturbation_store(Path("data/processed/cfm_vc/pbmc/held_out"))
    project.flow()
    project.commit("Train a flow")
    mirror("celldag")
    # As `make ui` starts it.
    with started("ui", "--backend-store-uri", "sqlite:///mlflow.db") as server:
        assert listeners(server.port) == {"0100007F"}  # 127.0.0.1 alone
        assert b"<html" in server.read("/")
        runs = server.runs()
        assert set(runs) == {
            *("pipeline", "cfm_vc/pbmc", "ingest@cfm_vc-pbmc", "preprocess@cfm_vc-pbmc-held_out", VAE, FLOW),
            *("evaluate@cfm_vc-pbmc", "report"),
        }
        vae = runs[VAE]
        assert vae["params"]["vae.learning_rate"] == "0.1"
        assert vae["metrics"]["elbo"] == -1.5
        assert vae["tags"]["mlflow.parentRunId"] == runs["cfm_vc/pbmc"]["run_id"]
        history = server.get("metrics/get-history", run_id=vae["run_id"], metric_key="curve/train_loss")["metrics"]
        assert sorted((point["step"], point["value"]) for point in history) == [(0, 1.0), (1, 0.5)]
        listed = server.get("artifacts/list", run_id=runs["report"]["run_id"])["files"]
        assert [file["path"] for file in listed] == ["report.html"]
        page = server.read("/get-artifact", run_uuid=runs["report"]["run_id"], path="report.html")
        assert page == b"<h1>0.1</h1>"
        [model] = server.get("registered-models/search")["registered_models"]
        assert model["name"] == "celldag-cfm_vc-pbmc"
        assert model["latest_versions"][0]["run_id"] == runs[FLOW]["run_id"]
        telemetry = json.loads(server.read("/ajax-api/3.0/mlflow/ui-telemetry"))
        assert telemetry["disable_ui_telemetry"] is True


def test_a_tracking_server_is_written_to_as_the_default_store_is(
    project: Any, perturbation_store: Any, monkeypatch: pytest.MonkeyPatch, track: Callable[..., Any]
) -> None:
    perturbation_store(Path("data/processed/cfm_vc/pbmc/held_out"))
    project.flow()
    project.commit("Train a flow")
    with started("server", "--backend-store-uri", "sqlite:///served.db", "--artifacts-destination", "served") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        assert all(run.missing == [] for run in mirror("celldag").runs)
        before = server.runs()
        assert server.read("/get-artifact", run_uuid=before["report"]["run_id"], path="report.html") == b"<h1>0.1</h1>"
        mirror("celldag")
        assert server.runs() == before
        [version] = server.get("model-versions/search")["model_versions"]
        import mlflow

        mlflow.set_tracking_uri(server.url)
        try:
            assert mlflow.pyfunc.load_model(f"models:/{version['name']}/{version['version']}") is not None
        finally:
            mlflow.set_tracking_uri(None)
    assert not Path("mlflow.db").exists()


def test_mlflow_serves_the_model(project: Any, perturbation_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP as in the process, with the model's origin on request; and a wrong question is answered with why."""
    perturbation_store(Path("data/processed/cfm_vc/pbmc/held_out"))
    project.flow()
    commit = project.commit("Train a flow")
    mirror("celldag")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlflow.db').resolve()}")
    rows = [
        {"perturbation": "drug", "cell_type": "T", "batch": "a"},
        {"perturbation": "toxin", "cell_type": "B", "batch": "never seen"},
        {"perturbation": "drug+toxin", "cell_type": "B", "batch": "b"},
    ]
    dosed = [{"perturbation": "drug", "cell_type": "T", "batch": "a", "dose": 0.5}]
    params = {"cells": 20, "seed": 1, "provenance": True}
    with started("models", "serve", "-m", "models:/celldag-cfm_vc-pbmc@newest", "--env-manager", "local") as server:

        def ask(records: list[dict[str, Any]]) -> Any:
            content = json.dumps({"dataframe_records": records, "params": params}).encode()
            request = urllib.request.Request(
                f"{server.url}/invocations", data=content, headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["predictions"]

        predicted, at_dose = ask(rows), ask(dosed)
        for wrong, words in (
            ({"perturbation": "drugg"}, "perturbation 'drugg' is unknown to the model, perhaps 'drug'"),
            ({"doses": 2.0}, "unknown column 'doses', perhaps 'dose'"),
            ({"dose": -1}, "row 1: dose -1: expected a number from 0 to 1,000,000,000"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask([{**rows[0], **wrong}])
            assert refused.value.code == 400
            answer = refused.value.read().decode()
            assert words in answer
            assert "Traceback" not in answer
        assert listeners(server.port) == {"0100007F"}
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("models:/celldag-cfm_vc-pbmc/1")
    for served, asked in ((predicted, rows), (at_dose, dosed)):
        expected = model.predict(pd.DataFrame(asked), params=params)
        assert sorted(expected.columns) == sorted([*(f"gene{g}" for g in range(12)), "provenance"])
        pd.testing.assert_frame_equal(pd.DataFrame(served), expected, rtol=1e-6)
    assert json.loads(predicted[0]["provenance"])["commit"] == commit
