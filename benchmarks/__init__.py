"""Measures this project beside its peers, in one run, interleaved; `python -m benchmarks --help`."""
