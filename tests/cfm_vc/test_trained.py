"""A trained CFM-VC in use: what is predicted, embedded and decoded, and what is said about cells that are unusual."""

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix, issparse

from pipeline.cfm_vc.model.generate import generate, sample_counts
from pipeline.cfm_vc.trained import CELLS_PER_BLOCK, CfmVc
from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.training.determinism import Purpose, torch_generator

GENES = [f"gene{g}" for g in range(12)]
CPU = torch.device("cpu")


def cells(number: int = 30, genes: list[str] = GENES, seed: int = 0) -> anndata.AnnData:
    """Controls of two cell types and two batches, one of each unknown to the model."""
    random = np.random.default_rng(seed)
    counts = random.poisson(random.gamma(2, 2, len(genes)), (number, len(genes)))
    obs = pd.DataFrame(
        {
            "kind": np.array(["T", "platelet"])[np.arange(number) % 2],
            "donor": np.array(["a", "z"])[np.arange(number) % 2],
        },
        index=[f"cell{i}" for i in range(number)],
    )
    return anndata.AnnData(csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=genes))


@pytest.fixture
def model(saved_cfm_vc, tmp_path):
    return CfmVc.load(saved_cfm_vc(tmp_path / "models"))


def test_a_prediction_is_what_the_models_generate(model):
    """The same from the models' own functions, on dense arrays."""
    adata = cells()
    predicted = model.predict(adata, "A@10", cell_type="T", batch="b", seed=5, steps=3, method="midpoint")
    x = torch.from_numpy(adata.X.toarray())
    code = {"T": 2, "b": 1}
    cell_type, batch = (torch.full((len(x),), code[label]) for label in "Tb")
    generator = torch_generator(CPU, 5, Purpose.PREDICTION, 0)
    p = torch.tensor([[1.0, 0.0]]).expand(len(x), -1)  # the largest dose of A, none of B
    made = generate(
        model.vae, model.field, x, cell_type, batch, p,
        source="control", steps=3, method="midpoint", generator=generator,
    )  # fmt: skip
    counts = next(sample_counts(model.vae, made, x, "control", generator))
    assert predicted.X.dtype == np.int32
    np.testing.assert_array_equal(predicted.X.toarray(), counts.numpy())
    np.testing.assert_array_equal(predicted.obsm["X_z_int"], made.int_BI.numpy())
    np.testing.assert_array_equal(predicted.obsm["X_z_tech"], made.tech_BT.numpy())
    started = model.latent(adata, cell_type="T", batch="b")
    np.testing.assert_array_equal(predicted.obsm["X_z_int_control"], started.obsm["X_z_int"])
    means = model.predict(adata, "A@10", cell_type="T", batch="b", steps=3, method="midpoint", output="means")
    assert means.X.dtype == np.float32
    expected = generate(
        model.vae, model.field, x, cell_type, batch, p,
        source="control", steps=3, method="midpoint", generator=generator, sampled=False,
    )  # fmt: skip
    np.testing.assert_allclose(means.X, expected.log_mean_BG.exp().numpy(), rtol=1e-6)


def test_decoding_predicted_latents_gives_the_predicted_means_at_the_asked_library_size(model):
    predicted = model.predict(cells(), "B", cell_type="T", output="means")
    decoded = model.decode(predicted, library_size=1000)
    np.testing.assert_allclose(decoded.X.sum(1), 1000, rtol=1e-5)
    share = predicted.X / predicted.X.sum(1, keepdims=True)
    np.testing.assert_allclose(decoded.X / 1000, share, rtol=1e-4)
    assert "without the size of the effect" in " ".join(decoded.uns["celldag"]["notes"])
    encoded = model.decode(model.latent(cells(), cell_type="T"), library_size=1000)
    assert "without the size of the effect" not in " ".join(encoded.uns["celldag"]["notes"])
    counts = model.decode(predicted, library_size=1e6, output="counts").X
    assert issparse(counts)
    # The mean of the sampled counts is the decoded mean: NB variance is μ + μ² here (θ = 1 in an untrained VAE).
    wanted = 1e3 * decoded.X
    error = (counts.toarray().mean(0) - wanted.mean(0)) / np.sqrt((wanted + wanted**2).sum(0) / len(wanted) ** 2)
    assert np.abs(error).max() < 4


