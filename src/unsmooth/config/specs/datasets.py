"""Datasets of experiments."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from unsmooth.config.specs.base import Kind, NonNegativeFloat, PositiveFloat, PositiveInt, Seed, Share, kinds, left_at
from unsmooth.data.array_files import check_arrays, kind_of_inputs, read_headers
from unsmooth.data.sources import VECTORS


class DatasetSpec(Kind):
    """A dataset with its options; each subclass is a kind."""

    package: ClassVar[str] = "unsmooth.data"
    inputs: ClassVar[str]  # images, scenes, vectors or tokens
    sources: ClassVar[tuple[str, ...]] = ()  # its downloads, keys of `unsmooth.data.sources.SOURCES`
    samples: ClassVar[int | None] = None  # published number of all splits; None for drawn and own data
    files: ClassVar[bool] = False  # whether its images stay in files
    embedded: ClassVar[bool] = False  # whether it is drawn locally


class Arrays(DatasetSpec, kind="arrays", target="own_arrays:build"):
    """User arrays in an npz or safetensors file: vectors (N, F) or images (N, C, H, W), and their classes.

    The file has train_inputs, train_targets and the same for val and test; or inputs and targets, split by a seed.
    """

    complete: ClassVar[bool] = False  # no published sample count

    path: str = Field(description="the file, .npz or .safetensors, relative to the working folder")
    num_val: PositiveInt | None = Field(None, description="samples for fitting scores; for a file without splits")
    num_test: PositiveInt | None = Field(None, description="samples that only measure; for a file without splits")
    split_seed: Seed = Field(0, description="seed of the choice of those samples")

    def _faults(self) -> Iterator[str]:
        headers = read_headers(Path(self.path))
        check_arrays(Path(self.path), headers)
        divided, given = "inputs" in headers, [num is not None for num in (self.num_val, self.num_test)]
        if not all(given) if divided else any(given):
            splits = "no splits: num_val and num_test are needed" if divided else "splits of its own"
            yield f"{self.path} has {splits}, got num_val {self.num_val} and num_test {self.num_test}"
        if divided and all(given) and (self.num_val or 0) + (self.num_test or 0) >= headers["inputs"].shape[0]:
            held = f"num_val {self.num_val} and num_test {self.num_test}"
            yield f"{self.path} has {headers['inputs'].shape[0]} samples: {held} leave none to train on"

    @cached_property
    def inputs(self) -> str:  # type: ignore[override]
        return kind_of_inputs(read_headers(Path(self.path)))


class _Drawn(DatasetSpec, embedded=True):
    """A dataset drawn locally, without a download."""


class Glyphs(_Drawn, kind="glyphs", target="glyphs:build", inputs="images"):
    """62 characters in the fonts of matplotlib, small noisy grey images, drawn locally."""

    num_train: PositiveInt = Field(5000, description="training images")
    num_val: PositiveInt = Field(5000, description="images on which p, temperature and other scores are fitted")
    num_test: PositiveInt = Field(15000, description="images that only measure")
    image_size: Annotated[int, Field(ge=8, le=64)] = Field(16, description="height and width, pixels")
    noise: NonNegativeFloat = Field(0.09, description="standard deviation of the pixel noise, grey scale 0 to 1")
    distortion: NonNegativeFloat = Field(0.85, description="size of the random affine map; 1 is up to 20 degrees")
    seed: Seed = Field(0, description="seed of the images")


class GlyphScenes(_Drawn, kind="glyph_scenes", target="glyph_scenes:build", inputs="scenes"):
    """Overlapping letters on a noisy canvas with pixel labels, drawn locally: a miniature segmentation task."""

    num_train: PositiveInt = Field(300, description="training scenes")
    num_val: PositiveInt = Field(150, description="scenes for fitting scores")
    num_test: PositiveInt = Field(300, description="scenes that only measure")
    image_size: Annotated[int, Field(ge=16, le=256)] = Field(64, description="height and width, pixels")
    letters: PositiveInt = Field(6, description="letters in a scene")
    noise: NonNegativeFloat = Field(0.2, description="standard deviation of the pixel noise, grey scale 0 to 1")
    seed: Seed = Field(0, description="seed of the scenes")


class Gaussians(_Drawn, kind="gaussians", target="gaussians:build", inputs="vectors"):
    """Overlapping Gaussian classes in a plane, whose posterior P(class | input) is known exactly."""

    num_train: PositiveInt = Field(4000, description="training points")
    num_val: PositiveInt = Field(4000, description="points on which scores are fitted")
    num_test: PositiveInt = Field(40000, description="points that only measure")
    num_classes: Annotated[int, Field(ge=2)] = Field(8, description="classes, means on a circle")
    spread: PositiveFloat = Field(
        0.45, description="standard deviation of a class; 1 is the distance of neighbouring means"
    )
    seed: Seed = Field(0, description="seed of the points")


class MarkovText(_Drawn, kind="markov_text", target="markov_text:build", inputs="tokens"):
    """Token sequences from one Markov chain per class, drawn locally: a miniature text task."""

    num_train: PositiveInt = Field(4000, description="training sequences")
    num_val: PositiveInt = Field(4000, description="sequences on which scores are fitted")
    num_test: PositiveInt = Field(20000, description="sequences that only measure")
    num_classes: Annotated[int, Field(ge=2)] = Field(8, description="classes, one Markov chain each")
    vocabulary: Annotated[int, Field(ge=2)] = Field(12, description="different tokens")
    max_tokens: Annotated[int, Field(ge=4)] = Field(24, description="length to which sequences are padded")
    embedding_size: PositiveInt = Field(32, description="length of the frozen vector of a token")
    similarity: Share = Field(0.35, description="share of the chain that classes share")
    seed: Seed = Field(0, description="seed of the sequences")


class _Published(DatasetSpec):
    """A complete published dataset; without `sources` its one download has the name of the kind."""

    complete: bool = Field(True, description="refuse data that have more or fewer samples than were published")
    split_seed: Seed = Field(0, description="seed of the choice of the samples that fit scores")

    def __init_subclass__(cls, *, kind: str, **attributes: object) -> None:
        super().__init_subclass__(kind=kind, **{"sources": vars(cls).get("sources", (kind,)), **attributes})


class Cifar10(_Published, kind="cifar10", target="cifar:build_cifar10", inputs="images", samples=60_000):
    """CIFAR-10 (Krizhevsky, 2009): 32 x 32 colour photographs of 10 classes."""

    num_val: PositiveInt = Field(5000, description="training images held out for fitting scores")
    shuffle: Literal["torch", "numpy"] = Field(
        "torch", description="generator of that choice; numpy's is MbLS's", exclude_if=left_at("torch")
    )
    constants: Literal["cifar10", "cifar100"] = Field("cifar10", description="dataset of the normalising statistics")


class Cifar100(_Published, kind="cifar100", target="cifar:build_cifar100", inputs="images", samples=60_000):
    """CIFAR-100 (Krizhevsky, 2009): 32 x 32 colour photographs of 100 classes."""

    num_val: PositiveInt = Field(5000, description="training images held out for fitting scores")


class TinyImageNet(_Published, kind="tiny_imagenet", target="tiny_imagenet:build", inputs="images", samples=110_000):
    """Tiny-ImageNet (Stanford CS231n, 2015): 64 x 64 colour photographs of 200 classes."""

    val_per_class: PositiveInt = Field(50, description="of the 500 training images a class, those that fit scores")
    split_seed: Seed = Field(1, description="seed of the choice of held-out images")


class Cub200(
    _Published,
    kind="cub200",
    target="cub:index",
    inputs="images",
    sources=("cub_200_2011",),
    samples=11_788,
    files=True,
):
    """CUB-200-2011 (Wah et al., 2011): photographs of 200 species of birds."""

    num_val: PositiveInt = Field(1000, description="of the 5,794 test images, those that fit scores")
    image_size: PositiveInt = Field(224, description="side of the crop that the model sees, pixels")
    resize: PositiveInt = Field(256, description="both sides before the crop, whatever their ratio, pixels")


class Cityscapes(_Published, kind="cityscapes", target="cityscapes:index", inputs="scenes", samples=3475, files=True):
    """Cityscapes (Cordts et al., CVPR 2016): street scenes of 19 classes; the user provides the archives."""

    num_val: PositiveInt = Field(100, description="of the 500 validation scenes, those that fit scores")
    num_train_logits: PositiveInt = Field(100, description="training scenes with logits of sampled pixels")


class Voc2012(_Published, kind="voc2012", target="voc:index", inputs="scenes", samples=2913, files=True):
    """PASCAL VOC 2012 segmentation (Everingham et al., IJCV 2015): 20 object classes and background."""

    num_val: PositiveInt = Field(249, description="of the 1,449 validation images, those that fit scores")
    num_train_logits: PositiveInt = Field(249, description="training images with logits of sampled pixels")
    image_size: PositiveInt = Field(480, description="longer side at test time, and side of the padded square, pixels")


class ImageNet(_Published, kind="imagenet", target="imagenet:index", inputs="images", samples=1_331_167, files=True):
    """ImageNet-1k (ILSVRC 2012); the user provides the archives, under their terms."""

    num_val: PositiveInt = Field(10000, description="of the 50,000 validation images, those that fit scores")
    num_train_logits: PositiveInt = Field(50000, description="training images with logits, seeded choice")
    image_size: PositiveInt = Field(224, description="side of the crop that the model sees, pixels")
    resize: PositiveInt = Field(256, description="shorter side before the centre crop at test time, pixels")
    resize_dtype: Literal["uint8", "float32"] = Field("uint8", description="pixels while resizing; float32 overshoots")


class Imdb(_Published, kind="imdb", target="imdb:build", inputs="tokens", samples=50_000):
    """IMDB film reviews (Maas et al., ACL 2011), positive or negative, as GloVe vectors of their words."""

    num_val: PositiveInt = Field(5000, description="of the 25,000 test reviews, those that fit scores")
    max_tokens: PositiveInt = Field(256, description="length to which reviews are cut or padded")
    vectors: Literal["glove_840b_300d", "glove_6b_100d"] = Field(
        "glove_840b_300d",
        description="vectors of the words; those of glove_6b_100d are of words in lower case",
        exclude_if=left_at("glove_840b_300d"),
    )

    @property
    def sources(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("imdb", VECTORS[self.vectors].source, "punkt_tab")


class Newsgroups(
    _Published,
    kind="newsgroups",
    target="newsgroups:build",
    inputs="tokens",
    sources=("newsgroups", "glove_6b"),
    samples=19_997,
):
    """20 Newsgroups (Lang, ICML 1995), all messages, as GloVe vectors of their words."""

    num_val: PositiveInt = Field(900, description="messages that fit scores")
    num_test: PositiveInt = Field(3999, description="messages that only measure; the rest train")
    split_seed: Seed = Field(1, description="seed of the division")
    max_tokens: PositiveInt = Field(1000, description="length to which messages are cut or padded, on the left")
    num_words: Annotated[int, Field(ge=2)] = Field(2000, description="one more than the common words that are kept")
    vocabulary: Literal["train", "all"] = Field("train", description="messages that define the vocabulary")


class BankMarketing(
    _Published, kind="bank_marketing", target="tabular:build_bank_marketing", inputs="vectors", samples=41_188
):
    """Bank Marketing (Moro et al., 2014): whether a client subscribes a deposit after a call."""

    num_val: PositiveInt = Field(5000, description="of the released test rows, those that fit scores")
    statistics: Literal["train", "all"] = Field("train", description="rows that give mean and deviation")
    contact: Literal["one_hot", "constant"] = Field("one_hot", description="the column contact: kept, or lost to 0")


class OnlineShoppers(
    _Published, kind="online_shoppers", target="tabular:build_online_shoppers", inputs="vectors", samples=12_330
):
    """Online Shoppers Purchasing Intention (Sakar et al., 2019): whether a visit ends in a purchase."""

    num_val: PositiveInt = Field(2000, description="of the released test rows, those that fit scores")
    statistics: Literal["train", "all"] = Field("train", description="rows that give mean and deviation")


DATASETS = kinds(DatasetSpec)
if TYPE_CHECKING:
    Dataset = DatasetSpec
else:
    Dataset = Annotated[Union[tuple(DATASETS.values())], Field(discriminator="kind")]  # noqa: UP007
