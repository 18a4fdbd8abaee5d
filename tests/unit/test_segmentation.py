import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from unsmooth.config.settings import Evaluation
from unsmooth.data.arrays import IGNORED
from unsmooth.evaluation import segmentation_frames
from unsmooth.figures.maps import CellScenes, ranking_maps
from unsmooth.inference import choose_pixels, collect_pixel_logits, scene_logits
from unsmooth.metrics import mean_iou, pixel_accuracy, selective_metrics
from unsmooth.scores import FittedScore, fit_score, score_all
from unsmooth.segmentation import PixelMetrics, Scene, read_scenes, small_scene, write_scenes

CLASSES = 4


def scenes(count=5, height=12, width=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, CLASSES, height, width, generator=generator)
    targets = (logits + 2 * torch.randn(logits.shape, generator=generator)).argmax(dim=1)
    targets[:, 3, 2:7] = IGNORED
    return logits, targets


def rows(logits, targets):
    labelled = targets != IGNORED
    return logits.movedim(1, -1)[labelled], targets[labelled].numpy()


@pytest.fixture
def fitted():
    return {"msp": fit_score("msp"), "max_logit_pnorm": FittedScore("max_logit_pnorm", {"p": 3, "centring": "mean"})}


def test_streamed_pixels_give_the_metrics_of_all_pixels_together(fitted):
    logits, targets = scenes()
    found = PixelMetrics(fitted)
    for pair in zip(logits, targets, strict=True):
        found.update(*pair)
    everything, truth = rows(logits, targets)
    scored = score_all(everything, scores=fitted, ps=())
    errors = scored.predictions != truth

    frame = found.frame([0.2, 0.5]).set_index(["score", "metric"])

    for name in fitted:
        expected = selective_metrics(scored[name], errors, coverages=(0.2, 0.5))
        for metric in ("aurc", "augrc", "risk_at_coverage_20", "risk_at_coverage_50"):
            value, lower, upper = frame.loc[(name, metric)]
            assert value == pytest.approx(expected[metric], rel=1e-12)
            assert lower <= expected[metric] <= upper
    assert len(found.confusions) == 5 and found.confusions.sum() == len(truth)
    assert pixel_accuracy(found.confusions.sum(axis=0)) == pytest.approx(1 - errors.mean())


def test_bounds_hold_the_exact_values_where_bins_are_few(fitted):
    logits, targets = scenes(height=40)
    found = PixelMetrics(fitted, capacity=64)
    for pair in zip(logits, targets, strict=True):
        found.update(*pair)
    everything, truth = rows(logits, targets)
    scored = score_all(everything, scores=fitted, ps=())

    for row in found.frame([0.1, 0.8]).itertuples():
        exact = selective_metrics(scored[row.score], scored.predictions != truth, coverages=(0.1, 0.8))[row.metric]
        assert row.lower <= exact <= row.upper and row.lower < row.upper


def test_a_scene_without_labels_adds_nothing(fitted):
    logits, targets = scenes(count=2)
    found = PixelMetrics(fitted)
    found.update(logits[0], targets[0])
    before = found.frame([0.5])
    found.update(logits[1], torch.full_like(targets[1], IGNORED))

    pd.testing.assert_frame_equal(found.frame([0.5]), before)
    assert found.confusions[1].sum() == 0


