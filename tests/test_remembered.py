"""What is computed once although several ask for it: answers of implementations, points for a picture."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from losscheck.core.deferred import Deferred
from losscheck.measure import remembered
from losscheck.measure.refusals import BlockResult


@pytest.fixture
def counting():
    """A call that counts how often it is asked, and the one that remembers."""
    asked = []

    def call(logits):
        asked.append(len(logits))
        return BlockResult(np.exp(logits), None)

    with remembered.remembered():
        yield SimpleNamespace(asked=asked, call=remembered.remembering(call, object()))


def test_the_same_logits_are_asked_once(counting):
    """-0 and +0 are two logits, and float64 of the same numbers are others than float32."""
    logits = np.array([-1.0, 0.0, 2.5], np.float32)
    answers = [counting.call(values) for values in (logits, logits.copy(), logits * np.float32(1.0))]

    assert counting.asked == [3]
    assert all((answer.loss == np.exp(logits)).all() for answer in answers)
    counting.call(np.array([-1.0, -0.0, 2.5], np.float32))
    counting.call(logits.astype(np.float64))
    assert counting.asked == [3, 3, 3]


def test_calls_of_two_keys_are_kept_apart():
    """Another target or another implementation is another key."""
    logits = np.arange(4, dtype=np.float32)
    first, second = (remembered.remembering(lambda x, sign=sign: BlockResult(sign * x, None), ("key", sign)) for sign in (1, -1))

    with remembered.remembered():
        assert (first(logits).loss == -second(logits).loss).all()


def test_code_of_the_users_is_called_again_unless_that_was_said():
    """It may keep a state."""
    asked, logits = [], np.zeros(4, np.float32)
    call = remembered.remembering(lambda x: asked.append(len(x)) or BlockResult(x, None), "key", own=True)
    with remembered.remembered():
        call(logits), call(logits)
    assert asked == [4, 4]

    with remembered.remembered(own=True):
        call(logits), call(logits)
    assert asked == [4, 4, 4]


def test_nothing_is_remembered_from_one_run_to_the_next(counting):
    """Nor where nobody said that it should be."""
    logits = np.zeros(4, np.float32)
    counting.call(logits)
    with remembered.remembered():
        counting.call(logits)
        counting.call(logits)

    assert counting.asked == [4, 4]


def test_an_answer_cannot_be_overwritten(counting):
    """A second reader gets what the first one got."""
    logits = np.arange(4, dtype=np.float32)
    with pytest.raises(ValueError, match="read-only"):
        counting.call(logits).loss[0] = 7


def test_large_calls_are_not_kept_and_the_oldest_answers_go_first(counting, monkeypatch):
    """Blocks of a sweep over every float32 would fill the memory for nobody."""
    many = np.zeros(remembered.LARGEST + 1, np.float32)
    counting.call(many), counting.call(many)
    assert counting.asked == [len(many)] * 2
    counting.call(many[1:]), counting.call(many[1:])  # every float of 16 bits
    assert counting.asked[2:] == [len(many) - 1]

    monkeypatch.setattr(remembered, "MOST", 0)
    counting.asked.clear()
    one, other = np.zeros(8, np.float32), np.ones(8, np.float32)
    for logits in (one, one, other, one):
        counting.call(logits)
    assert counting.asked == [8, 8, 8]


def test_a_deferred_sequence_is_made_once_and_only_when_it_is_looked_at():
    """It is the tuple of its items to whoever compares it or sends it away."""
    made = []
    deferred = Deferred(lambda: made.append(1) or [1, 2, 3])

    assert not made
    assert (list(deferred), len(deferred), deferred[1], deferred[1:]) == ([1, 2, 3], 3, 2, (2, 3))
    assert deferred == (1, 2, 3) == deferred and pickle.loads(pickle.dumps(deferred)) == (1, 2, 3)
    assert deferred == Deferred(lambda: [1, 2, 3]) != Deferred(lambda: [1, 2])
    assert made == [1]
