"""Nodes as containers of a Docker Engine, every line pushed."""

from lucy_engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
