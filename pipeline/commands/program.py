"""How this program was called, for advice that can be typed as it is."""

import sys
from pathlib import Path


def program() -> str:
    """`celldag`, or how it is called where only its folder is there."""
    return "celldag" if Path(sys.argv[0]).stem == "celldag" else "python -m pipeline"
