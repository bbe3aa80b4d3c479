"""`python -m pipeline compare`: parameters of spatial networks, in all and activated per cell.

The reference is sized so that the relations published for such networks, of a structure that was not published, hold as
nearly as this one allows. Its dense network has 0.69 M parameters. A mixture of 4 experts, 2 per cell, activates 50.7 %
of its feed-forward parameters (published: 50.8) and 89.9 % of all (90.7); one of 8 experts 27.0 % (about 25) and 84.7 %
(83.5). These four exclude each other: where half of the feed-forward part is idle and 90.7 % of all is met, that part
is 19 % of the network, and a quarter of it leaves 85.8 %. A gate over the experts and a last bias for each come on top
of the quarter.

A gate of attention, 4 and 8 experts add 0.4, 0.5 and 1.0 %, in the order of the published 1.9, 2.2 and 4.0 %, which a
linear gate without a bias cannot reach. In a layer of width D, E experts add E D for their gate and (E - 1) D for their
biases, 7 D with 4 of them. Attention alone has 4 D², and norms and gates of the diffusion time here 320 D; with a fifth
of all parameters in the feed-forward part, 7 D are at most 0.8 · 7 / (4 D + 320) of a layer: below 1.8 % at any width.
"""

import argparse
import csv
import io
import re
from pathlib import Path
from typing import Any

from pipeline.alphastomics.commands.overrides import overridden, refuse_idle
from pipeline.alphastomics.model.cost import parameter_counts
from pipeline.alphastomics.model.network import SpatialConfig
from pipeline.alphastomics.params.diffusion import SWITCHES, Diffusion, Network
from pipeline.commands.changes import parsed
from pipeline.core.errors import ExpectedError
from pipeline.core.text_table import aligned
from pipeline.params.reading import read_yaml

SIZES = {"dimensions": 120, "layers": 4, "heads": 6, "hidden": 144}
PLAIN = {"attention": "softmax", "gate": "none", "ffn": "dense", "experts": 4, "top_k": 2}
REFERENCE: dict[str, dict[str, Any]] = {
    "dense": {},
    "gated": {"gate": "headwise"},
    "moe_4_choose_2": {"ffn": "moe", "experts": 4, "top_k": 2},
    "moe_8_choose_2": {"ffn": "moe", "experts": 8, "top_k": 2},
    "gated_moe_4_choose_2": {"gate": "headwise", "ffn": "moe", "experts": 4, "top_k": 2},
}
COLUMNS = {
    "parameters": "total",
    "activated": "activated per cell",
    "ffn": "all of the feed-forward networks",
    "ffn_activated": "those of them activated per cell",
    "ffn_rate": "ffn_activated / ffn",
    "activated_share": "activated / parameters",
    "against_dense": "parameters / those of its dense twin without a gate, - 1",
}
SECTION = "alphastomics.diffusion"
_SPEC = re.compile(r"([A-Za-z0-9_-]+):(.*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    columns = "; ".join(f"{name}: {meaning}" for name, meaning in COLUMNS.items())
    parser.description = f"{parser.description} Columns are {columns}."
    parser.add_argument(
        "specs",
        nargs="*",
        metavar="NAME:KEY=VALUE,...",
        help=f"another network, such as wide:ffn=moe,experts=16,top_k=2; keys: {', '.join(Network.model_fields)}",
    )
    parser.add_argument("--genes", type=int, default=512, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="take the sizes from the section alphastomics.diffusion of this file (default: those of the reference, "
        f"{', '.join(f'{key} {value}' for key, value in SIZES.items())})",
    )
    parser.add_argument("--csv", action="store_true", help="print comma-separated values")


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    if arguments.genes < 1:
        raise ExpectedError(f"--genes {arguments.genes}: expected 1 or more")
    sizes = SIZES if arguments.config is None else _sizes_of(arguments.config)
    networks = {name: Network(**(PLAIN | sizes | changes)) for name, changes in REFERENCE.items()}
    for spec in arguments.specs:
        name, network = _network_of(spec, PLAIN | sizes)
        if name in networks:
            raise ExpectedError(f"{spec}: there is a network {name!r} already; give it another name")
        networks[name] = network
    rows = {name: _row(network, arguments.genes) for name, network in networks.items()}
    print(_csv(rows) if arguments.csv else _aligned(rows), end="")


def _sizes_of(file: Path) -> dict[str, Any]:
    settings = overridden(Diffusion, SECTION, read_yaml(file), [], str(file))
    return {key: getattr(settings, key) for key in SIZES}


def _network_of(spec: str, plain: dict[str, Any]) -> tuple[str, Network]:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ExpectedError(f"{spec}: expected NAME:KEY=VALUE,... such as wide:ffn=moe,experts=16,top_k=2")
    name, values = match.groups()
    changes = values.split(",") if values else []
    network = overridden(Network, name, {name: plain}, changes, "the reference")
    refuse_idle(network, parsed(changes, name), SWITCHES[:1])
    return name, network


def _row(network: Network, genes: int) -> dict[str, float]:
    counts = _counts(network, genes)
    twin = _counts(network.model_copy(update={"ffn": "dense", "gate": "none"}), genes)
    return {
        "parameters": counts["total"],
        "activated": counts["activated"],
        "ffn": counts["ffn_total"],
        "ffn_activated": counts["ffn_activated"],
        "ffn_rate": counts["ffn_activated"] / counts["ffn_total"],
        "activated_share": counts["activated"] / counts["total"],
        "against_dense": counts["total"] / twin["total"] - 1,
    }


def _counts(network: Network, genes: int) -> dict[str, int]:
    # Without covariates, each of which would add a vector for each of its categories.
    return parameter_counts(SpatialConfig.of(network, genes=genes, space=2, cell_types=0, sections=0))


def _csv(rows: dict[str, dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", *COLUMNS])
    writer.writerows(
        [name, *(f"{value:.7g}" if isinstance(value, float) else value for value in row.values())]
        for name, row in rows.items()
    )
    return text.getvalue()


def _aligned(rows: dict[str, dict[str, float]]) -> str:
    """Names to the left, numbers to the right; shares in per cent."""
    shown = [["network", *COLUMNS]]
    for name, row in rows.items():
        cells = [f"{row[column]:,.0f}" for column in list(COLUMNS)[:4]]
        shown.append([name, *cells, *(f"{row[column]:.1%}" for column in ("ffn_rate", "activated_share"))])
        shown[-1].append(f"{row['against_dense']:+.1%}")
    return "\n".join(aligned(shown)) + "\n"
