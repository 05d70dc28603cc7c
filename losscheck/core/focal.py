"""The focal term and its derivative over any arithmetic ``m``: what several losses are made of."""

from __future__ import annotations

from typing import Any

__all__ = ["focal", "focal_derivative"]


def focal(m: Any, logit: Any, gamma: Any) -> Any:
    """s(x)^g softplus(x), the cost of being sure of the wrong class at logit x."""
    return m.power(m.sigmoid(logit), gamma) * m.softplus(logit)


def focal_derivative(m: Any, logit: Any, gamma: Any) -> Any:
    """s(x)^g (g s(-x) softplus(x) + s(x)), every term positive."""
    s = m.sigmoid(logit)
    return m.power(s, gamma) * (gamma * m.sigmoid(-logit) * m.softplus(logit) + s)
