"""The cost of a mixture of experts: parameters and arithmetic, in total and per token.

Only products of matrices count as arithmetic, a multiply-add as two, as `torch.utils.flop_counter` has it; that counter
takes `grouped_mm` for free, so these are counted on paper, and the tests compare the two.
"""

from pipeline.nn.moe.layer import MixtureOfExperts


def parameters(layer: MixtureOfExperts) -> int:
    """All parameters, including the gate's."""
    return sum(weight.numel() for weight in layer.parameters())


def activated_parameters(layer: MixtureOfExperts) -> int:
    """Parameters that one token uses: the gate's and K experts'."""
    of_one = sum(weight[0].numel() for weight in layer.experts.parameters())
    return sum(weight.numel() for weight in layer.gate.parameters()) + layer.gate.k * of_one


def flops(layer: MixtureOfExperts, tokens: int, k: int | None = None) -> int:
    """Of a forward pass in evaluation, when no token is dropped: logits for all experts, and K experts per token.

    k: another number of experts per token than the gate's.
    """
    experts, dimensions, hidden = layer.experts.up_EDH.shape
    outputs = layer.experts.down_EHD.shape[2]
    chosen = layer.gate.k if k is None else k
    return 2 * tokens * (dimensions * experts + chosen * hidden * (dimensions + outputs))
