"""The plan of a run of the published experiments, and the page of its results."""

import re

import pandas as pd
import pytest
import yaml
from miniatures.finished_run import write_run

from unsmooth.config.cells import Cell
from unsmooth.config.errors import ConfigError
from unsmooth.config.loading import load_experiment
from unsmooth.published.page import write_page
from unsmooth.published.planning import PLAN, write_plan
from unsmooth.tables.collection import read_cells
from unsmooth.tables.layouts import cost_table
from unsmooth.tables.writing import write_table

EXPERIMENT = {
    "description": "A bank.",
    "dataset": {"kind": "bank_marketing"},
    "architectures": {"mlp": {"kind": "tabular_mlp", "multiples": [4, 2], "single_logit": True}},
    "recipe": {"epochs": 1, "batch_size": 8, "optimizer": {"kind": "adam", "lr": 0.001}, "precision": "fp16"},
    "losses": {"ce": None, "ls": {"alpha": [0.1, 0.4]}},
    "seeds": [0, 1, 2],
    "published": [
        {"loss": "ce", "error": 9.9, "source": "a notebook"},
        {"loss": "ls", "alpha": 0.4, "error": 9.2, "source": "a notebook"},
    ],
    "deviations": [{"what": "Clean.", "why": "Leaks.", "as_released": {"dataset": {"statistics": "all"}}}],
}


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    for name, dataset in (("bank", "bank_marketing"), ("other", "bank_marketing"), ("shop", "online_shoppers")):
        content = EXPERIMENT | {"dataset": {"kind": dataset}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data" / "bank_marketing").mkdir(parents=True)
    return tmp_path / "data"


def train(run, *cells):
    """Leave what tells that cells of the bank are trained."""
    for cell in cells:
        folder = run / "results/cells/bank/mlp" / cell
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "run.json"):
            (folder / name).touch()


def test_plan_takes_the_experiments_whose_data_are_at_hand(tmp_path, experiments, data):
    left_out = write_plan(tmp_path / "plan", experiments, data, as_released=["bank"])
    config = yaml.safe_load((tmp_path / "plan" / "config.yaml").read_text())
    released = load_experiment(tmp_path / "plan" / "bank_as_released.yaml")

    assert config["experiments"] == ["bank", str(tmp_path / "plan" / "bank_as_released.yaml"), "other"]
    assert config["downloads"] == {"folders": {"bank_marketing": str(data / "bank_marketing")}}
    assert released.dataset.statistics == "all" and len(released.cells("bank")) == 9
    assert left_out == [f"shop: {data} has no folder online_shoppers"]


def test_plan_of_finished_cells_trains_nothing(tmp_path, experiments, data):
    train(tmp_path, "ce_alpha-0/seed-0", "ce_alpha-0/seed-1", "ls_alpha-0.1/seed-0")
    left_out = write_plan(tmp_path / "plan", experiments, data, as_released=["bank"], finished=tmp_path)
    experiment = load_experiment(tmp_path / "plan" / "bank.yaml")

    assert [(cell.loss, cell.seed) for cell in experiment.cells("bank")] == [("ce", 0), ("ce", 1), ("ls", 0)]
    assert experiment.without == ["ls_alpha-0.1/seed-1"]
    assert [entry.loss for entry in experiment.published] == ["ce"]
    assert f"bank_as_released: none of its 9 cells is trained in {tmp_path}" in left_out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["bnak"]}, "there is no published experiment 'bnak'; did you mean 'bank'"),
        ({"only": ["shop"]}, "there is nothing to run\nshop: .* has no folder online_shoppers"),
    ],
)
def test_plan_without_anything_to_run_is_refused(tmp_path, experiments, data, options, message):
    with pytest.raises(ConfigError, match=message):
        write_plan(tmp_path / "plan", experiments, data, **options)
    assert not (tmp_path / "plan").exists()


def written_page(run, experiments, seeds):
    """Return a page in a folder that held another file."""
    target = run / "docs" / "results"
    target.mkdir(parents=True)
    (target / "old.csv").touch()
    for name in ("bank", "bank_as_released"):
        made = write_run(run, name, "mlp", seeds)
        runs = [run / Cell(**cell).folder / "run.json" for cell in made["cells"]]
        write_table(cost_table(read_cells(runs, made["cells"])), made["tables"] / "cost")
        figures = run / "results" / "figures" / name / "mlp"
        figures.mkdir(parents=True)
        (figures / "risk_coverage_msp.png").write_bytes(b"a picture")
    (run / "data" / "bank_marketing").mkdir(parents=True)
    write_plan(run / PLAN, experiments, run / "data")
    write_page(run, experiments, target)
    return target


