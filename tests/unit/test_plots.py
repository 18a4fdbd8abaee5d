import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import softmax

from unsmooth.metrics import risk_coverage_curve
from unsmooth.plots import plot_max_logit, plot_reliability, plot_risk_coverage
from unsmooth.scores import msp

mpl.use("agg")


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 4, 4000)
    logits = generator.normal(size=(4000, 4)) + 2 * np.eye(4)[targets]
    return logits, targets, logits.argmax(axis=1) != targets


def test_risk_coverage_plot_shows_the_curve_with_its_label(sample):
    logits, _, errors = sample
    ax = plot_risk_coverage(msp(logits), errors, ax=Figure().subplots(), label="MSP")
    curve = risk_coverage_curve(msp(logits), errors)

    (line,) = ax.lines
    assert np.array_equal(line.get_ydata(), curve.selective_risk)
    assert (line.get_label(), ax.get_xlabel(), ax.get_ylabel()) == ("MSP", "Coverage", "Selective risk")


def test_reliability_plot_leaves_empty_bins_out(sample):
    logits, _, errors = sample
    ax = plot_reliability(-np.expm1(-msp(logits)), errors, bins=10, ax=Figure().subplots())

    confidence = ax.lines[-1].get_xdata()
    assert 0 < len(confidence) <= 8 and confidence.min() > 0.25  # four classes: the largest probability exceeds 1/4


def test_maximum_logit_plot_has_a_mean_and_a_band_for_each_outcome(sample):
    logits, targets, _ = sample
    ax = plot_max_logit(logits, targets, ax=Figure().subplots())

    assert [line.get_label() for line in ax.lines] == ["correct", "wrong"]
    assert len(ax.collections) == 2
    assert ax.get_legend() is not None


def test_maximum_logit_plot_takes_masked_classes_and_refuses_what_are_no_logits_or_targets(sample):
    logits, targets, errors = sample
    masked = np.column_stack([logits, np.full(len(logits), -np.inf)])
    lines = [plot_max_logit(rows, targets, ax=Figure().subplots()).lines[0].get_ydata() for rows in (logits, masked)]

    assert lines[1] == pytest.approx(lines[0])
    for rows, classes, message in (
        (softmax(logits, axis=1), targets, "sums to one, as softmax outputs"),
        (logits, errors, "got truth values, as errors are"),
        (logits, targets + 1, "seem to count from 1"),
        (logits[:, 0], targets, r"logits must have shape \(N, K\)"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_max_logit(rows, classes, ax=Figure().subplots())


def test_plots_take_the_current_axes_where_none_are_given(sample):
    logits, _, errors = sample
    figure = mpl.pyplot.figure()

    assert plot_risk_coverage(msp(logits), errors) is figure.axes[0]
    mpl.pyplot.close(figure)
