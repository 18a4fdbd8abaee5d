"""Datasets of image files: a table of paths and targets, and batches decoded by worker processes.

What is done to a training image is a function of (a number drawn for the epoch, its index), so that batches do not
depend on how many processes decode them, nor on how many train.
"""

import json
import math
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from unsmooth.atomic_files import atomic_path, sha256_of
from unsmooth.data.arrays import MANIFEST, DatasetError, Manifest
from unsmooth.data.sources import PROVIDED, data_root

IMAGES = "images.csv"
CROP_AREA = (0.08, 1.0)  # share of the image, Szegedy et al., CVPR 2015
CROP_RATIO = (3 / 4, 4 / 3)  # width over height
CROP_TRIES = 10

Request = tuple[NDArray[np.int64], int | None]  # indices of a batch, and the epoch's number; None: no augmentation
Batch = tuple[Tensor, Tensor]
Listed = TypeVar("Listed", bound=Manifest)


@dataclass(frozen=True)
class ImageManifest(Manifest):
    """Manifest of a prepared dataset of image files; `sha256` is the digest of the table."""

    root: str  # folder of the source of the images, relative to the manifest's
    image_size: int  # side of the square that the model sees, pixels
    resize: int  # shorter side before the centre crop at test time, pixels
    resize_dtype: str  # pixels while resizing: "uint8", rounded and clamped, or "float32", which overshoots
    keep_aspect: bool = True  # whether resizing keeps the ratio of the sides; otherwise both become `resize`
    interpolation: str = "bicubic"  # between pixels while resizing, "bicubic" or "bilinear", antialiased


@dataclass(frozen=True)
class ImageFiles:
    """A prepared dataset of image files."""

    manifest: ImageManifest  # how they are read
    root: Path  # their folder
    # By split, (N,) paths relative to the root, encoded as bytes in one block that processes share
    paths: dict[str, NDArray[np.bytes_]]
    targets: dict[str, Tensor]  # by split, (N,) int64 class indices


def write_image_files(
    folder: Path,
    splits: Mapping[str, Sequence[tuple[str, int]]],
    *,
    root: Path,
    image_size: int,
    resize: int,
    **fields: Any,  # noqa: ANN401
) -> ImageManifest:
    """Write the table of image files and its manifest to `folder`, each file whole or not at all.

    `splits` holds (path relative to the root, class index) of each image; the other arguments are fields of
    `ImageManifest`. DatasetError if the crop is larger than the resized image.
    """
    if image_size > resize:
        raise DatasetError(f"resize must be at least image_size, {image_size}, to crop from, got {resize}")
    fields |= {"input_shape": [3, image_size, image_size], "image_size": image_size, "resize": resize}
    return write_listed(ImageManifest, folder, splits, ["path", "target"], root, **fields)


def write_listed(
    kind: Callable[..., Listed],
    folder: Path,
    splits: Mapping[str, Sequence[tuple[Any, ...]]],
    columns: list[str],
    root: Path,
    **fields: Any,  # noqa: ANN401
) -> Listed:
    """Write the table of files and a manifest of this kind, whose sizes, digest and root follow from the table."""
    rows = [(split, *row) for split, files in splits.items() for row in files]
    with atomic_path(folder / IMAGES) as temporary:
        pd.DataFrame(rows, columns=["split", *columns]).to_csv(temporary, index=False)
        digest = sha256_of(temporary)
    # The path of the source, not of the user's data, which may move.
    source = os.path.relpath(root.parent if root.name == PROVIDED else root, folder)
    sizes = {split: len(files) for split, files in splits.items()}
    manifest = kind(sizes=sizes, sha256=digest, root=source, **fields)
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(vars(manifest), indent=1) + "\n")
    return manifest


def read_image_files(folder: Path) -> ImageFiles:
    """Read the table of image files, after checking it against the manifest's SHA-256."""
    try:
        manifest = ImageManifest(**json.loads((folder / MANIFEST).read_text()))
    except FileNotFoundError:
        raise DatasetError(f"{folder / MANIFEST} does not exist: build the dataset first") from None
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{folder / MANIFEST} is not a manifest of image files: {error}") from None
    path = folder / IMAGES
    if not path.exists():
        raise DatasetError(f"{path} does not exist, but {MANIFEST} does: delete {MANIFEST} to rebuild the dataset")
    if (digest := sha256_of(path)) != manifest.sha256:
        raise DatasetError(f"{path} has SHA-256 {digest}, expected {manifest.sha256}: delete {MANIFEST} to rebuild it")
    root = data_root((folder / manifest.root).resolve())
    if not root.is_dir():
        raise DatasetError(f"{root}, the folder of the images of {manifest.dataset}, does not exist")
    table = pd.read_csv(path, dtype={"split": str, "path": str, "target": np.int64}, keep_default_na=False)
    paths, targets = {}, {}
    for split in manifest.sizes:
        rows = table[table["split"] == split]
        paths[split] = np.array([os.fsencode(name) for name in rows["path"]], dtype=np.bytes_)
        targets[split] = torch.tensor(rows["target"].to_numpy())
    return ImageFiles(manifest, root, paths, targets)


