"""A Ray cluster of two nodes on this machine, started once for all tests that use it."""

import pytest

from tests.helpers import ROOT


@pytest.fixture(scope="package")
def two_nodes():
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # of the processes that Ray starts
        for _ in range(2):
            nodes.add_node(num_cpus=1, include_dashboard=False)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()
