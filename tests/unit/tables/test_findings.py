"""Headlines and sentences about the numbers."""

import numpy as np
import pandas as pd
import pytest

from unsmooth.tables.findings import findings, findings_text, headline
from unsmooth.tables.labels import Losses, LossName
from unsmooth.tables.summary import paired_differences, summarise

PLACE = {"experiment": "glyphs_resnet8", "architecture": "resnet8"}
LOSSES = {("ce", 0.0): 0.0, ("ls", 0.2): 0.01, ("ls", 0.4): 0.02, ("nls", -0.2): -0.001}
NAMED = Losses([LossName("ce", "ce"), LossName("ls", "ls"), LossName("nls", "ls", "NLS")])
SCORES = {"msp": 1.0, "msp_temperature": 0.9, "max_logit_pnorm": 0.5}


def compared(losses=LOSSES, scores=SCORES, *, noise=0.001, place=PLACE, noisy=()):
    """Summary and differences; smoothing lowers the error, raises AURC and risk, and `scores` scale both.

    The replicates of losses in `noisy` vary on their own, forty times as much as those all losses share.
    """
    values, replicates = [], []
    for (loss, alpha), shift in losses.items():
        for score, factor in scores.items():
            metrics = {
                "error": 0.13 - shift / 10,
                "aurc": (0.02 + shift) * factor,
                "risk_at_coverage_20": (0.005 + shift) * factor,
            }
            for metric, value in metrics.items():
                row = {**place, "loss": loss, "alpha": alpha, "seed": 0, "score": score, "metric": metric}
                values.append({**row, "value": value})
                for replicate, draw in enumerate(np.linspace(-noise, noise, 5)):
                    own = -40 * draw if loss in noisy else 0.0
                    replicates.append({**row, "replicate": replicate, "value": value + draw + own})
    frames = pd.DataFrame(values), pd.DataFrame(replicates)
    return summarise(*frames), paired_differences(*frames)


def text_of(*arguments, **options):
    return [finding.text for finding in findings(*compared(*arguments, **options), losses=NAMED)]


def test_headline_says_what_smoothing_did_and_what_the_repair_undid():
    assert headline(*compared()).text == (
        "LS 0.4 makes 2 % fewer errors than CE (13.00 to 12.80 %, -0.20 points [-0.20, -0.20]), but 5.0 times as many "
        "among its most trusted fifth (0.50 to 2.50 %, +2.00 points [+2.00, +2.00]); ranking by p-norm takes part of "
        "that back (2.50 to 1.25 %, -1.25 points [-1.25, -1.25])."
    )


def test_a_change_is_named_only_where_the_interval_excludes_zero():
    sentences = text_of(noisy=["nls"])

    assert sentences[0].startswith("LS 0.2 makes 0.8 % fewer errors than CE (13.00 to 12.90 %")
    assert "AURC rises (2.00 to 3.00 %, +1.00 points [+1.00, +1.00])" in sentences[0]
    assert "NLS -0.2 makes about as many errors as CE" in sentences[2]
    assert "and about as many among its most trusted fifth" in sentences[2]
    assert "AURC does not measurably change" in sentences[2]


def test_growth_with_alpha_is_named_where_it_is_there():
    grown = "Mean AURC under MSP grows with every step of alpha (means; the steps are not tested)"

    assert text_of()[-1] == f"{grown}: 2.00 % at 0, 3.00 % at 0.2, 4.00 % at 0.4."
    fallen, of_two = LOSSES | {("ls", 0.2): -0.005}, LOSSES | {("nls", 0.3): 0.015}
    assert not any("grows" in text for losses in (fallen, of_two) for text in text_of(losses))


def test_a_score_that_fell_back_gets_no_sentence_but_is_named_as_msp():
    sentences = text_of(scores=SCORES | {"max_logit_pnorm": 1.0})

    assert sentences[3] == (
        "p-norm is MSP for CE, LS 0.2, LS 0.4, NLS -0.2: it did not beat MSP on the validation split."
    )
    assert "ranking by MSP with temperature takes part of that back" in sentences[0]
    assert not any("+0.00" in text for text in sentences)


def test_two_classes_are_said_once_with_the_remedy():
    found = compared(scores={"msp": 1.0, "msp_temperature": 1.0})
    sentences = [finding.text for finding in findings(*found)]

    assert sum("With two classes every score of the logits ranks the samples alike" in text for text in sentences) == 1
    assert "the remedy is another loss or a smaller alpha" in headline(*found).text
    assert not any("is MSP for" in text or "takes" in text for text in sentences)


def test_rounding_shows_the_difference_or_says_that_there_is_none():
    by_little = text_of({("ce", 0.0): 0.00004, ("ls", 0.1): -0.00004}, noise=0.0)[0]
    unseen = text_of({("ce", 0.0): 0.0, ("ls", 0.1): 0.00001}, noise=0.0)[0]

    assert "AURC falls (2.004 to 1.996 %, -0.008 points" in by_little
    assert "AURC does not measurably change (2.00 %, no change above 0.005 points)" in unseen


def test_there_are_at_most_eight_sentences_of_the_largest_effects():
    many = {("ce", 0.0): 0.0} | {("ls", alpha / 10): alpha / 1000 for alpha in range(1, 9)}
    found = findings(*compared(many, SCORES | {"max_logit_pnorm": 1.0}))

    assert len(found) == 8
    assert [finding.configuration[1] for finding in found[:5]] == [0.4, 0.5, 0.6, 0.7, 0.8]
    assert found[5].text.startswith("Smaller effects, in differences.csv: LS 0.1, LS 0.2, LS 0.3.")


def test_markdown_has_a_headline_for_every_architecture():
    one, two = compared(), compared(place=PLACE | {"architecture": "resnet14"})

    text = findings_text(*(pd.concat(frames) for frames in zip(one, two, strict=True)))

    assert "# Glyphs, ResNet-8\n\nLS 0.4 makes" in text and "ResNet-14\n\nLS 0.4 makes" in text
    assert text.count("\n- LS 0.2 makes") == 2
    assert "Means over 1 seed; brackets: 95 % paired bootstrap interval" in text
    with pytest.raises(ValueError, match="summary must hold one experiment and architecture"):
        headline(pd.concat([one[0], two[0]]), one[1])


def test_models_without_cross_entropy_are_described_by_their_repair():
    assert headline(*compared({("ls", 0.1): 0.0})).text == (
        "LS 0.1: p-norm instead of MSP, AURC falls (2.00 to 1.00 %, -1.00 points [-1.00, -1.00])."
    )
