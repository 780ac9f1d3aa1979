import io

from mtmoe.evaluate.progress import BatchProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, seconds_a_batch, total=100):
    now = [0.0]
    progress = BatchProgress("evaluating", total, stream, lambda: now[0])
    for i in range(1, total + 1):
        now[0] += seconds_a_batch
        progress.done(i)
    return stream.getvalue()


def test_a_line_now_and_then_with_the_time_left():
    lines = run(io.StringIO(), 1.0).splitlines()
    assert lines[0] == "evaluating: 10 of 100 batches, about 90 s left"
    assert lines[-1] == "evaluating: 100 of 100 batches, 100 s"
    assert len(lines) == 10


def test_a_terminal_line_is_refreshed_and_ended():
    text = run(Terminal(), 0.25, total=8)
    assert text.count("\r") == 4 and text.endswith("\n") and text.count("\n") == 1


def test_the_end_is_always_said():
    assert "8 of 8" in run(io.StringIO(), 0.001, total=8)
