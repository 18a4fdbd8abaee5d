"""The processes that train one model together, one a device.

They are started by torchrun and divide the shards of every batch between them. Where there is a single process, each
function here gives the answer of that one process and communicates nothing.
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
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that torchrun has started, for the block.

    Args:
        device: "cpu", or "cuda", which then is the device of this process.
    """
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # What processes tell each other beside gradients lies on the CPU, so that they need not wait for their devices.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    yield
    # Not after an error: the others may never come to this point.
    distributed.destroy_process_group()


def synchronised(model: nn.Module) -> nn.Module:
    """Return the model with weights from process 0 and gradients averaged over processes while backward runs."""
    if not distributed.is_initialized():
        return model
    network = DistributedDataParallel(model)
    # By the attribute, because the argument is called differently from torch 2.15 on.
    network.broadcast_buffers = False
    return network


def deferred_sum(model: nn.Module, deferred: bool) -> AbstractContextManager[None]:
    """Add gradients up in this process alone during the block if `deferred`, to be averaged by a later backward."""
    if deferred and isinstance(model, DistributedDataParallel):
        context: AbstractContextManager[None] = model.no_sync()
        return context
    return nullcontext()


def gathered(value: T) -> list[T]:
    """Return the `value` of every process, in order of rank, once all have come here."""
    if not distributed.is_initialized():
        return [value]
    values: list[T | None] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in any process, once all have come here."""
    return any(gathered(flag))
