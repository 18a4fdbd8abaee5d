import pandas as pd
import pytest
from miniatures.cub import SPECIES, write_cub

from unsmooth.data.arrays import DatasetError
from unsmooth.data.cub import index
from unsmooth.data.extract import extract


@pytest.fixture
def root(tmp_path):
    extract(write_cub(tmp_path / "archives")["CUB_200_2011.tgz"], tmp_path / "source")
    return tmp_path / "source"


def build(folder, root, **options):
    settings = {"num_val": 10, "split_seed": 0, "image_size": 16, "resize": 20} | options
    return index(folder, dataset="cub200", sources={"cub_200_2011": root}, **settings)


def test_training_images_are_the_published_ones_and_test_images_are_divided(root, tmp_path):
    manifest = build(tmp_path / "index", root)
    table = pd.read_csv(tmp_path / "index" / "images.csv")
    lists = root / "CUB_200_2011"
    names = dict(line.split() for line in (lists / "images.txt").read_text().splitlines())
    roles = dict(line.split() for line in (lists / "train_test_split.txt").read_text().splitlines())
    published = {
        role: {f"CUB_200_2011/images/{names[key]}" for key, found in roles.items() if found == role} for role in "10"
    }
    paths = {split: set(rows) for split, rows in table.groupby("split")["path"]}

    assert manifest.sizes == {"train": 16, "val": 10, "test": 22} and manifest.classes == SPECIES
    assert paths["train"] == published["1"] and not paths["val"] & paths["test"]
    assert paths["val"] | paths["test"] == published["0"]
    assert [SPECIES[target] for target in table["target"]] == [path.split("/")[2] for path in table["path"]]
    assert not manifest.keep_aspect and manifest.input_shape == [3, 16, 16]


def test_seed_changes_the_division(root, tmp_path):
    assert len({build(tmp_path / str(seed), root, split_seed=seed).sha256 for seed in range(3)}) == 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train_test_split.txt", "1 1\n2 0\n", "name different images"),
        ("classes.txt", "1 001.Black_footed_Albatross\n", "image 13 must have a class .* got '2' and '1'"),
        ("images.txt", "1\n", "images.txt must have a number and a word a line"),
    ],
)
def test_lists_that_do_not_belong_together_are_refused(root, tmp_path, file, content, message):
    (root / "CUB_200_2011" / file).write_text(content)

    with pytest.raises(DatasetError, match=message):
        build(tmp_path / "index", root)


def test_another_role_than_training_or_testing_is_refused(root, tmp_path):
    path = root / "CUB_200_2011" / "train_test_split.txt"
    path.write_text(path.read_text().replace("2 0\n", "2 2\n", 1))

    with pytest.raises(DatasetError, match="image 2 must have .* 1 or 0 for training or testing, got '1' and '2'"):
        build(tmp_path / "index", root)


def test_missing_files_are_named(root, tmp_path):
    image = next((root / "CUB_200_2011" / "images" / SPECIES[1]).iterdir())
    image.unlink()
    with pytest.raises(DatasetError, match=f"{image.name}, which images.txt names, does not exist"):
        build(tmp_path / "index", root)
    (root / "CUB_200_2011" / "images.txt").unlink()
    with pytest.raises(DatasetError, match="images.txt cannot be read: No such file"):
        build(tmp_path / "index", root)
