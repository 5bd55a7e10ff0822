"""A run's result as text, as a page and for CI: pure functions of it."""
