"""Benchmark of the tests: differences between conditions, and m6A on circles."""
