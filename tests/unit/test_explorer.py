import re
from dataclasses import replace

import numpy as np
import pytest

from unsmooth.diagnosis import diagnose
from unsmooth.explorer import page, risk_coverage_plot, write_page

SCORES = ["max_logit_pnorm", "logit_margin"]


def logits_of(count, classes, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    return generator.normal(size=(count, classes)) + 2 * np.eye(classes)[targets], targets


@pytest.fixture(scope="module")
def diagnosis():
    return diagnose(*logits_of(1200, 6), name="a <b> & c", scores=SCORES, replicates=20)


def without_plotly(text):
    """The page without the library, which is full of addresses that it never calls."""
    return re.sub(r"<script>/\*\*.*?</script>", "", text, count=1, flags=re.DOTALL)


def test_page_needs_no_network(diagnosis):
    text = page([diagnosis])

    assert "plotly.js v" in text
    assert not re.search(r"(src|href)\s*=|@import|url\(", without_plotly(text))


def test_page_holds_every_finding_escaped(diagnosis):
    text = without_plotly(page([diagnosis]))

    assert "a &lt;b&gt; &amp; c" in text
    for sentence in diagnosis.findings():
        assert sentence.replace("&", "&amp;") in text


def test_page_draws_a_place_for_every_figure(diagnosis):
    text = without_plotly(page([diagnosis, diagnosis]))
    places = set(re.findall(r'class="plot" id="([^"]+)"', text))

    assert len(places) == 8
    assert all(f'"{place}":' in text for place in places)


def test_two_classes_have_no_pnorm_and_no_signature_plot():
    text = without_plotly(page([diagnose(*logits_of(400, 2), scores=SCORES, replicates=10)]))

    assert text.count('class="plot"') == 2


@pytest.mark.parametrize("wrong", [0, 1])
def test_all_correct_and_all_wrong_make_a_page(wrong):
    logits, _ = logits_of(100, 4)
    result = diagnose(logits, (logits.argmax(1) + wrong) % 4, scores=SCORES, replicates=10)

    assert "</html>" in page([result])
    assert risk_coverage_plot([result]).axes


def test_dollars_in_a_name_are_no_mathematics(diagnosis, tmp_path):
    risk_coverage_plot([replace(diagnosis, name=r"a$\b$_c.npz")]).savefig(tmp_path / "plot.png")

    assert (tmp_path / "plot.png").stat().st_size


def test_windows_of_constant_confidence_are_skipped(diagnosis):
    confidences = diagnosis.confidences | {"msp": np.full(len(diagnosis.errors), 0.5)}

    assert "</html>" in page([replace(diagnosis, confidences=confidences)])


def test_page_is_written_whole(diagnosis, tmp_path):
    write_page([diagnosis], tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text() == page([diagnosis])


def test_plot_shows_both_curves_and_the_target(diagnosis):
    axis = risk_coverage_plot([diagnosis]).axes[0]

    assert len(axis.lines) == 3
    assert axis.lines[2].get_ydata()[0] == 100 * diagnosis.target_risk
