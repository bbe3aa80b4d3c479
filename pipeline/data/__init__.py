"""Reading, checking, splitting and storing data; nothing here knows of a model."""
