"""The simulated chain as values and plain objects: accounts, blocks, and the frontier that holds them."""
