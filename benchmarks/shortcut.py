"""Training step of ResNet-18 by form of its strided shortcuts and by memory layout, interleaved in one run.

    python -m benchmarks.shortcut

`subsampled` takes every second position and then a 1x1 convolution of stride 1; `strided` is one 1x1 convolution of
stride 2. Both are the same function. Where `strided` in channels_last has fewer than 8 input channels, oneDNN's AVX2
kernel of the weight's gradient writes past its buffer: it is not run. Prints a markdown table of median CPU
time and of ratios to the form in use, subsampled in channels_last, paired turn by turn; above 1 that form is faster.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from benchmarks.processes import load
from pipeline.bayes_moe.model.resnet import BasicBlock, ResNet18, ResNetConfig

FORMS = [(form, layout) for layout in ("channels_last", "contiguous") for form in ("subsampled", "strided")]


class StridedBlock(BasicBlock):
    """The block with its shortcut as a strided convolution."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = torch.relu(self.first_norm(self.first(x_BCHW)))
        return torch.relu(self.second_norm(self.second(inner_BCHW)) + self.shortcut(x_BCHW))


def network(width: int, form: str, layout: str) -> nn.Module:
    """ResNet-18 for images of one channel, in one of the forms."""
    torch.manual_seed(0)
    model = ResNet18(ResNetConfig(channels=1, classes=10, width=width))
    if form == "strided":
        for block in model.modules():
            if isinstance(block, BasicBlock):
                block.__class__ = StridedBlock
                if len(block.shortcut):
                    block.shortcut[0].stride = block.first.stride
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    return model.to(memory_format=memory)  # type: ignore[call-overload]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--widths", type=int, nargs="+", default=[4, 8, 16, 32])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{load()}; {arguments.threads} threads, torch {torch.__version__} with {capability}\n")
    print("| width | pixels | " + " | ".join(f"{form}, {layout}" for form, layout in FORMS) + " |")
    print("|---" * (2 + len(FORMS)) + "|")
    for width in arguments.widths:
        for size in (8, 32):
            x_BCHW = torch.rand(128 if size == 8 else 32, 1, size, size)
            forms = [form for form in FORMS if form != ("strided", "channels_last") or width >= 8]
            models = {form: network(width, *form) for form in forms}
            seconds: dict[tuple[str, str], list[float]] = {form: [] for form in forms}
            for turn in range(arguments.turns + 2):
                for form, model in models.items():
                    began = time.process_time()
                    model(x_BCHW).logit_BK.square().mean().backward()
                    if turn >= 2:
                        seconds[form].append(time.process_time() - began)
            cells = []
            for form in FORMS:
                if form not in seconds:
                    cells.append("not run")
                    continue
                ratio = statistics.median(a / b for a, b in zip(seconds[form], seconds[FORMS[0]], strict=True))
                cells.append(f"{1e3 * statistics.median(seconds[form]):.1f} ms, {ratio:.2f}")
            print(f"| {width} | {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
