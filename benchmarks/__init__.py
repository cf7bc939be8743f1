"""Benchmarks of this project beside its peers, interleaved in one run: `python -m benchmarks --help`.

A section measures one thing. In each round every peer has its turn, so that other load on the machine meets
all of them alike: compare ratios, not absolute figures. Every measurement has its own Redis.
`requirements.in` lists the requirements of a run; `requirements.txt` is its lock.
"""

from shared.dependencies import require

require("redis", "uvicorn")
