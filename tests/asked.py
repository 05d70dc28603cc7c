"""What tests ask for, in fewer words."""

from losscheck.callables import selection
from losscheck.core.request import listed


def select(losses, patterns, backends=()):
    """The implementations of some losses (or their names) that match patterns and run on any of the backends."""
    names = [getattr(loss, "name", loss) for loss in losses]
    return list(selection.select(listed(names, (), impl=tuple(patterns), backends=tuple(backends))).implementations)
