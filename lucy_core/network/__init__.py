"""A deployed network as a test sees and commands it."""
