"""One module per stage: read deps, call the library, write outs."""
