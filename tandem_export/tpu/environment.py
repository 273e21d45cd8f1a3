"""The environment in which libtpu compiles and looks for no chips."""

from __future__ import annotations

import os

# libtpu guards itself with one lock file per machine, which would end all but one of several
# compilers; nothing that is started with this opens a chip.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_LOG_DIR": "disabled",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def run_without_chips() -> None:
    """Hides chips from a program that only plans or compiles; call it before jax is imported.

    jax looks for a TPU wherever libtpu is installed, and libtpu complains on stderr if there is
    none. What the user has set stays.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
