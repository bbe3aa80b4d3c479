"""What a stage's end by a signal most likely means, and what to try."""

import signal

from pipeline.core.machine import describe_machine

NATIVE = (
    "native code failed, below Python: most likely a kernel of PyTorch that fails on this processor, or a damaged "
    "installation"
)
MEANINGS = {
    signal.SIGKILL: "most likely the system ran out of memory, or someone ended it (kill -9)",
    signal.SIGTERM: "someone asked it to end, or a time limit did",
    signal.SIGHUP: "its terminal was closed",
    signal.SIGXCPU: "it used up its processor time (ulimit -t)",
    signal.SIGXFSZ: "it wrote a file larger than allowed (ulimit -f)",
    **dict.fromkeys((signal.SIGABRT, signal.SIGSEGV, signal.SIGILL, signal.SIGBUS, signal.SIGFPE), NATIVE),
}
TRY_MEMORY = "run it alone or with fewer jobs at once (make run CORES=1), or on smaller data or batches"
TRY_NATIVE = "DNNL_MAX_CPU_ISA=SSE41 before the command, with which PyTorch takes plainer kernels"
TRY_AGAIN = "the next call goes on from the last checkpoint"


def describe_end(what: str, number: int, peak_mb: float | None = None, again: str | None = None) -> str:
    """A message about `what`, ended by signal `number`.

    peak_mb: the most memory it held; again: the command that runs it alone.
    """
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    meaning = MEANINGS.get(number, "an unusual end of a stage")  # type: ignore[call-overload]
    lines = [f"error: {what} was ended by {name}: {meaning}"]
    advice = TRY_AGAIN
    if number == signal.SIGKILL:
        if peak_mb is not None:
            lines.append(f"  memory: it held up to {peak_mb:.0f} MB")
        advice = TRY_MEMORY
    if meaning is NATIVE:
        lines.append(f"  machine: {describe_machine()}")
        advice = TRY_NATIVE
    command = f" (alone: {again})" if again else ""
    lines.append(f"  try: {advice}{command}")
    return "\n".join(lines)
