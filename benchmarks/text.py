"""Training steps of the text models on a CPU, sequences per processor second, side by side in one process.

    python benchmarks/text.py [--rounds 3]

20 Newsgroups: the network as a sequence of Conv1d and MaxPool1d over all 1,000 tokens, and ours, on messages as long as
those of the data set (median 121 tokens), padded on the left.
IMDB: ours in fp32 and in bf16, and the matrix products of an LSTM alone in bf16.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from unsmooth.models.gpool_cnn import GlobalPoolingCnn
from unsmooth.models.lstm import Lstm
from unsmooth.runtime.heap import keep_freed_memory

DIMENSIONS, WORDS = 100, 2000
MESSAGES, REVIEWS = 128, 64  # a batch of the released recipes
TOKENS, REVIEW_TOKENS, HIDDEN = 1000, 256, 256


class PlainCnn(nn.Module):
    """The same layers over every token, the padding too."""

    def __init__(self, embedding: Tensor, channels: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = embedding
        widths = [DIMENSIONS, channels, channels, channels]
        self.convolutions = nn.ModuleList(nn.Conv1d(*pair, 5) for pair in zip(widths, widths[1:], strict=False))
        self.head = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (N, K)."""
        features = nn.functional.embedding(tokens, self.embedding).transpose(1, 2)
        for convolution in self.convolutions[:-1]:
            features = nn.functional.max_pool1d(convolution(features).relu(), 5, 1)
        return self.head(self.convolutions[-1](features).relu().amax(dim=2))


def step(model: nn.Module, tokens: Tensor, *, bf16: bool = False) -> Callable[[], None]:
    """Return one forward and backward pass."""

    def run() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(tokens)
        logits.float().logsumexp(dim=1).mean().backward()

    return run


def products() -> Callable[[], None]:
    """Return the products of an LSTM's forward and backward pass, of all time steps at once."""
    inputs = torch.randn(REVIEWS * REVIEW_TOKENS, DIMENSIONS + HIDDEN, dtype=torch.bfloat16, requires_grad=True)
    weights = torch.randn(DIMENSIONS + HIDDEN, 4 * HIDDEN, dtype=torch.bfloat16, requires_grad=True)
    return lambda: (inputs @ weights).sum().backward()


def main() -> None:
    """Print the medians of interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    embedding = torch.randn(WORDS, DIMENSIONS)
    lengths = (121 * torch.exp(0.9 * torch.randn(MESSAGES))).clamp(1, TOKENS)
    messages = torch.randint(1, WORDS, (MESSAGES, TOKENS))
    messages[torch.arange(TOKENS) < TOKENS - lengths[:, None]] = 0
    reviews = torch.randint(1, WORDS, (REVIEWS, REVIEW_TOKENS))
    cnn = GlobalPoolingCnn(embedding=embedding, channels=128, num_classes=20)
    options = {"head": [256, 128], "dropout": 0.2, "read": "last_token", "num_classes": 2, "single_logit": True}
    lstm = Lstm(embedding=embedding, hidden_size=HIDDEN, **options)
    ways = {
        "20 Newsgroups, plain": (MESSAGES, step(PlainCnn(embedding, 128, 20), messages)),
        "20 Newsgroups, ours": (MESSAGES, step(cnn, messages)),
        "IMDB, ours in fp32": (REVIEWS, step(lstm, reviews)),
        "IMDB, ours in bf16": (REVIEWS, step(lstm, reviews, bf16=True)),
        "IMDB, products alone in bf16": (REVIEWS, products()),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, (count, work) in ways.items():
            began = time.process_time()
            work()
            rates[way].append(count / (time.process_time() - began))
    found = {way: median(rate[1:]) for way, rate in rates.items()}
    for way, rate in found.items():
        print(f"{way:<30}{rate:>8,.0f} sequences per processor second")
    plain, ours, _, bf16, bare = found.values()
    print(f"20 Newsgroups, ours / plain: {ours / plain:.2f}; IMDB, bf16 / products alone: {bf16 / bare:.2f}")


if __name__ == "__main__":
    main()
