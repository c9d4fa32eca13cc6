"""A cluster of Ray on this machine, with several nodes, that nothing outside can reach."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

SET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # else a token is written into the user's home
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # elsewhere than on Linux, and here: only 127.0.0.1
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine is slow to start
    "RAY_raylet_start_wait_time_s": "120",
}


@contextlib.contextmanager
def cluster_of(*cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster`; the first node is its head. Skips where there is no Ray."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SET.items():
            patch.setenv(name, value)
        # Paths of sockets are short, so that this is in no folder of pytest's.
        folder = tempfile.mkdtemp(prefix="ray")
        patch.setenv("RAY_TMPDIR", folder)
        pytest.importorskip("ray", reason="needs the extra ray")
        from ray.cluster_utils import Cluster

        cluster = None
        try:
            cluster = Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": cpus[0], "include_dashboard": False},
            )
            for count in cpus[1:]:
                cluster.add_node(num_cpus=count, wait=False)
            cluster.wait_for_nodes(timeout=120)
            yield cluster
        finally:
            if cluster is not None:
                cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
