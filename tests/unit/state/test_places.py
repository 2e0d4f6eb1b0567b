"""Names, keys, cursors and tokens lead where they should and nowhere else."""

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st

from pentad_state.cursor import Position, from_cursor, to_cursor
from pentad_state.errors import InvalidCursor, InvalidPageToken
from pentad_state.pages import Page
from pentad_state.partitions import PARTITIONS, key, partition_of, partition_of_run, run_id_for

PLACES = st.integers(0, 2**63)


@given(st.text(), st.text())
def test_a_run_id_says_where_its_run_is_kept(tenant: str, request_id: str) -> None:
    run_id = run_id_for(tenant, request_id)

    assert len(run_id) == 28
    assert run_id == run_id_for(tenant, request_id)
    assert partition_of_run(run_id) == int(run_id[:2]) < PARTITIONS


def test_tenant_and_request_are_not_run_together() -> None:
    assert run_id_for("ab", "c") != run_id_for("a", "bc")
    assert run_id_for("1:a", "b") != run_id_for("1", ":ab")


@given(st.text())
def test_any_name_has_a_partition(name: str) -> None:
    assert 0 <= partition_of_run(name) < PARTITIONS
    assert 0 <= partition_of(name, name) < PARTITIONS


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_different_names_have_different_keys_in_one_slot(a: list[str], b: list[str]) -> None:
    one, other = key(3, "kind", *a), key(3, "kind", *b)

    assert one.startswith("pentad:{p03}:kind")
    if len(a) == len(b):
        assert (one == other) == (a == b)


def test_partitions_are_spread_evenly() -> None:
    counts = [0] * PARTITIONS
    for i in range(6400):
        counts[partition_of_run(run_id_for("t", str(i)))] += 1

    assert min(counts) > 50


@given(st.text(min_size=1), PLACES, PLACES)
def test_a_cursor_leads_back_to_its_place(run_id: str, seq: int, offset: int) -> None:
    assert from_cursor(run_id, to_cursor(run_id, seq, offset)) == Position(seq, offset)


def test_no_cursor_is_the_beginning() -> None:
    assert from_cursor("r", "") == Position(0, 0)


@given(st.text(min_size=1))
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        from_cursor("r", text)


@given(st.integers(0, 27), st.sampled_from("AZaz09-_+/=é "))
def test_an_altered_cursor_is_refused(at: int, letter: str) -> None:
    cursor = to_cursor("r", 5, 7)
    altered = cursor[:at] + letter + cursor[at + 1 :]
    if altered == cursor:
        return

    with pytest.raises(InvalidCursor):
        from_cursor("r", altered)
    with pytest.raises(InvalidCursor):
        from_cursor("other", cursor)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_a_page_token_leads_back_to_its_place(last: str, listed: list[str]) -> None:
    page = Page[StringValue](tuple(listed), 10, "")
    page.skip(last)

    assert Page[StringValue](tuple(listed), 10, page.next_token()).last == last
    with pytest.raises(InvalidPageToken):
        Page[StringValue]((*listed, ""), 10, page.next_token())


@given(st.text(min_size=1))
def test_anything_else_is_no_page_token(text: str) -> None:
    with pytest.raises(InvalidPageToken):
        Page[StringValue](("runs",), 10, text)


def test_a_page_is_bounded_in_items_and_in_bytes() -> None:
    assert Page[StringValue]((), 0, "").room == 50
    assert Page[StringValue]((), 9999, "").room == 500
    page = Page[StringValue]((), 10, "")
    for i in range(4):
        assert page.room == 10 - i
        page.add(str(i), StringValue(value="x" * 800_000))
    assert page.room == 0
