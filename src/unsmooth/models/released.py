r"""Names of weights in released checkpoints, and what they are called here.

The released models were trained with TorchUncertainty under Lightning: every name begins with ``model.``, and residual
networks have stages ``layer1`` to ``layer4``, projections ``shortcut`` and the last layer ``linear``.
"""

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["renamed"]

PREFIX = "model."
STAGE = re.compile(r"layer(\d+)\.(\d+)\.")
# Of each kind of architecture, in this order: a pattern, and what takes its place.
PATTERNS = {
    "torchvision": [(r"\.shortcut\.(\d)", r".downsample.\1"), (r"^linear\.", "fc.")],
    "cifar_resnet": [
        (r"^conv1\.", "stem.0."),
        (r"^bn1\.", "stem.1."),
        (r"\.conv1\.", ".residual.0."),
        (r"\.bn1\.", ".residual.1."),
        (r"\.conv2\.", ".residual.3."),
        (r"\.bn2\.", ".residual.4."),
        (r"^linear\.", "head."),
    ],
}


def renamed(weights: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Return weights by the names of our models; those that have them already, and of other kinds, keep theirs.

    Args:
        weights: by the names of a released checkpoint.
        kind: of the architecture, as in an experiment file.

    Example:
        >>> [*renamed({"model.layer1.0.shortcut.0.weight": 1, "model.linear.bias": 2}, "torchvision")]
        ['layer1.0.downsample.0.weight', 'fc.bias']
    """
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items()}
    blocks = 1 + max((int(found[2]) for name in bare if (found := STAGE.match(name))), default=0)  # in a stage

    def ours(name: str) -> str:
        if kind == "cifar_resnet":
            name = STAGE.sub(lambda found: f"stages.{(int(found[1]) - 1) * blocks + int(found[2])}.", name)
        for pattern, replacement in PATTERNS.get(kind, []):
            name = re.sub(pattern, replacement, name)
        return name

    return {ours(name): tensor for name, tensor in bare.items()}
