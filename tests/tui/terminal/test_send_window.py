"""The flow towards a slow terminal: little is ever on the way, and a fast one is not held up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_tui.terminal.flow_control import LEAST, LOST, MOST, MUTE, SLOW, STALLED, SendWindow


class Line:
    """A line of a given speed, and the wire that feeds it."""

    def __init__(self, rate: float, latency: float = 0.0) -> None:
        self.now = 0.0
        self.rate = rate
        self.latency = latency
        self.window = SendWindow(lambda: self.now)
        self._free_at = 0.0  # when it has taken all that was sent
        self._answers: list[float] = []
        self.sent = 0

    def send(self, n: int) -> None:
        self.sent += n
        self._free_at = max(self._free_at, self.now) + n / self.rate
        if self.window.on_sent(n):
            self._answers.append(self._free_at + self.latency)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._answers and self._answers[0] <= end:
            self.now = max(self.now, self._answers.pop(0))
            if self.window.on_reply(self.now):
                self._answers.append(max(self._free_at, self.now) + self.latency)
        self.now = end

    @property
    def behind(self) -> float:
        """Seconds until the terminal has taken all that is on the way."""
        return max(self._free_at - self.now, 0.0)


@given(
    st.sampled_from([3_000.0, 5_000.0, 20_000.0, 100_000.0, 5e7]),
    st.floats(0.0, 0.4),
    st.lists(st.integers(20, 3_000), min_size=50, max_size=200),
)
@settings(max_examples=60, deadline=None)
def test_a_terminal_is_never_further_behind_than_a_frame_and_a_window(
    rate: float, latency: float, frames: list[int]
) -> None:
    line = Line(rate, latency)
    line.send(8_000)
    passed = 0
    for n in frames:
        line.advance(0.05)
        if not line.window.must_wait():
            line.send(n)
            passed += 1
        # What is on the way: at first one paint, later what the line takes in a moment, and a frame.
        most = max(line.window.size, 8_000 + LEAST) + 2 * max(frames)
        assert line.behind <= most / rate + 0.3
    line.advance(LOST)
    assert passed >= 1
    assert not line.window.must_wait(), "something always gets through"


def test_a_fast_line_is_asked_seldom_and_never_holds_anything_up() -> None:
    line = Line(5e6, latency=0.002)
    line.send(8_000)
    assert line.window.must_wait()
    line.advance(0.01)
    asked = 0
    for _ in range(1000):
        line.advance(0.02)
        assert not line.window.must_wait()
        before = line.window._asked_at
        line.send(400)
        asked += line.window._asked_at is not None and line.window._asked_at != before
    assert asked <= 1000 * 400 / 8_000
    assert not line.window.is_slow


def test_a_slow_line_is_told_by_its_first_answer() -> None:
    line = Line(5_000)
    line.send(8_000)
    line.advance(SLOW)
    assert line.window.must_wait()
    line.advance(0.05)
    assert line.window.is_slow
    assert not line.window.must_wait(), "a first paint, so that there is something to see"
    line.send(20_000)
    assert line.window.must_wait()
    line.advance(10.0)
    assert line.window.is_slow
    assert LEAST <= line.window.size <= 2 * 5_000 * SLOW
    assert not line.window.must_wait()


def test_a_terminal_that_never_answers_is_written_to_all_the_same() -> None:
    line = Line(1e9, latency=1e9)
    line.send(8_000)
    line.advance(SLOW + 0.01)
    assert not line.window.must_wait()
    line.send(20_000)
    assert line.window.must_wait()
    line.advance(MUTE)
    assert not line.window.must_wait()
    for _ in range(10):
        line.advance(0.1)
        line.send(MOST)
        assert not line.window.must_wait()


def test_a_line_that_stalls_is_waited_for_but_not_for_ever() -> None:
    line = Line(1e6)
    line.send(8_000)
    line.advance(0.1)
    assert not line.window.must_wait()
    line.latency = 1e9
    line.send(16_000)
    line.advance(STALLED + 0.1)
    assert line.window.must_wait()
    line.advance(LOST)
    assert not line.window.must_wait()


def test_an_answer_that_nobody_asked_for_is_not_one() -> None:
    line = Line(1e6)
    assert not line.window.on_reply(3.0)
    assert line.window.delay is None


def test_a_question_out_of_turn_waits_for_the_answer_before_and_tells_nothing_of_the_speed() -> None:
    line = Line(1e6, latency=0.1)
    line.send(8_000)
    assert not line.window.ask(), "one is to be answered yet"
    line.advance(0.5)
    window = line.window.size
    line.window.on_sent(40)
    assert line.window.ask()
    line.advance(1.5)
    line.window.on_reply(line.now)
    assert line.window.size == window
    assert line.window.ask()
