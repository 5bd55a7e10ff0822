"""Running scenarios: life cycle of a run, verdicts, exit codes, reports, command line, pytest plugin."""
