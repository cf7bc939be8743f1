"""Handlers of the job types `doubled`, `hasty` and `patient`."""

import os
import time
from collections.abc import Sequence
from typing import Any

from shared.errors import FinalError
from tests.model_types.doubled.contract import (
    BATCH_SIZE,
    DOUBLED,
    HASTY,
    PATIENT,
    PATIENT_SIZE,
    DoubledParams,
)
from tests.model_types.loaded import LoadedModel
from worker.models.batch import Batch, Device
from worker.registry import handles
from worker.reporting import JobReports, emit, log, progress

GROWTH = 128 << 20  # bytes that an act adds to the model


def load(device: Device) -> LoadedModel:
    return LoadedModel("doubled", device)


@handles(DOUBLED, batch=Batch(setup=load, size=BATCH_SIZE, setup_timeout=4))
def doubled(model: LoadedModel, params: list[DoubledParams]) -> Sequence[Any]:
    model.note_batch(len(params))
    results = [perform(place, given, model) for place, given in enumerate(params)]
    return results[:-1] if any(given.act == "crowd" for given in params) else results


@handles(PATIENT, batch=Batch(setup=load, size=PATIENT_SIZE, wait=600))
def patient(model: LoadedModel, params: list[DoubledParams]) -> Sequence[Any]:
    return doubled(model, params)


@handles(HASTY, batch=Batch(setup=load, size=BATCH_SIZE))
def hasty(model: LoadedModel, params: list[DoubledParams]) -> Sequence[Any]:
    return [perform(place, given, model) for place, given in enumerate(params)]


def perform(place: int, given: DoubledParams, model: LoadedModel) -> Any:
    match given.act:
        case "raise":
            raise RuntimeError("poison")
        case "refuse":
            return FinalError("This number is not liked.", code="not_liked")
        case "abort":
            os.abort()
        case "hang":
            time.sleep(60)
        case "unfit":
            return "no number"
        case "report":
            progress(0.5, "half")
            log("to all")
            JobReports(place).log("to one", number=given.number)
            emit(place, "a chunk")
        case "grow":
            model.weights += b"w" * GROWTH
        case "trace":
            JobReports(place).log("trace", **JobReports(place).trace_headers())
    return given.number * 2
