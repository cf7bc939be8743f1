"""Handler of the job type `shouted`."""

from tests.model_types.loaded import LoadedModel
from tests.model_types.shouted.contract import SHOUTED, ShoutedParams
from worker.models.batch import Device
from worker.registry import handles


def load(device: Device) -> LoadedModel:
    return LoadedModel("shouted", device)


@handles(SHOUTED, setup=load)
def shouted(model: LoadedModel, params: ShoutedParams) -> str:
    model.note_batch(1)
    return params.text.upper()
