"""Ops that compute nothing: what they move, what they make, and what they leave to chance."""

from __future__ import annotations

__all__ = ["CHOOSES", "FACTORIES", "FILLS_WITH_ZERO", "MOVES", "RANDOM"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Their own kernel, run on the elements' ids, says where each element goes.
MOVES = _names(
    "clone _unsafe_view cat stack gather index_select flip roll repeat index masked_select lift_fresh _reshape_copy select_copy "
    "view_copy expand_copy permute_copy unfold contiguous repeat_interleave select_scatter slice_scatter alias_copy take rot90 "
    "scatter index_put masked_scatter split_copy unbind_copy _to_dense hstack vstack movedim squeeze_copy unsqueeze_copy"
)
# The same, with places that hold 0.
FILLS_WITH_ZERO = _names("tril triu constant_pad_nd diag_embed select_backward slice_backward diagonal_backward")
# Their first result is elements of the input, at the places that the second result names.
CHOOSES = _names("sort topk max min median nanmedian kthvalue mode cummax cummin aminmax")
# Constants.
FACTORIES = _names(
    "ones_like zeros_like full full_like zeros ones empty_like empty new_zeros new_full new_ones new_empty scalar_tensor eye arange "
    "linspace logspace empty_strided new_empty_strided fill zero _efficientzerotensor one_hot tril_indices triu_indices"
)
# Drawn anew at every call: taken as drawn, and said.
RANDOM = _names(
    "rand randn randint rand_like randn_like randint_like bernoulli uniform normal exponential random geometric cauchy log_normal "
    "multinomial randperm native_dropout dropout poisson rrelu_with_noise binomial"
)
