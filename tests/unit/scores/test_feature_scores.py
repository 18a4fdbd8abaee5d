"""Scores of features: hand-computed cases, slow second implementations, and regimes."""

import numpy as np
import pandas as pd
import pytest
import torch

from unsmooth import scores
from unsmooth.scores import (
    SIRC,
    DeltaMahalanobis,
    DeltaNearestNeighbours,
    Mahalanobis,
    NearestNeighbours,
    ViM,
    rl_geo_m,
    score_by_features,
)
from unsmooth.scores.feature_scores import TrainingSamplesError

GENERATOR = torch.Generator().manual_seed(3)
WIDTH, CLASSES = 6, 4
MEANS = torch.randn(CLASSES, WIDTH, generator=GENERATOR, dtype=torch.float64) * 4
TARGETS = torch.randint(CLASSES, (400,), generator=GENERATOR)
FEATURES = MEANS[TARGETS] + torch.randn(400, WIDTH, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.randn(CLASSES, WIDTH, generator=GENERATOR, dtype=torch.float64)
BIAS = torch.randn(CLASSES, generator=GENERATOR, dtype=torch.float64)
LOGITS = FEATURES @ WEIGHT.T + BIAS
ERRORS = torch.rand(400, generator=GENERATOR) < 0.3
FAR = torch.full((5, WIDTH), 60.0, dtype=torch.float64)


def test_geometric_margin_divides_each_logit_by_its_row_norm() -> None:
    logits = torch.tensor([[10.0, 3.0, 4.0]])
    weight = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    bias = torch.tensor([4.0, 0.0, 2.0])  # norms 5, 1, 2

    assert rl_geo_m(logits, weight, bias).item() == pytest.approx(3.0 - 2.0)
    assert rl_geo_m(logits.numpy(), weight.numpy(), bias.numpy()).tolist() == [1.0]


def test_sirc_equals_its_formula() -> None:
    norms = FEATURES.abs().sum(dim=1)
    location, slope = norms.mean() - 3 * norms.std(), 1 / norms.std()
    product = (1 - LOGITS.softmax(dim=1).amax(dim=1)) * (1 + torch.exp(-slope * (norms - location)))

    actual = SIRC.fit(FEATURES)(LOGITS, FEATURES)

    torch.testing.assert_close(torch.exp(-actual), product, rtol=1e-6, atol=1e-14)


def test_sirc_ranks_by_msp_where_features_are_large() -> None:
    actual = SIRC.fit(FEATURES)(LOGITS[:50], FEATURES[:50] * 100)

    assert torch.equal(actual.argsort(), scores.msp(LOGITS[:50]).argsort())


def test_mahalanobis_equals_its_formula() -> None:
    means = torch.stack([FEATURES[c == TARGETS].mean(dim=0) for c in range(CLASSES)])
    centred = FEATURES - means[TARGETS]
    precision = torch.linalg.inv(centred.T @ centred / len(FEATURES))
    gaps = FEATURES[:, None] - means[None]
    expected = -torch.einsum("ncd,de,nce->nc", gaps, precision, gaps).amin(dim=1)

    torch.testing.assert_close(Mahalanobis.fit(FEATURES, TARGETS)(FEATURES), expected)


def test_mahalanobis_ignores_directions_without_variance() -> None:
    padded = torch.cat((FEATURES, torch.zeros(400, 2, dtype=torch.float64)), dim=1)

    torch.testing.assert_close(
        Mahalanobis.fit(padded, TARGETS)(padded), Mahalanobis.fit(FEATURES, TARGETS)(FEATURES), rtol=1e-9, atol=1e-9
    )


def test_nearest_neighbour_equals_a_sorted_distance_matrix() -> None:
    unit = FEATURES / FEATURES.norm(dim=1, keepdim=True)
    expected = -(unit[:20, None] - unit[None]).norm(dim=2).sort(dim=1).values[:, 6]

    torch.testing.assert_close(NearestNeighbours.fit(FEATURES, k=7)(FEATURES[:20]), expected)


def test_vim_equals_its_formula() -> None:
    origin = -torch.linalg.pinv(WEIGHT) @ BIAS
    centred = FEATURES - origin
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:3]
    residual = (centred - centred @ directions.T @ directions).norm(dim=1)
    alpha = LOGITS.amax(dim=1).mean() / residual.mean()
    expected = torch.logsumexp(LOGITS, dim=1) - alpha * residual

    actual = ViM.fit(FEATURES, LOGITS, WEIGHT, BIAS, principal=3)(LOGITS, FEATURES)

    torch.testing.assert_close(actual, expected)


def test_delta_scores_are_differences_of_the_parts() -> None:
    right, wrong = FEATURES[~ERRORS], FEATURES[ERRORS]
    expected = Mahalanobis.fit(right, TARGETS[~ERRORS])(FAR) - Mahalanobis.fit(wrong, TARGETS[ERRORS])(FAR)
    distances = [-NearestNeighbours.fit(part, k=5)(FEATURES[:9]) for part in (wrong, right)]

    torch.testing.assert_close(DeltaMahalanobis.fit(FEATURES, TARGETS, ERRORS)(FAR), expected)
    torch.testing.assert_close(
        DeltaNearestNeighbours.fit(FEATURES, ERRORS, k=5)(FEATURES[:9]), distances[0].log() - distances[1].log()
    )


def test_far_features_are_trusted_less() -> None:
    mahalanobis = Mahalanobis.fit(FEATURES, TARGETS)

    assert mahalanobis(FAR).amax() < mahalanobis(FEATURES).amin()


