"""Measures this project beside its peers, in one run, interleaved: `python -m benchmarks --help`.

A section measures one thing. It goes round by round through every peer, so that whatever else the machine
does falls on all of them alike: what counts is the ratio side by side, not the absolute figure. Every
measurement has a Redis of its own. `requirements.in` is what a run needs; `requirements.txt` is its lock.
"""

from shared.dependencies import require

require("redis", "uvicorn")
