"""The report page in a browser: what each control changes, and who can use it."""

import json

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from safetensors.numpy import load_file

from unsmooth.metrics import coverage_at_risk, risk_coverage_curve
from unsmooth.page.page import page as page_text
from unsmooth.page.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VIEWS = [
    "finding",
    "target",
    "mechanism",
    "alpha",
    "norm",
    "reliability",
    "errors",
    "tables",
    "all",
    "sentences",
    "words",
]
HEIGHT = 800  # of the first screen
FOCUS = "document.activeElement.id || document.activeElement.parentElement.parentElement.id"


@pytest.fixture
def report(run):
    return run / "results" / "report" / "index.html"


def traces(page, plot="plot-before"):
    """Name, values and colour of every line of a plot."""
    return page.evaluate(
        "id => document.getElementById(id).data.map(({name, x, y, line}) => ({name, x: [...x], y: [...y], line}))", plot
    )


def curves(page, plot="plot-before"):
    return {trace["name"]: trace for trace in traces(page, plot) if trace["name"] not in ("", "target risk")}


def show_every_loss(page):
    for box in page.locator("#models input").all():
        box.check()


def rows(page):
    """The table of operating points, model and score first."""
    found = page.locator("#table-target tbody tr").all()
    return {
        tuple(row.locator("th, td").all_inner_texts()[:2]): row.locator("td").all_inner_texts()[1:] for row in found
    }


def visible(page):
    return page.eval_on_selector_all("main section:not([hidden])", "found => found.map(each => each.id)")


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


@pytest.mark.parametrize("width", [400, 1280])
def test_first_screen_shows_the_headline_and_both_curves(open_page, report, width):
    page = open_page(report, width=width, height=HEIGHT)
    headline, before, after = (
        page.locator(name).bounding_box() for name in ("#headline", "#plot-before", "#plot-after")
    )

    assert page.locator("#headline").inner_text()
    assert 0 <= headline["y"] < headline["y"] + headline["height"] < before["y"]
    assert max(plot["y"] + plot["height"] for plot in (before, after)) <= HEIGHT
    assert (before["y"] == after["y"]) == (width == 1280)  # side by side, or one above the other


