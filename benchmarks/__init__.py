"""Benchmarks of this project beside its peers, interleaved in one run: `python -m benchmarks --help`.

A section measures one thing. In each round every peer has its turn, so that other load on the machine meets
all of them alike: compare ratios, not absolute figures. Every measurement has its own Redis.
`requirements.in` lists the requirements of a run, `requirements-peers.in` those of the peers that need newer
packages, `requirements-inference.in` those of the peers that serve models; the files that end in `.txt` are
their locks.
"""

from shared.dependencies import require

require("redis", "uvicorn")
