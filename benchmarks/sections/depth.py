"""No-op jobs per second of one worker process with 10 slots while many more jobs wait."""

from contextlib import ExitStack

from benchmarks.catalog import OURS
from benchmarks.options import Options
from benchmarks.report import Figures, log, number, ratio, table
from benchmarks.trial import Trial
from dev.stack import wait_until

DEPTHS = (10_000, 100_000, 1_000_000)
LONGEST = 30_000  # jobs of one measurement


def run(options: Options) -> str:
    figures = Figures()
    with ExitStack() as stack:
        depths = [options.jobs(depth) for depth in DEPTHS]
        trials = {depth: stack.enter_context(Trial(OURS.module, BENCH_BATCH="2000")) for depth in depths}
        for _ in range(options.rounds):
            for depth, trial in trials.items():
                _fill(trial, depth)
                measure(figures, trial, depth)
    rows = []
    base = figures.median(OURS.name, str(depths[0]))
    for depth in depths:
        column = str(depth)
        row = [f"{depth:,}", number(figures.median(OURS.name, column)), figures.spread(OURS.name, column)]
        row.append(ratio(figures.median(OURS.name, column), base))
        rows.append([*row, figures.show(OURS.name, f"{depth} µs")])
    return table(["waiting jobs", "jobs/s", "range", f"÷ {depths[0]:,}", "worker CPU µs/job"], rows)


def measure(figures: Figures, trial: Trial, depth: int) -> None:
    trial.start_workers(1, 10)
    trial.go()
    rate, used = trial.rate(min(LONGEST, depth))
    figures.add(OURS.name, str(depth), rate)
    figures.add(OURS.name, f"{depth} µs", used)
    trial.stop_workers()


def _fill(trial: Trial, depth: int) -> None:
    """Bring the queue to its depth, and let Redis rewrite its file in peace."""
    missing = depth - int(str(trial.redis.zcard("arq:queue:default")))
    log(f"  {missing:,} jobs more, {trial.enqueue(missing):,.0f} a second")
    wait_until(
        lambda: not trial.info("persistence")["aof_rewrite_in_progress"], "Redis has rewritten", seconds=180
    )