@pytest.mark.parametrize("width", [400, 1280])
def test_no_number_or_word_is_cut_off(open_page, report, width):
    page = open_page(report, width=width)
    page.eval_on_selector_all("details", "found => found.forEach(each => { each.open = true; })")
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".plot text")].filter((text) => {
             const [inner, outer] = [text.getBoundingClientRect(), text.closest(".plot").getBoundingClientRect()];
             return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1
               || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1);
           }).map((text) => text.textContent)"""
    )
    scrolled = page.eval_on_selector_all(
        ".scroll",
        "found => found.filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)",
    )

    assert outside == []
    assert scrolled == []


def test_page_is_small_enough_to_send(report):
    assert report.stat().st_size < 15e6


def test_line_is_the_mean_over_the_seeds_and_the_band_their_extremes(open_page, report, run):
    page = open_page(report)
    show_every_loss(page)
    whole = []
    for seed in (0, 1):
        scores = load_file(run / f"results/cells/first/resnet8/ls_alpha-0.4/seed-{seed}/scores/test.safetensors")
        whole.append(risk_coverage_curve(scores["msp"], scores["errors"]).selective_risk)
    found = traces(page)
    place = [trace["name"] for trace in found].index("LS 0.4, MSP")
    low, high, line = found[place - 2 : place + 1]
    at = np.rint(np.array(line["x"]) / 100 * 600).astype(int) - 1
    edge = 10 ** page.evaluate(
        "document.getElementById('plot-before').layout.yaxis.range[0]"
    )  # where no error is drawn

    for drawn, across in ((line, np.mean), (low, np.min), (high, np.max)):
        risk = 100 * across(whole, axis=0)[at]
        assert drawn["y"] == pytest.approx(np.maximum(risk, edge), rel=1e-5)


def test_risk_over_several_orders_of_magnitude_has_a_logarithmic_axis(open_page, content, tmp_path):
    cells = json.loads(json.dumps(content["cells"]))
    for cell in cells:
        coverages = cell["curves"]["coverage"]
        for columns in cell["curves"]["scores"].values():
            columns["risk"] = [0.2 * coverage**6 for coverage in coverages]
            columns["risk"][0] = 0
    write_page(page_text([{**content, "description": "", "cells": cells}], title="", lead=""), tmp_path / "index.html")
    page = open_page(tmp_path / "index.html")
    axes = page.evaluate(
        "['plot-before', 'plot-after'].map(id => document.getElementById(id).layout.yaxis).map("
        "({type, range, ticktext}) => ({type, range, ticktext}))"
    )
    drawn = curves(page)["CE, MSP"]["y"]

    assert axes[0]["type"] == "log" and axes[0] == axes[1]
    assert {"0.01", "0.1", "1", "10"} <= set(axes[0]["ticktext"])
    assert drawn[0] == pytest.approx(10 ** axes[0]["range"][0])  # no error: on the lower edge
    assert "lower edge" in page.locator("#curve-scale").inner_text()


def test_experiment_changes_every_view(open_page, report):
    page = open_page(report)
    page.select_option("#group", label="Second, MLP")

    assert page.locator("#description").inner_text() == "The second one."
    assert visible(page) == [view for view in VIEWS if view not in ("mechanism", "errors")]
    assert page.locator("#tables-list table").count() == 4  # the main one and three folded ones; no training, no costs


def test_page_opens_with_cross_entropy_and_the_loss_of_the_headline(open_page, report, content):
    page = open_page(report)
    cross_entropy, other = (content["models"][place]["label"] for place in content["shown"])

    assert cross_entropy == "CE" and content["headline"].startswith(other)
    assert page.locator("#headline").inner_text() == content["headline"]
    assert list(curves(page)) == ["CE, MSP", f"{other}, MSP"]
    assert list(curves(page, "plot-after")) == ["CE, p-norm", f"{other}, p-norm"]


def test_a_loss_that_is_unticked_leaves_every_view_but_the_one_of_all_strengths(open_page, report):
    page = open_page(report)
    show_every_loss(page)
    before = page.locator("#sentences-list li").count()
    page.uncheck("#models input >> nth=1")

    assert {name.split(",")[0] for name in curves(page)} == {"CE", "LS 0.4"}
    assert {model for model, _ in rows(page)} == {"CE", "LS 0.4"}
    assert {trace["name"].split(",")[0] for trace in traces(page, "plot-norm")} == {"CE", "LS 0.4"}
    assert len(traces(page, "plot-alpha")[0]["x"]) == 3
    assert page.locator("#errors-list summary").all_inner_texts() == ["CE", "LS 0.4"]
    assert page.locator("#sentences-list li").count() < before


def test_last_loss_stays_ticked(open_page, report):
    page = open_page(report)
    show_every_loss(page)
    for place in range(3):
        page.click(f"#models input >> nth={place}")

    assert page.eval_on_selector_all("#models input", "found => found.map(box => box.checked)") == [False, False, True]


def test_a_seed_that_is_unticked_leaves_its_curves(open_page, report):
    page = open_page(report)
    show_every_loss(page)
    both = rows(page)["LS 0.4", "MSP"]
    page.uncheck("#seeds input >> nth=0")

    drawn = traces(page)
    assert drawn[0]["y"] == drawn[1]["y"] == drawn[2]["y"]  # the band of one seed has no width
    assert rows(page)["LS 0.4", "MSP"] != both
    assert "Seed 1" in page.locator("#errors-caption").inner_text()


def test_score_changes_the_curves_after_and_msp_stays_beside_them(open_page, report):
    page = open_page(report)
    show_every_loss(page)
    before, after = curves(page), curves(page, "plot-after")["LS 0.4, p-norm"]
    page.select_option("#score", "energy")

    assert curves(page) == before
    assert list(curves(page, "plot-after")) == ["CE, Energy", "LS 0.1, Energy", "LS 0.4, Energy"]
    assert curves(page, "plot-after")["LS 0.4, Energy"]["y"] != after["y"]
    assert page.locator("#after-title").inner_text() == "After: ranked by Energy"
    assert traces(page, "plot-alpha")[1]["name"] == "Energy"


def test_msp_chosen_is_shown_once(open_page, report):
    page = open_page(report)
    page.select_option("#score", "msp")

    assert not page.locator("#plot-after").is_visible()
    assert page.locator("#plot-before").is_visible()


def test_target_risk_changes_coverage_and_certificate(open_page, report, run, content):
    page = open_page(report)
    show_every_loss(page)
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
    assert traces(page)[-1]["y"] == traces(page, "plot-after")[-1]["y"] == [20, 20]
    assert coverage == f"{100 * kept:.1f}"
    assert certified == f"{100 * np.mean([point['certified_coverage'][place] for point in points]):.1f}"
    assert risk == f"{100 * np.mean([point['certified_risk'][place] for point in points]):.2f}"
    assert thresholds == ", ".join(f"{point['threshold'][place]:.4g}" for point in points)


def test_infeasible_target_shows_dashes(open_page, report):
    page = open_page(report)
    show_every_loss(page)
    page.locator("#risk").fill("0")

    assert rows(page)["LS 0.4", "MSP"][1:] == ["0.0", "–", "–, –"]


def test_theme_changes_page_and_plots(open_page, report):
    page = open_page(report)
    light = curves(page)["CE, MSP"]["line"]["color"]
    assert page.locator("#theme").inner_text() == "Dark"
    page.click("#theme")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme").inner_text() == "Light"
    assert curves(page)["CE, MSP"]["line"]["color"] != light


def test_every_control_is_reached_and_used_by_keyboard(open_page, report):
    page = open_page(report)
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUS))
        if reached[-1] == "models":
            ticked = page.evaluate("document.activeElement.checked")
            page.keyboard.press("Space")
            assert page.evaluate("document.activeElement.checked") != ticked  # the focus stays
            page.keyboard.press("Space")
        if reached[-1] == "risk":
            break

    assert [name for at, name in enumerate(reached[1:], 1) if name != reached[at - 1]] == [
        *["group", "theme", "models", "seeds", "score", "contents", "risk"]
    ]
    before = page.locator("#risk-text").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#risk-text").inner_text() != before


def test_what_a_reader_opened_stays_open(open_page, report):
    page = open_page(report)
    page.click("#sentences-list summary >> nth=0")
    page.locator("#risk").fill("3")

    assert page.eval_on_selector("#sentences-list details", "found => found.open")


def test_names_lie_beside_their_points(open_page, report):
    page = open_page(report, width=400)
    show_every_loss(page)
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

    assert page.locator("#sentences-list li").count() == len(data["findings"][0]["sentences"])
    assert {score for _, score in rows(page)} == {score["label"] for score in data["scores"]}
    assert not page.locator("#group").is_visible() and not page.locator("#models").is_visible()
