"""What a page of ``losscheck explain`` holds, and the code that several of them give."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BCE", "CODE", "FOCAL", "HEATMAP", "Page"]

# The losses to write, by the name of the loss that each computes; a test judges every one of them.
BCE, FOCAL, HEATMAP = "bce", "weighted-focal", "centernet-heatmap"
CODE = {
    BCE: """\
def bce(logits, targets):
    return targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits)
""",
    FOCAL: """\
def focal(logits, targets, alpha=0.25, gamma=2.0):
    wrong = (1 - 2 * targets) * logits  # large where the model is sure of the wrong class
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * torch.sigmoid(wrong) ** gamma * F.softplus(wrong)
""",
    HEATMAP: """\
def heatmap(logits, targets, alpha=2, beta=4):
    wrong = torch.where(targets == 1, -logits, logits)
    weight = torch.where(targets == 1, torch.ones_like(targets), (1 - targets) ** beta)
    return weight * torch.sigmoid(wrong) ** alpha * F.softplus(wrong)
""",
    "poly1-bce": """\
def poly1_bce(logits, targets, epsilon=1.0):
    wrong = (1 - 2 * targets) * logits
    return F.softplus(wrong) + epsilon * torch.sigmoid(wrong)
""",
    "quality-focal": """\
def quality_focal(logits, targets, beta=2.0):
    distance = (1 - targets) * torch.sigmoid(logits) - targets * torch.sigmoid(-logits)
    bce = targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits)
    return distance.abs() ** beta * bce
""",
    "asymmetric": """\
def asymmetric(logits, targets, gamma_pos=1.0, gamma_neg=4.0, clip=0.05):
    missed = torch.sigmoid(-logits)
    positive = missed**gamma_pos * F.softplus(-logits)
    kept = (missed + clip).clamp(max=1)  # a negative within the margin costs nothing
    return torch.where(targets == 1, positive, -((1 - clip - missed).clamp(min=0) ** gamma_neg) * torch.log(kept))
""",
    "soft-focal": """\
def soft_focal(logits, targets, alpha=0.25, gamma=2.0):
    wrong = (1 - targets) * torch.sigmoid(logits) + targets * torch.sigmoid(-logits)
    bce = targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * wrong**gamma * bce
""",
    "varifocal": """\
def varifocal(logits, targets, alpha=0.75, gamma=2.0):
    weight = torch.where(targets > 0, targets, alpha * torch.sigmoid(logits) ** gamma)
    return weight * (targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits))
""",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """One word explained: what it means, why that matters, an example that runs, what to do instead.

    Texts are paragraphs with `code` in backticks; what `seen` has in backticks stands in the output of the command.

    Attributes:
        word: stable, as the outputs have it; ``also``: other ways to ask for it.
        kind: outcome, effect or cause.
        title: the meaning in one line.
        file: a file that the command needs, its name and text; empty for none.
        seen: what the output says.
        code: the key of CODE that shows what to write; empty where words do.
    """

    word: str
    kind: str
    title: str
    meaning: str
    harm: str
    command: str
    seen: str
    instead: str
    also: tuple[str, ...] = ()
    file: tuple[str, str] | tuple[()] = ()
    code: str = ""
