"""Laws of what a page asks for while something is being done."""

from __future__ import annotations

import threading

import pytest

from ns_talking.viewer.turns import Turns


def held(turns: Turns, until: threading.Event) -> threading.Thread:
    """Something that is being done until it is let go."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        assert until.wait(60)

    thread = threading.Thread(target=turns.take, args=("Holding", work))
    thread.start()
    assert begun.wait(60)
    return thread


def test_a_thing_is_told_when_it_begins_and_when_it_is_over() -> None:
    told: list[str] = []
    Turns(told.append).take("Reading", lambda: told.append("work"))
    assert told == ["Reading ...", "work", ""]


def test_a_second_thing_is_refused_while_the_first_is_done() -> None:
    told, until, done = [], threading.Event(), []
    turns = Turns(told.append)
    first = held(turns, until)
    turns.take("Reading", lambda: done.append(1))
    assert told[-1] == "One thing at a time, please." and not done
    until.set()
    first.join()


def test_what_has_patience_follows_the_first() -> None:
    told, until, done = [], threading.Event(), []
    turns = Turns(told.append)
    first = held(turns, until)
    second = threading.Thread(target=turns.take, args=("Rendering", lambda: done.append(1), 60.0))
    second.start()
    until.set()
    second.join()
    first.join()
    assert done == [1] and told == ["Holding ...", "", "Rendering ...", ""]


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("no sound"), "no sound"), (RuntimeError("odd"), "That did not work: odd")],
    ids=["expected", "unexpected"],
)
def test_what_fails_is_told_and_lets_the_next_one_begin(error: Exception, line: str) -> None:
    told: list[str] = []
    turns = Turns(told.append)

    def work() -> None:
        raise error

    turns.take("Reading", work)
    assert told == ["Reading ...", line]
    turns.take("Reading", lambda: None)
    assert told[-1] == ""
