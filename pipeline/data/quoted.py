"""A text of the user's, such as the name of a column, in a message."""

LONGEST = 60  # characters


def quoted(text: object) -> str:
    """The text in quotation marks and in one line, whatever is in it; its middle left out where it is long."""
    whole = str(text)
    if len(whole) > LONGEST:
        kept = (LONGEST - 3) // 2
        whole = f"{whole[: LONGEST - 3 - kept]}...{whole[-kept:]}"
    return repr(whole)
