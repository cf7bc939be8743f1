"""The job type `csv_profile` on a file of 1 GB, in its own process, as a worker runs it.

*Peak* is the largest memory of the process. *Equal* compares every figure with those of Python's csv,
Counter and sorted on the same file.
"""

import os
import sys
import time
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.csv_file import write_csv
from benchmarks.csv_reference import profile_columns
from benchmarks.figures import Figures
from benchmarks.progress import log
from dev.markdown import markdown_table
from job_types.csv_profile.contract import CSV_PROFILE, CsvProfileParams, CsvProfileResult
from job_types.csv_profile.profile import profile

SIZE = 1_000_000_000
LARGEST_RESULT = 4 << 20


def run(options: BenchmarkOptions) -> str:
    figures, size = Figures(), SIZE // 100 if options.quick else SIZE
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_csv(folder / "file.csv", size)
        for _ in range(options.rounds):
            measure(figures, folder)
        result = CsvProfileResult.model_validate_json((folder / "result.json").read_bytes())
        equal = result.rows == rows and is_equal(result, folder / "file.csv")
    seconds = figures.median("file", "s") or 0.0
    cells = [f"{size / 1e6:,.0f}", f"{rows:,}", str(len(result.columns)), figures.show("file", "s", 1)]
    cells += [f"{size / 1e6 / seconds:,.0f}", figures.show("file", "peak"), "yes" if equal else "NO"]
    return markdown_table(["file, MB", "rows", "columns", "s", "MB/s", "peak, MB", "equal"], [cells])


def measure(figures: Figures, folder: Path) -> None:
    begin = time.monotonic()
    (folder / "profile.duckdb").unlink(missing_ok=True)
    process = Popen([sys.executable, "-m", __name__, str(folder)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"The profile ended with {process.returncode}; its error is above.")
    figures.add("file", "s", time.monotonic() - begin)
    unit = 1 if sys.platform == "darwin" else 1024
    figures.add("file", "peak", usage.ru_maxrss * unit / 1e6)


def is_equal(result: CsvProfileResult, path: Path) -> bool:
    """Compare the result with the reference; differences are logged."""
    differ = [
        f"{column.name}: {column.model_dump()} is {reference}"
        for column, reference in zip(result.columns, profile_columns(path), strict=True)
        if column.model_dump() != reference
    ]
    for line in differ:
        log(f"  {line}")
    return not differ


def profile_in(folder: Path) -> None:
    """Profile the file; the main function of the measured process."""
    params = CsvProfileParams(file=CSV_PROFILE.example["file"])
    result = profile(folder / "file.csv", params, folder, LARGEST_RESULT)
    (folder / "result.json").write_text(result.model_dump_json())


if __name__ == "__main__":
    profile_in(Path(sys.argv[1]))