def test_chosen_pixels_are_labelled_and_depend_on_seed_and_scene_alone():
    _, targets = scenes()
    chosen = choose_pixels(targets[0], per_scene=20, seed=1, scene=0)

    assert len(chosen) == len(set(chosen.tolist())) == 20 and (chosen.diff() > 0).all()
    assert (targets[0].flatten()[chosen] != IGNORED).all()
    assert torch.equal(chosen, choose_pixels(targets[0], per_scene=20, seed=1, scene=0))
    assert not torch.equal(chosen, choose_pixels(targets[0], per_scene=20, seed=2, scene=0))
    assert not torch.equal(chosen, choose_pixels(targets[0], per_scene=20, seed=1, scene=1))
    assert len(choose_pixels(targets[0], per_scene=10**6, seed=1, scene=0)) == 12 * 9 - 5


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_kept_pixels_do_not_depend_on_the_batch_and_hold_the_logits_of_their_place(batch):
    images, targets = scenes()
    torch.manual_seed(0)
    model = nn.Conv2d(CLASSES, CLASSES, 3, padding=1)
    batches = list(zip(images.split(batch), targets.split(batch), strict=True))

    logits, truth, counts = collect_pixel_logits(model, batches, per_scene=30, seed=4)

    assert counts == [30] * 5 and logits.shape == (150, CLASSES)
    _, labels, whole = list(scene_logits(model, batches))[2]
    chosen = choose_pixels(targets[2], per_scene=30, seed=4, scene=2)
    torch.testing.assert_close(logits[60:90], whole.flatten(1)[:, chosen].T)
    assert torch.equal(truth[60:90], labels.flatten()[chosen])


def test_scenes_are_kept_small_and_come_back(tmp_path):
    logits, targets = scenes(height=40, width=20)
    kept = {
        place: small_scene(torch.full((3, 40, 20), 0.5), targets[place], logits[place], size)
        for place, size in ((3, 10), (0, 100))
    }
    write_scenes(tmp_path / "maps.safetensors", kept)
    found = read_scenes(tmp_path / "maps.safetensors")

    assert list(found) == [0, 3]
    assert found[3].logits.shape == (CLASSES, 10, 5) and found[3].targets.shape == (10, 5)
    assert torch.equal(found[0].logits, logits[0]) and torch.equal(found[0].targets, targets[0].to(torch.uint8))
    assert (found[3].image == 128).all()


def test_segmentation_metrics_come_with_replicates_over_scenes_and_bounds():
    confusions = np.random.default_rng(0).integers(1, 50, (30, 3, 3))
    pixels = pd.DataFrame({"score": ["msp"], "metric": ["aurc"], "value": [0.2], "lower": [0.1], "upper": [0.3]})
    values, replicates = segmentation_frames(confusions, pixels, Evaluation(bootstrap_replicates=200))
    found = values.set_index(["score", "metric"])["value"]["msp"]

    assert found["mean_iou"] == mean_iou(confusions.sum(axis=0))
    assert found[["all_pixels_aurc_lower", "all_pixels_aurc", "all_pixels_aurc_upper"]].tolist() == [0.1, 0.2, 0.3]
    drawn = replicates[replicates["metric"] == "mean_iou"]["value"]
    assert len(drawn) == 200 and drawn.min() < found["mean_iou"] < drawn.max()


def confident_error():
    """Three labelled pixels and an ignored one; the most confident pixel is wrong, the least confident too."""
    logits = torch.tensor([[9.0, 3.0, 0.1, 5.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).reshape(3, 2, 2)
    targets = torch.tensor([[1, 0], [2, IGNORED]], dtype=torch.uint8)
    return Scene(torch.zeros(1, 2, 2, dtype=torch.uint8), targets, logits)


def test_ranking_maps_rank_wrong_pixels_among_the_labelled_ones():
    scene = {7: confident_error()}
    pnorm = FittedScore("max_logit_pnorm", {"p": 2, "centring": "mean"})
    _, data = ranking_maps([CellScenes("ce", 0.0, scene, None), CellScenes("ls", 0.2, scene, pnorm)])

    by_msp = data[(data["loss"] == "ls") & (data["score"] == "msp")]
    assert by_msp[["scene", "row", "column"]].to_numpy().tolist() == [[7, 0, 0], [7, 1, 0]]
    assert by_msp["rank"].tolist() == pytest.approx([2.5 / 3, 0.5 / 3])
    assert set(data["loss"] + data["score"]) == {"cemsp", "lsmsp", "lsmax_logit_pnorm"}


def test_ranking_maps_need_the_same_scenes():
    cells = [CellScenes("ce", 0.0, {0: confident_error()}, None), CellScenes("ls", 0.2, {1: confident_error()}, None)]

    with pytest.raises(ValueError, match=r"same scenes, got scenes \[\[0\], \[1\]\]"):
        ranking_maps(cells)
