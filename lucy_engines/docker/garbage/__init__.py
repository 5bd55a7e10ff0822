"""What is left of runs, removed: at Lucy's death, and later."""
