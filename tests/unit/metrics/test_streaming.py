import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from unsmooth import metrics
from unsmooth.metrics import StreamingMetrics, UndefinedMetricWarning
from unsmooth.metrics.streaming import order_keys, order_values
from unsmooth.metrics.sums import mean_harmonic_span

RNG = np.random.default_rng(0)
N = 20_000
STREAMS = {
    "uniform": RNG.random(N),
    "float32 probabilities": (1 - 10 ** -RNG.uniform(0, 9, N)).astype(np.float32),
    "half of them saturated": np.where(RNG.random(N) < 0.5, 1.0, RNG.random(N)),
    "constant": np.full(N, 0.3),
    "crowded into one bin": 0.7 + 1e-9 * RNG.random(N),
    "crowded beside a wide spread": np.where(RNG.random(N) < 0.5, 0.7 + 1e-12 * RNG.random(N), RNG.normal(0, 9, N)),
    "heavy tails": RNG.standard_cauchy(N) * 10 ** RNG.uniform(-300, 290, N),
    "logits": RNG.normal(10, 3, N),
    "tiny": RNG.normal(0, 1, N) * 1e-306,
}
ERRORS = np.random.default_rng(1).random(N) < 0.3


def fill(confidence, errors, capacity, parts=7):
    stream = StreamingMetrics(capacity)
    for batch in np.array_split(np.arange(len(errors)), parts):
        stream.update(confidence[batch], errors[batch])
    return stream


def state(stream):
    stream._settle()
    return [array.tolist() for array in stream._bins], stream._dropped, stream._folded


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("capacity", [2, 100, 3000, 1 << 16])
def test_bounds_hold_the_value_of_all_samples_together(name, capacity):
    confidence, errors = STREAMS[name], ERRORS & (RNG.random(N) < 0.8)
    stream = fill(confidence, errors, capacity)
    bounds = stream.bounds()

    for metric in ("aurc", "augrc", "failure_auroc"):
        low, high = bounds[metric]
        assert low <= getattr(metrics, metric)(confidence, errors) <= high
        assert low <= getattr(stream, metric)() <= high


@pytest.mark.parametrize(
    "name", ["half of them saturated", "constant", "float32 probabilities", "crowded into one bin"]
)
def test_bounds_close_while_bins_hold_one_confidence(name):
    stream = fill(STREAMS[name], ERRORS, 1 << 16)

    assert stream.aurc() == pytest.approx(metrics.aurc(STREAMS[name], ERRORS), rel=1e-13)
    assert all(high - low < 1e-12 for low, high in stream.bounds().values())


def test_ties_add_no_width_even_when_bits_are_dropped():
    atoms = np.where(RNG.random(N) < 0.9, 1.0, RNG.random(N))  # nine in ten saturated, the rest overflow the capacity
    low, high = fill(atoms, ERRORS, 1 << 10).bounds()["aurc"]

    assert high - low < 1e-3


@pytest.mark.parametrize("n", [100, 10**5, 10**6])
def test_bounds_hold_the_value_when_a_bin_of_errors_alone_is_no_tie(n):
    # Both bounds then agree but for rounding, which weights of about 1 / n must not magnify.
    confidence = np.concatenate([np.random.default_rng(2).uniform(0.5, 1, n), -1 - 1e-9 * np.arange(20)])
    errors = np.arange(n + 20) >= n
    low, high = fill(confidence, errors, 256).bounds()["aurc"]
    area = metrics.aurc(confidence, errors)

    assert low <= area <= high
    assert area == pytest.approx(math.fsum((k - n) / k for k in range(n + 1, n + 21)) / (n + 20), rel=1e-14)


@pytest.mark.parametrize("n", [1, 50, 3000])
def test_bounds_hold_the_value_when_every_prediction_is_wrong(n):
    confidence, errors = np.arange(float(n)), np.ones(n, bool)
    low, high = fill(confidence, errors, 20, 1).bounds()["aurc"]

    assert low <= metrics.aurc(confidence, errors) <= high


