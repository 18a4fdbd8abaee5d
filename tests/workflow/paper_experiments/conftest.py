"""Every experiment of the paper, from download to figures, on a miniature of its dataset in the upstream archives.

What is made small is data, epochs and batches; rules, builders, loaders, models and the rest of the recipe are the
shipped ones.
"""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from miniatures.cifar import write_cifar10, write_cifar100
from miniatures.cityscapes import write_cityscapes
from miniatures.cub import write_cub
from miniatures.imagenet import write_imagenet
from miniatures.imdb import write_glove, write_imdb, write_punkt_tab
from miniatures.newsgroups import write_glove_6b, write_newsgroups
from miniatures.server import file_server
from miniatures.tabular import write_bank_marketing, write_online_shoppers
from miniatures.tiny_imagenet import write_tiny_imagenet
from miniatures.voc import write_voc2012

from unsmooth.data.sources import SOURCES

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
GRID = {"losses": {"ce": None, "ls": {"alpha": [0.2]}}, "seeds": [0]}
PUBLISHED = {"error": 20.0, "aurc": 10.0, "source": "a test"}
IMAGENET = {
    "dataset": {"num_val": 8, "num_train_logits": 4, "image_size": 64, "resize": 72},
    "recipe": {"epochs": 2, "batch_size": 16, "shards": 2, "warmup": {"epochs": 1}, "precision": "fp32"},
}
TWO_EPOCHS = {"epochs": 2, "schedule": {"milestones": [1]}}
MBLS_CIFAR = {"dataset": {"num_val": 40}, "recipe": TWO_EPOCHS | {"batch_size": 10}}
TINY_IMAGENET = {"dataset": {"val_per_class": 2}, "recipe": TWO_EPOCHS | {"batch_size": 4}}
IMDB = {"dataset": {"num_val": 20, "max_tokens": 32}, "recipe": {"epochs": 3, "batch_size": 16}}
# experiment: what is made small, and the size of its test split; large networks take one step an epoch
SMALL = {
    "cifar10_resnet20": ({"dataset": {"num_val": 20}, "recipe": {"epochs": 2, "schedule": {"milestones": [1]}}}, 10),
    "cifar100_densenet": (
        {
            "dataset": {"num_val": 20},
            "recipe": TWO_EPOCHS | {"batch_size": 32, "precision": "fp32"},  # CPUs are slow in fp16
        },
        20,
    ),
    "cifar10_resnet50_mbls": (MBLS_CIFAR, 10),
    "cifar10_resnet101_mbls": (MBLS_CIFAR, 10),
    "tiny_imagenet_resnet50": (TINY_IMAGENET, 8),
    "tiny_imagenet_resnet101": (TINY_IMAGENET, 8),
    "cub_resnet101": (
        {
            "dataset": {"num_val": 8, "image_size": 48, "resize": 56},
            "recipe": TWO_EPOCHS | {"batch_size": 8},
        },
        8,
    ),
    "newsgroups_gpool_cnn": (
        {
            "dataset": {"num_val": 16, "num_test": 24, "max_tokens": 32},
            "recipe": {"epochs": 3, "batch_size": 16},
        },
        24,
    ),
    "cityscapes_deeplabv3plus": (
        {
            "dataset": {"num_val": 3, "num_train_logits": 2},
            "architectures": {"deeplabv3plus": {"pretrained": None}},
            "recipe": {
                "epochs": 2,
                "batch_size": 4,
                "schedule": {"epochs": 1},
                "augmentation": {"scene_crop": {"size": 32}},
                "precision": "fp32",
            },
            "pixels": {"per_scene": 50, "maps": [0, 1]},
        },
        4,
    ),
    "voc_deeplabv3": (
        {
            "dataset": {"num_val": 3, "num_train_logits": 2, "image_size": 48},
            "recipe": TWO_EPOCHS | {"batch_size": 4, "augmentation": {"scene_crop": {"size": 48, "longest": 64}}},
            "pixels": {"per_scene": 50, "maps": [0, 1]},
        },
        4,
    ),
    "imagenet_resnet50": (IMAGENET, 16),
    "imagenet_vit_s16": (IMAGENET, 16),
    "zoo": ({"dataset": {"num_val": 8, "num_train_logits": 4}}, 16),
    "imdb_lstm": (IMDB, 40),
    "imdb_lstm_glove6b": (IMDB, 40),
    "bank_marketing_mlp": ({"dataset": {"num_val": 100}, "recipe": {"epochs": 3}}, 221),
    "online_shoppers_mlp": ({"dataset": {"num_val": 100}, "recipe": {"epochs": 3}}, 221),
}


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The miniature of every archive, by its upstream name."""
    folder = tmp_path_factory.mktemp("archives")
    return {
        **write_cifar10(folder, batch_size=10),
        **write_cifar100(folder, num_train=52, num_test=20),
        **write_cityscapes(folder, train=4, val=7, size=(32, 64)),
        **write_imagenet(folder, num_classes=4, train_images=4, val_images=24),
        **write_tiny_imagenet(folder, train_images=3, val_images=8),
        **write_cub(folder, images=6),
        **write_imdb(folder, reviews=30),
        **write_glove(folder),
        **write_punkt_tab(folder),
        **write_newsgroups(folder),
        **write_glove_6b(folder),
        **write_voc2012(folder, train=4, val=7),
        **write_bank_marketing(folder),
        **write_online_shoppers(folder),
    }


@pytest.fixture
def server(archives):
    with upstream_server(archives) as served:
        yield served


@pytest.fixture
def shipped(fresh, archives, server):
    """A workspace for a shipped experiment, small, whose downloads come from the server."""

    def prepare(name, *, folders=None):
        return small_workspace(fresh, archives, server, [name], folders=folders or {})

    return prepare


def upstream_server(archives):
    """A server of the miniatures, under the last part of their upstream addresses."""
    upstream = [archive for source in SOURCES.values() for archive in source.archives if archive.file in archives]
    return file_server(
        {urlsplit(each.url).path.lstrip("/"): archives[each.file].read_bytes() for each in upstream if each.url}
    )


def small_workspace(workspace, archives, server, names, *, folders):
    """Let a workspace run shipped experiments, made small, with downloads from the server."""
    for name in names:
        data = yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())
        for part, changes in SMALL[name][0].items():
            data[part] = merged(data[part], changes)
        data["dataset"]["complete"] = False
        data |= GRID | {"published": [PUBLISHED | {"loss": "ce"}, PUBLISHED | {"loss": "ls", "alpha": 0.2}]}
        (workspace.folder / "experiments" / f"{name}.yaml").write_text(yaml.safe_dump(data))
    hosts = {f"{url.scheme}://{url.netloc}/" for url in map(urlsplit, addresses())}
    digests = {name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in archives.items()}
    settings = yaml.safe_load((workspace.folder / "tiny.yaml").read_text()) | {
        "experiments": [f"experiments/{name}.yaml" for name in names],
        "downloads": {
            "mirrors": dict.fromkeys(sorted(hosts), f"{server.address}/"),
            "checksums": digests,
            "folders": folders,
        },
    }
    (workspace.folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return workspace


def addresses():
    return [archive.url for source in SOURCES.values() for archive in source.archives if archive.url]


def merged(data, changes):
    nested = {
        key: merged(data[key], value) for key, value in changes.items() if isinstance(value, dict) and key in data
    }
    return {**data, **changes, **nested}
