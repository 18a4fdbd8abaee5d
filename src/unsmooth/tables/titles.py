"""Readable titles of experiments."""

import re

from pandas import DataFrame

SPELLINGS = {
    **{name: name.upper() for name in ("cnn", "cub", "imdb", "lstm", "mlp", "uci", "voc")},
    **{"imagenet": "ImageNet", "mbls": "MbLS", "vit": "ViT", "newsgroups": "20 Newsgroups", "glove6b": "GloVe 6B"},
    **{"cifar": "CIFAR", "densenet": "DenseNet", "resnet": "ResNet", "deeplabv3plus": "DeepLabV3+"},
}


def place_title(experiment: str, architecture: str) -> str:
    """Return the title of an experiment and architecture, without repeating the architecture.

    Example:
        >>> place_title("glyphs_resnet8", "resnet8"), place_title("markov_text", "lstm")
        ('Glyphs, ResNet-8', 'Markov text, LSTM')
        >>> place_title("cifar10_resnet50_mbls", "resnet50")
        'CIFAR-10 MbLS, ResNet-50'
    """
    alone = "_".join(part for part in re.split(rf"_?{re.escape(architecture)}_?", experiment) if part)
    return f"{experiment_title(alone or experiment)}, {_spelled(architecture)}"


def single_experiment(frame: DataFrame, name: str) -> str:
    """Return the title of a frame with one experiment and architecture; ValueError naming `name` for several."""
    pairs = frame[["experiment", "architecture"]].drop_duplicates()
    if len(pairs) != 1:
        raise ValueError(f"{name} must hold one experiment and architecture, got {pairs.to_numpy().tolist()}")
    return place_title(*pairs.iloc[0])


def experiment_title(experiment: str) -> str:
    """Return the capitalised title of an experiment.

    Example:
        >>> experiment_title("released_weights")
        'Released weights'
    """
    name = _spelled(experiment)
    return name[0].upper() + name[1:]


def _spelled(name: str) -> str:
    return " ".join(_word(word) for word in name.split("_"))


def _word(word: str) -> str:
    """A known word in its proper spelling, its number behind a hyphen; other words unchanged."""
    family = word.rstrip("0123456789")
    if word in SPELLINGS or family not in SPELLINGS:
        return SPELLINGS.get(word, word)
    return f"{SPELLINGS[family]}-{word[len(family) :]}"
