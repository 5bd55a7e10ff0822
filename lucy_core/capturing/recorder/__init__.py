"""The recording as it is written."""