def test_the_seed_decides_and_cells_are_drawn_in_blocks_of_a_fixed_size(model, monkeypatch):
    adata = cells(CELLS_PER_BLOCK + 200)
    first = model.predict(adata, "B", cell_type="T", seed=1)
    again = model.predict(adata, "B", cell_type="T", seed=1)
    other = model.predict(adata, "B", cell_type="T", seed=2)
    assert (first.X != again.X).nnz == 0
    assert (first.X != other.X).nnz > 0
    # However many cells are read at a time.
    monkeypatch.setattr("pipeline.data.new_cells.rows_per_block", lambda _genes: 64)
    small = model.predict(adata, "B", cell_type="T", seed=1)
    assert (first.X != small.X).nnz == 0
    np.testing.assert_array_equal(first.obsm["X_z_int"], small.obsm["X_z_int"])


def test_genes_are_matched_by_name_in_any_order(model):
    adata = cells()
    shuffled = adata[:, np.random.default_rng(1).permutation(12)].copy()
    expected = model.predict(adata, "B", cell_type="T").X
    assert (expected != model.predict(shuffled, "B", cell_type="T").X).nnz == 0
    shuffled.X = csc_matrix(shuffled.X)
    assert (expected != model.predict(shuffled, "B", cell_type="T").X).nnz == 0
    shuffled.X = shuffled.X.toarray().astype(np.int64)
    assert (expected != model.predict(shuffled, "B", cell_type="T").X).nnz == 0


def test_missing_genes_are_zero_and_extra_ones_ignored_and_both_are_reported(model):
    adata = cells()
    zeroed = adata.copy()
    zeroed.X = zeroed.X.toarray()
    zeroed.X[:, [0, 3]] = 0
    fewer = cells(genes=[*GENES, "other1", "other2"])
    fewer.X = np.hstack([adata.X.toarray(), np.full((30, 2), 7.0)])
    fewer = fewer[:, [g for g in fewer.var_names if g not in ("gene0", "gene3")]].copy()
    one, two = (model.predict(each, "B", cell_type="T", batch="a") for each in (zeroed, fewer))
    assert (one.X != two.X).nnz == 0
    assert list(two.var_names) == GENES
    [line] = two.uns["celldag"]["notes"]
    assert (
        line == "genes: 10 of the model's 12 found, 2 taken as zero (gene0, gene3); 2 others ignored (other1, other2)"
    )
    assert list(two.uns["celldag"]["report"]["missing_genes"]) == ["gene0", "gene3"]
    assert two.uns["celldag"]["report"]["extra_genes"] == 2


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([f"ENSG{g}" for g in range(12)], "holds 0 of the model's 12 genes, at least half are needed.*ENSG0.*gene0"),
        ([*GENES[:5], *"abcdefg"], "holds 5 of the model's 12 genes"),
        (["gene0", *GENES[:11]], r"gene names in var: found 1 duplicate name \(gene0\)"),
    ],
)
def test_genes_that_do_not_fit_are_refused(model, genes, message):
    adata = cells()
    adata.var_names = genes
    with pytest.raises(ExpectedError, match=message):
        model.predict(adata, "B")


def test_half_of_the_genes_are_enough(model):
    assert model.predict(cells()[:, :6].copy(), "B").shape == (30, 12)


def test_unseen_cell_types_and_batches_are_unknown_and_reported(model):
    predicted = model.predict(cells(), "B", cell_type_column="kind", batch_column="donor")
    assert list(predicted.uns["celldag"]["notes"][1:]) == [
        'cell type treated as "unknown": platelet (15 cells)',
        'batch treated as "unknown": z (15 cells)',
    ]
    assert list(predicted.obs["cell_type"][:2]) == ["T", "platelet"]
    assert list(predicted.obs["kind"][:2]) == ["T", "platelet"]
    # Cells without a label, and of any label that is not the model's, are alike.
    other = model.predict(cells(), "B", cell_type="yet another", output="means")
    none = model.predict(cells(), "B", output="means")
    np.testing.assert_array_equal(other.X, none.X)
    assert set(none.obs["cell_type"]) == {"unknown"}
    assert 'cell type treated as "unknown": no label (30 cells)' in none.uns["celldag"]["notes"]


def test_labels_may_be_missing_or_whole_numbers_stored_as_floats(model):
    adata = cells(4)
    adata.obs["kind"] = pd.Categorical(["T", None, "B", "T"])
    adata.obs["donor"] = [101.0, np.nan, 101.0, 5.0]
    predicted = model.predict(adata, "B", cell_type_column="kind", batch_column="donor")
    assert list(predicted.obs["batch"]) == ["101", "unknown", "101", "5"]
    assert list(predicted.obs["cell_type"]) == ["T", "unknown", "B", "T"]


