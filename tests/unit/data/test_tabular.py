import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from miniatures.tabular import write_bank_marketing, write_online_shoppers

from unsmooth.data.arrays import DatasetError, load_split
from unsmooth.data.splits import draw_out
from unsmooth.data.tabular import build_bank_marketing, build_online_shoppers

BANK_FILE = "bank-additional/bank-additional-full.csv"
SHOPPERS_FILE = "online_shoppers_intention.csv"


@pytest.fixture
def bank(tmp_path):
    outer = zipfile.ZipFile(write_bank_marketing(tmp_path / "archives")["bank+marketing.zip"])
    zipfile.ZipFile(io.BytesIO(outer.read("bank-additional.zip"))).extractall(tmp_path / "bank")
    return tmp_path / "bank"


@pytest.fixture
def shoppers(tmp_path):
    [archive] = write_online_shoppers(tmp_path / "archives").values()
    zipfile.ZipFile(archive).extractall(tmp_path / "shoppers")
    return tmp_path / "shoppers"


def build_bank(folder, source, **options):
    settings = {"num_val": 100, "split_seed": 0, "statistics": "train", "contact": "one_hot"} | options
    return build_bank_marketing(folder, dataset="bank", sources={"bank_marketing": source}, **settings)


def build_shoppers(folder, source, **options):
    settings = {"num_val": 100, "split_seed": 0, "statistics": "train"} | options
    return build_online_shoppers(folder, dataset="shoppers", sources={"online_shoppers": source}, **settings)


def load_all(folder):
    """Return inputs, targets and indices of the train, val and test split, one behind the other."""
    splits = [load_split(folder, name) for name in ("train", "val", "test")]
    return (torch.cat([getattr(split, key) for split in splits]) for key in ("inputs", "targets", "indices"))


def test_features_and_targets_belong_to_the_rows_that_the_indices_name(bank, shoppers, tmp_path):
    build_bank(tmp_path / "b", bank)
    build_shoppers(tmp_path / "s", shoppers)
    bank_table = pd.read_csv(bank / BANK_FILE, sep=";")
    shoppers_table = pd.read_csv(shoppers / SHOPPERS_FILE)
    cases = [(tmp_path / "b", bank_table["y"] == "yes", bank_table["age"])]
    cases += [(tmp_path / "s", shoppers_table["Revenue"], shoppers_table["Administrative"])]

    for folder, positive, first_column in cases:
        inputs, targets, indices = load_all(folder)
        assert torch.equal(indices.sort().values, torch.arange(400))
        assert targets.tolist() == positive.to_numpy()[indices].astype(int).tolist() and 0 < targets.sum() < 400
        assert np.corrcoef(inputs[:, 0], first_column.to_numpy()[indices])[0, 1] == pytest.approx(1)


def test_training_rows_are_the_released_draw_and_the_rest_is_divided(bank, tmp_path):
    manifest = build_bank(tmp_path, bank)
    train, test = draw_out(400, 79, seed=21893027)  # int((1 - 0.8) * 400) is 79: 1 - 0.8 is a little below 0.2

    assert manifest.sizes == {"train": 79, "val": 100, "test": 221}
    assert torch.equal(load_split(tmp_path, "train").indices, train)
    rest = torch.cat([load_split(tmp_path, name).indices for name in ("val", "test")])
    assert torch.equal(rest.sort().values, test)
    assert (load_split(tmp_path, "test").indices.diff() > 0).all()


@pytest.mark.parametrize(("contact", "features"), [("one_hot", 63), ("constant", 62)])
def test_contact_is_two_features_or_a_zero(bank, tmp_path, contact, features):
    manifest = build_bank(tmp_path, bank, contact=contact)
    inputs, _, _ = load_all(tmp_path)

    assert manifest.input_shape == [features]
    assert (inputs == 0).all(dim=0).sum() == (contact == "constant")


def test_online_shoppers_has_28_features(shoppers, tmp_path):
    assert build_shoppers(tmp_path, shoppers).input_shape == [28]


@pytest.mark.parametrize("statistics", ["train", "all"])
def test_chosen_rows_are_standardised_without_bias(shoppers, tmp_path, statistics):
    build_shoppers(tmp_path, shoppers, statistics=statistics)
    inputs = load_split(tmp_path, "train").inputs if statistics == "train" else next(load_all(tmp_path))

    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs.double().mean(dim=0), torch.zeros(28, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(inputs.double().std(dim=0), torch.ones(28, dtype=torch.float64))


def test_rows_that_only_measure_do_not_move_the_statistics_of_training(shoppers, tmp_path):
    build_shoppers(tmp_path / "before", shoppers)
    table = pd.read_csv(shoppers / SHOPPERS_FILE)
    table["PageValues"] = table["PageValues"].where(table.index.isin(draw_out(400, 79, seed=21893027)[0].tolist()), 1e6)
    table.assign(**{name: table[name].map({True: "TRUE", False: "FALSE"}) for name in ("Weekend", "Revenue")}).to_csv(
        shoppers / SHOPPERS_FILE, index=False
    )
    build_shoppers(tmp_path / "after", shoppers)

    torch.testing.assert_close(*(load_split(tmp_path / name, "train").inputs for name in ("before", "after")))
    assert load_split(tmp_path / "after", "test").inputs.max() > 1e4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"duration"', '"length"', r"lacks the columns \['duration'\] and has unknown ones \['length'\]"),
        ('"yes"\n', '"maybe"\n', "y must be no or yes, got 'maybe'"),
        ("999;", "many;", "must hold numbers in age, .*many"),
        ("999;", "inf;", "must hold finite numbers in age"),
    ],
)
def test_wrong_content_is_refused_by_file(bank, tmp_path, old, new, message):
    path = bank / BANK_FILE
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(DatasetError, match=f"bank-additional-full.csv.*{message}"):
        build_bank(tmp_path / "built", bank)


def test_missing_and_unreadable_tables_are_named(shoppers, tmp_path):
    path = shoppers / SHOPPERS_FILE
    path.write_text('a,b\n1,"2\n')
    with pytest.raises(DatasetError, match="online_shoppers_intention.csv is not a table"):
        build_shoppers(tmp_path / "built", shoppers)
    path.unlink()
    with pytest.raises(DatasetError, match="online_shoppers_intention.csv cannot be read: No such file"):
        build_shoppers(tmp_path / "built", shoppers)
