"""One call of a torch callable, op by op, forward and backward, beside exact arithmetic: which op lost what, and which needed it.

tape records, replay runs the record exactly or again with repairs, cause finds the pair (lost at, needed at), formula makes the record
a formula over our arithmetics, judging puts it together as plain data (report).
"""

from losscheck.tracing.judging import trace

__all__ = ["trace"]
