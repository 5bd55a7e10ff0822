"""Where lines come from: a class for each kind, all with one contract."""
