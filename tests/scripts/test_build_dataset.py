import json

import pytest
from build_dataset import build_dataset
from miniatures.tabular import online_shoppers_table

from unsmooth.data.arrays import DatasetError


@pytest.fixture
def downloads(tmp_path):
    """A fetched source with 400 of the 12,330 rows."""
    folder = tmp_path / "sources" / "online_shoppers"
    folder.mkdir(parents=True)
    online_shoppers_table(400, seed=0).to_csv(folder / "online_shoppers_intention.csv", index=False)
    (folder / "source.json").write_text("{}")
    return {"online_shoppers": folder / "source.json"}


def test_incomplete_data_are_refused_unless_they_are_wanted(downloads, tmp_path):
    options = {"kind": "online_shoppers", "num_val": 100}
    with pytest.raises(DatasetError, match="online_shoppers has 400 samples, 12,330 were published"):
        build_dataset(options, tmp_path / "whole", downloads)

    build_dataset(options | {"complete": False}, tmp_path / "part", downloads)

    assert json.loads((tmp_path / "part" / "manifest.json").read_text())["sizes"]["val"] == 100


def test_embedded_data_need_no_downloads(tmp_path):
    build_dataset({"kind": "gaussians", "num_train": 10, "num_val": 10, "num_test": 10}, tmp_path / "g", {})

    assert (tmp_path / "g" / "data.safetensors").stat().st_size > 0
