"""Files of the Hugging Face hub: where they lie, and what must arrive.

The hub keeps large files outside its git repositories, which hold in their place a few lines with the SHA-256 of the
content. Those lines come from one address and the file from another, so that a file is checked like any download.
"""

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["HUB", "HubFile"]

HUB = "hf://"
HOST = "https://huggingface.co"
REFERENCE = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?/([\w.+-]+(?:/[\w.+-]+)*)")


@dataclass(frozen=True)
class HubFile:
    """One file of a repository of the hub.

    Attributes:
        repository: "owner/name".
        revision: branch, tag or commit.
        path: inside the repository.
    """

    repository: str
    revision: str
    path: str

    @classmethod
    def parse(cls, reference: str) -> Self:
        """Return the file that hf://owner/repository[@revision]/path names; the revision is main where none is given.

        Raises:
            ValueError: the reference is malformed.

        Example:
            >>> HubFile.parse("hf://timm/resnet50.a1_in1k/model.safetensors").url
            'https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors'
        """
        match = REFERENCE.fullmatch(reference)
        if match is None or ".." in reference.split("/"):
            raise ValueError(
                f"expected hf://owner/repository/path or hf://owner/repository@revision/path, got {reference!r}"
            )
        return cls(match[1], match[2] or "main", match[3])

    @property
    def url(self) -> str:
        """Return the address of the content."""
        return f"{HOST}/{self.repository}/resolve/{self.revision}/{self.path}"

    @property
    def pointer_url(self) -> str:
        """Return the address of the lines that stand for the content in the repository."""
        return f"{HOST}/{self.repository}/raw/{self.revision}/{self.path}"
