"""Logits of a trained model over a loader."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["collect_logits", "evaluation_mode"]

TARGET_KEYS = ("labels", "label", "targets", "target")  # of batches that are mappings


def collect_logits(
    model: nn.Module, loader: Iterable[Any], *, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Run a classifier in evaluation mode over all batches of a loader.

    Args:
        model: returns logits (B, K), or an object or a mapping that holds them as `logits`, as the models of Hugging
            Face do. The mode (training or evaluation) of each of its modules is restored afterwards.
        loader: batches in a fixed order: pairs (inputs, targets) with targets (B,) class indices, or mappings whose
            targets are called labels, label, targets or target and whose other entries are the model's arguments.
        device: where the model runs; None is the device of its parameters. Batches are moved there.

    Returns:
        Logits (N, K) float32 and targets (N,) int64, on the CPU, in the order of the batches.

    Raises:
        TypeError: a model that is no module.
        ValueError: no batches, a batch of another kind, outputs that are not (B, K), targets that are not (B,) indices.

    Example:
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> data = TensorDataset(torch.randn(10, 4), torch.arange(10) % 3)
        >>> logits, targets = collect_logits(nn.Linear(4, 3), DataLoader(data, batch_size=4))
        >>> logits.shape, targets.shape
        (torch.Size([10, 3]), torch.Size([10]))
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    logits, targets = [], []
    with evaluation_mode(model), torch.inference_mode():
        for batch in loader:
            output, target = _run(model, batch, device)
            if target.ndim != 1 or target.is_floating_point():
                raise ValueError(f"targets must be (B,) class indices, got {target.dtype} {tuple(target.shape)}")
            shape = tuple(getattr(output, "shape", ())) or type(output).__name__
            if len(shape) != 2 or shape[0] != len(target):
                raise ValueError(f"the model must return logits ({len(target)}, K), got {shape}")
            logits.append(output.float().cpu())
            targets.append(target.cpu().long())
    if not logits:
        raise ValueError("the loader must have at least one batch, got none")
    return torch.cat(logits), torch.cat(targets)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode; each of its modules gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _run(model: nn.Module, batch: Any, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return the logits of one batch and its targets."""
    if isinstance(batch, Mapping):
        key = next((key for key in TARGET_KEYS if key in batch), None)
        if key is None:
            raise ValueError(
                f"a batch must hold its targets as one of {', '.join(TARGET_KEYS)}, got {', '.join(batch)}"
            )
        target = batch[key]
        output = model(**{name: _moved(value, device) for name, value in batch.items() if name != key})
    elif isinstance(batch, list | tuple) and len(batch) == 2:
        inputs, target = batch
        output = model(_moved(inputs, device))
    else:
        came = f"{len(batch)} entries" if isinstance(batch, list | tuple) else type(batch).__name__
        raise ValueError(f"a batch must be a pair (inputs, targets) or a mapping, got {came}")
    held = output.get("logits", output) if isinstance(output, Mapping) else getattr(output, "logits", output)
    return held, torch.as_tensor(target)


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
