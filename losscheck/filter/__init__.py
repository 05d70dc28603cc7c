"""Cheap values with a proved error bound, and the outcomes that they decide."""
