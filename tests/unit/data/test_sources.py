import subprocess
import sys
from typing import get_args

import pytest
from torchvision.models import get_model_weights

from unsmooth.config.specs.datasets import Dataset
from unsmooth.data.download import DIGEST
from unsmooth.data.sources import SOURCES, WEIGHTS
from unsmooth.registry import resolve


def test_reading_the_sources_imports_no_library():
    program = "import sys, unsmooth.data.sources; print({'torch', 'requests', 'numpy', 'rich'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "set()\n"


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_is_complete(source):
    assert SOURCES[source.name] is source and source.layout
    for archive in source.archives:
        unpublished = archive.url is None and archive.digest == "sha256:"
        assert unpublished or DIGEST.fullmatch(archive.digest)
        assert (archive.url is None) == (source.terms is not None)
        assert archive.url is None or archive.url.startswith("https://") and archive.url.endswith("/" + archive.file)
    assert len(source.archives) == 1 if source.unpack is None else callable(resolve(source.unpack))


def test_every_dataset_names_known_sources():
    datasets = get_args(get_args(Dataset)[0])

    of_data = {name for name, source in SOURCES.items() if source.layout != (WEIGHTS,)}
    assert {name for dataset in datasets for name in dataset.model_construct().sources} == of_data


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
@pytest.mark.parametrize("version", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_weights_of_torchvision_have_its_addresses(name, version):
    [archive] = SOURCES[f"{name}_{version.lower()}"].archives

    assert archive.url == get_model_weights(name)[version].url
