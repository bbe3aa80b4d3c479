"""Where the VAE's minibatches come from: memory or the store, by the size of the cells alone.

Not by what memory this machine has free: another source is another order of the cells, hence another result.
"""

import torch

from pipeline.cfm_vc.data.count_batch import CountBatch
from pipeline.cfm_vc.data.resident import ResidentCounts
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.params.vae import Vae as VaeSettings
from pipeline.core.rank import is_first
from pipeline.data.store import Split, Store
from pipeline.training.fit import Batches

BYTES_PER_NONZERO = 8  # its gene and its count
BYTES_PER_CELL = 110  # pointer, library size, three codes, and a name of twenty letters

SPLITS: tuple[Split, Split] = ("train", "validation")


def count_batches(
    store: Store, settings: VaeSettings, device: torch.device
) -> tuple[Batches[CountBatch], Batches[CountBatch]]:
    """The training cells, shuffled, and the validation cells in the order of the store. Says in a line where they are.

    ExpectedError where the store is damaged.
    """
    size, limit, batch_size = resident_bytes(store), settings.resident_mb, settings.batch_size
    cells = sum(store.cells(split) for split in SPLITS)
    streamed = size > limit * 10**6
    if is_first():
        held = f"held in memory, of which they take {size / 1e6:,.1f} MB"
        read = f"streamed from the store: in memory they would take {size / 1e6:,.1f} MB"
        print(f"vae: {cells:,} cells are {read if streamed else held} (resident_mb: {limit:,})", flush=True)
    if streamed:
        return (
            StreamedCounts(store, "train", batch_size, device, settings.seed),
            StreamedCounts(store, "validation", batch_size, device),
        )
    return (
        ResidentCounts(store.read("train"), batch_size, device, settings.seed),
        ResidentCounts(store.read("validation"), batch_size, device),
    )


def resident_bytes(store: Store) -> int:
    """Memory that the training and validation cells take once they are read; reading takes twice as much."""
    sizes = (store.dataset["splits"][split] for split in SPLITS)
    return sum(BYTES_PER_NONZERO * each["nonzeros"] + BYTES_PER_CELL * each["cells"] for each in sizes)
