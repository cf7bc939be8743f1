"""The environments of the peers: each module has one, and its lock has the packages that its row shows."""

import sys

import pytest
from packaging.utils import canonicalize_name

from benchmarks.catalog import PEERS, Peer
from benchmarks.inference.setups import SETUPS
from benchmarks.peer_environments import FOLDERS, find_python, find_version
from dev.locks import PINNED, ROOT


def pinned_in(lock: str) -> set[str]:
    """The packages that a lock in benchmarks/ pins."""
    text = (ROOT / "benchmarks" / lock).read_text()
    return {canonicalize_name(name) for name, _ in PINNED.findall(text)}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_lock_of_a_peers_environment_has_its_packages(peer: Peer) -> None:
    lock = "requirements-peers.txt" if peer.module in FOLDERS else "requirements.txt"
    assert set(peer.packages) <= pinned_in(lock)


def test_the_lock_of_the_servers_of_models_has_their_packages() -> None:
    peers = {setup.module for setup in SETUPS} - {"job_server"}
    assert {module.removesuffix("_server") for module in peers} <= pinned_in("requirements-inference.txt")
    assert {FOLDERS[module].name for module in peers} == {".venv-bench-inference"}


def test_own_environment_is_used_for_its_modules_alone() -> None:
    assert find_python("taskiq") != sys.executable
    assert find_python("job_server") == sys.executable


def test_version_of_a_package_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(RuntimeError, match="run make bench"):
        find_version("job_server", "left-pad")
