r"""Statistics of logit rows, from which all scores follow, computed once for a block of rows.

Let :math:`z_{(1)} \ge z_{(2)} \ge \dots` be a row's sorted logits, :math:`p` its softmax, and :math:`q` the softmax of
the classes other than the predicted one. With :math:`R = \sum_{k \ge 3} e^{z_{(k)} - z_{(2)}}` the log-odds of the
prediction are

.. math:: d = \log \frac{p_{(1)}}{1 - p_{(1)}} = z_{(1)} - z_{(2)} - \log(1 + R),

in which nothing cancels: :math:`1 - p_{(1)} = 1 / (1 + e^d)` keeps its full relative precision when :math:`p_{(1)}`
rounds to one. Every probability score is written with :math:`d`, the uncertainty :math:`u = 1 - p_{(1)}` and moments of
:math:`q`. Elements are handled in the precision of the input (at least float32), each row's result in float64, so that
confident samples do not tie by rounding.

A row's result depends on that row alone, not on other rows or the block size. On a CPU
few classes lie outermost in memory, so that every operation runs over many rows rather than along a short one. A logit
of ``-inf`` is a masked class: probability zero, and absent from means and norms.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import chain, islice
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsmooth.logits.probabilities import ENOUGH_ROWS, are_probabilities, refuse_softmax
from unsmooth.metrics.inputs import as_real

Centring = Literal["mean", "none", "min"]
Array = TypeVar("Array", Tensor, NDArray[Any])
Result = TypeVar("Result")
Source = Tensor | NDArray[Any] | Iterable[Tensor | NDArray[Any]]
Formula = Callable[["Rows"], Tensor]

# Elements of a block: large enough that Python's share of each operation and the threads' waiting for each other are
# small, small enough that three float32 work arrays stay in a shared cache (measured: half the time of 1 << 18).
_CPU_ELEMENTS = 3 << 18
_GPU_ELEMENTS = 1 << 24
# On a CPU up to this many classes lie outermost: from about 40 on, rows are as fast.
_FEW_CLASSES = 32
_LARGEST_PRODUCT = 64
_LONE_CLASS = "has only one class that is not masked, so there is nothing to rank"


class _Piece(NamedTuple):
    """Consecutive rows on their way to a worker; the first ``wanted`` of them count."""

    block: Tensor
    first_row: int
    wanted: int


class Rows:
    """A block of logit rows and their statistics, computed on first use.

    Args:
        logits: (n, K) float32 or float64, n >= 2, K >= 2; read, never written.
        work: three (n, K) of the same dtype, device and layout; overwritten.
        first_row: index of the first row of the block, for messages.
        count: number of rows with results, the first ones; None for all.

    Raises:
        ValueError: a row has a NaN or ``+inf``, or fewer than two classes that are not masked.
    """

    def __init__(self, logits: Tensor, work: Sequence[Tensor], first_row: int = 0, count: int | None = None) -> None:
        self.logits = logits
        self.count = len(logits) if count is None else count
        self.first_row = first_row
        self._gaps, self._tail, self._scratch = work
        self._largest = logits[:, :0]  # see _largest_below_runner_up
        # float64 is missing on Apple's GPUs.
        self.fine = torch.float32 if logits.device.type == "mps" else torch.float64
        top, self.predictions = _maximum(logits)
        self.refuse(~torch.isfinite(top), "has a logit that is NaN or +inf, or every class masked")
        self.top = top.to(self.fine)
        torch.sub(logits, top[:, None], out=self._gaps)  # z - z_(1), so that a common offset costs no precision

    @property
    def num_classes(self) -> int:
        """K."""
        return self.logits.shape[1]

    def refuse(self, bad: Tensor, what: str) -> None:
        """Raise ValueError with the first row at which `bad` (n,) is true."""
        if bool(bad.any()):
            raise ValueError(f"logits: row {self.first_row + int(bad.int().argmax())} {what}")

    def _sum(self, values: Tensor) -> Tensor:
        """Sum of each row, added up in the precision of the elements."""
        if not _few_classes(values):
            return values.sum(dim=1).to(self.fine)
        # torch adds a few rows that lie side by side in another order than many; numpy adds element after element.
        with np.errstate(over="ignore"):
            return torch.from_numpy(values.numpy().sum(axis=1)).to(self.fine)

    @cached_property
    def _lowest(self) -> Tensor:
        """Smallest z - z_(1) of each row, ``-inf`` where a class is masked."""
        return self._gaps.amin(dim=1)

    @cached_property
    def _least(self) -> float:
        return float(self._lowest.amin())

    @cached_property
    def _runner_up(self) -> tuple[Tensor, Tensor]:
        """z_(2) - z_(1) in the element precision, and the (n, 2) columns of the two largest logits."""
        column = self.predictions[:, None]
        _fill(self._gaps, column, -torch.inf)
        second_gap, second = _maximum(self._gaps)
        _fill(self._gaps, column, 0.0)
        self.refuse(torch.isneginf(second_gap), _LONE_CLASS)
        return second_gap, torch.stack((self.predictions, second)).T

    @cached_property
    def margin(self) -> Tensor:
        """z_(1) - z_(2), subtracted in float64."""
        second = self._runner_up[1][:, 1:]
        return self.top - self.logits.gather(1, second)[:, 0].to(self.fine)

    def _exponentials(self, out: Tensor, inverse_temperature: Tensor | float) -> Tensor:
        """exp((z - z_(2)) / T) of the third-largest logit and below, zero at the two largest."""
        second_gap, columns = self._runner_up
        # Zero at the two largest first, because exp of the margin may overflow.
        _fill(torch.sub(self._gaps, second_gap[:, None], out=out), columns, 0.0)
        largest = inverse_temperature
        if isinstance(inverse_temperature, Tensor):
            out.mul_(inverse_temperature.to(out.dtype)[:, None])
            largest = float(inverse_temperature.amax())
        elif inverse_temperature != 1.0:
            out.mul_(inverse_temperature)
        # The floor keeps exp out of the slow subnormal numbers; what it adds is lost beside the runner-up's 1.
        floor = -87.0 if out.dtype == torch.float32 else -700.0
        if self._least * largest < floor:
            out.clamp_(min=floor)
        if out.device.type == "cpu":
            np.exp(out.numpy(), out=out.numpy())  # in half of torch's time
        else:
            out.exp_()
        return _fill(out, columns, 0.0)

    def log_odds_at(self, inverse_temperature: Tensor | float) -> Tensor:
        """Log-odds d of the prediction under softmax(z / T); 1/T is a number or one per row."""
        rest = self._sum(self._exponentials(self._scratch, inverse_temperature))
        return self.margin * inverse_temperature - torch.log1p(rest)

    @cached_property
    def _weights(self) -> Tensor:
        return self._exponentials(self._tail, 1.0)

    @cached_property
    def _rest(self) -> Tensor:
        return self._sum(self._weights)

    @cached_property
    def log_odds(self) -> Tensor:
        """d = log(p_(1) / (1 - p_(1)))."""
        return self.margin - torch.log1p(self._rest)

    @cached_property
    def log_uncertainty(self) -> Tensor:
        """log u = log(1 - p_(1))."""
        return -softplus(self.log_odds)

    @cached_property
    def uncertainty(self) -> Tensor:
        """u = 1 - p_(1)."""
        return self.log_uncertainty.exp()

    @cached_property
    def probability(self) -> Tensor:
        """p_(1)."""
        return sigmoid(self.log_odds)

    @cached_property
    def runner_up_share(self) -> Tensor:
        """q_(2), the share of the runner-up among the other classes."""
        return 1 / (1 + self._rest)

    @cached_property
    def others_collision(self) -> Tensor:
        """Sum of q squared."""
        squares = self._sum(torch.mul(self._weights, self._weights, out=self._scratch))
        return (1 + squares) * self.runner_up_share.square()

    @cached_property
    def log_gini_bracket(self) -> Tensor:
        """log(p_(1) + 1 - u Q), Q the sum of q^2; the Gini impurity 1 - sum p^2 is u times the bracket."""
        return torch.log(self.probability + 1 - self.uncertainty * self.others_collision)

    @cached_property
    def others_entropy(self) -> Tensor:
        """Entropy of q in nats."""
        second_gap, columns = self._runner_up
        distances = torch.sub(self._gaps, second_gap[:, None], out=self._scratch)
        # A masked class contributes 0 log 0 = 0; the floor keeps the product from being 0 * inf.
        distances.clamp_(min=-1e30).mul_(self._weights)
        spread = self._sum(_fill(distances, columns, 0.0))
        return torch.log1p(self._rest) - spread * self.runner_up_share

    @cached_property
    def others_variance(self) -> Tensor:
        """Variance of q over the K - 1 other classes, with K - 2 degrees of freedom."""
        count = self.num_classes - 1
        columns = self._runner_up[1]
        mean = ((1 + self._rest) / count).to(self._weights.dtype)
        deviations = _fill(torch.sub(self._weights, mean[:, None], out=self._scratch), columns, 0.0)
        squares = self._sum(deviations.square_()) + (1 - mean.to(self.fine)).square()
        return squares * self.runner_up_share.square() / (count - 1)

    def _below_runner_up(self) -> Tensor:
        """z - z_(2) of the third-largest logit and below, ``-inf`` at the two largest."""
        second_gap, columns = self._runner_up
        return _fill(torch.sub(self._gaps, second_gap[:, None], out=self._scratch), columns, -torch.inf)

    def _largest_below_runner_up(self, count: int) -> Tensor:
        """The ``count`` largest z - z_(2) of the third-largest logit and below, in ascending order."""
        if self._largest.shape[1] < count:
            gaps, first = self._below_runner_up(), self.num_classes - count
            if gaps.device.type != "cpu" or _few_classes(gaps):
                self._largest = gaps.sort(dim=1).values[:, first:]
            else:  # numpy parts and sorts with vector instructions, in a third of torch's time
                parted = gaps.numpy()
                parted.partition(first, axis=1)
                self._largest = torch.from_numpy(np.sort(parted[:, first:], axis=1))
        return self._largest[:, self._largest.shape[1] - count :]

    def others_powers(self, gamma: float, count: int) -> Tensor:
        """Sum over the ``count`` >= 1 most probable other classes of (q (1 - u q))^gamma."""
        share, uncertainty = self.runner_up_share, self.uncertainty
        every = count >= self.num_classes - 1
        logs = self._below_runner_up() if every else self._largest_below_runner_up(count - 1)
        # In the log domain, because q^gamma is far from zero where q underflows.
        complement = torch.log1p(torch.exp(logs) * -(share * uncertainty).to(logs.dtype)[:, None])
        rest = self._sum(torch.exp((logs + complement) * gamma))
        return power(share, gamma) * (rest + power(1 - uncertainty * share, gamma))

    def log_odds_among(self, count: int) -> Tensor:
        """Log-odds of the prediction under the softmax of the ``count`` >= 2 largest logits alone."""
        if count >= self.num_classes:
            return self.log_odds
        return self.margin - torch.log1p(self._sum(torch.exp(self._largest_below_runner_up(count - 2))))

    def _magnitudes(self, centring: Centring) -> tuple[Tensor, Tensor, Tensor]:
        """|z - centre| / scale (n, K), the centred maximum (n,), and the scale (n,), 0 for a constant row."""
        # In the place of the weights, which are computed anew if asked for again: fewer work arrays stay in cache.
        self.__dict__.pop("_weights", None)
        values, masked = self._gaps, None
        lowest = self._lowest
        if self._least == -math.inf:
            masked = torch.isneginf(self.logits)
            self.refuse((torch.isneginf(values) & ~masked).any(dim=1), f"spans more than {values.dtype} can hold")
            self.refuse((~masked).sum(dim=1) < 2, _LONE_CLASS)
            values = torch.where(masked, 0.0, values)  # in the layout of the block
            lowest = values.amin(dim=1)
        if centring == "none":
            # The logits themselves: adding the maximum back to the gaps would round them.
            top, centred = self.top, self._tail.copy_(self.logits)
        else:
            count = self.num_classes if masked is None else (~masked).sum(dim=1)
            centre = lowest if centring == "min" else self._mean(values, count)
            top, centred = -centre.to(self.fine), torch.sub(values, centre[:, None], out=self._tail)
        if masked is not None:
            centred.masked_fill_(masked, 0.0)
        centred.abs_()
        # The largest magnitude of gaps centred inside their range is at one of its ends.
        scale = centred.amax(dim=1) if centring == "none" else torch.maximum(-centre, centre - lowest)
        scale = scale.masked_fill(lowest == 0, 0.0)
        centred.div_(scale.masked_fill(scale == 0, 1.0)[:, None])
        return centred, top, scale.to(self.fine)

    def _mean(self, values: Tensor, count: Tensor | int) -> Tensor:
        """Sum of each row over ``count``."""
        mean = self._sum(values).to(values.dtype) / count
        if -self._least > torch.finfo(values.dtype).max / self.num_classes:
            # Where the sum overflows, the mean does not.
            divided = self._sum((values.T / count).T).to(values.dtype)
            mean = torch.where(torch.isinf(mean), divided, mean)
        return mean

    def normalised_maximum(self, ps: Sequence[float], centring: Centring) -> Tensor:
        """(n, P): the centred maximum over ||z - centre||_p; a constant row gets the lowest value, 0 or -1."""
        top, norms = self.norms(ps, centring)
        return torch.where(norms > 0, top[:, None] / norms, -1.0 if centring == "none" else 0.0)

    def norms(self, ps: Sequence[float], centring: Centring) -> tuple[Tensor, Tensor]:
        """Centred maximum (n,) and, for each p, ||z - centre||_p (n, P), which is 0 for a constant row.

        Powers are taken of magnitudes divided by the row's largest, so that none overflows; the number of non-zeros is
        the "norm" of p = 0.
        """
        magnitudes, top, scale = self._magnitudes(centring)
        finite = sorted({float(p) for p in ps} - {0.0, torch.inf})
        columns = {torch.inf: scale}
        if 0 in ps:
            ones = torch.ceil(magnitudes, out=self._scratch)  # adding them up is faster than count_nonzero
            columns[0.0] = self._sum(ones) * (scale > 0)
        if finite:
            sums = torch.stack(list(self._power_sums(magnitudes, finite)), dim=1)
            roots = torch.tensor([1 / p for p in finite], dtype=self.fine, device=sums.device)
            columns |= zip(finite, (power(sums, roots) * scale[:, None]).unbind(dim=1), strict=True)
        return top, torch.stack([columns[float(p)] for p in ps], dim=1)

    def _power_sums(self, magnitudes: Tensor, ps: Sequence[float]) -> Iterator[Tensor]:
        """Sum of magnitudes^p for ascending p; integers by repeated products."""
        powers, reached = magnitudes, 1
        for p in ps:
            if p != int(p) or p > _LARGEST_PRODUCT:
                yield self._sum(power(magnitudes, p))
                continue
            while reached < p:
                powers = torch.mul(powers, magnitudes, out=self._scratch)
                reached += 1
            yield self._sum(powers)


def _maximum(values: Tensor) -> tuple[Tensor, Tensor]:
    """Largest entry of each row and its first column."""
    if values.device.type != "cpu":
        top = values.max(dim=1)
        return top.values, top.indices
    # numpy's argmax along a row is ten times faster than torch's, and its comparison of rows laid side by side too.
    array = values.numpy()
    if not _few_classes(values):
        columns = torch.from_numpy(array.argmax(axis=1))
        return values.gather(1, columns[:, None])[:, 0], columns
    largest = values.amax(dim=1)
    equal = np.equal(array, largest.numpy()[:, None]).view(np.uint8)
    codes = np.arange(array.shape[1], 0, -1, dtype=np.uint8)  # the first column has the largest
    first = np.multiply(equal, codes, out=equal).max(axis=1)
    return largest, torch.from_numpy(codes[0] - np.maximum(first, 1)).long()


def _fill(values: Tensor, columns: Tensor, value: float) -> Tensor:
    """Set the entries of each row at its ``columns`` (n, C)."""
    # From a tensor torch scatters in half the time it takes from a number.
    return values.scatter_(1, columns, values.new_full((), value).expand(columns.shape))


def _few_classes(logits: Tensor) -> bool:
    """Whether a block (n, K) is stored as (K, n)."""
    return logits.device.type == "cpu" and logits.shape[1] <= _FEW_CLASSES


# torch evaluates exp, log and log1p with one vector routine wherever an element stands, but finishes sigmoid,
# logaddexp and pow with a scalar one at the end of a block; the following depend on the former alone, and so not on
# the chunk size.


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), strictly increasing (torch's own switches formula at 20)."""
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return 1 / (1 + torch.exp(-x))


