"""Multi-layer perceptron for vectors."""

from torch import nn

__all__ = ["Mlp"]


class Mlp(nn.Sequential):
    """Fully connected ReLU network.

    Args:
        in_features: length D of an input vector.
        hidden: widths of the hidden layers, in order.
        num_classes: K.

    Shape:
        (N, D) floating point to logits (N, K).
    """

    def __init__(self, *, in_features: int, hidden: list[int], num_classes: int) -> None:
        layers: list[nn.Module] = []
        for features_in, features_out in zip([in_features, *hidden], hidden, strict=False):
            layers += [nn.Linear(features_in, features_out), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Linear(hidden[-1] if hidden else in_features, num_classes))
