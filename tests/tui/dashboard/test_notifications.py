"""Notices: everything is told once, a thousand things as one, and nobody's text becomes a command."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.config import DashboardSettings, Settings
from paraschut_core.model import Batch, DatabaseHealth, JobKey, MissingJob, SchedulerHealth, Snapshot
from paraschut_tui.app import ParaschutApp
from paraschut_tui.dashboard.notifications import (
    PAUSE,
    SETTLE,
    UNREACHABLE_AFTER,
    Notification,
    NotificationCollector,
    desktop_sequence,
)
from paraschut_tui.terminal.textual_compat import driver_of
from tests.tui.textual_internals import toasts

from ..fake import NOW, FakeBatch, FakeGateway
from ..project import main_screen, until


def snapshot(
    batches: Mapping[int, tuple[str, int, int]],
    missing: Mapping[JobKey, str] | None = None,
    failing: float | None = None,
) -> Snapshot:
    """Batches as (name, complete, total)."""
    made = {
        n: Batch(n, name, "", {(1, "complete"): done, (1, "run"): total - done})
        for n, (name, done, total) in batches.items()
    }
    lost = {key: MissingJob(why, NOW - 60) for key, why in (missing or {}).items()}
    scheduler = SchedulerHealth("slurm", NOW, failing)
    return Snapshot(1, made, {}, lost, {}, {}, DatabaseHealth("jobs.db", NOW), scheduler)


def told(notices: NotificationCollector, *steps: tuple[float, Snapshot]) -> list[Notification]:
    """All notices when these snapshots come, a look each half second until a minute after the last."""
    found, steps_left, now = [], list(steps), 0.0
    while now < steps[-1][0] + 60:
        while steps_left and steps_left[0][0] <= now:
            notices.take(steps_left.pop(0)[1], NOW + now)
        notice = notices.due(NOW + now)
        found += [notice] if notice else []
        now += 0.5
    return found


def test_a_batch_that_becomes_complete_is_told_once() -> None:
    before, after = snapshot({1: ("human/map", 9, 10)}), snapshot({1: ("human/map", 10, 10)})
    assert told(NotificationCollector(), (0, before), (1, after), (5, after), (20, after)) == [
        Notification(("human/map is complete: 10 jobs",), False)
    ]


def test_what_was_so_at_the_begin_is_no_news() -> None:
    old = snapshot({1: ("a", 10, 10)}, {JobKey(2, 3): "time limit"}, failing=NOW - 600)
    assert told(NotificationCollector(), (0, old), (5, old)) == []


def test_a_thousand_batches_complete_within_a_second_are_one_notice() -> None:
    def at(done: int) -> Snapshot:
        return snapshot({n: (f"b{n}", 1 if n < done else 0, 1) for n in range(1000)})

    steps = [(n / 1000, at(n)) for n in range(0, 1001, 50)]
    (notice,) = told(NotificationCollector(), *steps)
    assert notice.lines == ("1,000 batches are complete: b0, b1, b2 and 997 more",)


def test_a_stream_of_completions_is_told_in_few_notices() -> None:
    steps = [(float(n), snapshot({i: (f"b{i}", int(i < n), 1) for i in range(100)})) for n in range(101)]
    notices = told(NotificationCollector(), *steps)
    assert 2 <= len(notices) <= 100 / PAUSE + 2
    assert SETTLE < PAUSE


def test_missing_jobs_are_told_with_their_reasons_and_one_that_flickers_once() -> None:
    batches = {1: ("human/map", 0, 10), 2: ("mouse", 0, 10)}
    lost = {JobKey(1, 3): "time limit", JobKey(1, 4): "time limit", JobKey(2, 0): "out of memory"}
    steps = [
        (0.0, snapshot(batches)),
        (1.0, snapshot(batches, lost)),
        (20.0, snapshot(batches)),
        (30.0, snapshot(batches, lost)),
    ]
    assert told(NotificationCollector(), *steps) == [
        Notification(("3 jobs of human/map, mouse are missing: time limit (2), out of memory",), True)
    ]


def test_what_is_found_again_before_it_was_told_is_not_told() -> None:
    batches = {1: ("human/map", 0, 10)}
    lost = snapshot(batches, {JobKey(1, 3): "time limit"})
    assert told(NotificationCollector(), (0, snapshot(batches)), (1, lost), (1.2, snapshot(batches))) == []


def test_a_scheduler_is_lost_after_a_while_and_back_once() -> None:
    batches = {1: ("a", 0, 10)}
    steps = [(0.0, snapshot(batches)), (1.0, snapshot(batches, failing=NOW + 1)), (100.0, snapshot(batches))]
    lost, back = told(NotificationCollector(), *steps)
    assert lost == Notification(("slurm has not answered for 30s",), True)
    assert back == Notification(("slurm answers again",), False)


def test_a_poll_that_fails_once_is_no_news() -> None:
    batches = {1: ("a", 0, 10)}
    steps = [
        (0.0, snapshot(batches)),
        (1.0, snapshot(batches, failing=NOW + 1)),
        (UNREACHABLE_AFTER - 5, snapshot(batches)),
    ]
    assert told(NotificationCollector(), *steps) == []


# ------------------------------------------------------------------------------------ the terminal


@given(st.sampled_from(["osc9", "osc777"]), st.text())
def test_no_text_ends_the_sequence_or_adds_a_field(kind: str, text: str) -> None:
    sequence = desktop_sequence(kind, text, {})
    assert sequence.startswith("\x1b]")
    assert sequence.endswith("\x07")
    inner = sequence[2:-1]
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in inner)
    assert inner.startswith("9;Paraschut: ") or inner.count(";") == 3


@pytest.mark.parametrize(
    ("kind", "environment", "expected"),
    [
        ("off", {}, ""),
        ("osc9", {}, "\x1b]9;Paraschut: a;b\x07"),
        ("osc777", {}, "\x1b]777;notify;Paraschut;a,b\x07"),
        ("auto", {"TERM": "foot"}, "\x1b]777;notify;Paraschut;a,b\x07"),
        ("auto", {"TERM": "xterm-kitty"}, "\x1b]9;Paraschut: a;b\x07"),
        ("osc9", {"TMUX": "/tmp/x,1,0"}, "\x1bPtmux;\x1b\x1b]9;Paraschut: a;b\x07\x1b\\"),
        ("osc9", {"STY": "1.tty"}, "\x1bP\x1b]9;Paraschut: a;b\x07\x1b\\"),
    ],
)
def test_each_terminal_is_told_in_its_own_way(kind: str, environment: dict[str, str], expected: str) -> None:
    assert desktop_sequence(kind, "a;b", environment) == expected


# ------------------------------------------------------------------------------------ the screen


async def test_a_thousand_completions_in_a_second_give_one_message_one_bell_and_one_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("STY", raising=False)
    batches = [FakeBatch(n, f"[/b]{n}\x1b]52;c;x\x07", "R") for n in range(1, 1001)]
    gateway = FakeGateway(batches)
    gateway.settings = Settings(dashboard=DashboardSettings(bell=True, desktop="osc9"))
    app = ParaschutApp(gateway.settings, gateway=gateway, clock=time.time)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: main_screen(app).state.snapshot is not None)
        written: list[str] = []
        rung: list[int] = []
        monkeypatch.setattr(driver_of(app), "write", written.append)
        monkeypatch.setattr(app, "bell", lambda: rung.append(1))
        for first in range(1, 1001, 100):
            gateway.publish([gateway.change(n, 0, "c") for n in range(first, first + 100)])
            await pilot.pause(0)
        await until(pilot, lambda: bool(rung))
        await pilot.pause(2.5)
        (text,) = toasts(app)
        assert "1,000 batches are complete" in text
        assert len(rung) == 1
        sequences = [text for text in written if text.startswith("\x1b]9;")]
        assert len(sequences) == 1
        assert "\x1b" not in sequences[0][1:]


async def test_notices_that_are_not_wanted_do_not_come() -> None:
    gateway = FakeGateway([FakeBatch(1, "a", "R")])
    gateway.settings = Settings(dashboard=DashboardSettings(notices=False))
    app = ParaschutApp(gateway.settings, gateway=gateway, clock=time.time)
    async with app.run_test() as pilot:
        await until(pilot, lambda: main_screen(app).state.snapshot is not None)
        gateway.publish([gateway.change(1, 0, "c")])
        await pilot.pause(2.5)
        assert toasts(app) == []
