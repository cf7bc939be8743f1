"""No-op jobs per second of one worker process with 10 slots while many more jobs wait."""

from contextlib import ExitStack

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS
from benchmarks.figures import Figures, number, ratio
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import log
from dev.markdown import markdown_table
from dev.stack import wait_until

DEPTHS = (10_000, 100_000, 1_000_000)
LONGEST = 30_000  # jobs at most in one measurement


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    with ExitStack() as stacks:
        depths = [options.jobs(depth) for depth in DEPTHS]
        by_depth = {
            depth: stacks.enter_context(PeerStack(OURS.module, BENCH_BATCH="2000")) for depth in depths
        }
        for _ in range(options.rounds):
            for depth, stack in by_depth.items():
                _fill(stack, depth)
                measure(figures, stack, depth)
    rows = []
    base = figures.median(OURS.name, str(depths[0]))
    for depth in depths:
        column = str(depth)
        row = [f"{depth:,}", number(figures.median(OURS.name, column)), figures.spread(OURS.name, column)]
        row.append(ratio(figures.median(OURS.name, column), base))
        rows.append([*row, figures.show(OURS.name, f"{depth} µs")])
    return markdown_table(["waiting jobs", "jobs/s", "range", f"÷ {depths[0]:,}", "worker CPU µs/job"], rows)


def measure(figures: Figures, stack: PeerStack, depth: int) -> None:
    stack.start_workers(1, 10)
    stack.go()
    rate = stack.rate(min(LONGEST, depth))
    figures.add(OURS.name, str(depth), rate.jobs)
    figures.add(OURS.name, f"{depth} µs", rate.worker)
    stack.stop_workers()


def _fill(stack: PeerStack, depth: int) -> None:
    """Fill the queue to its depth, and wait for Redis to rewrite its file."""
    missing = depth - int(str(stack.redis.zcard("arq:queue:default")))
    log(f"  {missing:,} jobs more, {stack.enqueue(missing):,.0f} a second")
    wait_until(
        lambda: not stack.info("persistence")["aof_rewrite_in_progress"], "Redis has rewritten", seconds=180
    )
