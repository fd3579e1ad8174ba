"""From samples to numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.lab.measure import (
    Question,
    Sample,
    Span,
    Tenure,
    impaired,
    longest_outage,
    lost,
    lost_after,
    outages,
    owned_twice,
    questions_from,
    samples_from,
    spread,
    tenures,
)

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def probe(pattern: str, *, every: float = 1.0) -> tuple[Sample, ...]:
    """``.`` answered at once, ``x`` never, ``s`` after more than the limit."""
    delays = {".": 0.001, "s": 1.5, "x": None}
    return tuple(
        Sample(
            sent=index * every, answered=None if delay is None else index * every + delay, source=index % 16
        )
        for index, delay in enumerate(delays[letter] for letter in pattern)
    )


def asked(*owners: tuple[str, ...]) -> tuple[Question, ...]:
    return tuple(Question(asked=float(index), owners=each) for index, each in enumerate(owners))


def test_nothing_lost_is_no_outage():
    assert outages(probe("....")) == ()
    assert longest_outage(probe("....")) == 0.0


def test_an_outage_runs_from_the_first_lost_send_to_the_next_answered_one():
    assert outages(probe("..xxx..")) == (Span(start=2.0, end=5.0),)


def test_the_longest_of_several_outages_counts():
    assert longest_outage(probe(".x.xxx..xx.")) == 3.0


def test_an_outage_without_end_lasts_until_the_last_send():
    assert outages(probe("..xx")) == (Span(start=2.0, end=3.0),)


def test_an_answer_after_the_limit_is_a_loss():
    assert lost(probe(".s.")) == 1


def test_a_partial_fault_impairs_from_its_first_loss_to_its_last():
    assert impaired(probe("..x..x..")) == 4.0
    assert impaired(probe("....")) == 0.0


def test_what_is_sent_after_detection_is_counted_alone():
    samples = probe(".xx.x.")
    assert lost_after(samples, 2.0) == 1
    assert lost_after(samples, 0.5) == 3


def test_two_answers_to_one_question_are_two_owners():
    assert owned_twice(asked((A,), (A, B), (A, B), (B,))) == 2.0


def test_a_change_of_owner_is_not_two_owners():
    assert owned_twice(asked((A,), (B,), (B,))) == 0.0


def test_tenures_tell_who_owned_the_address_when():
    assert tenures(asked((A,), (A,), (), (B,), (B,))) == (
        Tenure(span=Span(start=0.0, end=2.0), owners=(A,)),
        Tenure(span=Span(start=2.0, end=3.0), owners=()),
        Tenure(span=Span(start=3.0, end=4.0), owners=(B,)),
    )


def test_the_watchers_documents_become_typed():
    assert samples_from([[1.0, None, 3, ""]]) == (Sample(sent=1.0, answered=None, source=3, server=""),)
    assert questions_from([[1.0, [B, A]]]) == (Question(asked=1.0, owners=(A, B)),)


def test_the_spread_of_nothing_is_zero():
    assert spread([]) == {"median": 0.0, "max": 0.0}


def test_the_spread_is_median_and_maximum():
    assert spread([3.0, 1.0, 2.04]) == {"median": 2.0, "max": 3.0}


@given(st.text(alphabet=".x", max_size=60))
def test_outages_cover_exactly_the_lost_sends(pattern: str):
    samples = probe(pattern)
    spans = outages(samples)
    for sample in samples:
        inside = any(
            span.start <= sample.sent and (sample.sent < span.end or sample is samples[-1]) for span in spans
        )
        assert inside >= sample.lost
        if not sample.lost:
            assert not any(span.start <= sample.sent < span.end for span in spans)
    assert impaired(samples) >= longest_outage(samples)


@given(st.lists(st.sampled_from([(), (A,), (B,), (A, B)]), min_size=1, max_size=40))
def test_tenures_fill_the_whole_time_without_a_gap(owners: list[tuple[str, ...]]):
    questions = asked(*owners)
    found = tenures(questions)
    assert found[0].span.start == questions[0].asked
    assert found[-1].span.end == questions[-1].asked
    for before, after in itertools.pairwise(found):
        assert before.span.end == pytest.approx(after.span.start)
        assert before.owners != after.owners
