"""Small 20 Newsgroups and GloVe 6B archives in the layouts of their authors."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

TOPICS = {
    "sci.space": ["orbit", "moon", "rocket", "NASA"],
    "rec.autos": ["engine", "car", "wheels", "Ford"],
    "alt.atheism": ["belief", "god", "atheist", "claim"],
    "comp.graphics": ["image", "pixel", "JPEG", "render"],
}
OTHER = ["the", "a", "I", "don't", "and", "of", "to", "e-mail", "zzyzx"]
SIZES = {50: "glove.6B.50d.txt", 100: "glove.6B.100d.txt"}


def write_newsgroups(folder: Path, *, messages: int = 20, seed: int = 0) -> dict[str, Path]:
    """Write 20news-19997.tar.gz with `messages` messages in each of four groups."""
    generator = np.random.default_rng(seed)
    path = folder / "20news-19997.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for group, words in TOPICS.items():
            for number in range(9990, 9990 + messages):  # names of four digits and of five
                content = _message(group, words, generator).encode("latin-1")
                entry = tarfile.TarInfo(f"20_newsgroups/{group}/{number}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return {path.name: path}


def write_glove_6b(folder: Path, *, seed: int = 0) -> dict[str, Path]:
    """Write glove.6B.zip: one text file a size of the vectors, a word in lower case and its numbers a line."""
    generator = np.random.default_rng(seed)
    # zzyzx and don't have no vector, as in the real tables of split words.
    words = sorted({word.lower() for words in TOPICS.values() for word in words} | {*"aie", "the", "and", "of", "mail"})
    path = folder / "glove.6B.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for dimension, name in SIZES.items():
            lines = [
                f"{word} {' '.join(f'{value:.5f}' for value in generator.normal(size=dimension))}" for word in words
            ]
            archive.writestr(name, "\n".join([*lines, "unused" + " 0.1" * dimension, ""]))
    return {path.name: path}


def _message(group, words, generator):
    """Return a message whose header names its group, and whose body has ten to forty words, a third of its topic."""
    chosen = [
        str(generator.choice(words if generator.random() < 0.35 else OTHER)) for _ in range(generator.integers(10, 40))
    ]
    return f"Newsgroups: {group}\nFrom: someone@café.org\nSubject: {group}\n\n{', '.join(chosen)}.\n\n> naïve?\n"
