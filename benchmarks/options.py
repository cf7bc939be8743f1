"""What the command line asks for."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.catalog import PEERS, Peer


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: measurements of everything; the medians count.
        quick: a fifth of the jobs, to see that all works.
        peers: names of peers, or nothing for all.
    """

    rounds: int = 3
    quick: bool = False
    peers: tuple[str, ...] = ()

    def jobs(self, count: int) -> int:
        return max(count // 5, 100) if self.quick else count

    def chosen(self, among: Iterable[Peer] = PEERS) -> list[Peer]:
        return [peer for peer in among if not self.peers or peer.name in self.peers]
