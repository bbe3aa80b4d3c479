"""`python -m pipeline dag`: the DAG of dvc.yaml as an SVG, printed, written or checked."""

import argparse

from pipeline.commands.dag_picture import draw_dag
from pipeline.commands.generated import add_generated_arguments, deliver
from pipeline.core import paths
from workflow.dag import read_stages, without_gates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_generated_arguments(parser, paths.DAG)


def run(arguments: argparse.Namespace) -> None:
    """Print the SVG, write it, or check the committed one."""
    deliver(dag_svg(), paths.DAG, arguments)


def dag_svg() -> str:
    """SVG of the stages with a command, without gates, in the order of the DAG."""
    stages = [stage for stage in without_gates(read_stages()) if stage.command]
    nodes = [stage.address for stage in stages]
    edges = [(address, stage.address) for stage in stages for address in stage.upstream if address in nodes]
    return draw_dag(nodes, edges)
