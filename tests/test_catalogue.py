"""Downloads, from a server of our own on loopback."""

import argparse
import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from pipeline.commands import fetch as command
from pipeline.commands.catalogue import Entry, fetch, read_catalogue, select
from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.params.reading import validated
from pipeline.registry import Params

CONTENT = b"pictures" * 100


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "some.tar.gz").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "served")) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/some.tar.gz"
        http.shutdown()


def entry(url: str, digest: str) -> Entry:
    return Entry(url=url, hash=f"md5:{digest}", description="", licence="", citation="", study={})


def test_a_file_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    known = entry(server, hashlib.md5(CONTENT).hexdigest())
    path = fetch(known, tmp_path / "fetched")
    assert path == tmp_path / "fetched" / "some.tar.gz"
    assert path.read_bytes() == CONTENT
    (tmp_path / "served" / "some.tar.gz").unlink()
    assert fetch(known, tmp_path / "fetched") == path


def test_several_files_of_one_address_lie_in_one_folder_each_checked(server: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "b.gz").write_bytes(b"labels")
    known = {"some.tar.gz": hashlib.md5(CONTENT).hexdigest(), "b.gz": hashlib.md5(b"labels").hexdigest()}
    about = {"url": server.removesuffix("some.tar.gz"), "name": "both", **dict.fromkeys(("description", "licence"), "")}
    of = {**about, "citation": "", "study": {}}
    entry = Entry(**of, files={name: f"md5:{digest}" for name, digest in known.items()})
    path = fetch(entry, tmp_path / "fetched")
    assert path == tmp_path / "fetched" / "both"
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {"some.tar.gz": CONTENT, "b.gz": b"labels"}
    changed = Entry(**of, files={"some.tar.gz": f"md5:{known['some.tar.gz']}", "b.gz": f"md5:{'0' * 32}"})
    with pytest.raises(ExpectedError, match=r"b\.gz does not have the expected content"):
        fetch(changed, tmp_path / "again")
    assert [file.name for file in (tmp_path / "again" / "both").iterdir()] == ["some.tar.gz"]
    for wrong in ({"url": server}, {"name": None}, {"hash": f"md5:{'0' * 32}"}, {"files": {}}):
        with pytest.raises(ValueError, match=r"several files have|the address of one file"):
            Entry(**{**of, "files": entry.files, **wrong})


def test_a_file_of_unknown_hash_is_kept_under_its_own_name(server: str, tmp_path: Path) -> None:
    known = Entry(url=server, hash=None, name="own.h5ad", description="", licence="", citation="", study={})
    assert fetch(known, tmp_path / "fetched") == tmp_path / "fetched" / "own.h5ad"
    assert (tmp_path / "fetched" / "own.h5ad").read_bytes() == CONTENT


def test_every_study_of_the_catalogue_is_one_of_its_file_and_valid() -> None:
    for name, found in read_catalogue(Path(__file__).parents[1] / paths.CATALOGUE).items():
        params = validated(Params, yaml.safe_load(found.lines), name)
        studies = [study for system in found.study for study in getattr(params, system).studies.values()]
        assert [study.ingest.path for study in studies] == [str(paths.FETCHED / found.file)]


def test_another_file_than_expected_is_refused_and_not_left_there(server: str, tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match="does not have the expected content"):
        fetch(entry(server, "0" * 32), tmp_path / "fetched")
    assert not list((tmp_path / "fetched").iterdir())


def test_a_server_that_is_not_there(server: str, tmp_path: Path) -> None:
    for url in (server.replace("some", "other"), "http://127.0.0.1:9/some.tar.gz"):
        with pytest.raises(ExpectedError, match="cannot be downloaded"):
            fetch(entry(url, "0" * 32), tmp_path / "fetched")


def test_a_password_in_an_address_is_neither_shown_nor_kept(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    Repo.init(no_scm=True).close()
    url = server.replace("http://", "http://someone:se@cret@")
    known = {"hash": f"md5:{hashlib.md5(CONTENT).hexdigest()}", "description": "", "licence": "", "citation": ""}
    paths.CATALOGUE.parent.mkdir()
    write_json(
        paths.CATALOGUE, {"some": {"url": url, **known}, "gone": {"url": url.replace("some.t", "gone.t"), **known}}
    )
    command.run(argparse.Namespace(name="some"))
    assert f"fetching {server}\n" in (said := capsys.readouterr().out)
    written = (paths.FETCHED / "some.tar.gz.dvc").read_text()
    with pytest.raises(ExpectedError) as refused:
        command.run(argparse.Namespace(name="gone"))
    assert server.replace("some.t", "gone.t") in str(refused.value)
    assert "cret" not in said + written + str(refused.value)


def test_the_catalogue_names_what_it_has() -> None:
    entries = read_catalogue(Path(__file__).parents[1] / paths.CATALOGUE)
    assert select(entries, "cifar10").file == "cifar-10-binary.tar.gz"
    with pytest.raises(ExpectedError, match="did you mean 'cifar100'"):
        select(entries, "cifar1000")
