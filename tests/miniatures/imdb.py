"""Small IMDB, GloVe and Punkt archives in the layouts of their authors."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

PRAISE = ["great", "wonderful", "brilliant", "moving", "Superb"]
BLAME = ["dull", "awful", "boring", "tedious", "Terrible"]
OTHER = ["the", "film", "was", "a", "plot", "actor", "Dr.", "Smith", "it", "and", "very", "didn't", "zzyzx"]
DIMENSION = 300


def write_imdb(folder: Path, *, reviews: int = 20, seed: int = 0) -> dict[str, Path]:
    """Write aclImdb_v1.tar.gz with `reviews` reviews in each of train and test, negative and positive."""
    generator = np.random.default_rng(seed)
    files = {"README": "Large Movie Review Dataset v1.0\n", "imdb.vocab": "the\nand\n"}
    for split in ("train", "test"):
        for sentiment, words in {"neg": BLAME, "pos": PRAISE}.items():
            for number in range(reviews):
                rating = (2 if sentiment == "neg" else 9) + int(generator.integers(2))
                files[f"{split}/{sentiment}/{number}_{rating}.txt"] = _review(words, generator)
    files |= {f"train/unsup/{number}_0.txt": _review(PRAISE + BLAME, generator) for number in range(reviews)}
    path = folder / "aclImdb_v1.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(f"aclImdb/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {path.name: path}


def write_glove(folder: Path, *, seed: int = 0) -> dict[str, Path]:
    """Write glove.840B.300d.zip: one text file, a word and 300 numbers a line; one word contains spaces."""
    generator = np.random.default_rng(seed)
    # As word_tokenize splits them; zzyzx has no vector, and ". . ." begins like another word.
    words = [*PRAISE, *BLAME, *OTHER[:-2], "did", "n't", ",", ".", "br", "<", ">", "/", "café", ". . .", "unused"]
    lines = [f"{word} {' '.join(f'{value:.5f}' for value in generator.normal(size=DIMENSION))}\n" for word in words]
    return _write_zip(folder / "glove.840B.300d.zip", {"glove.840B.300d.txt": "".join(lines)})


def write_punkt_tab(folder: Path) -> dict[str, Path]:
    """Write punkt_tab.zip with an English and a German model of a few entries."""
    english = {
        "abbrev_types.txt": "dr\nmr\nu.s\n",
        "collocations.tab": "##number##\tjr\n",
        "ortho_context.tab": "the\t46\nfilm\t40\n",
        "sent_starters.txt": "the\nit\n",
    }
    files = {"punkt_tab/README": "Punkt sentence tokenizer models\n"}
    for language in ("english", "german"):
        files |= {f"punkt_tab/{language}/{name}": text for name, text in english.items()}
    return _write_zip(folder / "punkt_tab.zip", files)


def _review(words, generator):
    """Return one to three sentences of ten words, a third of them from `words`."""
    sentences = []
    for _ in range(generator.integers(1, 4)):
        chosen = [str(generator.choice(words if generator.random() < 0.35 else OTHER)) for _ in range(10)]
        sentences.append(f"The {' '.join(chosen)}, café.")
    return " <br /><br />".join(sentences)


def _write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return {path.name: path}
