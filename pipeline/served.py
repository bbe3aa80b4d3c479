"""The systems whose models MLflow serves, by name. Importing this imports MLflow and all of their models."""

from pipeline.alphastomics import served as alphastomics
from pipeline.bayes_moe import served as bayes_moe
from pipeline.cfm_vc import served as cfm_vc
from pipeline.mole import served as mole
from pipeline.tracking.packed import ServedSystem

SERVED: dict[str, ServedSystem] = {
    "cfm_vc": cfm_vc,
    "alphastomics": alphastomics,
    "bayes_moe": bayes_moe,
    "mole": mole,
}
