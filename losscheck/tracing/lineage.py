"""Which forward op a backward op differentiates: by the sequence numbers that autograd gives to its nodes."""

from __future__ import annotations

__all__ = ["Lineage"]


class Lineage:
    """The forward op of each node of a graph, told as the ops run."""

    def __init__(self) -> None:
        import torch

        self._forward_of: dict[int, int] = {}
        self._sequence = torch.autograd._get_sequence_nr()

    def of(self, index: int, placed: bool) -> tuple[bool, int | None]:
        """Does the op of this index, about to run, run in a backward pass, and which op does it differentiate?

        Args:
            placed: a line of the user's asked for it. In a backward pass so do those of an autograd.Function's own backward.
        """
        import torch

        node = torch._C._current_autograd_node()
        now = torch.autograd._get_sequence_nr()
        forward = None if node is None else self._forward_of.get(node._sequence_nr())
        # The nodes created since the last op belong to this one. A backward pass that is itself differentiable creates nodes too:
        # theirs is the op they come from.
        owner = index if node is None or placed else forward
        if owner is not None:
            self._forward_of.update(dict.fromkeys(range(self._sequence, now), owner))
        self._sequence = max(self._sequence, now)
        return node is not None, forward
