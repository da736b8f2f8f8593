"""Ids: always greater than the one before, and ordered by the time they hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ulid import ULID

from messagebus.msgid import is_own, next_msg_id, order, sibling, time_of, to_ulid

MS = 1_795_230_855_926
LAST_MS = (1 << 48) - 1
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GO = "MSG-20261121-031415-926535897-PID00042-0001"

OWN_IDS = st.builds("MSG-{}{}".format, st.sampled_from("01234567"), st.text(ALPHABET, min_size=25, max_size=25))
GO_IDS = st.builds(
    "MSG-{:%Y%m%d-%H%M%S}-{:09d}-PID{:05d}-{:04d}".format,
    st.datetimes(), st.integers(0, 999_999_999), st.integers(0, 99999), st.integers(0, 9999),
)  # fmt: skip
FOREIGN = st.one_of(
    GO_IDS, st.sampled_from(["x", "", "MSG-", "LEGACY-LINE-000000001", GO + "+1"]), st.text(max_size=12)
)
CLOCKS = st.integers(0, LAST_MS - 1)
RANDOM = st.binary(min_size=10, max_size=10)


def made(after: str | None, ms: int, randomness: bytes = b"\x55" * 10) -> str:
    return next_msg_id(after, ms, lambda n: randomness[:n])


@settings(max_examples=400)
@given(st.none() | OWN_IDS.filter(lambda text: text < "MSG-7ZZZZZZZZZZ") | FOREIGN, CLOCKS, RANDOM)
def test_the_next_id_is_greater_whatever_the_clock_says(after: str | None, ms: int, randomness: bytes) -> None:
    new = made(after, ms, randomness)
    assert (time_of(new) or 0) >= ms
    if after is not None and order(after) is not None:
        assert (order(new) or ()) > (order(after) or ())
    assert made(new, ms, randomness) > new


@settings(max_examples=200)
@given(CLOCKS, RANDOM)
def test_an_id_is_the_ulid_that_python_ulid_makes(ms: int, randomness: bytes) -> None:
    new = made(None, ms, randomness)
    assert new == f"MSG-{ULID(ms.to_bytes(6, 'big') + randomness)}"
    assert time_of(new) == ms


@settings(max_examples=200)
@given(OWN_IDS)
def test_an_own_id_is_read_as_python_ulid_reads_it(msg_id: str) -> None:
    assert to_ulid(msg_id) == ULID.from_str(msg_id[4:])
    assert time_of(msg_id) == ULID.from_str(msg_id[4:]).milliseconds


@given(FOREIGN)
def test_another_id_is_no_ulid(msg_id: str) -> None:
    assert to_ulid(msg_id) is None


@settings(max_examples=200)
@given(OWN_IDS.filter(lambda text: not text.endswith("Z" * 16)), st.integers(0, 2**32 - 1))
def test_a_sibling_is_the_ulid_so_many_later(msg_id: str, number: int) -> None:
    later = ULID.from_int(int(ULID.from_str(msg_id[4:])) + 1 + number)
    assert sibling(msg_id, number) == f"MSG-{later}"


@settings(max_examples=200)
@given(OWN_IDS.filter(lambda text: not text.endswith("Z" * 16)))
def test_after_a_later_id_come_its_first_characters_plus_one_and_random_ones(after: str) -> None:
    """Not that id plus one: its message may have been given, and removed since."""
    head = int.from_bytes(ULID.from_str(after[4:]).bytes, "big") >> 40
    plus_one = str(ULID((head + 1 << 40).to_bytes(16, "big")))
    new = made(after, 0, b"\x01\x23\xab\xcd")
    assert new == f"MSG-{plus_one[:-8]}0123ABCD"
    assert new > after


@pytest.mark.parametrize(
    ("after", "new"),
    [
        ("MSG-01KAJ3M2Q8Z0V4T5R9W7X8Y9Z9", "MSG-01KAJ3M2Q8Z0V4T5RA0123ABCD"),
        ("MSG-01KAJ3M2Q8Z0V4T5RHW7X8Y9ZZ", "MSG-01KAJ3M2Q8Z0V4T5RJ0123ABCD"),
        ("MSG-01KAJ3M2Q8Z0V4T5ZZW7X8Y9ZZ", "MSG-01KAJ3M2Q8Z0V4T6000123ABCD"),
        ("MSG-01KAJ3M2Q8ZZZZZZZZZZZZZZZZ", "MSG-01KAJ3M2Q9000000000123ABCD"),
    ],
)
def test_the_carry(after: str, new: str) -> None:
    assert made(after, 0, b"\x01\x23\xab\xcd") == new
    assert new > after


def test_one_millisecond_holds_many_ids() -> None:
    ids = [made(None, MS)]
    for _ in range(2000):
        ids.append(made(ids[-1], MS))
    assert ids == sorted(set(ids))
    assert {time_of(msg_id) for msg_id in ids} == {MS}


def test_a_clock_that_steps_back_gives_greater_ids_all_the_same() -> None:
    first = made(None, MS)
    back = made(first, MS - 3_600_000)
    assert back > first
    assert time_of(back) == MS


def test_a_clock_that_runs_gives_its_own_time() -> None:
    assert time_of(made(made(None, MS), MS + 1)) == MS + 1


@pytest.mark.parametrize("foreign", [GO, GO + "+7"])
def test_after_a_go_id_its_time_is_the_lower_bound(foreign: str) -> None:
    assert time_of(foreign) == MS
    assert time_of(made(foreign, MS - 1000)) == MS + 1
    assert time_of(made(foreign, MS + 1000)) == MS + 1000


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "x",
        "MSG-20269999-031415-000000000-PID1-1",
        "msg-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z9",
        "MSG-81KAJ3M2Q8Z0V4T5R6W7X8Y9Z9",
    ],
)
def test_an_id_without_a_time_bounds_nothing(foreign: str) -> None:
    assert time_of(foreign) is None
    assert order(foreign) is None
    assert time_of(made(foreign, MS)) == MS


def test_a_one_line_message_is_right_after_its_record() -> None:
    record = made(None, MS)
    positions = [record, record + "+1", record + "+2", made(record, MS)]
    assert sorted(positions, key=lambda msg_id: order(msg_id) or (0, "")) == positions


def test_after_a_one_line_message_below_an_own_record_comes_a_greater_id() -> None:
    record = made(None, MS)
    assert (order(made(record + "+1", 0)) or ()) > (order(record + "+1") or ())


def test_both_kinds_are_ordered_by_time() -> None:
    own_id = made(None, MS + 1)
    assert (order(GO) or ()) < (order(own_id) or ())
    assert (order(made(None, MS - 1)) or ()) < (order(GO) or ())


def test_no_id_fits_after_the_last_millisecond() -> None:
    with pytest.raises(OverflowError):
        made(None, LAST_MS + 1)


@given(OWN_IDS | FOREIGN, st.integers(0, 2**32 - 2))
def test_a_sibling_is_later_and_of_the_same_kind(msg_id: str, number: int) -> None:
    assert msg_id < sibling(msg_id, number) < sibling(msg_id, number + 1)
    assert is_own(sibling(msg_id, number)) == is_own(msg_id)


def test_a_sibling_of_an_own_id_is_right_after_it() -> None:
    msg_id = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZZ"
    assert sibling(msg_id, 0) == "MSG-01KAJ3M2Q8Z0V4T5R6W7X8YA00"
    assert sibling(msg_id, 2**32 - 1) == "MSG-01KAJ3M2Q8Z0V4T5R6WBX8Y9ZZ"


def test_a_sibling_of_the_last_is_foreign() -> None:
    """Nothing of own_id can follow it."""
    last = "MSG-7" + "Z" * 25
    assert sibling(last, 255) == f"{last}-000000FF"
    assert order(last) < order(sibling(last, 0))  # type: ignore[operator]
