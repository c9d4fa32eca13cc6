"""A cluster of Ray on this machine, with several nodes, that nothing outside can reach."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

SET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # else a token is written into the user's home
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # there and here: only 127.0.0.1
}
AGENTS = (
    "dashboard_agent_listen_port",
    "metrics_agent_port",
    "metrics_export_port",
    "runtime_env_agent_port",
)


@contextlib.contextmanager
def cluster_of(*cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster`; the first node is its head. Skips where there is no Ray."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in SET.items():
            patch.setenv(name, value)
        # Paths of sockets have to be short, so that this is in no folder of pytest's.
        folder = tempfile.mkdtemp(prefix="ray")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        patch.setenv("RAY_TMPDIR", folder)
        pytest.importorskip("ray", reason="needs the extra ray")
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        stack.callback(cluster.shutdown)
        add(cluster, num_cpus=cpus[0], include_dashboard=False, no_monitor=True)
        for count in cpus[1:]:
            add(cluster, num_cpus=count)
        yield cluster


def add(cluster: Any, **options: Any) -> Any:
    """Starts a node, which it returns.

    Ray gives up after 30 seconds, in which a busy machine may not be ready.
    """
    for attempt in range(3):
        try:
            return cluster.add_node(**options, **ports())
        except Exception:  # it has no class of its own
            if attempt == 2:
                raise


def ports() -> dict[str, int]:
    """Ports for the agents of a node. Where they are not given, a node waits for its agents to tell
    them, but for 15 seconds only, which a busy machine may take."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in AGENTS:
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            found[name] = free.getsockname()[1]
        return found
