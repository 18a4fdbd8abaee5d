import numpy as np
import pytest
import torch
from PIL import Image

from unsmooth.data.arrays import Split, write_dataset
from unsmooth.data.image_files import write_image_files
from unsmooth.data.thumbnails import read_pictures

NAMES = {"classes": ["a", "b"], "mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_of_arrays_are_their_pixels(tmp_path, channels, mode):
    inputs = torch.arange(5 * channels * 6, dtype=torch.uint8).view(5, channels, 2, 3)
    write_dataset(tmp_path, {"test": Split(inputs, torch.zeros(5, dtype=torch.int64))}, dataset="drawn", **NAMES)
    found = read_pictures(tmp_path, "test", [4, 0])

    assert [picture.mode for picture in found] == [mode, mode]
    for row, picture in zip((4, 0), found, strict=True):
        pixels = np.asarray(picture).reshape(2, 3, channels).transpose(2, 0, 1)
        assert pixels.tolist() == inputs[row].tolist()


def test_pictures_of_files_are_shrunk_whole(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("L", (200, 100), 7).save(tmp_path / "images" / "wide.png")
    write_image_files(
        tmp_path / "data",
        {"test": [("wide.png", 1)]},
        dataset="filed",
        root=tmp_path / "images",
        image_size=8,
        resize=10,
        resize_dtype="uint8",
        **NAMES,
    )
    (picture,) = read_pictures(tmp_path / "data", "test", [0], side=50)

    assert picture.size == (50, 25) and picture.getpixel((0, 0)) == (7, 7, 7)
