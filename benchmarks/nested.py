"""Settings chosen for each cell type of Kang et al. without a look at it: nested leave-one-out.

    python -m benchmarks.nested studies > pairs.yaml
    python -m pipeline add pairs.yaml
    python -m pipeline run $(python -m benchmarks.nested names)
    python -m benchmarks.nested

Every two types are held out together, with every candidate. For a type, a candidate is scored on each of the others, by
the model that has seen neither: of the candidates, the one of the lowest mean rank in the two decisive scores is
chosen, and among equals that of the least squared error. Prints the scores and the choices as a markdown table.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.cfm_vc.decisive import unit_of
from pipeline.core.paths import StudyPaths
from pipeline.params.fold_names import fold_names
from pipeline.params.reading import read_yaml
from pipeline.report.origin import STUDIES

TYPES = ("B cells", "CD14+ Monocytes", "CD4 T cells", "CD8 T cells", "FCGR3A+ Monocytes")
CANDIDATES: dict[str, dict[str, Any]] = {
    "1": {"batch_size": 64, "kl_weight": 1.0},
    "03": {"batch_size": 64, "kl_weight": 0.3},
    "01": {"batch_size": 64, "kl_weight": 0.1},
    "256": {"batch_size": 256, "kl_weight": 0.1},
}
METRICS = ("pearson_change_top100", "e_distance", "mse")


def rounds() -> list[list[tuple[str, str]]]:
    """Every pair of an odd number of types once, in rounds of pairs without a type in common (the circle method)."""
    count = len(TYPES)
    steps = range(1, count // 2 + 1)
    return [[(TYPES[(r + k) % count], TYPES[(r - k) % count]) for k in steps] for r in range(count)]


def studies() -> dict[str, dict[str, Any]]:
    """By name: one of each candidate and round."""
    kang = read_yaml(Path(STUDIES))["cfm_vc"]["studies"]["kang"]
    short = fold_names(TYPES)
    return {
        f"pairs_{candidate}_{number}": {
            "ingest": kang["ingest"],
            "held_out": {
                f"{short[a]}__{short[b]}": [{"cell_type": label, "perturbation": "stim"} for label in (a, b)]
                for a, b in pairs
            },
            "seeds": [0],
            "preprocess": kang["preprocess"],
            "vae": settings,
        }
        for candidate, settings in CANDIDATES.items()
        for number, pairs in enumerate(rounds())
    }


def scores() -> pd.DataFrame:
    """Columns candidate, held_out, by, metric and value: of the type `by`, when `held_out` was held out with it."""
    found = []
    for candidate in CANDIDATES:
        for number, pairs in enumerate(rounds()):
            results = pd.read_csv(StudyPaths("cfm_vc", f"pairs_{candidate}_{number}").results)
            model = results[results["method"] == "cfm_vc"].set_index(["unit", "metric"])["value"]
            for held_out, by in [pair for one in pairs for pair in (one, one[::-1])]:
                found += [(candidate, held_out, by, m, float(model[unit_of(by, "stim"), m])) for m in METRICS]
    return pd.DataFrame(found, columns=["candidate", "held_out", "by", "metric", "value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("studies", "names", "choices"), default="choices")
    what = parser.parse_args().what
    if what == "studies":
        print(yaml.safe_dump({"cfm_vc": {"studies": studies()}}, sort_keys=False), end="")
    elif what == "names":
        print(*studies())
    else:
        print(*tables(scores()), sep="\n")


def tables(found: pd.DataFrame) -> list[str]:
    """Lines of a table: a row per held-out type and candidate, the chosen one in bold."""
    lines = ["| held out | batch_size | kl_weight | top 100 ↑ | E-distance ↓ | MSE ↓ |", "|---|--:|--:|--:|--:|--:|"]
    for held_out, of in found.groupby("held_out", sort=False):
        means = of.pivot_table(index="candidate", columns="metric", values="value")[list(METRICS)]
        ranks = means["pearson_change_top100"].rank(ascending=False) + means["e_distance"].rank()
        chosen = means.assign(rank=ranks).sort_values(["rank", "mse"]).index[0]
        for candidate, settings in CANDIDATES.items():
            row = [f"{value:.{4 if name == 'mse' else 3}f}" for name, value in means.loc[candidate].items()]
            cells = [str(held_out), str(settings["batch_size"]), str(settings["kl_weight"]), *row]
            lines.append(f"| {' | '.join(f'**{cell}**' if candidate == chosen else cell for cell in cells)} |")
    return lines


if __name__ == "__main__":
    main()
