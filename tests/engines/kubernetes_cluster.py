"""A stand-in for a cluster of Kubernetes: the part of its API that profiles/kubernetes uses, over HTTP.

It keeps the manifests that it was sent, runs each pod's command on this machine, and answers as Kubernetes does. What
it cannot show: whether a real cluster takes the manifests, pulls the image and mounts the volume.
"""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?")
PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods")
CLAIM = re.compile(r"/api/v1/namespaces/([^/]+)/persistentvolumeclaims/([^/]+)")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123; a job's is a label of its pod as well
LABEL = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")


class StandIn:
    """What the cluster holds, and what it is to say."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment  # of pods: stands for the image
        self.sent: list[dict[str, Any]] = []
        self.status: dict[str, dict[str, Any]] = {}  # of each job
        self.pods: dict[str, dict[str, Any]] = {}  # status of the pod of each job
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.allowed, self.modes = True, ["ReadWriteMany"]
        self.killing: dict[str, str] = {}  # by stage, the reason for which its container is killed
        self.lock = threading.Lock()

    def job_of(self, address: str) -> dict[str, Any]:
        """The last manifest of a stage."""
        return [job for job in self.sent if job["metadata"]["annotations"]["celldag/stage"] == address][-1]

    def create(self, job: dict[str, Any]) -> str | None:
        """Take a job and start its pod; or why not."""
        about, pod = job["metadata"], job["spec"]["template"]["spec"]
        if not NAME.fullmatch(about["name"]) or not all(LABEL.fullmatch(value) for value in about["labels"].values()):
            return f"Job {about['name']!r} is invalid"
        (container,), (volume,) = pod["containers"], pod["volumes"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
        self.sent.append(job)
        self.status[about["name"]], self.pods[about["name"]] = {"active": 1}, {}
        environment = self.environment | {variable["name"]: variable["value"] for variable in container["env"]}
        reason = self.killing.pop(about["annotations"]["celldag/stage"], None)
        process = subprocess.Popen(
            ["sleep", "0"] if reason else container["command"],
            cwd=container["workingDir"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.running[about["name"]] = process
        threading.Thread(target=self._await, args=(about["name"], process, reason), daemon=True).start()
        return None

    def _await(self, name: str, process: subprocess.Popen[bytes], reason: str | None) -> None:
        code = process.wait()
        if code == 0 and reason is None:
            condition = {"type": "Complete", "status": "True"}
        else:
            condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        terminated = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        with self.lock:
            if name in self.status:
                self.pods[name] = {"containerStatuses": [{"name": "stage", "state": {"terminated": terminated}}]}
                self.status[name] = {"conditions": [condition]}

    def delete(self, name: str) -> bool:
        with self.lock:
            known = self.status.pop(name, None) is not None
        if known and self.running[name].poll() is None:
            os.killpg(self.running[name].pid, signal.SIGKILL)
        return known

    def stop(self) -> None:
        for name in list(self.status):
            self.delete(name)

    def answer(self, verb: str, url: str, body: Any) -> tuple[int, Any]:
        """Of a request: its code and JSON."""
        path, asked = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path.endswith("selfsubjectaccessreviews") and verb == "POST":
            return 201, {**body, "status": {"allowed": self.allowed}}
        if (claim := CLAIM.fullmatch(path)) and claim[2] == "celldag":
            return 200, {"kind": "PersistentVolumeClaim", "spec": {"accessModes": self.modes}}
        if (found := JOBS.fullmatch(path)) and verb == "POST":
            assert body["metadata"]["namespace"] == found[1]
            problem = self.create(body)
            return (422, _problem(422, "Invalid", problem)) if problem else (201, body)
        if found and verb == "DELETE" and self.delete(found[2]):
            assert asked["propagationPolicy"] == ["Background"]
            return 200, {"kind": "Status", "status": "Success"}
        with self.lock:
            held = [job for job in self.sent if job["metadata"]["name"] in self.status and _matches(job, asked)]
            if found and verb == "GET":
                items = [job | {"status": self.status[job["metadata"]["name"]]} for job in held]
                return 200, {"kind": "JobList", "items": items}
            if PODS.fullmatch(path):
                names = [job["metadata"]["name"] for job in held]
                pods = [{"metadata": {"labels": {"job-name": name}}, "status": self.pods[name]} for name in names]
                return 200, {"kind": "PodList", "items": pods}
        return 404, _problem(404, "NotFound", f"{path} not found")


def _matches(job: dict[str, Any], asked: dict[str, list[str]]) -> bool:
    name, _, value = asked["labelSelector"][0].partition("=")
    return job["metadata"]["labels"][name] == job["spec"]["template"]["metadata"]["labels"][name] == value


def _problem(code: int, reason: str, message: str) -> dict[str, Any]:
    kind = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**kind, "reason": reason, "message": message, "code": code}


@contextmanager
def running_stand_in(folder: Path, environment: dict[str, str]) -> Iterator[StandIn]:
    """The stand-in, and `folder`/kubeconfig by which kubectl finds it."""
    cluster = StandIn(environment)

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            content = b"".join(self._chunks())
            code, found = cluster.answer(self.command, self.path, json.loads(content) if content else None)
            text = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _chunks(self) -> Iterator[bytes]:
            """What was sent: kubectl does not say beforehand how much it is."""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                yield self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_POST = do_DELETE = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stand-in", "cluster": {"server": here}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "tester"}}],
        "users": [{"name": "tester", "user": {"token": "of a test"}}],
        "current-context": "stand-in",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    try:
        yield cluster
    finally:
        cluster.stop()
        server.shutdown()
        server.server_close()
