"""CenterNet's `_neg_loss` on probabilities, without and with the clamp its authors put before it."""

from losscheck.core.loss import Published, implementation

SOURCE = "CenterNet (Zhou et al., 2019), src/lib/models/losses.py, _neg_loss"
GUARD = 1e-4


def _cells(xp, pred, target, alpha, beta):
    """The weighted log-likelihood of the positive and of the negative cells, each masked by a multiplication."""
    positive, negative = target.eq(1).float(), target.lt(1).float()
    pos_loss = xp.log(pred) * xp.pow(1 - pred, alpha) * positive
    neg_loss = xp.log(1 - pred) * xp.pow(pred, alpha) * xp.pow(1 - target, beta) * negative
    return pos_loss, neg_loss


def _normalised(cells, target):
    num_pos = target.eq(1).float().sum()
    pos_loss, neg_loss = (cell.sum() for cell in cells)
    return -neg_loss if num_pos == 0 else -(pos_loss + neg_loss) / num_pos


def _clamped(xp, logit):
    return xp.clamp(xp.sigmoid(logit), min=GUARD, max=1 - GUARD)


def _published(xp, logit, target, *, alpha, beta):
    return _normalised(_cells(xp, xp.sigmoid(logit), target, alpha, beta), target)


def _published_clamped(xp, logit, target, *, alpha, beta):
    return _normalised(_cells(xp, _clamped(xp, logit), target, alpha, beta), target)


@implementation(
    "centernet-heatmap",
    "centernet-neg-loss",
    source=SOURCE,
    backends=("torch",),
    published=Published(_published, "normalised"),
)
def centernet_neg_loss(xp, logit, target, *, alpha, beta):
    """-log(p) (1-p)^a [z=1] - log(1-p) p^a (1-z)^b [z<1]: 0 * -inf in the masked branch is NaN.

    The float32 masks promote 16-bit losses to float32; the result is returned in the dtype of the logits.
    """
    pos_loss, neg_loss = _cells(xp, xp.sigmoid(logit), target, alpha, beta)
    return -(pos_loss + neg_loss).to(logit.dtype)


def clamped(m, logit, target, *, alpha, beta):
    """The definition with p held in [lo, hi], the guard as the dtype holds it (in 16 bits hi is 1, or near it).

    log p and log(1 - p) are clamped as logarithms, so that no 1 - s(x) needs as many bits as the logit is large.
    """
    low, high = m.rounded(GUARD), m.rounded(1 - GUARD)
    if target == 1:
        complement, log_term = m.minimum(m.sigmoid(-logit), 1 - low), m.minimum(m.softplus(-logit), -m.log(low))
        if high < 1:
            complement, log_term = m.maximum(complement, 1 - high), m.maximum(log_term, -m.log(high))
        return m.power(complement, alpha) * log_term
    p, log_term = m.maximum(m.sigmoid(logit), low), m.softplus(logit)
    if high < 1:
        p, log_term = m.minimum(p, high), m.minimum(log_term, -m.log(1 - high))
    return m.power(1 - target, beta) * m.power(p, alpha) * m.maximum(log_term, -m.log(1 - low))


@implementation(
    "centernet-heatmap",
    "centernet-neg-loss-clamped",
    source=SOURCE + ", after the clamp of models/utils.py, _sigmoid",
    backends=("torch",),
    formula=clamped,
    published=Published(_published_clamped, "normalised"),
    note="p is clamped to [1e-4, 1 - 1e-4], that is |x| <= 9.21; beyond it the gradient is 0",
)
def centernet_neg_loss_clamped(xp, logit, target, *, alpha, beta):
    """`centernet-neg-loss` behind clamp(p, 1e-4, 1 - 1e-4); in bfloat16 and float16 1 - 1e-4 rounds to 1."""
    pos_loss, neg_loss = _cells(xp, _clamped(xp, logit), target, alpha, beta)
    return -(pos_loss + neg_loss).to(logit.dtype)
