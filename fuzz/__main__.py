"""`python -m fuzz` sends requests made from the served OpenAPI document, and prints a Markdown table.

Valid and invalid ones, alone and chained by the document's links, to an API process with workers behind
it. Every answer must be one that the document promises; and what is not valid must be refused.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from dev.stack import running
from fuzz.campaign import Plan, fuzz


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="that each operation gets at least")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where every choice comes from")
    parser.add_argument("--seconds", type=float, default=1200, help="after which it ends, complete or not")
    plan = Plan(**vars(parser.parse_args(arguments)))
    print(f"Seed {plan.seed}, {plan.cases:,} cases per operation …", file=sys.stderr, flush=True)
    begin = time.monotonic()
    secret = f"whsec_{32 * 'A'}"
    with running(
        workers=2,
        LOG_LEVEL="WARNING",
        WEBHOOK_SECRETS=secret,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.1",
        WEBHOOK_ALLOWED_PORTS="9",
    ) as stack:
        tally = fuzz(stack, plan)
        errors = [line for line in stack.output("api").splitlines() if '"level":"error"' in line]
    print(tally.table())
    print(f"\n{tally.summary()}. Seed {plan.seed}, {time.monotonic() - begin:.0f} s.")
    for finding, example in tally.findings.items():
        print(f"\n## {finding}\n\n{example}")
    if errors:
        print("\n## The API's log\n", *errors[:10], sep="\n")
    return 0 if tally.good(plan.cases) and not errors else 1


if __name__ == "__main__":
    raise SystemExit(main())
