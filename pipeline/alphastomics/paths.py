"""Where the files of this system lie."""

from pipeline.core.paths import SystemPaths

PATHS = SystemPaths("alphastomics")
