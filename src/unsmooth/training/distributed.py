"""Processes that train one model together, one per device.

torchrun starts them; they divide the shards of every batch. In a single process every function here returns the
result of that process and communicates nothing.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started, for the block; "cuda" assigns a device to this process."""
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Messages other than gradients are CPU tensors, so that no process waits for its device.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    yield
    # Not after an error: the other processes may never reach this point.
    distributed.destroy_process_group()


def synchronised(model: nn.Module) -> nn.Module:
    """Return the model with the weights of process 0; backward averages gradients over processes."""
    if not distributed.is_initialized():
        return model
    network = DistributedDataParallel(model)
    # An attribute, because torch 2.15 renames the argument.
    network.broadcast_buffers = False
    return network


def deferred_sum(model: nn.Module, deferred: bool) -> AbstractContextManager[None]:
    """Accumulate gradients in this process alone during the block if `deferred`; a later backward averages them."""
    if deferred and isinstance(model, DistributedDataParallel):
        context: AbstractContextManager[None] = model.no_sync()
        return context
    return nullcontext()


def gathered(value: T) -> list[T]:
    """Return the `value` of every process in order of rank; all processes must call this."""
    if not distributed.is_initialized():
        return [value]
    values: list[T | None] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in any process; all processes must call this."""
    return any(gathered(flag))
