"""Very many numbers, remembered in little more than the eight bytes of each."""

from array import array
from bisect import bisect_left

_BITS = 64
_BUCKET_BITS = 12


class Numbers:
    """A set of numbers of 64 bits, drawn as hashes are; ten times smaller than Python's own."""

    def __init__(self) -> None:
        # Each sorted, and short, since the numbers are spread evenly.
        self._buckets = [array("Q") for _bucket in range(1 << _BUCKET_BITS)]

    def __contains__(self, number: int) -> bool:
        bucket = self._bucket_of(number)
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number

    def add(self, number: int) -> None:
        """Remember a number, if it is not yet."""
        bucket = self._bucket_of(number)
        place = bisect_left(bucket, number)
        if place == len(bucket) or bucket[place] != number:
            bucket.insert(place, number)

    def _bucket_of(self, number: int) -> "array[int]":
        return self._buckets[number >> (_BITS - _BUCKET_BITS)]