def power(x: Tensor, exponent: float | Tensor) -> Tensor:
    """x^exponent for x >= 0 and exponent > 0."""
    return torch.exp(torch.log(x) * exponent)


def check_norm(p: float, centring: str = "mean") -> None:
    """Raise ValueError for a norm order or centring that does not exist."""
    if not p >= 0:
        raise ValueError(f"p must be at least 0, got {p}")
    if centring not in ("mean", "none", "min"):
        raise ValueError(f"centring must be 'mean', 'none' or 'min', got {centring!r}")


def check_ranking(num_classes: int, p: float, centring: str = "mean") -> None:
    """Raise ValueError for a p-norm that is constant for K classes."""
    if p == 0 and centring == "none":
        raise ValueError("p = 0 without centring is max_logit over the number of non-zero logits; use max_logit")
    if num_classes == 2 and p > 0 and centring != "none":
        raise ValueError(
            f"two centred logits have the same normalised maximum in every row, so p-norm with centring={centring!r} "
            "ranks nothing for K = 2; use msp, or centring='none'"
        )


def check_shape(logits: Tensor | NDArray[Any]) -> None:
    """Raise ValueError unless ``logits`` is an (N, K) real array with K >= 2."""
    if not isinstance(logits, Tensor | np.ndarray):
        raise ValueError(f"logits must be a tensor or an array (N, K), or batches of them, got {type(logits).__name__}")
    if logits.ndim != 2:
        raise ValueError(f"logits must have shape (N, K), got {tuple(logits.shape)}")
    if logits.shape[1] < 2:
        raise ValueError(
            f"logits must have at least 2 classes, got K = {logits.shape[1]}; one sigmoid logit z is (0, z)"
        )
    real = logits.dtype.is_floating_point if isinstance(logits, Tensor) else logits.dtype.kind == "f"
    if not real:
        raise ValueError(f"logits must be floating point, got {logits.dtype}")


