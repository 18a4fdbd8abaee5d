"""Global-pooling CNN for token sequences: frozen token vectors, convolutions over time, one maximum over all of it."""

import torch
from torch import Tensor, nn

PADDING = 0  # row of the embedding table
TOKENS = 5  # of convolutions and of the maxima between them
KERNEL = (1, TOKENS)  # of images of one row: torch pools those seven times faster than sequences on a CPU
SHORTEST = 5 * (TOKENS - 1) + 1  # tokens that leave one position to the maximum over all
GROUP = 16  # sequences of similar length that are cut to the longest of them
LENGTH_STEP = 32  # tokens between the lengths they are cut to, so that there are few


class GlobalPoolingCnn(nn.Module):
    """Three convolutions over time with maxima at stride 1 between them, the maximum over time, a hidden layer, linear.

    It is the network of Mukhoti et al. (NeurIPS 2020) and MbLS (CVPR 2022) for 20 Newsgroups. All windows of 21 padding
    tokens give the same features, so only one of those before a sequence is computed: the average message has 183
    tokens of 1,000. The (V, D) float32 token vectors, row 0 padding, are neither trained nor kept in the state dict.

    Shape:
        (N, T) integer rows of the table, T at least 21, to logits (N, K); 247,316 parameters with D = 100, 128
        channels and K = 20.
    """

    embedding: Tensor

    def __init__(self, *, embedding: Tensor, channels: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("embedding", embedding, persistent=False)
        self.features = nn.Sequential(
            nn.Conv2d(embedding.shape[1], channels, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(KERNEL, stride=1),
            nn.Conv2d(channels, channels, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(KERNEL, stride=1),
            nn.Conv2d(channels, channels, KERNEL),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, num_classes)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.shape[1] < SHORTEST:
            raise ValueError(f"sequences must have at least {SHORTEST} tokens, got {tokens.shape[1]}")
        padding = (tokens == PADDING).cumprod(dim=1).sum(dim=1)  # (N,) tokens before the first other one
        least, order = padding.sort()
        maxima = [
            self._maxima(tokens[rows, max(0, padded - SHORTEST) // LENGTH_STEP * LENGTH_STEP :])
            for rows, padded in zip(order.split(GROUP), least[::GROUP].tolist(), strict=True)
        ]
        return self.head(torch.cat(maxima)[order.argsort()])

    def _maxima(self, tokens: Tensor) -> Tensor:
        vectors = nn.functional.embedding(tokens, self.embedding)  # (N, T, D)
        rows = vectors.transpose(1, 2).unsqueeze(2)  # (N, D, 1, T), channels last
        return self.features(rows).amax(dim=(2, 3))
