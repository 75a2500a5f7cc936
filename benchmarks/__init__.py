"""Benchmarks: each file prints a table of medians and ratios of one run; `python -m benchmarks` fills docs/benchmarks.md."""
