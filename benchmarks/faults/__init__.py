"""Faults injected into the product, a family in each part; `python -m benchmarks.faults` fills docs/faults.md."""
