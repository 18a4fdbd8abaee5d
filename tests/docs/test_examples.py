"""The Python examples of the documentation run as they are written."""

import re

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

mpl.use("agg")


def blocks(path):
    """The text of each example, under the heading before it."""
    found = {}
    for section in re.split(r"^#+ ", path.read_text(), flags=re.MULTILINE)[1:]:
        if examples := re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            found[section.partition("\n")[0]] = "\n".join(examples)
    return found


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def smoothed_classifier():
    """A linear classifier of five noisy classes, and loaders of data that it can mostly tell apart."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(5, (3000,), generator=generator)
    inputs = 2.5 * torch.eye(5)[targets] + torch.randn(3000, 5, generator=generator)
    parts = TensorDataset(inputs[:1500], targets[:1500]), TensorDataset(inputs[1500:], targets[1500:])
    model = torch.nn.Linear(5, 5)
    with torch.no_grad():
        model.weight.copy_(torch.eye(5))
        model.bias.zero_()
    return model, *(DataLoader(part, batch_size=500) for part in parts)


def test_ten_lines_for_a_model(pytestconfig, in_folder):
    model, val_loader, test_loader = smoothed_classifier()
    names = {"model": model, "val_loader": val_loader, "test_loader": test_loader}
    exec("\n".join(blocks(pytestconfig.rootpath / "docs/your_model.md").values()), names)

    assert names["confidence"].shape == (1500,)
    assert -1 in names["predictions"] and (names["predictions"] >= 0).any()
    assert {path.name for path in in_folder.iterdir()} == {"classifier.json", "risk_coverage.png"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of other packages
@pytest.mark.parametrize("recipe", ["PyTorch", "Lightning", "Hugging Face Trainer", "timm", "scikit-learn"])
def test_recipe(pytestconfig, in_folder, recipe):
    names = {"__name__": "recipe"}
    exec(blocks(pytestconfig.rootpath / "docs/recipes.md")[recipe], names)

    if recipe == "Hugging Face Trainer":
        from unsmooth.logits.foreign_files import read_any

        file = read_any("test.npz")
        names |= {"logits": file.logits, "targets": file.targets}
    if recipe == "scikit-learn":
        names |= {"logits": names["test_logits"], "targets": names["labels"][1200:]}
    logits, targets = np.asarray(names["logits"]), np.asarray(names["targets"])
    assert logits.ndim == 2 and len(logits) == len(targets) and np.isfinite(logits).all()
