"""What is held against a run, and what becomes of it: conditions, waits, sections, errors, the result. Sans-IO."""
