"""Checks and speed of training on a GPU: `python -m benchmarks.gpu` runs all parts and fills docs/gpu.md."""
