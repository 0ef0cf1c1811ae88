"""Counts with their nouns, for whatever people read."""


def count(n: int, one: str, many: str | None = None) -> str:
    """A count and its noun.

    Args:
        n: How many.
        one: The noun for one.
        many: The noun for more, where it is not `one` with an s.

    Returns:
        Such as "1 patient" or "3 patients".

    Example:
        >>> count(1, "slice"), count(2000, "study", "studies")
        ('1 slice', '2,000 studies')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