def test_weight_of_a_late_error_keeps_its_digits():
    start, length = np.array([20, 1000, 10**9, 10**15])[:, None], np.array([1, 2, 7, 100])
    steps = [[math.fsum(i / (int(a) + i) for i in range(1, m + 1)) / m for m in length] for a in start[:, 0]]

    np.testing.assert_allclose(mean_harmonic_span(start, length), steps, rtol=1e-14)


# Share of confidences of at least 1 - rest; of the last distribution half are exactly 1.
BILLIONS = {
    "uniform": lambda rest: rest,
    "two thirds within 1e-7 of 1": lambda rest: norm.sf((-np.log(np.maximum(rest, 2.0**-54)) - 20) / 10) / norm.sf(-2),
    "half of them saturated": lambda rest: 0.5 + 0.5 * rest,
}


def expected_stream(share_above, count, capacity):
    """A stream in the state that `count` samples of a distribution on (0, 1] lead to, half of them errors."""
    dropped = 50
    first, last = (int(key) >> dropped for key in order_keys(np.array([1e-9, 1.0])))
    keys = np.arange(first, last + 1, dtype=np.uint64) << np.uint64(dropped)
    while True:
        edges = order_values(keys), order_values(keys + np.uint64(1 << dropped))
        above = (np.where(edge > 1, 0, np.rint(count * share_above(1 - edge))).astype(np.int64) for edge in edges)
        size = np.subtract(*above)
        held = size > 0
        # A bin splits in at most two, so that many occupied bins drop no more bits than this.
        if 2 * np.count_nonzero(held) > capacity:
            break
        dropped -= 1
        keys = np.column_stack([keys[held], keys[held] + np.uint64(1 << dropped)]).ravel()
    # Between 1/2 and 1 floats are 2^-53 apart: a bin no wider holds one value, a tie, as does the last.
    width = np.uint64((1 << dropped) - 1) * ((np.subtract(*edges[::-1]) > 2.0**-53) & (edges[0] < 1))
    stream = StreamingMetrics(capacity)
    stream._bins = keys[held], (keys + width)[held], size[held], size[held] // 2
    stream._dropped = dropped
    return stream


@pytest.mark.slow
@pytest.mark.parametrize("name", BILLIONS)
def test_width_at_a_billion_samples_is_below_a_millionth(name):
    stream = expected_stream(BILLIONS[name], 10**9, StreamingMetrics().capacity)
    low, high = stream._ranks(-1).aurc, stream._ranks(1).aurc

    assert stream.count == pytest.approx(10**9, abs=2)
    assert 1e-9 < high - low < 1e-6


def test_expected_state_has_the_width_of_a_sampled_one():
    confidence, errors = np.random.default_rng(3).random(300_000), np.random.default_rng(4).random(300_000) < 0.5
    sampled, expected = fill(confidence, errors, 1 << 12), expected_stream(BILLIONS["uniform"], 300_000, 1 << 12)
    widths = [np.diff(stream.bounds()["aurc"])[0] for stream in (sampled, expected)]

    assert widths[0] == pytest.approx(widths[1], rel=0.1)


@pytest.mark.parametrize("name", ["five decimals", "float32 saturated"])
def test_heavy_ties_doubled_to_a_billion_have_no_width(name):
    rng = np.random.default_rng(5)
    spread = rng.random(1_000_000) if name == "five decimals" else -np.expm1(-np.abs(rng.normal(20, 10, 1_000_000)))
    confidence = np.round(spread, 5) if name == "five decimals" else spread.astype(np.float32)
    stream = fill(confidence, rng.random(1_000_000) < 0.3, StreamingMetrics().capacity)
    for _ in range(10):
        stream.merge(stream)

    assert stream.count == 1_000_000 << 10
    assert all(high - low < 1e-11 for low, high in stream.bounds().values())


