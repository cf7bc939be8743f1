"""The environments of the peers: each module has one, and its lock has the packages that its row shows."""

import sys

import pytest
from packaging.utils import canonicalize_name

from benchmarks.catalog import PEERS, Peer
from benchmarks.peer_environments import IN_OWN, find_python, find_version
from dev.locks import PINNED, ROOT


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_lock_of_a_peers_environment_has_its_packages(peer: Peer) -> None:
    lock = "requirements-peers.txt" if peer.module in IN_OWN else "requirements.txt"
    pinned = {canonicalize_name(name) for name, _ in PINNED.findall((ROOT / "benchmarks" / lock).read_text())}
    assert set(peer.packages) <= pinned


def test_own_environment_is_used_for_its_modules_alone() -> None:
    assert find_python("taskiq") != sys.executable
    assert find_python("job_server") == sys.executable


def test_version_of_a_package_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(RuntimeError, match="run make bench"):
        find_version("job_server", "left-pad")
