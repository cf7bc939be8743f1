"""The simulated device: in model hosts with batches and without, and in the worker's child processes."""

from benchmarks.inference.job_types.device.contract import BATCHED, IN_PROCESS, SINGLE, ItemParams
from benchmarks.inference.models import SimulatedDevice
from benchmarks.inference.setups import BATCH
from worker.context import JobContext
from worker.models.batch import Batch, Device
from worker.registry import handles


def load(device: Device) -> SimulatedDevice:
    return SimulatedDevice()


@handles(BATCHED, batch=Batch(setup=load, size=BATCH))
def perform(model: SimulatedDevice, params: list[ItemParams]) -> list[str]:
    return model.perform([job.item for job in params])


@handles(SINGLE, batch=Batch(setup=load, size=1))
def perform_one(model: SimulatedDevice, params: list[ItemParams]) -> list[str]:
    return model.perform([job.item for job in params])


@handles(IN_PROCESS)
async def perform_in_process(params: ItemParams, job: JobContext) -> str:
    return await job.in_process(perform_item, params.item)


def perform_item(item: str) -> str:
    return SimulatedDevice().perform([item])[0]
