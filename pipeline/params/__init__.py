"""params.yaml as validated, typed sections: one module each, so that a stage depends on its own only."""
