"""LSTM for token sequences: frozen token vectors, one recurrent layer, a multi-layer perceptron."""

from typing import Literal

import torch
from torch import Tensor, nn

from unsmooth.models.mlp import Mlp

PADDING = 0  # row of the embedding table


class Lstm(nn.Module):
    """LSTM (Hochreiter & Schmidhuber, 1997) over frozen token vectors, then a ReLU network on one of its outputs.

    Args:
        embedding: (V, D) float32 token vectors; neither trained nor kept in the state dict. Row 0 is padding.
        hidden_size, head: width of the LSTM, and widths of the layers after it.
        dropout: probability of dropping an input of those layers.
        read: "last_token" reads the output at the last token that is not padding (an empty sequence: at position 0),
            "last_step" that at the last position, padding included.
        num_classes, single_logit: K; end in one output and `PairedLogits`.

    Shape:
        (N, T) integer rows of the table, padded on either side, to logits (N, K); 670,209 parameters with D = 300,
        width 256, head 256, 128 and a single logit.
    """

    embedding: Tensor

    def __init__(
        self,
        *,
        embedding: Tensor,
        hidden_size: int,
        head: list[int],
        dropout: float,
        read: Literal["last_token", "last_step"],
        num_classes: int,
        single_logit: bool,
    ) -> None:
        super().__init__()
        self.read = read
        self.register_buffer("embedding", embedding, persistent=False)
        self.lstm = nn.LSTM(embedding.shape[1], hidden_size, batch_first=True)
        self.head = Mlp(
            in_features=hidden_size, hidden=head, num_classes=num_classes, dropout=dropout, single_logit=single_logit
        )

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, (last, _) = self.lstm(nn.functional.embedding(tokens, self.embedding))  # (N, T, hidden_size)
        if self.read == "last_step":
            return self.head(last[0])
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        positions = torch.where(tokens != PADDING, steps, 0).amax(dim=1)
        return self.head(outputs[torch.arange(len(tokens), device=tokens.device), positions])
