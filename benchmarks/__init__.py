"""Benchmarks: what Lucy costs beside what people use today, on your machine."""
