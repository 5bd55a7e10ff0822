"""Functions and names in words, for people who read why something failed. Sans-IO."""


def called(function: object, otherwise: str = "…") -> str:
    """Name a function that somebody gave, if it has a name."""
    name = getattr(function, "__name__", otherwise)
    return otherwise if name == "<lambda>" else str(name)
