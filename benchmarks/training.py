"""Training throughput, side by side in one process: a plain loop, ours, and two ceilings.

    python benchmarks/training.py [--device cuda] [--rounds 5] [--beside 1 4 8]

plain    a DataLoader with per-sample torchvision transforms and fp32, as in most tutorials
ours     unsmooth.training.loop.train on a resident tensor, batched augmentation, bf16 autocast, channels_last
ceiling  the same loop on one augmented batch that is repeated: no data work at all
bare     the model's convolutions alone, forward and backward in bf16: what the processor or GPU allows

All four take the same model and batch size. The rounds are interleaved and medians are printed, because a shared
machine changes its speed while one looks; on a CPU seconds are those of the processor, which other processes do not
lengthen. With --beside, so many trainings of ours share the device, each in a process of its own, by the wall clock.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from threading import Barrier

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from unsmooth.config.specs.recipes import Augmentation, OneCycle, Recipe, Sgd
from unsmooth.data.loading import Shard, TensorLoader
from unsmooth.losses import make_loss
from unsmooth.models.cifar_resnet import CifarResNet
from unsmooth.runtime.heap import keep_freed_memory
from unsmooth.training.loop import train

# name: depth, channels, image size, classes, crop padding, mirror, images on a CPU
CASES = {
    "glyphs ResNet-8": (8, 1, 16, 62, 2, False, 3072),
    "CIFAR-shaped ResNet-20": (20, 3, 32, 10, 4, True, 1024),
}


class RepeatedBatch:
    """A loader that yields the first batch of another one over and over."""

    def __init__(self, loader: TensorLoader) -> None:
        self.length = len(loader)
        self.batch = next(loader.epoch(torch.Generator().manual_seed(0), start=0, resume=None))

    def __len__(self) -> int:
        return self.length

    def epoch(self, generator: torch.Generator, *, start: int, resume: Tensor | None) -> Iterator[list[Shard]]:
        for _ in range(start, self.length):
            yield self.batch


class PerSample(Dataset):
    """Images as PIL would give them, transformed one by one."""

    def __init__(self, images: Tensor, targets: Tensor, transform: nn.Module) -> None:
        self.images, self.targets, self.transform = images, targets, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.targets[index]


def plain_epoch(model: nn.Module, loader: DataLoader, device: str) -> None:
    """Train one epoch as a tutorial would."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for images, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(images.to(device)), targets.to(device))
        loss.backward()
        optimizer.step()
        loss.item()


def bare_convolutions(model: nn.Module, images: Tensor) -> Callable[[], None]:
    """Return a step of the convolutions that `model` applies to `images`, each on inputs and gradients of its own."""
    model = model.bfloat16().to(memory_format=torch.channels_last)
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def remember(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        # The images themselves need no gradient.
        calls.append((layer, inputs[0].detach().requires_grad_(bool(calls)), output.detach()))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(remember) for layer in layers]
    with torch.no_grad():
        model(images.bfloat16())
    for hook in hooks:
        hook.remove()

    def step() -> None:
        for layer, inputs, gradient in calls:
            layer.weight.grad = inputs.grad = None
            layer(inputs).backward(gradient)

    return step


def pictures(name: str, device: str) -> tuple[Tensor, Tensor]:
    """Return random images and targets of a case."""
    _, channels, size, classes, _, _, count = CASES[name]
    count = 50_000 if device != "cpu" else count
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    return images, torch.randint(classes, (count,), generator=generator)


def our_loader(name: str, device: str, batch_size: int) -> TensorLoader:
    """Return the images of a case as batches on the device."""
    _, channels, _, _, padding, flip, _ = CASES[name]
    images, targets = pictures(name, device)
    return TensorLoader(
        images,
        targets,
        batch_size=batch_size,
        mean=[0.5] * channels,
        std=[0.25] * channels,
        crop_padding=padding,
        flip=flip,
        device=device,
    )


def fresh_model(name: str, device: str) -> nn.Module:
    """Return the untrained network of a case."""
    depth, channels, _, classes, *_ = CASES[name]
    torch.manual_seed(0)
    return CifarResNet(depth=depth, width=16, in_channels=channels, num_classes=classes).to(device)


