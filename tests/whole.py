"""How much a test tries: a part of it in the default run, the whole where LOSSCHECK_WHOLE is set, as CI does."""

import os

WHOLE = bool(os.environ.get("LOSSCHECK_WHOLE"))


def tried(part, whole):
    """The part, or the whole where it is asked for."""
    return whole if WHOLE else part
