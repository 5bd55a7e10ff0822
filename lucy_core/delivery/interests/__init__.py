"""Who wants which lines: what a subscription names, and the plans that are made of all of them. Sans-IO."""
