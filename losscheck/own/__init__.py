"""Callables of the user's as implementations: found, called as they are wired, tried out, explained."""
