"""Prefetching: the next items are computed in another thread while the current one is used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """The same items in the same order, up to `ahead` of them waiting; an error is raised in place of its item.

    Worth it where computing an item releases the GIL: HDF5 and parquet reading, decompression, most of numpy.
    """
    source = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as maker:
        waiting: deque[Future[T | object]] = deque(maker.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(maker.submit(next, source, end))
                yield item  # type: ignore[misc]  # T, since it is not `end`
        finally:
            maker.shutdown(wait=True, cancel_futures=True)
