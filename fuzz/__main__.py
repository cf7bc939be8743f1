"""`python -m fuzz` sends requests made from the served OpenAPI document, and prints a Markdown table.

The requests are valid and invalid, alone and chained by the document's links; an API process with two workers
answers them. Each answer must be one of those in the document, and each invalid request must be refused.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from dev.stack import running
from fuzz.campaign import CampaignOptions, run_campaign
from fuzz.campaign_result import CampaignResult

SECRET = f"whsec_{32 * 'A'}"
LOG_LINES = 10  # of the API's errors


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    print(f"Seed {options.seed}, {options.cases:,} cases per operation …", file=sys.stderr, flush=True)
    begin = time.monotonic()
    with running(
        workers=2,
        LOG_LEVEL="WARNING",
        WEBHOOK_SECRETS=SECRET,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.1",
        WEBHOOK_ALLOWED_PORTS="9",
    ) as stack:
        result = run_campaign(stack, options)
        errors = [line for line in stack.output("api").splitlines() if '"level":"error"' in line]
    print_report(result, errors)
    passed = result.passed(options.cases) and not errors
    print(f"Seed {options.seed}, {time.monotonic() - begin:.0f} s: {'ok' if passed else 'FAILED'}.")
    return 0 if passed else 1


def parse(arguments: Sequence[str] | None) -> CampaignOptions:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Send requests made from the API's own OpenAPI document."
    )
    parser.add_argument("--cases", type=int, default=1000, help="the least number for each operation")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the seed of every random choice")
    parser.add_argument("--seconds", type=float, default=1200, help="the longest duration, complete or not")
    return CampaignOptions(**vars(parser.parse_args(arguments)))


def print_report(result: CampaignResult, errors: list[str]) -> None:
    """Print the table, each finding with its example, and the errors in the API's log."""
    print(f"{result.table()}\n\n{result.summary()}")
    for finding, example in result.findings.items():
        print(f"\n## {finding}\n\n{example}")
    if errors:
        print("\n## Errors in the API's log\n", *errors[:LOG_LINES], "", sep="\n")


if __name__ == "__main__":
    raise SystemExit(main())
