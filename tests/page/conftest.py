"""The report page of a small finished run, and Chromium to open it with."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from collect_page import collect_page
from miniatures.finished_run import write_run
from playwright.sync_api import Browser, Page, sync_playwright
from write_page import write_page_of_run

from unsmooth.diagnosis.diagnose import diagnose
from unsmooth.page.diagnoses import diagnoses_page
from unsmooth.page.page import write_page
from unsmooth.tables.labels import KINDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EXPERIMENTS = {"first": ("resnet8", [0, 1]), "second": ("mlp", [0])}
PUBLISHED = {"loss": "ce", "alpha": 0.0, "score": "msp", "error": 10.0, "source": "a paper"}
DEVIATION = {"what": "This.", "why": "That.", "switchable": False}
COMPARED = {
    "first": {"published": [PUBLISHED, PUBLISHED | {"loss": "ls", "alpha": 0.9}], "deviations": [DEVIATION]},
    "third": {"published": [PUBLISHED], "deviations": [DEVIATION]},
}
LOSSES = [{"key": key, "kind": key} for key in ("ce", "ls")]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run; results/report/index.html is its page. The second experiment has no images."""
    folder = tmp_path_factory.mktemp("run")
    before = Path.cwd()
    os.chdir(folder)  # the scripts run where the results are
    try:
        for name, (architecture, seeds) in EXPERIMENTS.items():
            made = write_run(Path(), name, architecture, seeds)
            collect_page(
                made["cells"],
                made["tables"] / "summary.csv",
                made["tables"] / "differences.csv",
                {architecture: made["tables"] / "windows.csv"} if name == "first" else {},
                KINDS,
                name == "first",
                made["dataset"] if name == "first" else None,
                Path(f"results/report/{name}.json"),
            )
        contents = [Path(f"results/report/{name}.json") for name in EXPERIMENTS]
        compared = {name: {"as_released": False, "losses": LOSSES, **entry} for name, entry in COMPARED.items()}
        descriptions = {name: f"The {name} one." for name in EXPERIMENTS}
        summaries = [Path("results/tables/first/summary.csv")]
        write_page_of_run(contents, summaries, [], descriptions, compared, Path("results/report/index.html"))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="session")
def content(run: Path) -> dict:
    """What the page shows of the first experiment."""
    return json.loads((run / "results/report/first.json").read_text())[0]


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one file of logits."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 6, 1200)
    logits = generator.normal(size=(1200, 6)) + 2 * np.eye(6)[targets]
    path = tmp_path_factory.mktemp("diagnosed") / "report.html"
    found = diagnose(logits, targets, name="test.npz", scores=["max_logit_pnorm"], replicates=20, target_risk=0.0125)
    write_page(diagnoses_page([found]), path)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a file in a window of its own, without a network; what it asks for or complains about fails the test."""
    contexts, complaints = [], []

    def opened(path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        window = {"width": width, "height": height}
        context = browser.new_context(viewport=window, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if _is_foreign(request.url, path) else None)
        page.goto(path.as_uri(), timeout=120_000)  # the first start of a browser is slow on a busy machine
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _is_foreign(url: str, path: Path) -> bool:
    return not url.startswith("data:") and url.partition("#")[0] != path.as_uri()
