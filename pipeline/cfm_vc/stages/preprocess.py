"""The cells of a study to a sharded parquet store: cells and genes filtered, genes selected, cells split and shuffled.

Three passes over the file, none of which holds more than a few blocks of it (pipeline.data.streaming_preprocess).
Held-out groups are excluded from gene selection too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.cfm_vc.data.splits import TEST, TRAIN, VALIDATION, Group, Groups, assign, check_groups, find_held_out
from pipeline.cfm_vc.params.preprocess import FoldPreprocess
from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, write_json
from pipeline.core.paths import StudyPaths
from pipeline.data.arrow import strings
from pipeline.data.coordinates import Frame
from pipeline.data.doses import one_treatment_each
from pipeline.data.raw_cells import open_raw_cells
from pipeline.data.store import SPLITS
from pipeline.data.streaming_preprocess import Passes, Quality, compact, read_source, sizes

SECTION = "cfm_vc.preprocess"
COVARIATES = ("perturbation", "cell_type", "batch")


def run(settings: FoldPreprocess, at: StudyPaths) -> None:
    """Write the store of a fold and its quality control; nothing on error."""
    raw = at.raw
    source = read_source(raw / "source.json")
    with open_raw_cells(raw) as reader:
        covariates = {name: compact(reader.covariate(name)) for name in COVARIATES}
        doses, places_NS = reader.doses(), reader.spatial()
        groups = Groups(
            covariates["cell_type"].codes,
            covariates["perturbation"].codes,
            covariates["cell_type"].labels,
            covariates["perturbation"].labels,
            source["control"],
            one_treatment_each(covariates["perturbation"].labels, source["control"]) if doses is None else doses,
        )
        held_out = find_held_out(groups, [(pair.cell_type, pair.perturbation) for pair in settings.held_out])
        passes = Passes(reader, settings, SECTION)
        quality = passes.quality(~groups.among(held_out))
        check_groups(groups, quality.kept_N, held_out, settings.min_cells_per_group)
        split_N = assign(groups, quality.kept_N, held_out, settings.validation_share, settings.seed)
        frame = None if places_NS is None else Frame.of(places_NS[split_N == TRAIN])
        selection = passes.select_genes(quality, (split_N == TRAIN) | (split_N == VALIDATION))
        of_some_inputs = {
            "combination": source.get("combination"),
            "doses": doses,
            "spatial": None if frame is None else frame.described(),
        }
        description = {
            **{key: source[key] for key in ("kind", "simulated", "description", "input_sha256", "control")},
            "held_out": [groups.labels(group) for group in held_out],
            "filtered": passes.filtered(quality, selection),
            "notes": source["notes"] + selection.notes,
            **{name: value for name, value in of_some_inputs.items() if value is not None},
        }
        spatial_NS = None if frame is None or places_NS is None else frame.scaled(places_NS)
        with atomic_folder(at.store) as folder:
            dataset = passes.write_store(folder, selection, covariates, spatial_NS, split_N, description)
            if source["simulated"]:
                _write_truth(
                    raw / "truth.parquet", folder / "truth.parquet", [reader.genes[g] for g in selection.genes]
                )
    write_json(at.quality, _quality_report(quality, groups, held_out, settings, dataset["filtered"]))
    print(_summary(dataset))


def _write_truth(source: Path, target: Path, genes: list[str]) -> None:
    truth = pq.ParquetFile(source).read()
    kept = truth.filter(pc.is_in(truth.column("gene"), value_set=strings(genes)))
    pq.write_table(kept, target, compression="zstd")


def _quality_report(
    quality: Quality, groups: Groups, held_out: list[Group], settings: FoldPreprocess, filtered: dict[str, int]
) -> dict[str, Any]:
    before_CP, after_CP = groups.sizes(), groups.sizes(quality.kept_N)
    thresholds = ("min_counts_per_cell", "min_genes_per_cell", "min_cells_per_gene", "min_cells_per_group")
    return {
        "histograms": quality.cells.histograms(),
        "groups": [
            {
                "cell_type": groups.cell_types[c],
                "perturbation": groups.perturbations[p],
                "before": int(before_CP[c, p]),
                "after": int(after_CP[c, p]),
                "split": SPLITS[TEST] if (c, p) in held_out else SPLITS[TRAIN],
            }
            for c, p in np.argwhere(before_CP > 0).tolist()
        ],
        "thresholds": {name: getattr(settings, name) for name in thresholds},
        "filtered": filtered,
    }


def _summary(dataset: dict[str, Any]) -> str:
    held_out = ", ".join(f"({pair['cell_type']}, {pair['perturbation']})" for pair in dataset["held_out"])
    splits = ", ".join(f"{name} {dataset['splits'][name]['cells']:,}" for name in SPLITS)
    lines = [*sizes(dataset), f"splits: {splits}{f' = {held_out}' if held_out else ', as nothing is held out'}"]
    return "\n".join(lines + [f"note: {note}" for note in dataset["notes"]])


if __name__ == "__main__":
    run_study_stage(SECTION, run)
