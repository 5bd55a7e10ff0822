"""The Docker Engine's API."""