def our_epoch(model: nn.Module, loader: TensorLoader | RepeatedBatch, name: str, device: str, batch_size: int) -> None:
    """Train one epoch as a cell does."""
    _, _, _, _, padding, flip, _ = CASES[name]
    recipe = Recipe(
        epochs=1,
        batch_size=batch_size,
        optimizer=Sgd(lr=0.05),
        schedule=OneCycle(),
        augmentation=Augmentation(crop_padding=padding, flip=flip),
        precision="bf16",
        channels_last=True,
    )
    train(model, make_loss("ls", 0.1), loader, recipe, seed=0, device=device, log=lambda line: None)
    if device != "cpu":
        torch.cuda.synchronize()


def measure(name: str, device: str, batch_size: int, rounds: int) -> dict[str, float]:
    """Return images per second of each way."""
    _, channels, size, _, padding, flip, _ = CASES[name]
    images, targets = pictures(name, device)
    steps = [
        v2.RandomCrop(size, padding=padding),
        *([v2.RandomHorizontalFlip()] if flip else []),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * channels, [0.25] * channels),
    ]
    workers = 0 if device == "cpu" else 8
    plain = DataLoader(
        PerSample(images, targets, v2.Compose(steps)),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=workers > 0,
    )
    ours = our_loader(name, device, batch_size)
    ceiling = RepeatedBatch(ours)
    convolutions = bare_convolutions(fresh_model(name, device), ceiling.batch[0][0])
    clock = time.process_time if device == "cpu" else time.perf_counter

    def timed(run: str) -> float:
        model = fresh_model(name, device)
        started = clock()
        if run == "plain":
            plain_epoch(model, plain, device)
        elif run == "bare":
            for _ in range(len(images) // batch_size):
                convolutions()
            if device != "cpu":
                torch.cuda.synchronize()
        else:
            our_epoch(model, ours if run == "ours" else ceiling, name, device, batch_size)
        return len(images) / (clock() - started)

    rates: dict[str, list[float]] = {"plain": [], "ours": [], "ceiling": [], "bare": []}
    for _ in range(rounds + 1):
        for run, found in rates.items():
            found.append(timed(run))
    return {run: statistics.median(found[1:]) for run, found in rates.items()}


def one_beside_others(barrier: Barrier, name: str, device: str, batch_size: int, rounds: int) -> tuple[float, float]:
    """Train some epochs once every process is ready; return when they began and ended."""
    torch.set_num_threads(1)
    loader, model = our_loader(name, device, batch_size), fresh_model(name, device)
    our_epoch(model, loader, name, device, batch_size)
    barrier.wait()
    started = time.monotonic()
    for _ in range(rounds):
        our_epoch(model, loader, name, device, batch_size)
    return started, time.monotonic()


def beside(cells: int, name: str, device: str, batch_size: int, rounds: int) -> float:
    """Return images per second of all of `cells` trainings that share the device, each in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    with processes.Manager() as manager, ProcessPoolExecutor(cells, processes) as pool:
        work = partial(one_beside_others, manager.Barrier(cells))
        found = [pool.submit(work, name, device, batch_size, rounds) for _ in range(cells)]
        began, ended = zip(*(one.result() for one in found), strict=True)
    return cells * rounds * len(pictures(name, device)[0]) / (max(ended) - min(began))


def main() -> None:
    """Print one row a model and batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, nargs="*", default=[], help="numbers of trainings that share the device")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"torch {torch.__version__}, device {arguments.device}, 1 CPU thread a process; images per second (medians)")
    print(
        f"{'model':<24}{'batch':>6}{'plain':>10}{'ours':>10}{'ceiling':>10}{'bare':>10}{'ours/plain':>12}"
        f"{'ours/ceiling':>14}{'ours/bare':>11}"
    )
    for name in CASES:
        for batch_size in (128,) if arguments.device == "cpu" else (128, 1024):
            rate = measure(name, arguments.device, batch_size, arguments.rounds)
            print(
                f"{name:<24}{batch_size:>6}{rate['plain']:>10,.0f}{rate['ours']:>10,.0f}{rate['ceiling']:>10,.0f}"
                f"{rate['bare']:>10,.0f}{rate['ours'] / rate['plain']:>12.2f}{rate['ours'] / rate['ceiling']:>14.3f}"
                f"{rate['ours'] / rate['bare']:>11.2f}",
                flush=True,
            )
    for cells in arguments.beside:
        rate = beside(cells, "CIFAR-shaped ResNet-20", arguments.device, 128, arguments.rounds)
        print(
            f"{cells} x CIFAR-shaped ResNet-20, batch 128: {rate:,.0f} images per second of the wall clock", flush=True
        )


if __name__ == "__main__":
    main()
