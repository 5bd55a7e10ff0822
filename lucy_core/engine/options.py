"""What a user may say to an engine: how options are declared and read. Sans-IO."""

from collections.abc import Mapping

import msgspec

from lucy_core.errors import OptionError

ON = ("1", "true", "yes", "on")
OFF = ("0", "false", "no", "off", "")


class EngineOption(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a user may say to an engine: a flag on the command line, a key of `RunPlace.options`."""

    name: str
    """The key, such as `statistics`; the flag is `--statistics`."""
    help: str
    """What it does, for `--help`."""
    metavar: str = "VALUE"
    """What stands for its value in `--help`."""
    choices: tuple[str, ...] = ()
    """All that it may be; empty for any text."""
    is_switch: bool = False
    """Takes no value: given, it is `"1"`."""
    variable: str | None = None
    """The environment variable that it comes from where it isn't given."""

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: str) -> None:
        """Refuse what it can't be by its declaration.

        Raises:
            OptionError: saying what was given and what there is.
        """
        if self.is_switch and value.lower() not in (*ON, *OFF):
            raise OptionError(self.name, value, f"is neither on nor off; give {ON[0]!r} or {OFF[0]!r}")
        if self.choices and value not in self.choices:
            raise OptionError(self.name, value, f"is none of {', '.join(self.choices)}; give one of them")


def is_on(options: Mapping[str, str], name: str) -> bool:
    """Tell whether a switch is on."""
    return options.get(name, "").lower() in ON
