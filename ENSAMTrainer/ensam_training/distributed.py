"""One process, or several that share every step (data parallel), on one machine or many.

torchrun starts the processes:

    torchrun --nproc-per-node 4 -m -- ensam_training train DATA -o STATE --accumulate 4

(Without the -- it takes --start for an option of its own.)
Each takes its share of the step's windows, whose number --accumulate is for all together. With a limit in
steps the result does not depend on how many there are but for rounding. With one in minutes it does: the same
windows follow one another and all processes take the same rate at a step, that of process 0's clock, but how
many steps there are, and how far the rate has fallen at each, is a matter of the machines, as it is for one
process alone.
"""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Protocol

import torch
from ensam.device import choose_device
from ensam.errors import InputError
from torch import distributed as dist
from torch import nn

# The first process prepares all cases and validates while the others wait. torchrun ends them when it dies.
_PATIENCE = timedelta(days=1)


class Team(Protocol):
    """The processes that train together. `rank` is this one's number of `count`."""

    rank: int
    count: int
    device: torch.device

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward pass shares gradients with the other processes."""

    def sharing(self, module: nn.Module, now: bool) -> AbstractContextManager:
        """Inside, gradients are shared only if `now`: once a step is enough."""

    def agree(self, value: float) -> float:
        """Process 0's value."""

    def wait(self) -> None:
        """Until all are here."""


class Alone:
    """A team of one."""

    rank, count = 0, 1

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")

    def wrap(self, module: nn.Module) -> nn.Module:
        return module

    def sharing(self, module: nn.Module, now: bool) -> AbstractContextManager:
        return nullcontext()

    def agree(self, value: float) -> float:
        return value

    def wait(self) -> None:
        return None


class Processes:
    """The processes that torchrun has started, by Lightning Fabric: DDP over NCCL, or gloo on CPUs."""

    def __init__(self, device: str) -> None:
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies import DDPStrategy
        except ImportError as error:
            raise InputError(
                "Training in several processes needs Lightning Fabric: install it with "
                "'pip install lightning-fabric'."
            ) from error

        # A step without a previous result leaves that part of the network out.
        strategy = DDPStrategy(timeout=_PATIENCE, find_unused_parameters=True)
        here, nodes = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ.get("GROUP_WORLD_SIZE", "1"))
        self.fabric = Fabric(accelerator=device, devices=here, num_nodes=nodes, strategy=strategy)
        self.fabric.launch()
        self.rank, self.count = self.fabric.global_rank, self.fabric.world_size
        self.device = self.fabric.device
        # Its threads must not outlive Python: a process that is done would now and then end by an abort.
        atexit.register(_end_group)

    def wrap(self, module: nn.Module) -> nn.Module:
        return self.fabric.setup_module(module)

    def sharing(self, module: nn.Module, now: bool) -> AbstractContextManager:
        return self.fabric.no_backward_sync(module, enabled=not now)

    def agree(self, value: float) -> float:
        return self.fabric.broadcast(value)

    def wait(self) -> None:
        self.fabric.barrier()


def _end_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def team(device: str) -> Team:
    """The team that this process belongs to: torchrun says so in its environment. Raises InputError."""
    chosen = choose_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return Processes(chosen.type)
    return Alone(chosen)
