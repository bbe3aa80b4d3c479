"""Formatting of large numbers, with a unit prefix."""

import math


def amount(number: float) -> str:
    """A large number with three significant digits and k, M, G or T."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * factor:
            value = number / factor
            return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value)) + 1e-3))}f}\N{NO-BREAK SPACE}{unit}"
    return f"{number:g}"