def test_only_controls_are_used_where_a_column_tells_them(model):
    adata = cells()
    adata.obs["condition"] = np.array(["control", "B", "control"])[np.arange(30) % 3]
    used = model.predict(adata, "B", cell_type="T", perturbation_column="condition")
    alone = model.predict(adata[adata.obs["condition"] == "control"].copy(), "B", cell_type="T")
    assert list(used.obs_names) == list(alone.obs_names)
    assert (used.X != alone.X).nnz == 0
    assert set(used.obs["perturbation"]) == {"B"}
    with pytest.raises(
        ExpectedError, match="no cell has the label 'ctrl' in obs column 'condition'; there are B, cont"
    ):
        model.predict(adata, "B", perturbation_column="condition", control_label="ctrl")
    with pytest.raises(ExpectedError, match="the label of control cells is empty"):
        model.predict(adata, "B", perturbation_column="condition", control_label="")
    adata.obs["condition"] = "NA"
    with pytest.raises(ExpectedError, match=r"no cell has the label 'control' .*\(read as missing: the text 'NA'\)"):
        model.predict(adata, "B", perturbation_column="condition")
    adata.obs["condition"] = np.array(["control", "B", "control"])[np.arange(30) % 3]
    with pytest.raises(ExpectedError, match="no column 'conditoin', perhaps 'condition'"):
        model.predict(adata, "B", perturbation_column="conditoin")
    with pytest.raises(ExpectedError, match="without the column"):
        model.predict(adata, "B", control_label="control")
    with pytest.raises(ExpectedError, match="both a cell_type"):
        model.predict(adata, "B", cell_type="T", cell_type_column="kind")


def test_empty_cells_and_huge_counts_have_finite_answers(model):
    adata = cells(6)
    adata.X = adata.X.toarray()
    adata.X[0] = 0
    adata.X[1] = 100_000
    adata.X[2] = 0
    adata.X[2, 3] = 100_000
    for output in ("counts", "means"):
        predicted = model.predict(adata, "B", cell_type="T", batch="a", output=output)
        values = predicted.X.toarray() if output == "counts" else predicted.X
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert all(np.isfinite(predicted.obsm[key]).all() for key in predicted.obsm)
        assert "1 cell without a count: treated as cells of a single count" in predicted.uns["celldag"]["notes"]
    np.testing.assert_allclose(values.sum(1), np.maximum(adata.X.sum(1), 1), rtol=1e-4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "1 negative value"),
        (0.5, "1 non-integer value"),
        (np.nan, "1 NaN value"),
        (np.inf, "1 infinite value"),
        (3e9, "beyond 2,147,483,647"),
    ],
)
def test_what_is_no_count_is_refused(model, value, message):
    adata = cells()
    adata.X = adata.X.toarray().astype(np.float64)
    adata.X[7, 2] = value
    with pytest.raises(ExpectedError, match=rf"{message}.*in cell 8, gene 3.*expected raw counts"):
        model.predict(adata, "B")


def test_counts_can_be_in_a_layer_or_in_raw(model):
    adata = cells()
    expected = model.predict(adata, "B", cell_type="T").X
    adata.layers["counts"] = adata.X
    adata.raw = adata
    adata.X = np.log1p(adata.X.toarray())
    for place in ("layers/counts", "raw/X"):
        assert (expected != model.predict(adata, "B", cell_type="T", counts=place).X).nnz == 0
    with pytest.raises(ExpectedError, match="counts in layers/count: found matrices in X, raw/X, layers/counts only"):
        model.predict(adata, "B", counts="layers/count")


def test_the_answer_says_where_it_comes_from(model):
    origin = model.predict(cells(), "A@0.1", cell_type="T", seed=3).uns["celldag"]
    assert origin["dataset_sha256"] == "d" * 64
    assert origin["commit"] == "unknown"  # these models lie in no git repository
    assert origin["parameters"]["vae"]["seed"] == 0
    assert (origin["arguments"]["seed"], origin["arguments"]["cell_type"]) == (3, "T")
    assert list(origin["arguments"]["doses"]) == ["A=0.1"]
    assert origin["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("doses"), "lack doses"),
        (lambda config: config["provenance"].update(vae_sha256="0"), "trained on another VAE"),
    ],
)
def test_models_that_do_not_belong_together_are_refused(saved_cfm_vc, tmp_path, change, message):
    path = saved_cfm_vc(tmp_path / "models") / "flow" / "config.json"
    config = read_sealed(path)
    change(config)
    write_sealed(path, config, "weights.safetensors")
    with pytest.raises(ExpectedError, match=message):
        CfmVc.load(tmp_path / "models")


