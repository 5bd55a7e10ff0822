"""What engines may be able to do beyond the least: each a word, by which it is refused where it lacks."""

import enum


class Capability(enum.StrEnum):
    """What an engine may be able to do beyond start and stop."""

    PAUSE = "pause"
    """A node can be frozen, and go on."""
    FRESH_STATE = "fresh_state"
    """A start can begin with an empty state directory."""
    EXEC = "exec"
    """Commands can be run in a node's place."""
    ENVIRONMENT = "environment"
    """A start can be given variables of its own."""
    RESOURCES = "resources"
    """What a node uses can be measured."""
    FILES = "files"
    """A node's files can be read and written."""
    EXPORT = "export"
    """A network can be written down for others to run."""
    ARGUMENTS = "arguments"
    """A start may give the program other arguments than the spec's."""
    SIGNAL = "signal"
    """A node can be sent signals."""
    PID = "pid"
    """A daemon's process id can be told."""
    STOP_SIGNAL = "stop_signal"
    """A spec may say which signal asks a node to end, and whom it goes to."""
    MEMBERS = "members"
    """Nodes can be added to a network that is up, and removed from it."""
    USER = "user"
    """A spec may say as whom a node runs."""
