"""What two texts of outputs claim, compared so that another processor's last bits are no difference."""

import re

NUMBER = re.compile(r"[-+]?(?:0x[0-9a-f.]+p[-+]?\d+|\d[\d.]*(?:e[-+]?\d+)?)\b", re.IGNORECASE)
STRIP = re.compile(r"[▁▂▃▄▅xNIWLMF? ]{12,}$", re.MULTILINE)
LAST_BITS = 8  # ulp: below, a figure with a fraction may be an error that a kernel's last bit makes


def claims(text):
    """A text without figures and the cells of strips: names, words, sentences and their order."""
    return " ".join(NUMBER.sub("#", STRIP.sub(" strip", text)).split())


def figures(text):
    """The numbers of a text in their order, those of hexadecimal floats left out."""
    return [number for number in NUMBER.findall(STRIP.sub(" strip", text)) if "x" not in number.lower()]


def close(a, b):
    """Is one figure the other within a factor of two, zero only itself, whole numbers below 8 only themselves?"""
    x, y = (float(number.rstrip(".")) if number.count(".") < 2 else number for number in (a, b))
    if x == y:
        return True
    if isinstance(x, str) or isinstance(y, str) or x == 0 or y == 0:
        return False
    fraction = "." in a or "." in b
    if max(abs(x), abs(y)) < LAST_BITS:
        return fraction
    return 0.5 <= x / y <= 2


def differences(text, other):
    """What one text claims and the other does not; empty where they agree."""
    if claims(text) != claims(other):
        pairs = zip(claims(text).split(), claims(other).split(), strict=False)
        return [next((pair for pair in pairs if pair[0] != pair[1]), ("one is longer",))]
    return [pair for pair in zip(figures(text), figures(other), strict=True) if not close(*pair)]
