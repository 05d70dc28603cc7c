"""Every op of a call, handed to a recorder: in the forward pass, and in the backward passes that it starts."""

from __future__ import annotations

import functools
from typing import Any, Protocol

__all__ = ["Recorder", "handed_to"]


class Recorder(Protocol):
    """What runs an op and remembers what it likes of it."""

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


def handed_to(recorder: Recorder) -> Any:
    """The context in which every op of this thread goes through ``recorder.record``."""
    return _mode_class()(recorder)


@functools.cache
def _mode_class() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recording(TorchDispatchMode):  # type: ignore[misc]
        """Hands every op over."""

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # True, the default, imports torch._dynamo at the first op: two seconds.
            return False

        def __init__(self, recorder: Recorder) -> None:
            super().__init__()
            self.recorder = recorder

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return self.recorder.record(func, args, kwargs or {})

    return Recording
