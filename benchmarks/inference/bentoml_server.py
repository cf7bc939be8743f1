"""BentoML, set up as its documents advise: a batchable endpoint whose synchronous function runs in a thread.

A service for `bentoml serve`; `PEER_MODEL` names the model, `PeerSettings` come from the environment. BentoML
drops requests that it expects to be late, so the latency to keep is long.
"""

import os

import bentoml  # type: ignore[import-not-found]

from benchmarks.inference.models import load_model
from benchmarks.inference.peer_settings import PeerSettings

MODEL = "PEER_MODEL"
SETTINGS = PeerSettings.from_environment()


@bentoml.service(
    workers=SETTINGS.workers,
    threads=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class ServedModel:
    """A model behind `POST /predict` with `{"items": [one item]}`."""

    def __init__(self) -> None:
        self.model = load_model(os.environ[MODEL], SETTINGS.threads)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, batch_dim=0, max_batch_size=SETTINGS.size, max_latency_ms=int(1000 * SETTINGS.wait)
    )
    def predict(self, items: list[str]) -> list[str]:
        return self.model.perform(items)
