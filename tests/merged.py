"""Changes of some values of params.yaml."""


def merge(target: dict[str, object], changes: dict[str, object]) -> None:
    """Put the changes into their sections of `target`; a column map is replaced whole."""
    for key, value in changes.items():
        inner = target.get(key)
        if isinstance(value, dict) and isinstance(inner, dict) and key != "columns":
            merge(inner, value)
        else:
            target[key] = value
