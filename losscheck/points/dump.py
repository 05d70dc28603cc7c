"""What a dump is: named arrays as they lie in a file, and the batch of logits and targets that is made of two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.core.errors import UserError

__all__ = ["DUMP_IT", "MOST_ELEMENTS", "Raw", "unreadable"]

# Elements of one tensor: float32 logits and targets of that size take 2 GiB, and a week of patience begins there.
MOST_ELEMENTS = 2**28

DUMP_IT = """dump plain tensors, and nothing else:
    batch = {"logits": logits.detach().cpu(), "targets": targets.detach().cpu()}
    torch.save(batch, "batch.pt")"""


@dataclass(frozen=True)
class Raw:
    """A tensor of a file.

    Attributes:
        kind: its dtype as written there: float32, bfloat16, int64, bool, ...
        shape: as written there.
        read: gives the numpy array: float32 for bfloat16, otherwise of its own dtype. Called for the chosen ones alone.
    """

    kind: str
    shape: tuple[int, ...]
    read: Any

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    def described(self) -> str:
        return f"{self.kind} {list(self.shape)}"


Contents = Mapping[str, Raw]


def unreadable(path: Any, why: str, cure: str = DUMP_IT) -> UserError:
    """The one form of message about a file that cannot be used."""
    return UserError(f"cannot read {path}: {why}", cure)
