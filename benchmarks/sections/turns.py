"""Several APIs on one Redis that are busy by turns, for a moment each.

For a price that is small beside the noise of a machine: what slows a turn of one slows those of the others.
"""

from collections.abc import Mapping, Sequence

from benchmarks.figures import Figures
from benchmarks.sections import http
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.stack import running

TURNS = 4  # of each API in a round
SECONDS = 1.5


def measure_by_turns(
    figures: Figures,
    environments: Mapping[str, Mapping[str, str]],
    rounds: int,
    methods: Sequence[str] = http.METHODS,
) -> None:
    """Add the rates, latencies and processor times of `POST /jobs` and `GET /jobs/{id}`.

    Args:
        environments: of the APIs, by their names, which are rows of the figures.
    """
    with running(api=False, **http.QUIET) as stack, slow_scripts_recorded(stack.admin_url):
        servers = {}
        for name, environment in environments.items():
            process, port = http.start_server(stack, http.APPS["job_server"], environment)
            stack.workers.append(process)  # the stack ends it
            servers[name] = port, process.pid
        for turn in range(TURNS * rounds):
            for method in methods:
                for name in sorted(servers, reverse=bool(turn % 2)):
                    http.load(figures, name, method, *servers[name], SECONDS)