def test_dropped_bits_shrink_the_width_as_stated():
    confidence = np.random.default_rng(3).random(200_000)
    errors = np.random.default_rng(4).random(200_000) < 0.5
    widths = [np.diff(fill(confidence, errors, capacity).bounds()["aurc"])[0] for capacity in (1 << 10, 1 << 13)]

    assert widths[1] < widths[0] / 4
    assert widths[1] * (1 << 13) / StreamingMetrics().capacity < 1e-6  # the width is inversely proportional to the bins


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(2, 40))
def test_state_does_not_depend_on_update_or_merge_order(seed, capacity):
    rng = np.random.default_rng(seed)
    confidence = rng.choice(np.concatenate([STREAMS[name].astype(float) for name in STREAMS]), 60)
    errors = rng.random(60) < 0.4
    whole = fill(confidence, errors, capacity, 1)
    order = rng.permutation(60)
    parts = [fill(confidence[rows], errors[rows], capacity, 2) for rows in np.array_split(order, 4)]
    left, right = StreamingMetrics(capacity), StreamingMetrics(capacity)
    for part in parts:
        left.merge(part)
    for pair in (parts[::-1][:2], parts[::-1][2:]):
        joined = StreamingMetrics(capacity)
        joined.merge(pair[0])
        joined.merge(pair[1])
        right.merge(joined)

    assert state(left) == state(right) == state(whole)


CROWDS = {
    "uniform": lambda rng, n: rng.random(n),
    "float32 probabilities": lambda rng, n: (1 - 10 ** -rng.uniform(0, 9, n)).astype(np.float32),
    "half of them saturated": lambda rng, n: np.where(rng.random(n) < 0.5, 1.0, rng.random(n)),
    "either side of 1": lambda rng, n: rng.gamma(2, 1, n),
    "a few of them folded into 0": lambda rng, n: np.where(rng.random(n) < 1e-3, 1e-305, rng.normal(size=n).clip(0)),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n) * 10 ** rng.uniform(-300, 290, n),
}


@pytest.mark.parametrize("name", CROWDS)
@pytest.mark.parametrize("capacity", [2, 1 << 10, 1 << 14])
def test_samples_counted_in_their_bins_leave_the_state_that_sorted_ones_do(name, capacity):
    rng = np.random.default_rng(6)
    confidence, errors = CROWDS[name](rng, 200_000), rng.random(200_000) < 0.3
    counted = StreamingMetrics(capacity)
    for part in np.array_split(np.arange(200_000), 4):
        counted.update(confidence[part], errors[part])
        assert counted.count == part[-1] + 1

    assert state(counted) == state(fill(confidence, errors, capacity, 1))


def test_most_samples_are_counted_without_a_sort_once_bits_are_dropped():
    rng = np.random.default_rng(7)
    stream = fill(rng.gamma(2, 1, 200_000), rng.random(200_000) < 0.3, 1 << 14, 1)
    stream.update(rng.gamma(2, 1, 100_000), rng.random(100_000) < 0.3)

    assert stream._waiting < 5_000


def test_counts_stay_exact_beyond_32_bits():
    stream = fill(np.array([3.0, 2.0, 1.0]), np.array([0, 1, 0]), 8, 1)
    for _ in range(40):
        twin = StreamingMetrics(8)
        twin.merge(stream)
        stream.merge(twin)

    assert stream.count == 3 * 2**40
    assert stream.error() == 1 / 3
    assert stream.failure_auroc() == 0.5


def test_memory_does_not_grow_with_the_stream():
    stream = StreamingMetrics(1000)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        stream.update(rng.random(70_000), rng.random(70_000) < 0.2)
        held = len(stream._bins[0]) + sum(len(batch[0]) for batch in stream._pending)
        assert held <= 1000 + (1 << 16) + 70_000


def test_curve_points_are_exact_for_their_thresholds():
    confidence = STREAMS["logits"]
    curve = fill(confidence, ERRORS, 50).curve()

    for coverage, risk, threshold in zip(curve.coverage, curve.selective_risk, curve.threshold, strict=True):
        accepted = confidence >= threshold
        assert coverage == accepted.mean()
        assert risk == pytest.approx(ERRORS[accepted].mean(), abs=1e-15)


