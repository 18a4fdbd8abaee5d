"""Addresses and checksums of datasets and pretrained weights, which `unsmooth.data.download` fetches.

Checksums are those of the publishers or of the most used libraries; for GloVe, Punkt, Tiny-ImageNet and CUB-200-2011,
whose publishers give none, those on which independent projects agree.
"""

from dataclasses import dataclass
from pathlib import Path

PROVIDED = "provided"  # in the folder of a source, the link to data that the user keeps elsewhere
WEIGHTS = "weights.pth"  # in the folder of a source of pretrained weights, the state dict


@dataclass(frozen=True)
class Archive:
    """One file to fetch."""

    file: str
    url: str | None  # None if a login is needed
    # "md5:..." or "sha256:..." of the file, or the published beginning of it, which detects damage and mistakes, but
    # not a forgery
    digest: str
    inner: str | None = None  # the archive inside this one that holds the data, if any


@dataclass(frozen=True)
class Source:
    """A published dataset, or pretrained weights."""

    name: str  # its key in `SOURCES`
    archives: tuple[Archive, ...]  # the files it comes in
    layout: tuple[str, ...]  # paths, relative to the data root, that the unpacked dataset has
    # For a source behind a login or a licence, how to get its archives; None where anyone may fetch them
    terms: str | None = None
    # "module:function", called with (paths by archive name, new folder); None extracts the one archive
    unpack: str | None = None


@dataclass(frozen=True)
class WordVectors:
    """A table of word vectors."""

    source: str  # its key in `SOURCES`
    file: str  # its text file, a word and its numbers a line
    dimension: int
    lower_case: bool  # whether all of its words are in lower case


VECTORS = {
    "glove_840b_300d": WordVectors("glove_840b_300d", "glove.840B.300d.txt", 300, lower_case=False),
    "glove_6b_100d": WordVectors("glove_6b", "glove.6B.100d.txt", 100, lower_case=True),
}


def _public(name: str, url: str, digest: str, *layout: str, inner: str | None = None) -> Source:
    """Return a source of one archive that anyone may fetch."""
    return Source(name, (Archive(Path(url).name, url, digest, inner),), layout)


def _torchvision_weights(name: str, file: str) -> Source:
    """Return weights of torchvision; `file` ends in the first eight digits of its SHA-256."""
    digits = Path(file).stem.rpartition("-")[2]
    archive = Archive(file, f"https://download.pytorch.org/models/{file}", f"sha256:{digits}")
    return Source(name, (archive,), (WEIGHTS,), unpack="unsmooth.data.extract:keep_weights")


_ENTRIES = (
    _public(
        "cifar10",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "md5:c58f30108f718f92721af3b95e74349a",
        *(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
        "cifar-10-batches-py/test_batch",
        "cifar-10-batches-py/batches.meta",
    ),
    _public(
        "cifar100",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "md5:eb9058c3a382ffc7106e4002c42a8d85",
        *(f"cifar-100-python/{name}" for name in ("train", "test", "meta")),
    ),
    _public(
        "tiny_imagenet",
        "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "md5:90528d7ca1a48142e341f4ef8d21d0de",
        *(f"tiny-imagenet-200/{name}" for name in ("train", "val", "wnids.txt")),
    ),
    _public(
        "cub_200_2011",
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        "md5:97eceeb196236b17998738112f37df78",
        "CUB_200_2011/images",
        *(f"CUB_200_2011/{name}.txt" for name in ("classes", "images", "image_class_labels", "train_test_split")),
    ),
    Source(
        "imagenet",
        (
            Archive("ILSVRC2012_img_train.tar", None, "md5:1d675b47d978889d74fa0da5fadfb00e"),
            Archive("ILSVRC2012_img_val.tar", None, "md5:29b22e2961454d5413ddabcf34fc5622"),
            Archive("ILSVRC2012_devkit_t12.tar.gz", None, "md5:fa75699e90414af021442c21a62c3abf"),
        ),
        ("train", "val"),
        terms="ImageNet is given out at https://image-net.org to those who log in and accept its terms.",
        unpack="unsmooth.data.imagenet:unpack",
    ),
    Source(
        "cityscapes",
        (
            # No digest is published.
            Archive("leftImg8bit_trainvaltest.zip", None, "sha256:"),
            Archive("gtFine_trainvaltest.zip", None, "sha256:"),
        ),
        ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val"),
        terms="Cityscapes is given out at https://www.cityscapes-dataset.com to those who accept its terms.",
        unpack="unsmooth.data.cityscapes:unpack",
    ),
    _public(
        "voc2012",
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "md5:6cd6e144f989b92b3379bac3b3de84fd",
        "VOCdevkit/VOC2012/JPEGImages",
        "VOCdevkit/VOC2012/SegmentationClass",
        *(f"VOCdevkit/VOC2012/ImageSets/Segmentation/{side}.txt" for side in ("train", "val")),
    ),
    _public(
        "imdb",
        "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
        "md5:7c2ac02c03563afcf9b574c7e56c153a",
        *(f"aclImdb/{side}/{sentiment}" for side in ("train", "test") for sentiment in ("neg", "pos")),
    ),
    _public(
        "glove_840b_300d",
        "https://nlp.stanford.edu/data/glove.840B.300d.zip",
        "md5:2ffafcc9f9ae46fc8c95f32372976137",
        "glove.840B.300d.txt",
    ),
    _public(
        "glove_6b",
        "https://nlp.stanford.edu/data/glove.6B.zip",
        "sha256:617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
        "glove.6B.100d.txt",
    ),
    _public(
        "newsgroups",
        "https://qwone.com/~jason/20Newsgroups/20news-19997.tar.gz",
        # Of one library alone, Hugging Face datasets (newsgroup, dataset_infos.json).
        "sha256:ab7bbf82b7831f7dbb1a09d9312f66fa78565c8de25526999b0d66f69d37e414",
        "20_newsgroups",
    ),
    _public(
        "punkt_tab",
        "https://raw.githubusercontent.com/nltk/nltk_data/550b6625bcef1f2abff2ff770a5a0d272c9c6b2a"
        "/packages/tokenizers/punkt_tab.zip",
        "sha256:e57f64187974277726a3417ca6f181ec5403676c717672eef6a748a7b20e0106",
        "punkt_tab/english",
    ),
    _public(
        "bank_marketing",
        "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip",
        "md5:3a3c6c4189975ea1f3040dbd60ad106c",
        "bank-additional/bank-additional-full.csv",
        inner="bank-additional.zip",
    ),
    _public(
        "online_shoppers",
        "https://archive.ics.uci.edu/static/public/468/online+shoppers+purchasing+intention+dataset.zip",
        "md5:d835049e5f428f3b8cb8a6e6937f5537",
        "online_shoppers_intention.csv",
    ),
    _torchvision_weights("resnet50_imagenet1k_v1", "resnet50-0676ba61.pth"),
    _torchvision_weights("resnet50_imagenet1k_v2", "resnet50-11ad3fa6.pth"),
    _torchvision_weights("resnet101_imagenet1k_v1", "resnet101-63fe2227.pth"),
    _torchvision_weights("resnet101_imagenet1k_v2", "resnet101-cd907fc2.pth"),
)
SOURCES = {source.name: source for source in _ENTRIES}


def data_root(folder: Path) -> Path:
    """Return the data folder of a fetched source: its `folder`, or the target of the link in it."""
    return folder / PROVIDED if (folder / PROVIDED).is_symlink() else folder
