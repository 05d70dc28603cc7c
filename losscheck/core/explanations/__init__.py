"""What the words of the outputs mean: one source for ``losscheck explain`` and for docs/glossary.md."""

from __future__ import annotations

from losscheck.core.errors import UserError, nearest
from losscheck.core.explanations.causes import CAUSES
from losscheck.core.explanations.deviations import DEVIATIONS
from losscheck.core.explanations.effects import EFFECTS
from losscheck.core.explanations.outcomes import OUTCOMES
from losscheck.core.explanations.page import CODE, Page

__all__ = ["CODE", "PAGES", "Page", "page_of"]

# In the order of the list: what it does to training, what happened to a float, why.
PAGES = (*EFFECTS, *OUTCOMES, *CAUSES, *DEVIATIONS)


def page_of(word: str) -> Page:
    """The page of a word, in any spelling that it is known under.

    Raises:
        UserError: with the nearest known words.
    """
    asked = word.strip().lower().replace("_", "-")
    for page in PAGES:
        names = (page.word, *page.also)
        if asked in (*names, *(name.replace("-", " ") for name in names)):
            return page
    raise UserError(f"nothing is called {word!r}", nearest(asked, [page.word for page in PAGES]))
