"""The Ray engine without a cluster: what is said about settings, addresses and folders that cannot be."""

import socket
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.launch.engines.ray import Ray, run_worker
from harness.launch.profile import open_engine
from harness.ledger import Cell


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('addres = "auto"', "ray.addres = 'auto': unknown key; did you mean 'address'?"),
        ("cpus = 0", "ray.cpus = 0: accepted: more than 0"),
        ("gpus = -1", "ray.gpus = -1: accepted: 0 or more"),
        ("gpus = 1.5", "ray.gpus = 1.5: accepted: a share of one GPU, such as 0.25, or a whole number"),
        ("resources = { a100 = 0 }", "ray.resources.a100 = 0: accepted: more than 0"),
        (
            'address = "ray://h:1"',
            'ray.address = \'ray://h:1\': accepted: "auto" or "host:port" of the cluster\'s head',
        ),
    ],
)
def test_a_setting_that_cannot_be_is_told(tmp_path: Path, settings: str, says: str) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(f"[ray]\n{settings}\n")
    with pytest.raises(HarnessError) as told:
        open_engine("ray", 2, profile)
    assert says in str(told.value)


def test_a_missing_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.extras.find_spec", lambda name: None)
    with pytest.raises(HarnessError) as told:
        Ray(1)
    assert str(told.value) == "--launcher ray needs the package ray: pip install 'crcl-harness[ray]'"


def test_a_cluster_that_does_not_answer_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(HarnessError) as told:
            Ray(1, address=address).start([Cell(tmp_path)], lambda cell: ["true"])
    assert str(told.value) == (
        f"ray: no connection to {address}: [Errno 111] Connection refused; "
        "is it up, and if it asks for a token, is RAY_AUTH_MODE=token set here?"
    )


def test_a_folder_that_a_node_does_not_see_is_told(tmp_path: Path) -> None:
    log = tmp_path / "absent" / "cell" / "log.txt"
    with pytest.raises(HarnessError) as told:
        run_worker(["true"], tmp_path, log, "1")
    assert str(told.value) == (
        f"node {socket.gethostname()} does not see {log.parent}; the folder of the launcher, runs and data must lie on "
        "a file system that all nodes share"
    )
