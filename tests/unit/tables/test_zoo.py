import numpy as np
import pandas as pd
import pytest

from unsmooth.figures.zoo import zoo
from unsmooth.models.libraries import UnknownModelError, timm_preprocessing
from unsmooth.tables.labels import Losses, LossName
from unsmooth.tables.summary import paired_differences, summarise
from unsmooth.tables.zoo import zoo_gains, zoo_table

LOSSES = Losses([LossName("ce", "ce"), LossName("ls_mixup", "ls", "Mixup and LS")])
MODELS = {"weak": ("ce", 0.0, 0.4), "strong": ("ls_mixup", 0.1, 0.2)}  # loss, alpha and error
AURC = {("weak", "msp"): 0.10, ("weak", "max_logit_pnorm"): 0.10}
AURC |= {("strong", "msp"): 0.08, ("strong", "max_logit_pnorm"): 0.05}


@pytest.fixture(scope="module")
def frames():
    noise = np.random.default_rng(0).normal(0, 0.001, 200)
    rows = [
        {"experiment": "zoo", "architecture": name, "loss": loss, "alpha": alpha, "seed": 0}
        | {"score": score, "metric": metric, "value": value}
        for name, (loss, alpha, error) in MODELS.items()
        for score in ("msp", "max_logit_pnorm")
        for metric, value in (("error", error), ("aurc", AURC[name, score]), ("failure_auroc", 1 - AURC[name, score]))
    ]
    draws = [row | {"replicate": b, "value": row["value"] + noise[b]} for row in rows for b in range(len(noise))]
    metrics, replicates = pd.DataFrame(rows), pd.DataFrame(draws)
    return summarise(metrics, replicates), paired_differences(metrics, replicates)


def test_gains_are_paired_and_the_least_accurate_model_is_first(frames):
    gains = zoo_gains(*frames)
    aurc = gains[gains["metric"] == "aurc"].set_index("architecture")

    assert [*aurc.index] == ["weak", "strong"]
    assert aurc["accuracy"].tolist() == pytest.approx([0.6, 0.8])
    assert aurc["difference"].tolist() == pytest.approx([0.0, -0.03])
    # The noise is common to both scores, so that nothing of it is left.
    assert aurc.loc["strong", ["low", "high"]].tolist() == pytest.approx([-0.03, -0.03])


def test_table_has_a_row_a_model_with_what_it_was_trained_with(frames):
    display = zoo_table(*frames, losses=LOSSES).display.set_index("Model")

    assert display["Trained with"].to_dict() == {"weak": "CE", "strong": "Mixup and LS 0.1"}
    assert display.loc["strong", ["AURC MSP", "AURC p-norm", "AURC change ↓"]].tolist() == [
        "8.00",
        "5.00",
        "-3.00 (-3.00 to -3.00)",
    ]
    assert display.loc["strong", "Failure AUROC change ↑"].startswith("+3.00")


def test_figure_draws_both_metrics_of_every_model(frames):
    figure, data = zoo(*frames, losses=LOSSES)

    assert [axes.get_title() for axes in figure.axes] == ["AURC", "Failure AUROC"]
    assert data.groupby("number")["architecture"].unique().map(list).to_dict() == {1: ["weak"], 2: ["strong"]}


@pytest.mark.parametrize(
    ("name", "size", "resize", "interpolation"),
    [("resnet50.tv_in1k", 224, 256, "bilinear"), ("resnet50.a1_in1k", 288, 288, "bicubic")],
)
def test_images_are_prepared_as_timm_evaluates_the_model(name, size, resize, interpolation):
    found = timm_preprocessing(name)

    assert (found["image_size"], found["resize"], found["interpolation"]) == (size, resize, interpolation)
    assert found["mean"] == [0.485, 0.456, 0.406] and found["std"] == [0.229, 0.224, 0.225]


def test_weights_that_timm_does_not_know_are_refused():
    with pytest.raises(UnknownModelError, match=r"timm has no classifier 'resnet50\.a9_in1k'; did you mean"):
        timm_preprocessing("resnet50.a9_in1k")
