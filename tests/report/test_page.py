"""The report page in a browser: what each control changes, and who can use it."""

import json

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from safetensors.numpy import load_file

from unsmooth.metrics import coverage_at_risk, risk_coverage_curve
from unsmooth.page.page import page as page_text
from unsmooth.page.page import write_page

pytestmark = pytest.mark.browser

VIEWS = ["findings", "curves", "target", "alpha", "norm", "mechanism", "reliability", "errors", "tables"]
VIEWS += ["all", "words"]
FOCUS = "document.activeElement.id || document.activeElement.parentElement.parentElement.id"


@pytest.fixture
def report(run):
    return run / "results" / "report" / "index.html"


def traces(page, plot="plot-curves"):
    """Name, values and colour of every line of a plot that has a name of its own."""
    return page.evaluate(
        "id => document.getElementById(id).data.map(({name, x, y, line}) => ({name, x: [...x], y: [...y], line}))", plot
    )


def curves(page):
    return {trace["name"]: trace for trace in traces(page) if trace["name"] != "target risk"}


def rows(page):
    """The table of operating points, model and score first."""
    found = page.locator("#table-target tbody tr").all()
    return {
        tuple(row.locator("th, td").all_inner_texts()[:2]): row.locator("td").all_inner_texts()[1:] for row in found
    }


