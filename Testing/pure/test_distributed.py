"""Two processes that share every step come to what one process comes to."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from ensam.errors import InputError
from ensam.network import NetworkConfig
from ensam_training.configuration import TrainingConfig
from ensam_training.curves import read_rows
from ensam_training.distributed import Alone, team
from ensam_training.training import train

from .tiny_network import TINY
from .train_balls import train_balls

TESTING = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    train_balls(folder)
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    pytest.importorskip("lightning_fabric")
    folder = tmp_path_factory.mktemp("two")
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "pure.train_balls",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTING), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *command, str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_learns_from_the_same_windows(one_process, two_processes):
    one, two = (torch.load(f / "state.pt", weights_only=True) for f in (one_process, two_processes))
    assert one["step"] == two["step"] == 3
    assert one["drawn"] == two["drawn"] == 12
    for part in ("network", "average"):
        for name, tensor in one[part].items():
            assert torch.allclose(tensor, two[part][name], atol=1e-4), name
    moved = torch.cat([(a - b).flatten().abs() for a, b in zip(*map(momenta, (one, two)), strict=True)])
    assert moved.max() < 1e-3


def momenta(state):
    return [entry["momentum"] for entry in state["optimisers"][0]["state"].values()]


def test_who_waits_for_the_first_process_to_prepare_does_so_for_hours(monkeypatch):
    fabric = pytest.importorskip("lightning_fabric")
    strategies = []

    class Launched:
        global_rank, world_size, device = 1, 2, torch.device("cpu")

        def __init__(self, strategy, **more):
            strategies.append(strategy)

        def launch(self):
            pass

    monkeypatch.setattr(fabric, "Fabric", Launched)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    assert team("cpu").count == 2
    (strategy,) = strategies
    assert strategy._timeout >= timedelta(hours=12)  # of its process group


def test_a_log_is_written_once(two_processes):
    assert [row["step"] for row in read_rows(two_processes / "log.csv")] == [1, 2, 3]


def test_alone_unless_torchrun_says_otherwise(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = team("cpu")
    assert isinstance(alone, Alone) and (alone.rank, alone.count) == (0, 1)


def test_windows_that_can_not_be_shared_evenly_are_refused(tmp_path):
    three = Alone()
    three.count = 3
    with pytest.raises(InputError, match="multiple"):
        train(NetworkConfig(**TINY), TrainingConfig(accumulate=4), [], [], tmp_path, team=three)
