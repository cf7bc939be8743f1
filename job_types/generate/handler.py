"""Handler of the job type `generate`."""

import asyncio
import random

from job_types.generate.contract import GENERATE, GenerateParams, GenerateResult
from job_types.generate.model import load
from worker.context import JobContext
from worker.registry import handles


@handles(GENERATE)
async def generate(params: GenerateParams, job: JobContext) -> GenerateResult:
    """Generate tokens at the given pace, and emit each as it comes."""
    model = await asyncio.to_thread(load)
    pause, loop = 1 / params.tokens_per_second, asyncio.get_running_loop()
    text, due = "", loop.time()
    tokens = model.generate(params.prompt, params.temperature, random.Random(params.seed))
    for count in range(1, params.max_tokens + 1):
        token = next(tokens)
        text += token
        job.emit(token)
        if count % 10 == 0:
            job.progress(count / params.max_tokens, f"{count} tokens")
        due += pause
        await asyncio.sleep(due - loop.time())
    return GenerateResult(text=text, tokens=params.max_tokens)
