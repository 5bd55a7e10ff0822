"""Showing a run: what is said, where, and what may break there."""
