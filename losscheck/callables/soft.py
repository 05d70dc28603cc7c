"""What a loss that is defined for hard targets alone becomes at soft ones, where a callable takes them: focal loss has five ways."""

from __future__ import annotations

import math
from collections.abc import Callable

from losscheck.callables.conventions import weight_of
from losscheck.callables.fit import Fit
from losscheck.callables.samples import Sample, Samples
from losscheck.core.loss import Loss

__all__ = ["soft_words"]


def soft_words(fit: Fit, samples: Samples, loss: Loss) -> str:
    """'its soft targets follow ...' where one of the five explains every value at a soft target, those held back too; else ""."""
    soft = [point for point in samples.ordinary + samples.held_ordinary if 0 < point.target < 1]
    weight = weight_of(loss)
    if not weight or "gamma" not in fit.params or len(soft) < 12:
        return ""
    for says, value in _ways(fit.params[weight], fit.params["gamma"]).items():
        if all(samples.close(point, value(point)) for point in soft):
            return f"at soft targets, which {loss.name} does not define, it is {says}."
    return ""


def _ways(alpha: float, gamma: float) -> dict[str, Callable[[Sample], float]]:
    """alpha_t = alpha z + (1 - alpha)(1 - z) and CE the cross entropy, unless said otherwise."""

    def balanced(factor: Callable[[float, float], float]) -> Callable[[Sample], float]:
        def value(point: Sample) -> float:
            x, z = point.logit, point.target
            weight = 1.0 if alpha < 0 else alpha * z + (1 - alpha) * (1 - z)
            return weight * math.pow(factor(x, z), gamma) * _entropy(x, z)

        return value

    def two_terms(point: Sample) -> float:
        x, z = point.logit, point.target
        of_one, of_zero = (1.0, 1.0) if alpha < 0 else (alpha, 1 - alpha)
        return of_one * z * math.pow(_s(-x), gamma) * _entropy(x, 1) + of_zero * (1 - z) * math.pow(_s(x), gamma) * _entropy(x, 0)

    return {
        "alpha_t (1 - p_t)^g CE with p_t = z p + (1 - z)(1 - p), as in torchvision": balanced(lambda x, z: z * _s(-x) + (1 - z) * _s(x)),
        "one focal term for each class, weighted by z and 1 - z, as in kornia": two_terms,
        "alpha_t |z - p|^g CE, the factor of quality-focal": balanced(lambda x, z: abs(z - _s(x))),
        "alpha_t (1 - exp(-CE))^g CE": balanced(lambda x, z: -math.expm1(-_entropy(x, z))),
        "alpha_t s(-x (2z - 1))^g CE, as in monai": balanced(lambda x, z: _s(-x * (2 * z - 1))),
    }


def _entropy(x: float, z: float) -> float:
    return max(x, 0.0) - x * z + math.log1p(math.exp(-abs(x)))


def _s(x: float) -> float:
    return 1 / (1 + math.exp(-x))
