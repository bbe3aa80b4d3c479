"""`python -m pipeline schema`: the JSON schema of params.yaml, printed, written or checked."""

import argparse
import json

from pipeline.commands.generated import add_generated_arguments, deliver
from pipeline.core import paths
from pipeline.registry import Params

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generated_arguments(parser, paths.SCHEMA)


def run(arguments: argparse.Namespace) -> None:
    """Print the schema, write it, or check the committed one."""
    deliver(schema_text(), paths.SCHEMA, arguments)


def schema_text() -> str:
    """The text of the schema file."""
    schema = {"$schema": SCHEMA_DIALECT, **Params.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