def test_latents_of_another_model_are_refused(model):
    latents = model.latent(cells(), cell_type="T")
    latents.obsm["X_z_int"] = latents.obsm["X_z_int"][:, :3]
    with pytest.raises(ExpectedError, match=r"obsm\['X_z_int'\] is 30 x 3 of float32.*30 cells x 4 dimensions"):
        model.decode(latents, 100)
    del latents.obsm["X_z_int"]
    with pytest.raises(ExpectedError, match=r"no obsm\['X_z_int'\]; obsm holds X_z_tech"):
        model.decode(latents, 100)
    latents = model.latent(cells(), cell_type="T")
    latents.obsm["X_z_tech"][4, 0] = np.nan
    with pytest.raises(ExpectedError, match="cells 1 to 30 is not finite"):
        model.decode(latents, 100)
    with pytest.raises(ExpectedError, match="library_size 0: expected a number from 1 to 1,000,000,000"):
        model.decode(model.latent(cells()), 0)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"steps": -3}, "steps -3: expected a whole number from 1 to 1,000"),
        ({"steps": 2_000_000}, "steps 2000000: expected a whole number from 1 to 1,000"),
        ({"steps": "20"}, "steps '20': expected a whole number"),
        ({"seed": -1}, "seed -1: expected a whole number from 0 to 4,294,967,295"),
        ({"guidance": float("nan")}, "guidance nan: expected a number from 0 to 1,000"),
        ({"method": "heun"}, "method 'heun': expected euler, midpoint or rk4"),
        ({"output": "count"}, "output 'count': expected counts or means"),
        ({"dose": float("inf")}, "dose of 'B' inf: expected a number from 0 to 1,000,000,000"),
        ({"dose": "1"}, "dose of 'B' '1': expected a number"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_form(model, asked, message):
    with pytest.raises(ExpectedError) as caught:
        model.predict(cells(), "B", **asked)
    assert message in str(caught.value)


def test_weights_that_are_not_finite_are_told(model):
    with torch.no_grad():
        model.vae.linear_decoder.bias[0] = float("nan")
    with pytest.raises(ExpectedError, match="not finite in 30 of 30 cells, such as cell0"):
        model.predict(cells(), "B")


def test_places_are_told_in_the_unit_of_the_training_data(saved_cfm_vc, tmp_path, model):
    frame = {"dimensions": 2, "centre": [100.0, 50.0], "scale": 10.0}
    spatial = CfmVc.load(saved_cfm_vc(tmp_path / "spatial", frame=frame))
    adata = cells(8)
    adata.obs["condition"] = np.array(["other", "control"])[np.arange(8) % 2]
    adata.obsm["xy"] = np.random.default_rng(0).normal(100, 20, (8, 2))
    told = {"cell_type": "T", "batch": "a", "output": "means", "perturbation_column": "condition"}
    predicted = spatial.predict(adata, "B", spatial="xy", **told)
    used = adata[1::2]
    x = torch.from_numpy(used.X.toarray())
    place = torch.tensor((used.obsm["xy"] - [100, 50]) / 10, dtype=torch.float32)
    codes = torch.full((4,), 2), torch.zeros(4, dtype=torch.int64)
    p = torch.tensor([[0.0, 1.0]]).expand(4, -1)
    generator = torch.Generator()
    made = generate(
        spatial.vae, spatial.field, x, *codes, p,
        source="control", steps=20, generator=generator, sampled=False, place_BS=place,
    )  # fmt: skip
    np.testing.assert_allclose(predicted.obsm["X_z_int"], made.int_BI, rtol=1e-5)
    unknown = spatial.predict(adata, "B", **told)
    assert not np.allclose(unknown.obsm["X_z_int"], predicted.obsm["X_z_int"])
    assert 'positions treated as "unknown": none were given' in unknown.uns["celldag"]["notes"]

    adata.obsm["wrong"] = np.zeros((8, 3))
    for key, message in (("yx", "no obsm 'yx', perhaps 'xy'"), ("wrong", "no array of 2 finite coordinates")):
        with pytest.raises(ExpectedError, match=message):
            spatial.predict(adata, "B", spatial=key)
    with pytest.raises(ExpectedError, match="trained without spatial coordinates"):
        model.predict(adata, "B", spatial="xy")


def test_without_guidance_and_at_no_dose_a_cell_goes_where_a_control_goes(model):
    control, still, none = (
        model.predict(cells(), *asked, guidance=guidance, cell_type="T", output="means").obsm["X_z_int"]
        for asked, guidance in ((("control",), 1.0), (("B",), 0.0), (("B", 0.0), 1.0))
    )
    np.testing.assert_allclose(still, control, atol=1e-6)
    np.testing.assert_array_equal(none, control)
