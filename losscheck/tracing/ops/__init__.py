"""Exact arithmetic of PyTorch's ops: one op, one entry. An op that has none is named, and its computed value taken as exact.

To add one, write its definition over the arithmetic ``m`` (losscheck.oracle.extended) in the file of its kind, under the decorator of its
layout, with its parameters named as in the op's schema (``x`` for ``self``):

    @pointwise("softplus", beta=2.0)
    def softplus(m, x, beta):
        return m.div(m.softplus(m.mul(x, beta)), beta)

The keywords are what the generated test calls it with (``tests/test_tracing_ops.py``): a domain for a tensor, a value for a number. An
op that only moves elements, or makes constants, is a name in ``movement.py``: its own kernel moves the elements' ids.
"""

from losscheck.tracing.ops import activations, backward, elementary, linear, losses, movement, reductions, scatter, selection
from losscheck.tracing.ops.table import ExactOp, Layout, known, table

# Loading the files fills the table.
FILES = (activations, backward, elementary, linear, losses, movement, reductions, scatter, selection)

__all__ = ["FILES", "ExactOp", "Layout", "known", "table"]
