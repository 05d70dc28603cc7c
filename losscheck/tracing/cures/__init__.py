"""Rewrites that compute the same thing better: proved equal, measured better, and shown as a change of the user's own source."""
