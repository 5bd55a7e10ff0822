"""A network of containers, made, commanded and taken away."""
