"""LitServe, set up as its documents advise: batches, processes for HTTP and for the model, ZeroMQ between.

The program `python -m benchmarks.inference.litserve_server PORT MODEL` reads `PeerSettings` from its
environment.
"""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]

from benchmarks.inference.models import load_model
from benchmarks.inference.peer_settings import PeerSettings


class ServedModel(litserve.LitAPI):  # type: ignore[misc]
    """A model behind `POST /predict` with `{"item": …}`."""

    def __init__(self, name: str, settings: PeerSettings) -> None:
        super().__init__(max_batch_size=settings.size, batch_timeout=settings.wait)
        self.name, self.threads = name, settings.threads

    def setup(self, device: str) -> None:
        self.model = load_model(self.name, self.threads)

    def decode_request(self, request: dict[str, str], **_: Any) -> str:
        return request["item"]

    def predict(self, x: Any, **_: Any) -> Any:
        return self.model.perform(x) if self.max_batch_size > 1 else self.model.perform([x])[0]

    def encode_response(self, output: str, **_: Any) -> dict[str, str]:
        return {"result": output}


def main() -> None:
    port, name = int(sys.argv[1]), sys.argv[2]
    settings = PeerSettings.from_environment()
    server = litserve.LitServer(
        ServedModel(name, settings),
        accelerator="cpu",
        devices=1,
        workers_per_device=settings.workers,
        fast_queue=settings.fast_queue,
        track_requests=False,
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=settings.http_processes,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
