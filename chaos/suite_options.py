"""The seed and the scale of a run of the fault suite."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """Options of one run, given to each scenario.

    Attributes:
        seed: the seed of every random choice.
        scale: 1 for the full run; less makes it shorter.
    """

    seed: int
    scale: float

    def scaled(self, full: int, *, least: int = 1) -> int:
        """The number of repetitions at this scale; `full` is the number at scale 1."""
        return max(least, round(full * self.scale))

    def rng(self, name: str) -> Random:
        """A random generator of one scenario, so that no scenario shifts the choices of another."""
        return Random(f"{self.seed} {name}")
