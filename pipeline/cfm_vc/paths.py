"""Paths of the files of this system."""

from pipeline.core.paths import SystemPaths

PATHS = SystemPaths("cfm_vc")