def test_delta_scores_trust_features_like_the_correct_ones() -> None:
    features = torch.cat((FEATURES, FEATURES * -1))
    targets, errors = torch.cat((TARGETS, TARGETS)), torch.arange(800) >= 400

    for score in (DeltaMahalanobis.fit(features, targets, errors), DeltaNearestNeighbours.fit(features, errors, k=5)):
        assert score(features)[~errors].median() > 0 > score(features)[errors].median()


def test_arrays_in_give_arrays_out() -> None:
    features, targets, logits = FEATURES.numpy(), TARGETS.numpy(), LOGITS.numpy()

    for actual in (
        SIRC.fit(features)(logits, features),
        Mahalanobis.fit(features, targets)(features),
        NearestNeighbours.fit(features)(features),
        ViM.fit(features, logits, WEIGHT.numpy(), BIAS.numpy())(logits, features),
        DeltaMahalanobis.fit(features, targets, ERRORS.numpy())(features),
        DeltaNearestNeighbours.fit(features, ERRORS.numpy())(features),
    ):
        assert isinstance(actual, np.ndarray) and actual.shape == (400,) and np.isfinite(actual).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rl_geo_m(LOGITS, WEIGHT[:-1]), "one row per class"),
        (lambda: rl_geo_m(LOGITS, WEIGHT * 0), "row 0 is zero"),
        (lambda: SIRC.fit(FEATURES[:1]), "two different norms"),
        (lambda: Mahalanobis.fit(FEATURES, TARGETS[:-1]), "targets must have length 400"),
        (lambda: Mahalanobis.fit(MEANS, torch.arange(CLASSES)), "must vary within a class"),
        (lambda: Mahalanobis.fit(FEATURES, TARGETS)(FEATURES[:, :2]), r"shape \(N, 6\)"),
        (lambda: NearestNeighbours.fit(FEATURES, k=401), r"k must be in \[1, 400\]"),
        (lambda: NearestNeighbours.fit(FEATURES * float("nan")), "features: row 0 is not finite"),
        (lambda: ViM.fit(FEATURES, LOGITS, WEIGHT, BIAS, principal=WIDTH), "principal must be"),
        (lambda: ViM.fit(FEATURES, LOGITS[:-1], WEIGHT, BIAS), "logits must have length 400"),
        (lambda: DeltaNearestNeighbours.fit(FEATURES, ERRORS & False), "errors must hold both outcomes"),
    ],
)
def test_bad_input_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_score_by_its_name_is_that_of_its_class():
    train = {"logits": LOGITS, "features": FEATURES, "targets": TARGETS}
    test = {"logits": LOGITS[:5], "features": FEATURES[:5], "weight": WEIGHT, "bias": BIAS}
    wrong = LOGITS.argmax(dim=1) != TARGETS

    expected = ViM.fit(FEATURES, LOGITS, WEIGHT, BIAS)(LOGITS[:5], FEATURES[:5])
    assert torch.equal(score_by_features("vim", test, train), expected)
    expected = DeltaMahalanobis.fit(FEATURES, TARGETS, wrong)(FEATURES[:5])
    assert torch.equal(score_by_features("delta_mds", test, train), expected)
    assert torch.equal(score_by_features("rl_geo_m", test), rl_geo_m(LOGITS[:5], WEIGHT, BIAS))


@pytest.mark.parametrize(
    ("name", "test", "message"),
    [
        ("knn", {"features": FEATURES}, "knn needs features of training samples, got nothing"),
        ("rl_geo_m", {"logits": LOGITS}, "rl_geo_m needs weight, got logits"),
    ],
)
def test_missing_arrays_are_named(name, test, message):
    with pytest.raises(ValueError, match=message):
        score_by_features(name, test)


@pytest.mark.parametrize("logits", [LOGITS[:-1], LOGITS[:, 0]])
def test_training_logits_and_targets_of_other_shapes_are_refused(logits):
    train = {"logits": logits, "features": FEATURES, "targets": TARGETS}

    with pytest.raises(TrainingSamplesError, match=r"must have shapes \(M, K\) and \(M,\), got \((399, \d+|400,)\)"):
        score_by_features("delta_knn", {"features": FEATURES[:5]}, train)


def test_score_that_needs_no_training_targets_ignores_them():
    test, train = {"features": FEATURES[:5]}, {"features": FEATURES}
    unlike = {**train, "logits": LOGITS, "targets": TARGETS[:-1]}

    assert torch.equal(score_by_features("knn", test, unlike), score_by_features("knn", test, train))


@pytest.mark.parametrize("name", ["vim", "knn", "delta_mds", "sirc", "rl_geo_m"])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(lambda values: pd.DataFrame(values) if values.ndim == 2 else pd.Series(values), id="frames"),
        pytest.param(lambda values: values.astype(values.dtype.newbyteorder(">")), id="big-endian"),
        pytest.param(lambda values: values[::-1].copy()[::-1], id="negative strides"),
    ],
)
def test_features_stored_otherwise_are_scored_as_arrays(name, kind) -> None:
    parts = (
        {"logits": LOGITS[:50], "features": FEATURES[:50], "weight": WEIGHT, "bias": BIAS},
        {"logits": LOGITS, "features": FEATURES, "targets": TARGETS},
    )
    expected, found = (
        score_by_features(name, *({key: form(values.numpy()) for key, values in part.items()} for part in parts))
        for form in (np.asarray, kind)
    )

    assert (found == expected).all()
