"""Multi-layer perceptrons for vectors, and the two-class head with a single logit."""

import torch
from torch import Tensor, nn


class Mlp(nn.Sequential):
    """Fully connected ReLU network, (N, in_features) floating point to logits (N, K).

    `hidden` are the widths of the hidden layers; `dropout` is the probability of dropping an input of one of them, not
    of the last layer. `single_logit` ends in one output and `PairedLogits`.
    """

    def __init__(
        self,
        *,
        in_features: int,
        hidden: list[int],
        num_classes: int,
        dropout: float = 0.0,
        single_logit: bool = False,
    ) -> None:
        if single_logit and num_classes != 2:
            raise ValueError(f"single_logit needs a dataset of 2 classes, got {num_classes}")
        layers: list[nn.Module] = []
        for features_in, features_out in zip([in_features, *hidden], hidden, strict=False):
            if dropout:
                layers.append(nn.Dropout(dropout))
            layers += [nn.Linear(features_in, features_out), nn.ReLU(inplace=True)]
        layers.append(nn.Linear(hidden[-1] if hidden else in_features, 1 if single_logit else num_classes))
        super().__init__(*layers, *([PairedLogits()] if single_logit else []))


class TabularMlp(Mlp):
    """Fully connected ReLU network whose widths are `multiples` of the number of features D.

    Shape:
        (N, D) floating point to logits (N, K); 12 D² + 8 D + 1 parameters with multiples 4, 2 and a single logit.
    """

    def __init__(self, *, in_features: int, multiples: list[int], num_classes: int, single_logit: bool) -> None:
        super().__init__(
            in_features=in_features,
            hidden=[multiple * in_features for multiple in multiples],
            num_classes=num_classes,
            single_logit=single_logit,
        )


class PairedLogits(nn.Module):
    r"""Two logits :math:`(-z/2, z/2)` from one output z, so that their softmax is :math:`(1 - \sigma(z), \sigma(z))`.

    Cross-entropy of the pair with smoothing alpha is binary cross-entropy of z with target
    :math:`t (1 - \alpha) + \alpha / 2`.

    Example:
        >>> PairedLogits()(torch.tensor([[3.0]]))
        tensor([[-1.5000,  1.5000]])
    """

    def forward(self, outputs: Tensor) -> Tensor:
        return torch.cat([-outputs, outputs], dim=1) / 2