def image_files_loader(
    folder: Path,
    split: str,
    *,
    batch_size: int,
    resized_crop: bool = False,
    random_crop: bool = False,
    flip: bool = False,
    crop_padding: int = 0,
    workers: int = 0,
    shards: int = 1,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str = "cpu",
    preprocessing: Mapping[str, Any] | None = None,
) -> "ImageFilesLoader":
    """Return the batches of one split of the prepared dataset in `folder`; arguments as of `ImageFilesLoader`.

    `preprocessing` has fields of the manifest that replace the dataset's. `crop_padding`, for arrays only, is refused.
    """
    images = read_image_files(folder)
    images = replace(images, manifest=replace(images.manifest, **preprocessing or {}))
    if split not in images.paths:
        raise DatasetError(f"{folder} has no split {split!r}; it has {', '.join(images.paths)}")
    if crop_padding:
        raise DatasetError(
            f"{folder}: crop_padding needs a dataset in one tensor; image files take resized_crop or random_crop"
        )
    return ImageFilesLoader(
        images,
        split,
        batch_size=batch_size,
        resized_crop=resized_crop,
        random_crop=random_crop,
        flip=flip,
        workers=workers,
        shards=shards,
        rank=rank,
        world_size=world_size,
        device=device,
    )


class FilesLoader:
    """Batches of image files, decoded by worker processes ahead of time and normalised on the device.

    Args:
        decoder: gives pixels (B, H, W, 3) and targets for a request, or what to say where they cannot be decoded.
        count: samples that it knows.
        mean, std: normalisation by channel on the [0, 1] scale.
        scale: of the pixels that the decoder gives: 255, or 1.
        workers: processes that decode; 0 decodes in this one.
        batch_size, shards, rank, world_size, device: as for `TensorLoader`.
    """

    def __init__(
        self,
        decoder: Dataset[Batch | str],
        count: int,
        *,
        mean: list[float],
        std: list[float],
        scale: int,
        batch_size: int,
        workers: int = 0,
        shards: int = 1,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.count, self.batch_size = count, batch_size
        self.shards, self.own = shards, slice(rank, None, world_size)
        self.device = torch.device(device)
        self.mean = torch.tensor(mean, device=self.device) * scale
        self.std = torch.tensor(std, device=self.device) * scale
        self._requests = _Requests()
        self._batches = DataLoader(
            decoder,
            batch_size=None,  # a request is a batch already
            sampler=self._requests,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_leave_sigterm_to_parent,
            generator=torch.Generator(),  # otherwise seeding the workers moves torch's global generator
        )

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def epoch(self, generator: torch.Generator, *, start: int, resume: Tensor | None) -> Iterator[list[Batch]]:
        """Yield this process's shards of shuffled, augmented batches from batch `start` on.

        Images are (B, 3, H, W) float32 on the device, in channels-last memory order; targets int64. Everything is drawn
        before the first batch, so that there is nothing to do for `resume`.
        """
        order = torch.randperm(self.count, generator=generator)
        draw = int(torch.randint(2**62, (), generator=generator))
        steps = [batch.tensor_split(self.shards)[self.own] for batch in order.split(self.batch_size)[start:]]
        batches = self._decoded([(part.numpy(), draw) for parts in steps for part in parts])
        for parts in steps:
            yield [next(batches) for _ in parts]

    def in_order(self) -> Iterator[Batch]:
        """Yield all batches once, in order and not augmented."""
        yield from self._decoded([(part.numpy(), None) for part in torch.arange(self.count).split(self.batch_size)])

    def _decoded(self, requests: list[Request]) -> Iterator[Batch]:
        self._requests.pending = requests
        with _sigterm_held_back():  # workers inherit it, and so are safe from their first instruction on
            batches = iter(self._batches)
        for batch in batches:
            if isinstance(batch, str):
                raise DatasetError(batch)
            inputs, targets = (tensor.to(self.device, non_blocking=True) for tensor in batch)
            yield ((inputs.float() - self.mean).div_(self.std)).permute(0, 3, 1, 2), targets


class ImageFilesLoader(FilesLoader):
    """Batches of one split of image files with one class each; at test time resized and cropped at the centre.

    In training `resized_crop` cuts out a part by `_random_box` and resizes that, `random_crop` crops the resized image
    at random, and `flip` mirrors with probability 1/2. `settings` are those of `FilesLoader`.
    """

    def __init__(
        self,
        images: ImageFiles,
        split: str,
        *,
        resized_crop: bool = False,
        random_crop: bool = False,
        flip: bool = False,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        manifest = images.manifest
        super().__init__(
            _Decoder(images, split, resized_crop=resized_crop, random_crop=random_crop, flip=flip),
            len(images.targets[split]),
            mean=manifest.mean,
            std=manifest.std,
            scale=255 if manifest.resize_dtype == "uint8" else 1,
            **settings,
        )


class _Requests(Sampler[Request]):
    """Sampler of the indices that the decoding processes load next."""

    def __init__(self) -> None:
        self.pending: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self.pending)

    def __len__(self) -> int:
        return len(self.pending)


class _Decoder(Dataset[Batch | str]):
    """Image files of one split as batches of pixels, (B, S, S, 3) uint8, or float32 in about [0, 1].

    For an image that cannot be decoded the batch is a message: an exception would carry the traceback of the process.
    """

    def __init__(self, images: ImageFiles, split: str, *, resized_crop: bool, random_crop: bool, flip: bool) -> None:
        self.root, self.paths, self.targets = os.fsencode(images.root), images.paths[split], images.targets[split]
        self.size, self.resize = images.manifest.image_size, images.manifest.resize
        self.interpolation = images.manifest.interpolation
        self.dtype = torch.uint8 if images.manifest.resize_dtype == "uint8" else torch.float32
        self.keep_aspect = images.manifest.keep_aspect
        self.resized_crop, self.random_crop, self.flip = resized_crop, random_crop, flip

    def __getitem__(self, request: Request) -> Batch | str:
        indices, draw = request
        pixels = torch.empty(len(indices), self.size, self.size, 3, dtype=self.dtype)
        for position, index in enumerate(indices):
            path = os.path.join(self.root, self.paths[index])
            randomness = None if draw is None else random.Random(f"{draw}/{index}")
            try:
                pixels[position] = self._read(path, randomness)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                return f"{os.fsdecode(path)} cannot be decoded: {error}"
        return pixels, self.targets[indices]

    def _read(self, path: bytes, randomness: random.Random | None) -> Tensor:
        """Return one image, (S, S, 3), augmented if `randomness` is given."""
        with Image.open(path) as image:
            if randomness is not None and self.resized_crop:
                # Only the crop is converted to colour and to numbers.
                crop = image.crop(_random_box(*image.size, randomness))
                pixels = self._resized(crop, self.size, self.size)
            else:
                width, height = self._resized_sides(*image.size)
                if randomness is not None and self.random_crop:
                    top, left = randomness.randint(0, height - self.size), randomness.randint(0, width - self.size)
                else:
                    top, left = round((height - self.size) / 2), round((width - self.size) / 2)
                pixels = self._resized(image, height, width)[top : top + self.size, left : left + self.size]
        if randomness is not None and self.flip and randomness.random() < 0.5:
            pixels = pixels.flip(1)
        return pixels

    def _resized_sides(self, width: int, height: int) -> tuple[int, int]:
        if not self.keep_aspect:
            return self.resize, self.resize
        shorter = min(width, height)
        return self.resize * width // shorter, self.resize * height // shorter

    def _resized(self, image: Image.Image, height: int, width: int) -> Tensor:
        pixels = torch.from_numpy(np.array(image.convert("RGB")))
        if self.dtype == torch.float32:
            pixels = pixels.float().div_(255)
        resized = nn.functional.interpolate(
            pixels.permute(2, 0, 1)[None], size=(height, width), mode=self.interpolation, antialias=True
        )
        return resized[0].permute(1, 2, 0)


def _random_box(width: int, height: int, randomness: random.Random) -> tuple[int, int, int, int]:
    """Draw left, top, right and bottom of a part of an image (Szegedy et al., CVPR 2015).

    Area and ratio are drawn until they fit; after some tries it is the largest centred part whose ratio is allowed.
    """
    for _ in range(CROP_TRIES):
        area = randomness.uniform(*CROP_AREA) * width * height
        ratio = math.exp(randomness.uniform(*map(math.log, CROP_RATIO)))
        columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < columns <= width and 0 < rows <= height:
            left, top = randomness.randint(0, width - columns), randomness.randint(0, height - rows)
            return left, top, left + columns, top + rows
    columns = min(width, round(height * CROP_RATIO[1]))
    rows = min(height, round(width / CROP_RATIO[0]))
    left, top = (width - columns) // 2, (height - rows) // 2
    return left, top, left + columns, top + rows


@contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """Let SIGTERM reach this thread, and what it starts, only at the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _leave_sigterm_to_parent(worker: int) -> None:
    """Let a worker, started with SIGTERM held back, end at SIGTERM only when its parent sent it.

    A cluster sends SIGTERM to every process of a job; the parent then needs its workers until it has saved.
    """

    def listen() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=listen, daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):  # macOS
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