def refusing_softmax(source: Any) -> Any:  # noqa: ANN401 - logits in, logits of the same kind out
    """The source, a data frame as an array; ValueError where all rows, of all batches together, are softmax outputs.

    Batches are judged after the last one. Fewer than `ENOUGH_ROWS` rows pass.
    """
    if hasattr(source, "columns"):
        source = as_real(source, "logits")
    if not isinstance(source, Tensor | np.ndarray):
        return _refusing_softmax_at_the_end(source) if isinstance(source, Iterable) else source
    check_shape(source)
    if len(source) >= ENOUGH_ROWS:
        refuse_softmax(source)
    return source


def _refusing_softmax_at_the_end(batches: Iterable[Tensor | NDArray[Any]]) -> Iterator[Tensor | NDArray[Any]]:
    count, softmax = 0, None
    for batch in batches:
        yield batch  # to one who checks its type and shape
        if len(batch) and (count == 0 or softmax is not None):
            softmax = batch if are_probabilities(batch) else None
        count += len(batch)
    if softmax is not None and count >= ENOUGH_ROWS:
        refuse_softmax(softmax)


def map_blocks(source: Source, formula: Callable[["Rows"], Result], chunk: int | None = None) -> Iterator[Result]:
    """Apply a formula to logits, or an iterator of batches of logits, block by block; results come in order.

    On a CPU each of torch's threads takes whole blocks: splitting every small operation among them costs more waiting
    than it saves work. The formula must not keep a block's work space.
    """
    pieces = _cut(source, chunk)
    space = threading.local()

    @torch.no_grad()
    def apply(piece: _Piece) -> Result:
        block, work = piece.block, getattr(space, "work", None)
        if work is None or len(work[0]) < len(block) or (work[0].dtype, work[0].device) != (block.dtype, block.device):
            work = space.work = [torch.empty_like(block) for _ in range(3)]
        return formula(Rows(block, [array[: len(block)] for array in work], piece.first_row, piece.wanted))

    threads = torch.get_num_threads()
    head = list(islice(pieces, 2))
    if threads == 1 or len(head) < 2 or head[0].block.device.type != "cpu":
        yield from map(apply, chain(head, pieces))
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for piece in chain(head, pieces):
                pending.append(pool.submit(apply, piece))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            # The setting is each thread's own, but threads started later would inherit the last one made.
            torch.set_num_threads(threads)


