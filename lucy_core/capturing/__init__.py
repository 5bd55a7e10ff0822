"""Draining nodes' lines: sources, framing, the loop. Standard library alone, so that its process starts at once."""