def test_saved_state_comes_back_and_goes_on(tmp_path):
    path = tmp_path / "stream.npz"
    stream = fill(STREAMS["logits"][: N // 2], ERRORS[: N // 2], 500)
    stream.save(path)
    loaded = StreamingMetrics.load(path)
    loaded.update(STREAMS["logits"][N // 2 :], ERRORS[N // 2 :])

    assert state(loaded) == state(fill(STREAMS["logits"], ERRORS, 500))
    assert [file.name for file in tmp_path.iterdir()] == ["stream.npz"]


def test_a_file_that_is_no_state_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", logits=np.zeros(3))
    with pytest.raises(ValueError, match="must hold a StreamingMetrics state"):
        StreamingMetrics.load(tmp_path / "other.npz")
    keys, counts = np.array([2, 1], np.uint64), np.array([1, 1])
    np.savez(tmp_path / "bad.npz", low=keys, high=keys, size=counts, errors=counts, meta=np.array([8, 0, 0]))
    with pytest.raises(ValueError, match="inconsistent"):
        StreamingMetrics.load(tmp_path / "bad.npz")


def test_an_unreadable_file_is_refused_by_name(tmp_path):
    path = tmp_path / "stream.npz"
    fill(STREAMS["logits"], ERRORS, 500).save(path)
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    plain = tmp_path / "array.npy"
    np.save(plain, np.zeros(3))
    damaged = whole[:300] + bytes(200) + whole[500:]
    for content in (b"", whole[:20], whole[:-30], whole[: len(whole) // 2], damaged, b"a,b\n1,2\n", plain.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"stream\.npz"):
            StreamingMetrics.load(path)
    for change in (
        {"meta": np.array([500.0, 0, 0])},
        {"meta": np.array([500, 0])},
        {"meta": np.array([500, -1, 0])},
        {"meta": np.array([500, 64, 0])},
        {"meta": np.array([1, 0, 0])},
        {"low": arrays["low"].astype(float)},
        {"size": arrays["size"][:-1]},
        {"errors": arrays["errors"][:, None]},
        {"low": np.uint64(1)},
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(ValueError, match=r"stream\.npz"):
            StreamingMetrics.load(path)


def test_an_empty_stream_is_nan_with_a_warning():
    stream = StreamingMetrics()
    stream.update([], [])

    with pytest.warns(UndefinedMetricWarning, match="no samples"):
        assert np.isnan(stream.aurc())
    assert np.isnan(stream.bounds()["aurc"]).all()
    assert len(stream.curve().coverage) == 0


def test_bad_batches_are_refused_and_change_nothing():
    stream = fill(np.array([2.0, 1.0]), np.array([0, 1]), 8, 1)
    before = state(stream)
    for confidence, errors in (([np.nan], [0]), ([1.0], [0.5]), ([1.0, 2.0], [0])):
        with pytest.raises(ValueError, match="must"):
            stream.update(confidence, errors)
    with pytest.raises(ValueError, match="other must have capacity 8, got 9"):
        stream.merge(StreamingMetrics(9))
    with pytest.raises(ValueError, match="capacity must be at least 2, got 1"):
        StreamingMetrics(1)
    with pytest.raises(ValueError, match=r"path must end in \.npz"):
        stream.save("stream.json")

    assert state(stream) == before


@settings(max_examples=200)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_keys_keep_the_order_of_any_two_floats(pair):
    low, high = sorted(pair)
    keys = order_keys(np.array([low, high]))
    distinct = low < high and max(abs(low), abs(high)) > 2.0**-990

    assert keys[0] < keys[1] if distinct else keys[0] <= keys[1]


def test_values_come_back_from_their_keys():
    values = np.array([-1e308, -1.0, -0.25, -1e-250, 0.0, 1e-250, 0.25, 0.5, 0.75, 1 - 2**-53, 1.0, 1 + 2**-52, 1e308])

    assert order_values(order_keys(values)).tolist() == values.tolist()
