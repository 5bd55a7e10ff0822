"""What a run is made of, as values: log records, events, and what Lucy herself did and decided."""
