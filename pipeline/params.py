"""params.yaml as validated, typed sections: one class per stage, unknown keys refused."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline import paths
from pipeline.errors import ExpectedError

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Widths = Annotated[list[Count], Field(min_length=1)]
Device = Literal["cpu", "cuda", "auto"]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, and no value is silently converted to another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


class ObsColumn(Section):
    """An obs column, or the part of it that the pattern's one group matches; a bare name means the whole column."""

    column: str
    pattern: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"must hold exactly one group (...), it has {groups}")
        return pattern

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class PerturbationColumns(Section):
    perturbation: ObsColumn
    cell_type: ObsColumn
    batch: ObsColumn


class IngestPerturbation(Section):
    path: str
    counts: Annotated[str, Field(pattern=r"^(X|raw/X|layers/.+)$")]
    columns: PerturbationColumns
    control: str
    dose: ObsColumn | None = None
    combination: Annotated[str, Field(min_length=1)] | None = None
    spatial: str | None = None

    @field_validator("path")
    @classmethod
    def _known_suffix(cls, path: str) -> str:
        if not path.endswith((".h5ad", ".yaml")):
            raise ValueError("must end in .h5ad (a lab's file) or .yaml (a recipe of simulated cells)")
        return path


class Ingest(Section):
    perturbation: IngestPerturbation


class HeldOutPair(Section):
    cell_type: str
    perturbation: str


class PreprocessPerturbation(Section):
    min_counts_per_cell: Whole
    min_genes_per_cell: Whole
    min_cells_per_gene: Whole
    min_cells_per_group: Annotated[int, Field(ge=2)]
    highly_variable_genes: Count
    held_out: Annotated[list[HeldOutPair], Field(min_length=1)]
    validation_share: Annotated[float, Field(gt=0, le=0.5)]
    seed: Whole
    cells_per_shard: Count
    cells_per_row_group: Count

    @model_validator(mode="after")
    def _row_groups_fill_shards(self) -> Self:
        if self.cells_per_shard % self.cells_per_row_group:
            raise ValueError("cells_per_shard must be a multiple of cells_per_row_group")
        return self


class Preprocess(Section):
    perturbation: PreprocessPerturbation


class Optimisation(Section):
    """What every training stage sets for the fit loop."""

    learning_rate: Positive
    weight_decay: NotNegative
    gradient_clip: Positive
    batch_size: Count
    epochs: Count
    patience: Count
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Whole
    threads: Count
    device: Device


class Vae(Optimisation):
    latent_intrinsic: Count
    latent_technical: Count
    hidden: Widths
    decoder_hidden: list[Count]
    covariate_embedding: Count
    covariate_dropout: Share
    kl_weight: NotNegative
    batch_weight: NotNegative


class Flow(Optimisation):
    source: Literal["control", "noise"]
    coupling: Literal["ot", "independent"]
    hidden: Widths
    time_embedding: Annotated[int, Field(ge=2, multiple_of=2)]
    covariate_embedding: Count
    covariate_dropout: Share
    perturbation_embedding: Count
    perturbation_dropout: Share
    basis: Count
    distribution_weight: NotNegative


class EvaluatePerturbation(Section):
    solver: Literal["euler", "midpoint", "rk4"]
    steps: Count
    guidance: NotNegative
    cells_per_group: Annotated[int, Field(ge=2)]
    top_genes: Widths
    principal_components: Count
    bootstrap_replicates: Whole
    seed: Whole
    threads: Count
    device: Device


class Evaluate(Section):
    perturbation: EvaluatePerturbation


class Report(Section):
    title: str


class Track(Section):
    experiment: str


class Params(Section):
    """All of params.yaml."""

    ingest: Ingest
    preprocess: Preprocess
    vae: Vae
    flow: Flow
    evaluate: Evaluate
    report: Report
    track: Track


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, and 1e-3 is a number (as in YAML 1.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; a missing or malformed file is an ExpectedError."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: run this from the project's root") from error
    except UnicodeDecodeError as error:
        raise ExpectedError(f"{path} is not valid YAML: {error}") from error


def parse_yaml(text: str, source: str) -> Any:
    """The content of YAML text that came from `source`; malformed text is an ExpectedError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ExpectedError(f"{source} is not valid YAML: {error}") from error


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate params.yaml; every problem is named in one ExpectedError."""
    return validated(Params, read_yaml(path), str(path))


def validated(schema: type[S], content: Any, source: str) -> S:
    """`content` as `schema`, or an ExpectedError that names each key, the value found and what is allowed."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        problems = [_describe(problem, schema) for problem in error.errors()]
        raise ExpectedError(f"{source} has {len(problems)} problem(s):\n" + "\n".join(problems)) from error


def select_section(params: Params, section: str) -> Section:
    """The section with this dotted name, such as `vae` or `ingest.perturbation`."""
    selected: Section = params
    for name in section.split("."):
        selected = getattr(selected, name)
    return selected


def _describe(problem: Any, schema: type[Section]) -> str:
    location = list(problem["loc"])
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = sorted(_known_keys(schema, location[:-1]))
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return f"  {key}: unknown key; {advice}"
    if problem["type"] == "missing":
        return f"  {key}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict):  # a rule over several keys: printing them all would bury the message
        return f"  {key or 'the whole file'}: {message}"
    return f"  {key or 'the whole file'} = {problem['input']!r}: {message}"


def _known_keys(schema: type[Section], location: list[Any]) -> set[str]:
    current: Any = schema
    for part in location:
        if isinstance(part, int):
            continue
        current = _section_of(current.model_fields[part].annotation)
    return set(current.model_fields)


def _section_of(annotation: Any) -> Any:
    """The Section class inside an annotation such as `list[HeldOutPair]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = (_section_of(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)
