"""Packages that only some sweeps need. Nothing here imports torch."""

from __future__ import annotations

import os
from typing import Any

from mnist_arch.errors import ExtraMissing


def need_optuna() -> None:
    """Raises ExtraMissing. Optuna says nothing from then on."""
    hint = "pip install 'mnist-arch[search]'"
    try:
        import optuna
    except ImportError:
        raise ExtraMissing("a search needs optuna, of the extra `search`", hint=hint) from None
    if int(optuna.__version__.partition(".")[0]) < 5:
        message = f"a search needs optuna 5, of the extra `search`, not {optuna.__version__}"
        raise ExtraMissing(message, hint=hint)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)


def need_ray() -> Any:
    """The package, which sends no statistics of its use. Raises ExtraMissing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported
    try:
        import ray
    except ImportError:
        hint = "pip install 'mnist-arch[ray]'"
        raise ExtraMissing(
            "a sweep on a cluster needs ray, of the extra `ray`", hint=hint
        ) from None
    return ray
