"""What every section of params.yaml is made of: its base class, and the kinds of numbers, texts and lists.

Every kind has an upper bound, far beyond any sensible use and within what a large machine can hold, so that a typing
error ends in a message and not in a crash of native code or an endless wait. The reasons for the bounds:
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

LARGEST_NUMBER = 1e9  # the squared sum of a thousand such numbers is far below the largest float64
MOST = 10_000_000  # rows, cells, steps, one after the other: a list of so many numbers takes 80 MB
MOST_AT_ONCE = 65_536  # cells or rows that are held against each other: a square of float32 takes 16 GB
WIDEST = 16_384  # units: a square layer, its gradient and the two moments of AdamW take 4 GB
MOST_LAYERS = 256
MOST_EXPERTS = 1_024
MOST_STEPS = 1_000  # of a solver or sampler: more than any published one takes
MOST_PROCESSES = 256  # of one stage; in training each has a copy of the data and reads every minibatch
MOST_THREADS = 1_024  # cores of the largest machines; OpenMP dies of a million
LARGEST_SEED = 2**32 - 1  # what every generator takes
LONGEST_TEXT = 1_000  # characters of a label, a name, a title
LONGEST_PATH = 4_096  # bytes, of Linux
LONGEST_LIST = 10_000  # labels
MOST_POINTS = 100  # of a sweep, and seeds, horizons and the like: each is trained

Count = Annotated[int, Field(ge=1, le=MOST)]
Whole = Annotated[int, Field(ge=0, le=MOST)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)]
Experts = Annotated[int, Field(ge=1, le=MOST_EXPERTS)]
Window = Annotated[int, Field(ge=1, le=MOST_AT_ONCE)]  # rows of a series
Neighbourhood = Annotated[int, Field(ge=2, le=MOST_AT_ONCE)]  # cells; one has no distance to be judged by
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
SamplerSteps = Annotated[int, Field(ge=10, le=MOST_STEPS)]
Draws = Annotated[int, Field(ge=1, le=MOST_STEPS)]
DrawsIfAny = Annotated[int, Field(ge=0, le=MOST_STEPS)]  # 0: the estimate alone
Resamples = Annotated[int, Field(ge=0, le=1_000_000)]
Cells = Annotated[int, Field(ge=1, le=10_000)]  # that one row of a request starts from
Threads = Annotated[int, Field(ge=1, le=MOST_THREADS)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Megabytes = Annotated[int, Field(ge=0, le=MOST)]  # ten terabytes: more than a machine has

Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Positive = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=100)]
LogFoldChange = Annotated[float, Field(ge=-20, le=20)]  # natural log: e^20 is 5e8
LogSpread = Annotated[float, Field(ge=0, le=20)]  # standard deviation of a natural log
Dose = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]  # in the unit of the training data
Guidance = Annotated[float, Field(ge=0, le=1_000)]  # 1: none
LibrarySize = Annotated[float, Field(ge=1, le=LARGEST_NUMBER)]  # counts, which are kept in 32 bits

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
FilePath = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH)]


def in_order(paths: Sequence[str]) -> list[str]:
    """Paths in the order of the files' names: in whatever order they are listed, they mean the same data."""
    return sorted(paths, key=lambda path: (PurePath(path).name, path))


_FileList = Annotated[list[FilePath], Field(min_length=1, max_length=LONGEST_LIST), AfterValidator(in_order)]


def by_form(value: Any) -> str:
    """The tag of what a value that may be a list, a mapping or plain is written as: a message then speaks of that."""
    return "(list)" if isinstance(value, list) else "(mapping)" if isinstance(value, dict) else "(plain)"


FilePaths = Annotated[
    Annotated[FilePath, Tag("(plain)")] | Annotated[_FileList, Tag("(list)")],
    Discriminator(lambda value: "(list)" if isinstance(value, list) else "(plain)"),
]
_POINT_NAME, _COUNTS_PLACE, _MD5 = r"^[a-z][a-z0-9_]*$", r"^(auto|X|raw/X|layers/.+)$", r"^[0-9a-f]{32}$"
PointName = Annotated[str, Field(pattern=_POINT_NAME, max_length=100)]  # of a sweep; also of a stage and files
CountsPlace = Annotated[str, Field(pattern=_COUNTS_PLACE, max_length=LONGEST_TEXT)]
Md5 = Annotated[str, Field(pattern=_MD5, max_length=32)]
FORMS = {  # what messages say of these
    _POINT_NAME: "expected lower-case letters, digits and _, a letter first",
    _COUNTS_PLACE: "expected auto, X, raw/X or layers/<name>",
    _MD5: "expected 32 of 0-9 and a-f, the MD5 hash of the file",
}
Device = Literal["cpu", "cuda", "auto"]

Widths = Annotated[list[Width], Field(min_length=1, max_length=MOST_LAYERS)]
Counts = Annotated[list[Count], Field(min_length=1, max_length=MOST_POINTS)]
Seeds = Annotated[list[Seed], Field(min_length=1, max_length=MOST_POINTS)]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, and no value is silently converted to another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
