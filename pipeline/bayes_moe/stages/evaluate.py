"""Were sparse experts as accurate as their dense twin, and better calibrated? From the answers of all points."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from pipeline.bayes_moe.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.bayes_moe.metrics import paired
from pipeline.bayes_moe.metrics.calibration import reliability
from pipeline.bayes_moe.metrics.classification import (
    class_scores,
    corrupted_scores,
    known_from_other,
    least_used,
    scaled_scores,
)
from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.bayes_moe.paths import PATHS
from pipeline.core.entry import run_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, write_json, write_text
from pipeline.core.sealed import read_sealed

SECTIONS = ("bayes_moe.sweep", "bayes_moe.evaluate")

MODELS = PATHS.models
RAW, SCALED = "raw", "scaled"  # logits as they are, and divided by the temperature
Row = dict[str, Any]


class _Point:
    """What a point of the sweep wrote: answers for each seed, and what it is."""

    def __init__(self, name: str) -> None:
        folder = MODELS / name
        self.name = name
        try:
            self.about = read_sealed(folder / "about.json", "answers.safetensors")
            self.answers = load_file(folder / "answers.safetensors")
        except FileNotFoundError as error:
            raise ExpectedError(f"{error.filename} not found: `dvc repro moe_sweep@{name}` makes it") from error
        except ValueError as error:
            raise ExpectedError(f"{folder}: {error}; `dvc repro --force moe_sweep@{name}` makes it anew") from error
        self.seeds: list[int] = self.about["seeds"]
        self.temperatures: list[float] = []

    def logits(self, part: str) -> npt.NDArray[np.float64]:
        return self.answers[part].astype(np.float64)

    def labels(self, part: str) -> npt.NDArray[np.int64]:
        return self.answers[f"{part}_label"]

    def test_logits(self, kind: str) -> npt.NDArray[np.float64]:
        """(R, N, K), of every seed, with its own temperature if scaled."""
        logit_RNK = self.logits("test")
        return logit_RNK if kind == RAW else logit_RNK / np.array(self.temperatures)[:, None, None]


def run(sweep: Sweep, evaluation: Evaluate) -> None:
    """Write the table of all scores, what the figures show, and the comparison of sparse points with dense ones."""
    with threadpool_limits(sweep.recipe.threads):  # part of the result, since sums depend on their order
        _evaluate(sweep, evaluation)


def _evaluate(sweep: Sweep, evaluation: Evaluate) -> None:
    points = {name: _Point(name) for name in sweep.points}
    table = pd.DataFrame([row for point in points.values() for row in _scores(point, evaluation)])
    twins = {
        name: next(
            other
            for other, twin in sweep.points.items()
            if twin.experts is None and twin.place == sweep.points[name].place
        )
        for name in sweep.points
    }
    sparse = [name for name, point in sweep.points.items() if point.experts is not None]
    nll = table[table["metric"] == "validation_nll"].groupby("point")["value"].mean()
    chosen = min(sparse, key=lambda name: float(nll[name]))  # by validation: the test set has no part in it
    differences = [row for name in sparse for row in _differences(points[twins[name]], points[name], evaluation)]

    frames = {
        "points": pd.DataFrame([_described(point, twins, chosen) for point in points.values()]),
        "differences": pd.DataFrame(differences),
        "reliability": pd.DataFrame([row for point in points.values() for row in _reliability(point, evaluation)]),
        "corruption": pd.DataFrame([row for point in points.values() for row in _corruption(point, evaluation)]),
        "experts": pd.DataFrame([row for name in sparse for row in _experts(points[name])]),
        "sampled": pd.DataFrame(
            [row for name in sparse for row in _sampled(points[name], evaluation)], columns=_SAMPLED
        ),
    }
    with atomic_folder(PATHS.details) as folder:
        for name, frame in frames.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    write_text(PATHS.reports / "table.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(PATHS.reports / "metrics.json", _metrics(table, differences, chosen, twins[chosen]))
    print(_summary(table, differences, chosen))


def _scores(point: _Point, evaluation: Evaluate) -> list[Row]:
    """Long form: point, seed, kind, metric, value."""
    rows: list[Row] = []
    corruption = pd.DataFrame(_corruption(point, evaluation))
    for place, seed in enumerate(point.seeds):
        validation = point.logits("validation")[place], point.labels("validation")
        test = point.logits("test")[place], point.labels("test")
        temperature, raw, scaled = scaled_scores(validation, test, evaluation.bins)
        point.temperatures.append(temperature)
        other = known_from_other(test[0], point.logits("other")[place])
        once = {f"validation_{name}": value for name, value in class_scores(*validation, evaluation.bins).items()}
        once |= {"temperature": temperature, **other}
        of_seed = corruption[corruption["seed"] == seed]
        once |= {f"corrupted_{name}": float(of_seed[name].mean()) for name in ("accuracy", "nll", "ece")}
        if "expert_label" in point.answers:
            once["least_used"] = least_used(point.answers["expert_label"][place])
        for kind, found in ((RAW, raw | once), (SCALED, scaled)):
            rows += [
                {"point": point.name, "seed": seed, "kind": kind, "metric": name, "value": value}
                for name, value in found.items()
            ]
    return rows


def _corruption(point: _Point, evaluation: Evaluate) -> list[Row]:
    label_N = point.labels("corrupted")
    rows = []
    for place, seed in enumerate(point.seeds):
        found_TLS = corrupted_scores(point.logits("corrupted")[place], label_N, evaluation.bins)
        rows += [
            {
                "point": point.name,
                "seed": seed,
                "corruption": name,
                "severity": severity,
                **dict(zip(("accuracy", "nll", "ece"), found_TLS[t, level].tolist(), strict=True)),
            }
            for t, name in enumerate(CORRUPTIONS)
            for level, severity in enumerate(SEVERITIES)
        ]
    return rows


def _differences(dense: _Point, sparse: _Point, evaluation: Evaluate) -> list[Row]:
    """Sparse minus dense."""
    rows = []
    for kind in (RAW, SCALED):
        one, other = (
            paired.parts(point.test_logits(kind), point.labels("test"), evaluation.bins) for point in (dense, sparse)
        )
        found = paired.compare(one, other, evaluation.replicates, evaluation.seed)
        rows += [
            {"point": sparse.name, "twin": dense.name, "kind": kind, "metric": name, **difference._asdict()}
            for name, difference in found.items()
        ]
    return rows


def _described(point: _Point, twins: dict[str, str], chosen: str) -> Row:
    place: Row = {"point": point.name, "twin": twins[point.name], "chosen": point.name == chosen}
    return {**place, **point.about["point"], **point.about["cost"]}


def _reliability(point: _Point, evaluation: Evaluate) -> list[Row]:
    """Bins of all seeds' answers together."""
    rows: list[Row] = []
    label_RN = np.tile(point.labels("test"), len(point.seeds))
    for kind in (RAW, SCALED):
        found = reliability(np.concatenate(point.test_logits(kind)), label_RN, evaluation.bins)
        rows += [
            {"point": point.name, "kind": kind, "bin": number, "count": int(count), "confidence": c, "accuracy": a}
            for number, (count, c, a) in enumerate(zip(*found, strict=True))
        ]
    return rows