def visible(page):
    return page.eval_on_selector_all("main > section:not([hidden])", "found => found.map(each => each.id)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_page_fits_its_window_without_errors_or_requests(open_page, report, width, scheme):
    page = open_page(report, width=width, scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert visible(page) == VIEWS
    assert page.locator("#contents a").count() == len(VIEWS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("which", ["report", "diagnosed"])
def test_axe_finds_no_violations(open_page, request, which, width, scheme):
    page = open_page(request.getfixturevalue(which), width=width, scheme=scheme)
    page.eval_on_selector_all("details", "found => found.forEach(each => { each.open = true; })")
    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()


def test_page_is_small_enough_to_send(report):
    assert report.stat().st_size < 15e6


def test_drawn_curve_is_as_near_the_whole_one_as_the_page_says(open_page, report, run):
    page = open_page(report)
    stated = float(page.locator("#curve-error").inner_text().split("error is ")[1].split(" ")[0])
    for seed in (0, 1):
        scores = load_file(run / f"results/cells/first/resnet8/ls_alpha-0.4/seed-{seed}/scores/test.safetensors")
        whole = risk_coverage_curve(scores["msp"], scores["errors"])
        drawn = curves(page)[f"LS 0.4, seed {seed}, MSP"]
        at = np.interp(100 * whole.coverage, drawn["x"], drawn["y"])

        assert len(drawn["x"]) < len(whole.coverage)
        assert np.abs(at - 100 * whole.selective_risk).max() <= stated + 1e-4


def test_experiment_changes_every_view(open_page, report):
    page = open_page(report)
    page.select_option("#group", label="second, mlp")

    assert page.locator("#description").inner_text() == "The second one."
    assert visible(page) == [view for view in VIEWS if view not in ("mechanism", "errors")]
    assert page.locator("#tables-list table").count() == 1


def test_a_loss_that_is_unticked_leaves_every_view(open_page, report):
    page = open_page(report)
    before = page.locator("#findings-list li").count()
    page.uncheck("#models input >> nth=1")

    assert {name.split(",")[0] for name in curves(page)} == {"CE", "LS 0.4"}
    assert {model for model, _ in rows(page)} == {"CE", "LS 0.4"}
    assert {trace["name"].split(",")[0] for trace in traces(page, "plot-norm")} == {"CE", "LS 0.4"}
    assert len(traces(page, "plot-alpha")[0]["x"]) == 2
    assert page.locator("#errors-list summary").all_inner_texts() == ["CE", "LS 0.4"]
    assert page.locator("#findings-list li").count() < before


def test_last_loss_stays_ticked(open_page, report):
    page = open_page(report)
    for place in range(3):
        page.click(f"#models input >> nth={place}")

    assert page.eval_on_selector_all("#models input", "found => found.map(box => box.checked)") == [False, False, True]


def test_a_seed_that_is_unticked_leaves_its_curves(open_page, report):
    page = open_page(report)
    both = rows(page)["LS 0.4", "MSP"]
    page.uncheck("#seeds input >> nth=0")

    assert list(curves(page)) == ["CE, MSP", "LS 0.1, MSP", "LS 0.4, MSP"]
    assert rows(page)["LS 0.4", "MSP"] != both
    assert "Seed 1" in page.locator("#errors-caption").inner_text()


def test_score_changes_the_curves(open_page, report):
    page = open_page(report)
    before = curves(page)["LS 0.4, seed 0, MSP"]
    page.select_option("#score", "energy")

    after = curves(page)
    assert "LS 0.4, seed 0, MSP" not in after
    assert after["LS 0.4, seed 0, Energy"]["y"] != before["y"]
    assert traces(page, "plot-zoom")[0]["name"] == "CE, seed 0, Energy"
    assert traces(page, "plot-alpha")[1]["name"] == "Energy"


def test_comparison_adds_msp_dashed(open_page, report):
    page = open_page(report)
    page.select_option("#score", "max_logit_pnorm")
    page.check("#compare")

    found = curves(page)
    assert found["LS 0.4, seed 0, MSP"]["line"]["dash"] == "dash"
    assert found["LS 0.4, seed 0, p-norm"]["line"]["dash"] == "solid"


def test_target_risk_changes_coverage_and_certificate(open_page, report, run, content):
    page = open_page(report)
    place = content["risks"].index(0.2)
    page.locator("#risk").fill(str(place))

    scores = [
        load_file(run / f"results/cells/first/resnet8/ls_alpha-0.4/seed-{seed}/scores/test.safetensors")
        for seed in (0, 1)
    ]
    kept = np.mean([coverage_at_risk(found["msp"], found["errors"], risk=0.2) for found in scores])
    points = [cell["points"]["msp"] for cell in content["cells"] if cell["model"] == 2]
    coverage, certified, risk, thresholds = rows(page)["LS 0.4", "MSP"]
    assert page.locator("#risk-text").inner_text() == "20 %"
    assert page.locator("#risk").get_attribute("aria-valuetext") == "20 %"
    assert traces(page)[-1]["y"] == traces(page, "plot-zoom")[-1]["y"] == [20, 20]
    assert coverage == f"{100 * kept:.1f}"
    assert certified == f"{100 * np.mean([point['certified_coverage'][place] for point in points]):.1f}"
    assert risk == f"{100 * np.mean([point['certified_risk'][place] for point in points]):.2f}"
    assert thresholds == ", ".join(f"{point['threshold'][place]:.4g}" for point in points)


def test_infeasible_target_shows_dashes(open_page, report):
    page = open_page(report)
    page.locator("#risk").fill("0")

    assert rows(page)["LS 0.4", "MSP"][1:] == ["0.0", "–", "–, –"]


def test_theme_changes_page_and_plots(open_page, report):
    page = open_page(report)
    light = curves(page)["CE, seed 0, MSP"]["line"]["color"]
    assert page.locator("#theme").inner_text() == "Dark"
    page.click("#theme")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme").inner_text() == "Light"
    assert curves(page)["CE, seed 0, MSP"]["line"]["color"] != light


def test_every_control_is_reached_and_used_by_keyboard(open_page, report):
    page = open_page(report)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUS))
        if reached[-1] == "models":
            page.keyboard.press("Space")
            assert not page.evaluate("document.activeElement.checked")  # the focus stays
            page.keyboard.press("Space")
        if reached[-1] == "risk":
            break

    assert [name for at, name in enumerate(reached[1:], 1) if name != reached[at - 1]] == [
        *["theme", "group", "models", "seeds", "score", "compare", "risk"]
    ]
    before = page.locator("#risk-text").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#risk-text").inner_text() != before


def test_what_a_reader_folded_stays_folded(open_page, report):
    page = open_page(report)
    page.click("#findings-list summary >> nth=0")
    page.locator("#risk").fill("3")

    assert not page.eval_on_selector("#findings-list details", "found => found.open")


def test_names_lie_beside_their_points(open_page, report):
    page = open_page(report, width=400)
    plot = page.locator("#plot-target").bounding_box()
    points = [point.bounding_box()["x"] for point in page.locator("#plot-target .point").all()]
    names = [name.bounding_box() for name in page.locator("#plot-target .yaxislayer-above .ytick text").all()]

    assert len(names) == 3
    for name in names:
        assert plot["x"] <= name["x"] and name["x"] + name["width"] < min(points)
        assert plot["y"] <= name["y"]


def test_what_was_not_run_is_folded(open_page, report):
    page = open_page(report)
    shown = page.locator("#all-list > .table tbody tr").all_inner_texts()

    assert [row.split("\t")[:2] for row in shown] == [["first", "CE"]]
    assert "first: This. That." in page.locator("#all-list > .table").inner_text()
    assert page.locator("#all-list > details > summary").inner_text() == "Not run: 2 numbers of 2 experiments"
    assert not page.eval_on_selector("#all-list > details", "found => found.open")
    assert "third: This. That." in page.locator("#all-list > details").text_content()


def test_pictures_have_words(open_page, report, content):
    page = open_page(report)
    first = content["cells"][0]["errors"][0]
    alt = page.locator("#errors-list img").first.get_attribute("alt")

    assert alt == (
        f"Test image {first['row']}: class {content['classes'][first['target']]}, "
        f"predicted {content['classes'][first['prediction']]}"
    )
    assert page.eval_on_selector_all(
        "#errors-list details[open] img", "all => all.every(each => each.naturalWidth === 8)"
    )


def test_diagnosis_speaks_of_no_seeds_and_of_no_score_that_it_lacks(open_page, diagnosed):
    page = open_page(diagnosed)
    text = page.locator("main").inner_text()

    assert page.locator("#risk-text").inner_text() == "1.25 %"
    assert "at a risk of at most 1.25 %, with hindsight. Certified" in text
    assert "seeds chosen" not in text and "by seed." not in text
    assert not page.locator("#compare").is_visible()
    assert page.locator("#norm").is_visible() and "p chosen" not in page.locator("#legend-norm").inner_text()


def test_order_zero_that_was_chosen_is_drawn(open_page, content, tmp_path):
    by_p = {"p": [0.0, 1.0], "aurc": [0.1, 0.2], "msp": 0.3, "chosen": 0}
    cells = [{**cell, "by_p": by_p} for cell in content["cells"]]
    write_page(page_text([{**content, "description": "", "cells": cells}], title="", lead=""), tmp_path / "index.html")
    page = open_page(tmp_path / "index.html")
    sizes = page.evaluate("document.getElementById('plot-norm').data[0].marker.size")

    assert sizes[0] > sizes[1]
    assert "p chosen" in page.locator("#legend-norm").inner_text()


def test_diagnosis_shows_both_scores_of_its_file(open_page, diagnosed):
    page = open_page(diagnosed)
    data = json.loads(page.locator("#data").text_content())["groups"][0]

    assert page.locator("#findings-list li").count() == len(data["findings"][0]["sentences"])
    assert {score for _, score in rows(page)} == {score["label"] for score in data["scores"]}
    assert not page.locator("#group").is_visible() and not page.locator("#models").is_visible()
