"""Working ahead changes when items are made, not what comes."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.data.prefetch import prefetched


@pytest.mark.parametrize("ahead", [1, 2, 10])
def test_same_items_in_the_same_order(ahead: int) -> None:
    assert list(prefetched(range(7), ahead)) == list(range(7))
    assert list(prefetched([], ahead)) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    received = prefetched(items())
    assert next(received) == 1
    with pytest.raises(ValueError, match="broken"):
        next(received)


def test_the_next_item_is_made_while_this_one_is_used() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    for item in prefetched(items(), ahead=1):
        if item == 1:
            assert made.wait(timeout=10)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    items = prefetched(iter(range(1000)))
    next(items)
    items.close()
    assert threading.active_count() == before
