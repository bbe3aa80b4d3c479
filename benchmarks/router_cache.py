"""Cache of router weights by time stamp: the router depends only on time, so each is computed once.

B: windows, C: channels, E: experts, F: time features, M: time stamps in the cache.
"""

import torch
from torch import Tensor

from pipeline.mole.model.mixture import Mole


class RouterCache:
    """The cache of one trained model, which must not be trained further while it is in use."""

    def __init__(self, model: Mole) -> None:
        if model.training:
            raise ValueError("the model is in training mode: its router's weights change, and heads are dropped")
        self.model = model
        self._row: dict[int, int] = {}  # of each time stamp
        self._weight_MCE: Tensor | None = None

    def __len__(self) -> int:
        return len(self._row)

    @torch.no_grad()
    def weights(self, stamp_B: Tensor, mark_BF: Tensor) -> Tensor:
        """(B, C, E), as `Mole.router_weights` gives them for these marks. Stamps: seconds since 1970, of the marks."""
        stamps = stamp_B.tolist()
        new = {stamp: place for place, stamp in enumerate(stamps) if stamp not in self._row}
        if new:
            found_MCE = self.model.router_weights(mark_BF[list(new.values())])
            known = len(self._row)
            self._row.update((stamp, known + place) for place, stamp in enumerate(new))
            self._weight_MCE = found_MCE if self._weight_MCE is None else torch.cat([self._weight_MCE, found_MCE])
        assert self._weight_MCE is not None
        return self._weight_MCE[[self._row[stamp] for stamp in stamps]]

    @torch.no_grad()
    def forecast(self, x_BCL: Tensor, stamp_B: Tensor, mark_BF: Tensor) -> Tensor:
        """(B, C, H), as the model's own forward."""
        return self.model.mixed(self.model.heads(x_BCL), self.weights(stamp_B, mark_BF))
