"""Where datasets and pretrained weights come from: the one place of addresses and checksums.

Nothing here is fetched or imported; `unsmooth.data.download` does that. Checksums are those that the publishers, or
the libraries that load the dataset most often, give for the archive; of GloVe, Punkt, Tiny-ImageNet and CUB-200-2011,
whose publishers give none, those that independent projects agree on. Of torchvision's weights only the first eight
digits are published, in the names of the files.
"""

from dataclasses import dataclass
from pathlib import Path

PROVIDED = "provided"  # in the folder of a source, the link to data that the user keeps elsewhere
WEIGHTS = "weights.pth"  # in the folder of a source of pretrained weights, the state dict


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    Attributes:
        file: its name.
        url: URL; None if a login is needed.
        digest: "md5:..." or "sha256:..." of the file, hexadecimal; or its beginning, where no more is published. A
            beginning tells damage and mistakes, not a forgery.
        inner: the archive inside this one that holds the data; None if this one holds the data.
    """

    file: str
    url: str | None
    digest: str
    inner: str | None = None


@dataclass(frozen=True)
class Source:
    """A published dataset, or pretrained weights.

    Attributes:
        name: its key in `SOURCES`.
        archives: the files it comes in.
        layout: paths, relative to the data root, that the unpacked dataset has.
        terms: for a source behind a login or a licence, how to get its archives; None where anyone may fetch them.
        unpack: "module:function", called with (paths by archive name, new folder); None extracts the one archive.
    """

    name: str
    archives: tuple[Archive, ...]
    layout: tuple[str, ...]
    terms: str | None = None
    unpack: str | None = None


@dataclass(frozen=True)
class WordVectors:
    """A table of word vectors.

    Attributes:
        source: its key in `SOURCES`.
        file: its text file, a word and its numbers a line.
        dimension: numbers of a vector.
        lower_case: whether all of its words are in lower case.
    """

    source: str
    file: str
    dimension: int
    lower_case: bool


VECTORS = {
    "glove_840b_300d": WordVectors("glove_840b_300d", "glove.840B.300d.txt", 300, lower_case=False),
    "glove_6b_100d": WordVectors("glove_6b", "glove.6B.100d.txt", 100, lower_case=True),
}


def _torchvision_weights(name: str, file: str) -> Source:
    """Return weights of torchvision; `file` ends in the first eight digits of its SHA-256."""
    digits = Path(file).stem.rpartition("-")[2]
    archive = Archive(file, f"https://download.pytorch.org/models/{file}", f"sha256:{digits}")
    return Source(name=name, archives=(archive,), layout=(WEIGHTS,), unpack="unsmooth.data.extract:keep_weights")


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="cifar10",
            archives=(
                Archive(
                    "cifar-10-python.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    "md5:c58f30108f718f92721af3b95e74349a",
                ),
            ),
            layout=(
                *(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
                "cifar-10-batches-py/test_batch",
                "cifar-10-batches-py/batches.meta",
            ),
        ),
        Source(
            name="cifar100",
            archives=(
                Archive(
                    "cifar-100-python.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                    "md5:eb9058c3a382ffc7106e4002c42a8d85",
                ),
            ),
            layout=("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
        ),
        Source(
            name="tiny_imagenet",
            archives=(
                Archive(
                    "tiny-imagenet-200.zip",
                    "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    "md5:90528d7ca1a48142e341f4ef8d21d0de",
                ),
            ),
            layout=("tiny-imagenet-200/train", "tiny-imagenet-200/val", "tiny-imagenet-200/wnids.txt"),
        ),
        Source(
            name="cub_200_2011",
            archives=(
                Archive(
                    "CUB_200_2011.tgz",
                    "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                    "md5:97eceeb196236b17998738112f37df78",
                ),
            ),
            layout=(
                "CUB_200_2011/images",
                *(f"CUB_200_2011/{name}.txt" for name in ("classes", "images", "image_class_labels")),
                "CUB_200_2011/train_test_split.txt",
            ),
        ),
        Source(
            name="imagenet",
            archives=(
                Archive("ILSVRC2012_img_train.tar", None, "md5:1d675b47d978889d74fa0da5fadfb00e"),
                Archive("ILSVRC2012_img_val.tar", None, "md5:29b22e2961454d5413ddabcf34fc5622"),
                Archive("ILSVRC2012_devkit_t12.tar.gz", None, "md5:fa75699e90414af021442c21a62c3abf"),
            ),
            layout=("train", "val"),
            terms="ImageNet is given out at https://image-net.org to those who log in and accept its terms.",
            unpack="unsmooth.data.imagenet:unpack",
        ),
        Source(
            name="cityscapes",
            archives=(
                # No digest is published.
                Archive("leftImg8bit_trainvaltest.zip", None, "sha256:"),
                Archive("gtFine_trainvaltest.zip", None, "sha256:"),
            ),
            layout=("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val"),
            terms="Cityscapes is given out at https://www.cityscapes-dataset.com to those who accept its terms.",
            unpack="unsmooth.data.cityscapes:unpack",
        ),
        Source(
            name="voc2012",
            archives=(
                Archive(
                    "VOCtrainval_11-May-2012.tar",
                    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                    "md5:6cd6e144f989b92b3379bac3b3de84fd",
                ),
            ),
            layout=(
                "VOCdevkit/VOC2012/JPEGImages",
                "VOCdevkit/VOC2012/SegmentationClass",
                *(f"VOCdevkit/VOC2012/ImageSets/Segmentation/{side}.txt" for side in ("train", "val")),
            ),
        ),
        Source(
            name="imdb",
            archives=(
                Archive(
                    "aclImdb_v1.tar.gz",
                    "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                    "md5:7c2ac02c03563afcf9b574c7e56c153a",
                ),
            ),
            layout=("aclImdb/train/neg", "aclImdb/train/pos", "aclImdb/test/neg", "aclImdb/test/pos"),
        ),
        Source(
            name="glove_840b_300d",
            archives=(
                Archive(
                    "glove.840B.300d.zip",
                    "https://nlp.stanford.edu/data/glove.840B.300d.zip",
                    "md5:2ffafcc9f9ae46fc8c95f32372976137",
                ),
            ),
            layout=("glove.840B.300d.txt",),
        ),
        Source(
            name="glove_6b",
            archives=(
                Archive(
                    "glove.6B.zip",
                    "https://nlp.stanford.edu/data/glove.6B.zip",
                    "sha256:617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
                ),
            ),
            layout=("glove.6B.100d.txt",),
        ),
        Source(
            name="newsgroups",
            archives=(
                Archive(
                    "20news-19997.tar.gz",
                    "https://qwone.com/~jason/20Newsgroups/20news-19997.tar.gz",
                    # Of one library alone, Hugging Face datasets (newsgroup, dataset_infos.json).
                    "sha256:ab7bbf82b7831f7dbb1a09d9312f66fa78565c8de25526999b0d66f69d37e414",
                ),
            ),
            layout=("20_newsgroups",),
        ),
        Source(
            name="punkt_tab",
            archives=(
                Archive(
                    "punkt_tab.zip",
                    "https://raw.githubusercontent.com/nltk/nltk_data/550b6625bcef1f2abff2ff770a5a0d272c9c6b2a"
                    "/packages/tokenizers/punkt_tab.zip",
                    "sha256:e57f64187974277726a3417ca6f181ec5403676c717672eef6a748a7b20e0106",
                ),
            ),
            layout=("punkt_tab/english",),
        ),
        Source(
            name="bank_marketing",
            archives=(
                Archive(
                    "bank+marketing.zip",
                    "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip",
                    "md5:3a3c6c4189975ea1f3040dbd60ad106c",
                    inner="bank-additional.zip",
                ),
            ),
            layout=("bank-additional/bank-additional-full.csv",),
        ),
        Source(
            name="online_shoppers",
            archives=(
                Archive(
                    "online+shoppers+purchasing+intention+dataset.zip",
                    "https://archive.ics.uci.edu/static/public/468/online+shoppers+purchasing+intention+dataset.zip",
                    "md5:d835049e5f428f3b8cb8a6e6937f5537",
                ),
            ),
            layout=("online_shoppers_intention.csv",),
        ),
        _torchvision_weights("resnet50_imagenet1k_v1", "resnet50-0676ba61.pth"),
        _torchvision_weights("resnet50_imagenet1k_v2", "resnet50-11ad3fa6.pth"),
        _torchvision_weights("resnet101_imagenet1k_v1", "resnet101-63fe2227.pth"),
        _torchvision_weights("resnet101_imagenet1k_v2", "resnet101-cd907fc2.pth"),
    )
}


def data_root(folder: Path) -> Path:
    """Return the data folder of a fetched source: its `folder`, or the target of the link in it."""
    return folder / PROVIDED if (folder / PROVIDED).is_symlink() else folder
