"""Public data sets that can be downloaded: data/catalogue.yaml gives the address and hash of each."""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, model_validator

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import did_you_mean
from pipeline.params.reading import read_yaml, validated
from pipeline.params.section import LONGEST_LIST, Section, Text

Hash = Annotated[str, Field(pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$", max_length=71)]
FileName = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=200)]
StudiesOf = Annotated[dict[Text, Any], Field(max_length=LONGEST_LIST)]
Studies = Annotated[dict[Text, StudiesOf], Field(default_factory=dict, max_length=LONGEST_LIST)]


class Entry(Section):
    """One file; or several files of one address, which ends in "/", that are kept in one folder."""

    url: Annotated[str, Field(pattern=r"^https?://[^?#]*/[\w.-]*$", max_length=2_000)]
    hash: Hash | None = None
    files: Annotated[dict[FileName, Hash], Field(default_factory=dict, max_length=LONGEST_LIST)]
    name: FileName | None = None  # of the file, None: as in the address; or of the folder of several
    description: Text
    licence: Text
    citation: Text
    study: Studies  # by system and name, as below `studies` in params.yaml

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.files and (self.hash is not None or self.name is None or not self.url.endswith("/")):
            raise ValueError("several files have no hash in common, a folder's name, and an address that ends in /")
        if not self.files and self.url.endswith("/"):
            raise ValueError("the address of one file ends in its name")
        return self

    @property
    def file(self) -> str:
        """The name of the file, or of the folder of several."""
        return self.name or self.url.rpartition("/")[2]

    @property
    def lines(self) -> str:
        """The study as lines of params.yaml."""
        studies = {system: {"studies": of} for system, of in self.study.items()}
        return yaml.safe_dump(studies, sort_keys=False, default_flow_style=None, width=100)


class Catalogue(Section):
    entries: Annotated[dict[Text, Entry], Field(max_length=LONGEST_LIST)]


def read_catalogue(path: Path) -> dict[str, Entry]:
    """The entries by name. ExpectedError if the file is not a catalogue."""
    return validated(Catalogue, {"entries": read_yaml(path)}, str(path)).entries


def select(entries: dict[str, Entry], name: str) -> Entry:
    """The entry of this name. ExpectedError, with the closest name, if there is none."""
    if name not in entries:
        advice = did_you_mean(name, entries, f"entries are {', '.join(entries)}")
        raise ExpectedError(f"the catalogue has no {name!r}; {advice}")
    return entries[name]


def fetch(entry: Entry, folder: Path) -> Path:
    """Download the file into `folder`, or several into a folder in it, unless they exist; returns its path.

    ExpectedError if one cannot be downloaded or its hash differs; nothing of that one is left on disk then.
    """
    if not entry.files:
        return _retrieve(entry.url, entry.hash, entry.file, folder)
    for name, known in entry.files.items():
        _retrieve(f"{entry.url}{name}", known, name, folder / entry.file)
    return folder / entry.file


def _retrieve(url: str, known_hash: str | None, name: str, folder: Path) -> Path:
    import pooch  # here, since it imports requests
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, known_hash, name, folder, progressbar=False))
    except ValueError as error:  # pooch's error for a wrong hash
        raise ExpectedError(f"{url} does not have the expected content: {error}") from error
    except RequestException as error:
        raise ExpectedError(f"{url} cannot be downloaded: {error}; is there a network connection?") from error
