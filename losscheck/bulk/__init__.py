"""Millions of points: a float64 filter with a carried error bound, summaries that merge, the exact oracle for the rest."""
