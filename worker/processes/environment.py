"""The environment of the worker's own processes: names that computing needs, and none that holds a secret.

A malicious file may take over the process that decodes it. So that process gets no REDIS_URL, no secret and
no AWS key. WORKER_CHILD_ENVIRONMENT names further variables that the functions of handlers need.
"""

import os
from collections.abc import Collection, Mapping

PASSED = frozenset({
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TORCH_HOME", "TRANSFORMERS_OFFLINE"),
    *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "JOB_TYPES"),
})  # fmt: skip
PREFIXES = (
    *("LC_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_"),
    *("NUMEXPR_", "CUDA_", "NVIDIA_"),
)


def child_environment(more: Collection[str] = (), *, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of an environment that a child process gets.

    Args:
        more: names that it gets besides.
        given: the whole environment.
    """
    return {
        name: value
        for name, value in given.items()
        if name in PASSED or name.startswith(PREFIXES) or name in more
    }