def _experts(point: _Point) -> list[Row]:
    """Tokens of each class that each expert was given."""
    return [
        {"point": point.name, "seed": seed, "expert": expert, "label": point.about["classes"][label], "tokens": int(n)}
        for seed, tokens_EK in zip(point.seeds, point.answers["expert_label"], strict=True)
        for (expert, label), n in np.ndenumerate(tokens_EK)
    ]


_SAMPLED = ["point", "seed", "samples", "accuracy", "nll", "ece", "flops"]


def _sampled(point: _Point, evaluation: Evaluate) -> list[Row]:
    """Averages over sampled routes; 0 samples: the one route without noise. A picture's trunk is computed once."""
    if "sampled" not in point.answers:
        return []
    cost, label_N = point.about["cost"], point.labels("test")
    rows = []
    for place, seed in enumerate(point.seeds):
        answers = [(0, point.logits("test")[place])]
        answers += list(zip(point.about["samples"], point.logits("sampled")[place], strict=True))
        for samples, logit_NK in answers:
            found = class_scores(logit_NK, label_N, evaluation.bins)
            flops = cost["trunk_flops"] + max(samples, 1) * (cost["activated_flops"] - cost["trunk_flops"])
            scores = {name: found[name] for name in ("accuracy", "nll", "ece")}
            rows.append({"point": point.name, "seed": seed, "samples": samples, **scores, "flops": flops})
    return rows


def _metrics(table: pd.DataFrame, differences: list[Row], chosen: str, twin: str) -> Row:
    """Mean and standard deviation over seeds of every score, and what was asked: the chosen point against its twin."""
    found: Row = {"chosen": chosen, "twin": twin}
    found["difference"] = {
        f"{row['metric']}_{row['kind']}": {name: _rounded(row[name]) for name in ("value", "low", "high", "p")}
        for row in differences
        if row["point"] == chosen
    }
    for (point, kind, metric), values in table.groupby(["point", "kind", "metric"], sort=False)["value"]:
        of_point = found.setdefault("points", {}).setdefault(point, {}).setdefault(kind, {})
        deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        of_point[metric] = {"mean": _rounded(values.mean()), "sd": _rounded(deviation)}
    return found


def _summary(table: pd.DataFrame, differences: list[Row], chosen: str) -> str:
    """What a person wants to see: means over seeds, and what each sparse point differs by."""
    shown = ["accuracy", "nll", "ece"]
    raw = table[(table["kind"] == RAW) & table["metric"].isin(shown)]
    means = raw.groupby(["point", "metric"], sort=False)["value"].mean().unstack()[shown]
    lines = [means.to_string(float_format="{:.4f}".format), ""]
    for row in differences:
        if row["kind"] == RAW and row["metric"] == "ece":
            mark = ", chosen by validation" if row["point"] == chosen else ""
            lines.append(
                f"ece of {row['point']} minus {row['twin']}: {row['value']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}], p {row['p']:.3f}{mark}"
            )
    return "\n".join(lines)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    run_stage(SECTIONS, run)
