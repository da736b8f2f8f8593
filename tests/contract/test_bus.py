"""What every backend promises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from patience import SECONDS

from messagebus import Draft, InvalidMessageError, Link, Message, MessageBus, Parent, SinceIDNotFoundError
from messagebus.msgid import is_own

UNKNOWN = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
TS = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)


def post(bus: MessageBus, count: int) -> list[Message]:
    return [bus.append_message(Draft("FACT", "demo", f"message {number}\nof {count}")) for number in range(count)]


# --- appending and reading ---------------------------------------------------------------------


def test_an_empty_log(bus: MessageBus) -> None:
    assert bus.read_messages() == list(bus.iter_messages()) == bus.read_last_n(3) == bus.read_messages(first=2) == []
    assert bus.last_id() is None
    assert not bus.unfinished
    assert bus.append_messages([]) == []
    assert bus.last_id() is None


def test_what_is_appended_is_read_in_order(bus: MessageBus) -> None:
    posted = post(bus, 12)
    assert bus.read_messages() == list(bus.iter_messages()) == posted
    ids = [message.msg_id for message in posted]
    assert ids == sorted(set(ids))
    assert bus.last_id() == ids[-1]


def test_every_field_comes_back(bus: MessageBus) -> None:
    draft = Draft(
        "yes", "1e3", "body", task_id="t", run_id="007", issue_id="i",
        parents=[UNKNOWN, Parent("b", "answers", {"w": "2"})],
        links=[Link("https://example.org/", "home", "web")], meta={"null": "~", "é": "\u2028"}, ts=TS,
    )  # fmt: skip
    message = bus.append_message(draft)
    assert message == Message(
        message.msg_id, TS, "yes", "1e3", "t", "007", "i", (Parent(UNKNOWN), Parent("b", "answers", {"w": "2"})),
        (Link("https://example.org/", "home", "web"),), {"null": "~", "é": "\u2028"}, "body", True,
    )  # fmt: skip
    assert bus.read_messages() == [message]


@pytest.mark.parametrize(
    "body",
    ["", "\n", "a\r\n\r\n", "\n\na", "---", "a\n\n---\nmsg_id: x\n---\n", "\\---", "a\r\nb", " a ", "é\u2028\ufeff"],
)
def test_bodies_lose_their_trailing_line_ends_and_nothing_else(bus: MessageBus, body: str) -> None:
    assert bus.append_message(Draft("FACT", "demo", body)).body == body.rstrip("\r\n")
    after = bus.append_message(Draft("FACT", "demo", "after"))
    first, last = bus.read_messages()
    assert (first.body, first.intact) == (body.rstrip("\r\n"), True)
    assert last == after


def test_a_given_time_is_kept_in_utc(bus: MessageBus) -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    bus.append_message(Draft("FACT", "demo", ts=TS.astimezone(india)))
    (message,) = bus.read_messages()
    assert message.ts == TS
    assert message.ts.tzinfo is UTC


def test_the_time_is_that_of_the_append_if_none_is_given(bus: MessageBus) -> None:
    before = datetime.now(UTC)
    message = bus.append_message(Draft("FACT", "demo"))
    assert before <= message.ts <= datetime.now(UTC)
    assert bus.read_messages()[0].ts == message.ts


def test_an_old_time_does_not_change_the_order(bus: MessageBus) -> None:
    posted = [bus.append_message(Draft("FACT", "demo", ts=TS - timedelta(days=day))) for day in range(3)]
    assert bus.read_messages() == posted
    assert posted[0].msg_id < posted[1].msg_id < posted[2].msg_id


def test_an_issue_without_an_id_gets_its_own(bus: MessageBus) -> None:
    own = bus.append_message(Draft("ISSUE", "demo"))
    given = bus.append_message(Draft("ISSUE", "demo", issue_id="ISSUE-1"))
    other = bus.append_message(Draft("FACT", "demo"))
    assert [message.issue_id for message in bus.read_messages()] == [own.msg_id, "ISSUE-1", ""]
    assert (own.issue_id, given.issue_id, other.issue_id) == (own.msg_id, "ISSUE-1", "")


def test_a_batch_of_issues_each_get_their_own(bus: MessageBus) -> None:
    batch = bus.append_messages([Draft("ISSUE", "demo")] * 3)
    assert [message.issue_id for message in bus.read_messages()] == [message.msg_id for message in batch]


def test_what_happens_to_a_draft_later_does_not_change_the_log(bus: MessageBus) -> None:
    meta, parent_meta, parents = {"k": "v"}, {"k": "v"}, ["a"]
    bus.append_message(Draft("FACT", "demo", parents=[*parents, Parent("b", meta=parent_meta)], meta=meta))
    meta["k"] = parent_meta["k"] = "changed"
    (message,) = bus.read_messages()
    assert message.meta == {"k": "v"}
    assert message.parents == (Parent("a"), Parent("b", meta={"k": "v"}))


def test_a_batch_is_all_or_nothing(bus: MessageBus) -> None:
    good = bus.append_message(Draft("FACT", "demo", "good"))
    with pytest.raises(InvalidMessageError, match="type"):
        bus.append_messages([Draft("FACT", "demo", "lost"), Draft("", "demo"), Draft("FACT", "demo", "lost")])
    assert bus.read_messages() == [good]
    batch = bus.append_messages(Draft("FACT", "demo", str(number)) for number in range(5))  # type: ignore[arg-type]
    assert bus.read_messages() == [good, *batch]
    assert [message.body for message in batch] == list("01234")


@pytest.mark.parametrize(
    "draft", [Draft("", "demo"), Draft("FACT", ""), Draft("FACT", "demo", "\0"), Draft("a\nb", "demo"), "text"]
)
def test_what_is_refused_leaves_the_log_alone(bus: MessageBus, draft: Draft) -> None:
    with pytest.raises(InvalidMessageError):
        bus.append_message(draft)
    assert bus.read_messages() == []
    assert bus.last_id() is None


def test_a_header_too_long_is_refused_by_every_backend(bus: MessageBus) -> None:
    with pytest.raises(InvalidMessageError, match="header"):
        bus.append_message(Draft("FACT", "demo", meta={"a": "x" * 70_000}))
    assert bus.read_messages() == []


# --- cursors -----------------------------------------------------------------------------------


def test_every_cursor_gives_what_follows_it(bus: MessageBus) -> None:
    posted = post(bus, 10)
    for position, message in enumerate(posted):
        assert bus.read_messages(message.msg_id) == posted[position + 1 :]
        assert list(bus.iter_messages(message.msg_id)) == posted[position + 1 :]


@pytest.mark.parametrize("count", [0, 1, 3, 9, 10, 11, 1000])
def test_limit_keeps_the_newest_and_first_the_oldest(bus: MessageBus, count: int) -> None:
    posted = post(bus, 10)
    assert bus.read_messages(limit=count) == bus.read_last_n(count) == posted[max(10 - count, 0) :]
    assert bus.read_messages(first=count) == posted[:count]
    after = posted[4:]
    assert bus.read_messages(posted[3].msg_id, limit=count) == after[max(len(after) - count, 0) :]
    assert bus.read_messages(posted[3].msg_id, first=count) == after[:count]


def test_paging_with_first_reaches_everything_once(bus: MessageBus) -> None:
    posted = post(bus, 10)
    seen: list[Message] = []
    while result_page := bus.read_messages(seen[-1].msg_id if seen else None, first=3):
        assert len(result_page) <= 3
        seen += result_page
    assert seen == posted


@pytest.mark.parametrize(
    "unknown", [UNKNOWN, "", "nonsense", "MSG-", "LEGACY-LINE-000000001", UNKNOWN + "+1", "MSG-7" + "Z" * 25, "\0", "é"]
)
def test_an_unknown_cursor_is_an_error_everywhere(bus: MessageBus, unknown: str) -> None:
    reads: list[Callable[[], object]] = [
        lambda: bus.read_messages(unknown), lambda: bus.read_messages(unknown, limit=1),
        lambda: bus.read_messages(unknown, limit=0),
        lambda: bus.read_messages(unknown, first=1), lambda: list(bus.iter_messages(unknown)),
        lambda: bus.poll_for_new(unknown, timeout=0), lambda: next(bus.follow(unknown)),
    ]  # fmt: skip
    for _ in range(2):
        for read in reads:
            with pytest.raises(SinceIDNotFoundError):
                read()
        post(bus, 3)


def test_an_unknown_cursor_is_an_error_even_if_nothing_is_wanted(bus: MessageBus) -> None:
    with pytest.raises(SinceIDNotFoundError):
        bus.read_messages(UNKNOWN, first=0)


def test_a_position_below_a_message_that_has_none_is_unknown(bus: MessageBus) -> None:
    posted = post(bus, 3)
    with pytest.raises(SinceIDNotFoundError):
        bus.read_messages(posted[1].msg_id + "+1")


def test_part_of_an_id_is_unknown(bus: MessageBus) -> None:
    posted = post(bus, 3)
    with pytest.raises(SinceIDNotFoundError):
        bus.read_messages(posted[1].msg_id[:-1])


def test_an_id_in_a_body_is_no_cursor(bus: MessageBus) -> None:
    bus.append_message(Draft("FACT", "demo", f"\n---\nmsg_id: {UNKNOWN}\nts: 2026\n---\n"))
    with pytest.raises(SinceIDNotFoundError):
        bus.read_messages(UNKNOWN)


@pytest.mark.parametrize("options", [{"limit": 1, "first": 1}, {"limit": -1}, {"first": -1}, {"limit": 0, "first": 0}])
def test_impossible_counts_are_refused(bus: MessageBus, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="limit"):
        bus.read_messages(**options)  # type: ignore[arg-type]


# --- idempotency -------------------------------------------------------------------------------


def test_the_same_key_and_content_give_the_first_message(bus: MessageBus) -> None:
    draft = Draft("ISSUE", "demo", "once\n", parents=["a"], links=[Link("b")], meta={"k": "v"})
    first = bus.append_message(draft, idempotency_key="key: 1")
    between = bus.append_message(Draft("FACT", "demo", "between"))
    assert bus.append_message(draft, idempotency_key="key: 1") == first
    assert bus.read_messages() == [first, between]
    assert first.meta == {"k": "v", "idempotency_key": "key: 1"}


@pytest.mark.parametrize(
    "change",
    [{"body": "b"}, {"type": "x"}, {"task_id": "t"}, {"meta": {"a": "b"}}, {"parents": ["p"]}, {"links": [Link("l")]}],
)
def test_the_same_key_for_other_content_is_refused(bus: MessageBus, change: dict[str, object]) -> None:
    first = bus.append_message(Draft("FACT", "demo", "a"), idempotency_key="key")
    with pytest.raises(InvalidMessageError, match=f"idempotency_key 'key' is taken by {first.msg_id}"):
        bus.append_message(Draft(**{"type": "FACT", "project_id": "demo", "body": "a"} | change), idempotency_key="key")  # type: ignore[arg-type]
    assert bus.read_messages() == [first]


def test_other_keys_and_none_are_other_messages(bus: MessageBus) -> None:
    draft = Draft("FACT", "demo", "a\n\n---\nmeta:\n  idempotency_key: fourth\n")
    keys = ["key", "Key", None, "key ", "ke", None]
    posted = [bus.append_message(draft, idempotency_key=key) for key in keys]
    assert bus.read_messages() == posted
    fourth = bus.append_message(draft, idempotency_key="fourth")
    assert bus.last_id() == fourth.msg_id


def test_a_time_does_not_count_as_content(bus: MessageBus) -> None:
    first = bus.append_message(Draft("FACT", "demo"), idempotency_key="key")
    assert bus.append_message(Draft("FACT", "demo", ts=TS), idempotency_key="key") == first


@pytest.mark.parametrize("key", ["", " ", "a\n"])
def test_an_impossible_key_is_refused(bus: MessageBus, key: str) -> None:
    with pytest.raises(InvalidMessageError, match="idempotency_key"):
        bus.append_message(Draft("FACT", "demo"), idempotency_key=key)
    assert bus.read_messages() == []


# --- clocks ------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("early", [datetime(1969, 12, 31, 23, 59, 55, tzinfo=UTC), datetime(1901, 1, 1, tzinfo=UTC)])
def test_a_clock_before_1970(bus: MessageBus, set_clock: Callable[[datetime], None], early: datetime) -> None:
    set_clock(early)
    posted = post(bus, 3)
    keyed = bus.append_message(Draft("FACT", "demo", "once"), idempotency_key="key")
    assert bus.append_message(Draft("FACT", "demo", "once"), idempotency_key="key") == keyed
    set_clock(NOW)
    posted += [keyed, *post(bus, 2)]
    set_clock(early)
    posted += post(bus, 2)
    assert bus.read_messages() == posted
    assert [message.msg_id for message in posted] == sorted({message.msg_id for message in posted})
    assert all(is_own(message.msg_id) for message in posted)
    assert posted[0].ts == early
    assert [bus.get_message(message.msg_id) for message in posted] == posted


def test_a_key_stored_while_the_clock_was_years_ahead(bus: MessageBus, set_clock: Callable[[datetime], None]) -> None:
    """All later ids are ahead of the clock, and a key must still hold for a day, and no longer."""
    draft = Draft("FACT", "demo", "the job of today is done")
    set_clock(NOW.replace(year=2041))
    firsts = [bus.append_message(draft, idempotency_key="job")]
    for days in range(4):
        for hours in (0, 1, 20):
            set_clock(NOW + days * 25 * HOUR + hours * HOUR)
            answer = bus.append_message(draft, idempotency_key="job")
            if hours == 0:
                assert answer not in firsts
                firsts.append(answer)
            assert answer == firsts[-1]
            bus.append_message(Draft("FACT", "demo", "x" * 9_000))  # so much that records are found by bisecting
    assert [message for message in bus.read_messages() if message.meta] == firsts


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), 12 * HOUR, 24 * HOUR])
def test_a_key_stored_while_the_clock_was_hours_ahead(
    bus: MessageBus, set_clock: Callable[[datetime], None], ahead: timedelta
) -> None:
    """... as with the time of another zone: the key counts, whatever ``ts`` the message has."""
    set_clock(NOW + ahead)
    first = bus.append_message(Draft("FACT", "demo", "once", ts=TS.replace(year=2001)), idempotency_key="key")
    set_clock(NOW)
    assert bus.append_message(Draft("FACT", "demo", "once"), idempotency_key="key") == first


def test_a_key_stored_while_the_clock_had_fallen_back(bus: MessageBus, set_clock: Callable[[datetime], None]) -> None:
    set_clock(NOW)
    post(bus, 1)
    set_clock(datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    first = bus.append_message(Draft("FACT", "demo", "once"), idempotency_key="key")
    for moment in (datetime(1970, 1, 1, 3, tzinfo=UTC), NOW + HOUR):
        set_clock(moment)
        assert bus.append_message(Draft("FACT", "demo", "once"), idempotency_key="key") == first


# --- following ---------------------------------------------------------------------------------


def test_follow_gives_what_is_there_and_then_what_comes(bus: MessageBus) -> None:
    posted = post(bus, 3)
    with closing(bus.follow()) as following:
        assert list(islice(following, 3)) == posted
        for _ in range(5):
            posted += post(bus, 1)
            assert next(following) == posted[-1]


def test_follow_from_a_cursor(bus: MessageBus) -> None:
    posted = post(bus, 4)
    with closing(bus.follow(posted[1].msg_id)) as following:
        assert list(islice(following, 2)) == posted[2:]
        assert post(bus, 1) == [next(following)]


def collect(following: Iterator[Message], count: int) -> list[Message]:
    return list(islice(following, count))


def test_two_threads_follow_while_others_post(bus: MessageBus) -> None:
    count = 40
    with ThreadPoolExecutor(6) as pool:
        followers = [pool.submit(collect, bus.follow(), count) for _ in range(2)]
        posters = [pool.submit(post, bus, count // 4) for _ in range(4)]
        posted = {message.msg_id for poster in posters for message in poster.result(60)}
        for follower in followers:
            assert [message.msg_id for message in follower.result(60)] == sorted(posted)


def test_follow_ends_when_stopped(bus: MessageBus) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        everything = pool.submit(list, bus.follow(stop=stop))
        posted = post(bus, 2)
        follower = bus.follow()
        assert collect(follower, 2) == posted
        follower.close()
        stop.set()
        assert everything.result(SECONDS) in (posted, posted[:1], [])


def test_follow_with_stop_set_gives_nothing(bus: MessageBus) -> None:
    post(bus, 2)
    stop = threading.Event()
    stop.set()
    assert list(bus.follow(stop=stop)) == []


def test_stop_from_inside_the_loop_ends_it(bus: MessageBus) -> None:
    post(bus, 3)
    stop = threading.Event()
    seen = []
    for message in bus.follow(stop=stop):
        seen.append(message)
        stop.set()
    assert len(seen) == 1


def test_poll_for_new_waits_for_the_next(bus: MessageBus) -> None:
    (first,) = post(bus, 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bus.poll_for_new, first.msg_id)
        (second,) = post(bus, 1)
        assert waiting.result(SECONDS) == [second]
    assert bus.poll_for_new(None) == [first, second]
    assert bus.poll_for_new(first.msg_id, timeout=0) == [second]


def test_poll_for_new_gives_up_in_time(bus: MessageBus) -> None:
    assert bus.poll_for_new(None, timeout=0) == []
    (first,) = post(bus, 1)
    assert bus.poll_for_new(first.msg_id, timeout=0.05) == []
    assert bus.poll_for_new(first.msg_id, timeout=-1) == []


# --- sharing -----------------------------------------------------------------------------------


def test_threads_may_share_a_bus(bus: MessageBus) -> None:
    with ThreadPoolExecutor(8) as pool:
        posted = [message for batch in pool.map(lambda _: post(bus, 10), range(8)) for message in batch]
    read = bus.read_messages()
    assert [message.msg_id for message in read] == sorted(message.msg_id for message in posted)
    assert len({message.msg_id for message in read}) == 80


def test_a_batch_is_never_split_by_another_thread(bus: MessageBus) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: bus.append_messages([Draft("FACT", "demo", name)] * 10), "abcdefgh"))
    bodies = "".join(message.body for message in bus.read_messages())
    assert sorted(bodies[start : start + 10] for start in range(0, 80, 10)) == [name * 10 for name in "abcdefgh"]


def test_readers_see_whole_prefixes_while_others_write(bus: MessageBus) -> None:
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(post, bus, 60)
        while not writing.done():
            seen = bus.read_messages()
            assert [message.body for message in seen] == [f"message {number}\nof 60" for number in range(len(seen))]
    assert bus.read_messages() == writing.result()


def test_iterating_gives_the_log_as_it_was(bus: MessageBus) -> None:
    posted = post(bus, 2)
    iterator = bus.iter_messages()
    assert next(iterator) == posted[0]
    assert next(iterator) == posted[1]


def test_a_closed_bus_opens_itself_again(bus: MessageBus) -> None:
    posted = post(bus, 1)
    bus.close()
    bus.close()
    posted += post(bus, 1)
    assert bus.read_messages() == posted


def test_contention_stats_count(bus: MessageBus) -> None:
    post(bus, 3)
    attempts, retries = bus.contention_stats()
    assert attempts in (0, 3)
    assert retries == 0
