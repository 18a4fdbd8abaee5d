"""An experiment on scenes, from data to the maps of its errors."""

import numpy as np
import pandas as pd
import pytest
import yaml

from unsmooth.logits.logits_file import read_logits

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CELL = "results/cells/tiny_scenes/unet/ls_alpha-0.2/seed-0"


def test_scenes_run_from_data_to_ranking_maps(fresh):
    settings = yaml.safe_load((fresh.folder / "tiny.yaml").read_text())
    (fresh.folder / "tiny.yaml").write_text(
        yaml.safe_dump(settings | {"experiments": ["experiments/tiny_scenes.yaml"]})
    )

    fresh.run()

    found = read_logits(fresh.folder / CELL / "logits" / "test.safetensors")
    assert found.metadata["samples_by_scene"] == [50] * 12 and len(found.logits) == 600
    pixels = pd.read_csv(fresh.folder / CELL / "pixels" / "metrics.csv")
    assert {"aurc", "augrc", "risk_at_coverage_20"} <= set(pixels["metric"])
    assert ((pixels["lower"] <= pixels["value"]) & (pixels["value"] <= pixels["upper"])).all()
    tables = fresh.folder / "results" / "tables" / "tiny_scenes"
    summary = pd.read_csv(tables / "summary.csv").set_index(["loss", "score", "metric"])
    iou = summary.loc[("ls", "msp", "mean_iou")]
    assert 0 < iou["low"] <= iou["mean"] <= iou["high"] < 1
    # The sample stands for all pixels: half a dozen standard errors of 600 of them.
    all_pixels, sample = (summary.loc[("ls", "msp", name), "mean"] for name in ("pixel_accuracy", "error"))
    assert all_pixels == pytest.approx(1 - sample, abs=0.12)
    assert np.isfinite(pd.read_csv(tables / "segmentation.csv")["all_pixels_aurc_pct_upper"]).all()
    every_metric = (tables / "main_all.md").read_text()
    assert "all_pixels" not in every_metric and "a sample" in every_metric
    drawn = pd.read_csv(fresh.folder / "results/figures/tiny_scenes/unet/ranking_maps.csv")
    assert set(drawn["scene"]) == {0, 3} and drawn["rank"].between(0, 1, inclusive="neither").all()
    # Other scenes in the picture: nothing is trained or fitted anew.
    fresh.edit_experiment("tiny_scenes", pixels={"per_scene": 50, "maps": [1]})
    assert {job.split()[0] for job in fresh.planned()} == {
        *("stream_pixels", "evaluate", "collect", "merge_summaries", "write_findings"),
        *("write_main", "write_scores", "write_calibration", "write_losses", "write_segmentation"),
        *("draw_risk_coverage", "draw_degradation", "draw_reliability", "draw_logit_distances", "draw_ranking_maps"),
        *("collect_page", "write_page"),
    }