@pytest.fixture(scope="module")
def page(tmp_path_factory, experiments):
    """The page of two of three seeds."""
    return written_page(tmp_path_factory.mktemp("run"), experiments, [0, 1])


def test_page_says_how_many_published_numbers_can_be_judged(page, experiments, tmp_path):
    card = pd.read_csv(page / "scorecard.csv")
    within = card[card["experiment"].eq("bank_as_released")]["verdict"].eq("within noise").sum()
    text = (page / "index.md").read_text()
    one_seed = written_page(tmp_path, experiments, [0]) / "index.md"

    assert f"Of 2 published numbers, 2 were run with several seeds, and {within} of these lie within noise" in text
    assert "Of 2 published numbers, 0 were run with several seeds.\n" in one_seed.read_text()


def test_page_shows_published_numbers_beside_ours_as_released_and_as_shipped(page):
    text = (page / "index.md").read_text()
    card = pd.read_csv(page / "scorecard.csv")
    row = next(line for line in text.splitlines() if "| CE " in line and "| bank " in line)
    mean = 100 * card["mean"].iloc[0]

    assert [part.strip() for part in row.split("|")][3:5] == ["Error % ↓", "9.9"]
    assert row.count(f"{mean:.2f} ±") == 2 and f"{mean - 9.9:+.2f}" in row
    assert sorted(card["experiment"].unique()) == ["bank", "bank_as_released"]


def test_page_has_a_section_with_finding_table_figure_and_deviations(page):
    text = (page / "index.md").read_text()

    assert "## Bank, MLP" in text and "risk at 20 % coverage" in text.lower()
    assert "| LS 0.4" in text and "![Risk-coverage curves, ranked by MSP](bank/mlp_risk_coverage_msp.png)" in text
    assert "- Clean (as_released: true switches it back). Leaks." in text
    assert "- Precision fp32 instead of fp16. Half precision (fp16) needs a GPU." in text
    assert "| bank " in text and "0123456789" in text and "feedfeedfeedfeed" in text


def test_page_says_why_an_experiment_was_not_run(page):
    text = (page / "index.md").read_text()

    assert re.search(r"\| shop +\| data not at hand: online_shoppers +\|", text)
    assert re.search(r"\| other +\| not trained +\|", text)


def test_every_link_of_the_page_is_a_file_beside_it(page):
    links = re.findall(r"\]\(([^)]+)\)", (page / "index.md").read_text())

    assert len(links) >= 6 and all((page / link).is_file() for link in links)
    assert not (page / "old.csv").exists()


def test_page_names_the_cells_that_were_not_run(page):
    left = "Not run as shipped: CE (seed 2), LS 0.1 (seed 2), LS 0.4 (seed 2)."

    assert left in (page / "index.md").read_text()


def test_page_of_nothing_is_refused(tmp_path, experiments):
    with pytest.raises(FileNotFoundError, match="holds no finished tables of a published experiment"):
        write_page(tmp_path, experiments, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize(
    ("title", "experiment"), [("CIFAR-10", "cifar10_resnet20"), ("Bank Marketing", "bank_marketing_mlp")]
)
def test_readme_shows_the_numbers_of_the_committed_results(pytestconfig, title, experiment):
    readme = (pytestconfig.rootpath / "README.md").read_text()
    header, _, *table = readme[readme.index(f"| {title}, percent") :].partition("\n\n")[0].splitlines()
    summary = pd.read_csv(pytestconfig.rootpath / f"docs/results/{experiment}/summary.csv")
    found = summary.set_index(["score", "loss", "alpha", "metric"])
    keys = {"cross-entropy": ("ce", 0.0), "LS": ("ls",), "NLS": ("nls",)}
    columns = {
        "error": ("msp", "error"),
        "AURC": ("msp", "aurc"),
        "risk at 20 % coverage": ("msp", "risk_at_coverage_20"),
        "AURC repaired": ("max_logit_pnorm", "aurc"),
        "risk at 20 % repaired": ("max_logit_pnorm", "risk_at_coverage_20"),
    }
    names = [name.strip() for name in header.strip("|").split("|")][1:]
    assert table
    for line in table:
        model, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        kind, *alpha = model.split()
        for name, cell in zip(names, cells, strict=True):
            score, metric = columns[name]
            row = 100 * found.loc[(score, *keys[kind], *map(float, alpha), metric), ["mean", "low", "high"]].astype(
                float
            )
            assert cell == f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
