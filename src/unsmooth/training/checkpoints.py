"""Checkpoints of an interrupted training, written atomically and verified before use."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from unsmooth.atomic_files import atomic_path


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state behind its own SHA-256, so that damage is found before anything is resumed."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def read_checkpoint(path: Path, fingerprint: str, log: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the state of a checkpoint, with tensors on the CPU; None if there is none to resume.

    A file of another `fingerprint`, or one that cannot be read, is not used; `log` receives the reason.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        log(f"{path.name} is damaged: training starts from the beginning")
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError):
        log(f"{path.name} is not a checkpoint, or holds code, which is not run: training starts from the beginning")
        return None
    if state["fingerprint"] != fingerprint:
        log(f"{path.name} belongs to another configuration: training starts from the beginning")
        return None
    return state
