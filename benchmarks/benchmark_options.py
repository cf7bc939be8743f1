"""The options of a run, from the command line."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.catalog import PEERS, Peer


@dataclass(frozen=True)
class BenchmarkOptions:
    """The amount of work in a run.

    Attributes:
        rounds: how often each measurement is repeated; tables show medians.
        quick: a fifth of the jobs, to see that everything runs.
        peers: the names of the peers to measure; empty for all.
    """

    rounds: int = 5
    quick: bool = False
    peers: tuple[str, ...] = ()

    def jobs(self, count: int) -> int:
        return max(count // 5, 100) if self.quick else count

    def chosen(self, among: Iterable[Peer] = PEERS) -> list[Peer]:
        return [peer for peer in among if not self.peers or peer.name in self.peers]
