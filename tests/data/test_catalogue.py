"""Downloads, from a server of our own on loopback."""

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.data.catalogue import Entry, fetch, read_catalogue, select
from pipeline.errors import ExpectedError

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
    return Entry(url=url, hash=f"md5:{digest}", description="", licence="", citation="")


def test_a_file_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    known = entry(server, hashlib.md5(CONTENT).hexdigest())
    path = fetch(known, tmp_path / "fetched")
    assert path == tmp_path / "fetched" / "some.tar.gz"
    assert path.read_bytes() == CONTENT
    (tmp_path / "served" / "some.tar.gz").unlink()
    assert fetch(known, tmp_path / "fetched") == path


def test_another_file_than_expected_is_refused_and_not_left_there(server: str, tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match="is not what was expected"):
        fetch(entry(server, "0" * 32), tmp_path / "fetched")
    assert not list((tmp_path / "fetched").iterdir())


def test_a_server_that_is_not_there(server: str, tmp_path: Path) -> None:
    for url in (server.replace("some", "other"), "http://127.0.0.1:9/some.tar.gz"):
        with pytest.raises(ExpectedError, match="cannot be fetched"):
            fetch(entry(url, "0" * 32), tmp_path / "fetched")


def test_the_catalogue_names_what_it_has() -> None:
    entries = read_catalogue(Path(__file__).parents[2] / paths.CATALOGUE)
    assert select(entries, "cifar10").file == "cifar-10-binary.tar.gz"
    with pytest.raises(ExpectedError, match="did you mean 'cifar100'"):
        select(entries, "cifar1000")
