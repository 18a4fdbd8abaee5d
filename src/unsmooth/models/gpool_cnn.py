"""Global-pooling CNN for token sequences: frozen token vectors, convolutions over time, one maximum over all of it."""

from torch import Tensor, nn

__all__ = ["GlobalPoolingCnn"]

KERNEL = 5  # tokens, of convolutions and of the maxima between them
SHORTEST = 5 * (KERNEL - 1) + 1  # tokens that leave one position to the maximum over all


class GlobalPoolingCnn(nn.Module):
    """Three convolutions over time with maxima at stride 1 between them, the maximum over time, a hidden layer, linear.

    It is the network of Mukhoti et al. (NeurIPS 2020) and MbLS (CVPR 2022) for 20 Newsgroups. Nothing is padded.

    Args:
        embedding: (V, D) float32 token vectors; neither trained nor kept in the state dict.
        channels: of the convolutions and of the hidden layer.
        num_classes: K.

    Shape:
        (N, T) integer rows of the table, T at least 21, to logits (N, K); 247,316 parameters with D = 100, 128
        channels and K = 20.

    Raises:
        ValueError: in forward, sequences of fewer than 21 tokens.
    """

    embedding: Tensor

    def __init__(self, *, embedding: Tensor, channels: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("embedding", embedding, persistent=False)
        self.features = nn.Sequential(
            nn.Conv1d(embedding.shape[1], channels, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(KERNEL, stride=1),
            nn.Conv1d(channels, channels, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(KERNEL, stride=1),
            nn.Conv1d(channels, channels, KERNEL),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, num_classes)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (N, K)."""
        if tokens.shape[1] < SHORTEST:
            raise ValueError(f"sequences must have at least {SHORTEST} tokens, got {tokens.shape[1]}")
        vectors = nn.functional.embedding(tokens, self.embedding)  # (N, T, D)
        return self.head(self.features(vectors.transpose(1, 2)).amax(dim=2))
