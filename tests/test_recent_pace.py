"""What is left is told from recent work."""

import io

from mtmoe.progress import Progress


def shown(seconds_of_parts, total=1000, begin=(0, 0.0)):
    now, stream = [0.0], io.StringIO()
    progress = Progress("parts", total, stream, lambda: now[0])
    if begin:
        progress.begin(*begin)
    for done, seconds in enumerate(
        seconds_of_parts, start=begin[0] + 1 if begin else 1
    ):
        now[0] += seconds
        progress.show(done)
    return stream.getvalue().splitlines()


def test_what_was_slow_long_ago_is_forgotten():
    lines = shown([30.0] * 10 + [1.0] * 100)
    assert lines[9] == "parts 10/1,000   1%  5:00 elapsed  8:15:00 left"
    assert lines[-1] == "parts 110/1,000  11%  6:40 elapsed  14:50 left"


def test_slow_parts_are_ten_at_least():
    lines = shown([100.0, 300.0] * 20, total=40)
    assert lines[-2] == "parts 39/40  98%  2:08:20 elapsed  3:20 left"


def test_what_was_done_before_does_not_count():
    lines = shown([10.0] * 3, total=100, begin=(50, 0.0))
    assert lines[0] == "parts 51/100  51%  0:10 elapsed  8:10 left"


def test_nothing_done_nothing_told():
    now, stream = [0.0], io.StringIO()
    progress = Progress("parts", 10, stream, lambda: now[0])
    now[0] = 20.0
    progress.show(0)
    assert stream.getvalue() == "parts 0/10   0%  0:20 elapsed\n"
