"""The logproc language: which log lines are wanted, in one line of text."""