def _cut(source: Source, chunk: int | None) -> Iterator[_Piece]:
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1 row, got {chunk}")
    batches = source if isinstance(source, Iterable) and not isinstance(source, Tensor | np.ndarray) else [source]
    first_row, num_classes = 0, None
    for batch in batches:
        check_shape(batch)
        if num_classes not in (None, batch.shape[1]):
            raise ValueError(f"batches differ in classes: {num_classes}, then {batch.shape[1]} from row {first_row}")
        num_classes = batch.shape[1]
        on_gpu = isinstance(batch, Tensor) and batch.device.type != "cpu"
        step = max(1, chunk or (_GPU_ELEMENTS if on_gpu else _CPU_ELEMENTS) // num_classes)
        for start in range(0, len(batch), step):
            block = _as_tensor(batch[start : start + step])
            count = len(block)
            if count == 1:
                # torch sums a single row by another algorithm than each of several.
                block = _in_layout(block.expand(2, -1))
            yield _Piece(block, first_row, count)
            first_row += count


def _as_tensor(block: Tensor | NDArray[Any]) -> Tensor:
    if isinstance(block, np.ndarray):
        wide = np.float64 if block.dtype.itemsize > 4 else np.float32
        # A copy where numpy forbids writing (a mapped file), because torch has no read-only tensors.
        as_needed = np.array(block, dtype=wide, order="C", copy=None if block.flags.writeable else True)
        return _in_layout(torch.from_numpy(as_needed))
    block = block.detach()
    return _in_layout(block.to(torch.float64 if block.dtype == torch.float64 else torch.float32))


def _in_layout(block: Tensor) -> Tensor:
    """The block in the fastest memory layout of its device."""
    return block.T.contiguous().T if _few_classes(block) else block.contiguous()


def map_rows(logits: Array, formula: Formula) -> Array:
    """Apply a formula to every row: tensor in, tensor on the same device out; array in, array out. float64."""
    results = list(map_blocks(logits, lambda rows: formula(rows)[: rows.count]))
    if not results:
        raise ValueError("logits must have at least one row, got N = 0")
    joined = torch.cat(results)
    return joined if isinstance(logits, Tensor) else joined.numpy()
