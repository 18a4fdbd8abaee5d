import math
import re
from dataclasses import replace

import numpy as np
import pytest

from unsmooth.diagnosis.diagnose import diagnose
from unsmooth.figures.style import save_picture
from unsmooth.page.diagnoses import diagnoses_content, diagnoses_page, risk_coverage_plot
from unsmooth.scores import FittedScore

SCORES = ["max_logit_pnorm", "logit_margin"]


def logits_of(count, classes, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    return generator.normal(size=(count, classes)) + 2 * np.eye(classes)[targets], targets


@pytest.fixture(scope="module")
def diagnosis():
    return diagnose(*logits_of(1200, 6), name="a <b> & c", scores=SCORES, replicates=20)


def test_page_needs_no_network(diagnosis):
    text = diagnoses_page([diagnosis])
    own = re.sub(r"<script>/\*\*.*?</script>", "", text, count=1, flags=re.DOTALL)  # plotly is full of addresses

    assert "plotly.js v" in text and len(own) < len(text) / 10
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#|data:)|@import|url\(""", own)


def test_content_holds_every_finding_and_the_target_risk(diagnosis):
    content = diagnoses_content([replace(diagnosis, target_risk=0.0333)])

    assert [sentence["text"] for sentence in content["findings"][0]["sentences"]] == replace(
        diagnosis, target_risk=0.0333
    ).findings()
    assert 0.0333 in content["risks"] and content["risk"] == 0.0333


def test_certificate_at_the_target_risk_is_that_of_the_diagnosis(diagnosis):
    content = diagnoses_content([diagnosis])
    place = content["risks"].index(diagnosis.target_risk)
    points = content["cells"][0]["points"]["recommended"]

    assert points["threshold"][place] == pytest.approx(diagnosis.after.threshold, rel=1e-5)
    assert points["certified_coverage"][place] == pytest.approx(diagnosis.after.certified_coverage, rel=1e-5)
    assert points["coverage"][place] == pytest.approx(diagnosis.after.coverage.point, rel=1e-5)


def test_several_files_are_several_models(diagnosis):
    content = diagnoses_content([diagnosis, replace(diagnosis, name="other")])

    assert [model["label"] for model in content["models"]] == ["a <b> & c", "other"]
    assert [cell["model"] for cell in content["cells"]] == [0, 1]
    assert content["tables"][0]["rows"][1][0] == "other"


def test_recommended_infinite_norm_makes_a_page_without_a_mark(diagnosis):
    name, (found, certifying) = "max_logit_pnorm", (diagnosis.confidences, diagnosis.certify_confidences)
    recommended = replace(
        diagnosis,
        recommended=FittedScore(name, {"p": math.inf, "centring": "mean"}),
        confidences={**found, name: found["msp"]},
        certify_confidences={**certifying, name: certifying["msp"]},
    )

    assert diagnoses_content([recommended])["cells"][0]["by_p"]["chosen"] is None
    assert diagnoses_page([recommended])


def test_two_classes_have_no_pnorm_and_no_mechanism():
    content = diagnoses_content([diagnose(*logits_of(400, 2), scores=SCORES, replicates=10)])

    assert content["cells"][0]["by_p"]["p"] == [] and content["mechanism"] == []


@pytest.mark.parametrize("wrong", [0, 1])
def test_all_correct_and_all_wrong_make_a_page(wrong):
    logits, _ = logits_of(100, 4)
    result = diagnose(logits, (logits.argmax(1) + wrong) % 4, scores=SCORES, replicates=10)

    assert "</html>" in diagnoses_page([result])
    assert risk_coverage_plot([result]).axes


def test_dollars_in_a_name_are_no_mathematics(diagnosis, tmp_path):
    risk_coverage_plot([replace(diagnosis, name=r"a$\b$_c.npz")]).savefig(tmp_path / "plot.png")

    assert (tmp_path / "plot.png").stat().st_size


def test_plot_for_print_embeds_truetype_fonts(diagnosis, tmp_path):
    save_picture(risk_coverage_plot([diagnosis]), tmp_path / "plot.pdf")
    content = (tmp_path / "plot.pdf").read_bytes()

    assert b"/Type0" in content and b"/Type3" not in content


def test_plot_shows_both_curves_and_the_target(diagnosis):
    axis = risk_coverage_plot([diagnosis]).axes[0]

    assert len(axis.lines) == 3
    assert axis.lines[2].get_ydata()[0] == 100 * diagnosis.target_risk
