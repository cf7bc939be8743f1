"""Make a secret for webhooks: `python -m shared.webhooks`; `--host HOST` shows the secret of a receiver."""

import argparse
import secrets
from collections.abc import Sequence

from shared.settings import SharedSettings, read_settings
from shared.webhooks.addresses import read_host
from shared.webhooks.signing import NEW_KEY_BYTES, receiver_key, write_secret


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a secret for the server, or show the secret of a receiver."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.webhooks",
        description="Make a secret for WEBHOOK_SECRETS; with --host, show the secret of a receiver.",
    )
    parser.add_argument("--host", help="the receiver's host, as in the webhook's URL, without port")
    parser.add_argument("--caller", help="the name of the API key that submits the jobs; none without keys")
    options = parser.parse_args(arguments)
    if options.host is None:
        if options.caller is not None:
            parser.error("--caller needs --host: a receiver's secret is for one caller and one host")
        _print_new_secret()
        return
    try:
        host = read_host(options.host)
    except ValueError as error:
        parser.error(f"--host: {error}")
    keys = read_settings(SharedSettings).webhook_secrets
    if not keys:
        parser.error("WEBHOOK_SECRETS is empty: run this with the environment of the API")
    for key in keys:
        print(write_secret(receiver_key(key, caller=options.caller, host=host).get_secret_value()))


def _print_new_secret() -> None:
    print("The secret, for the server alone:\n")
    print(f"  {write_secret(secrets.token_bytes(NEW_KEY_BYTES))}\n")
    print("Put it first in WEBHOOK_SECRETS, before a comma if there are others, and restart API and workers.")
    print("Every webhook is signed with all of them: drop an old one once every receiver knows the new one.")
    print("A receiver gets a secret of its own: python -m shared.webhooks --caller NAME --host HOST.")


if __name__ == "__main__":
    main()
