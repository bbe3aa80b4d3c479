"""What `python -m pipeline` can do: one module per command, with `add_arguments(parser)` and `run(arguments)`."""
