"""Textual still has what it does not document and the dashboard uses; its absence costs only bytes."""

from __future__ import annotations

import importlib
import inspect
import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from textual.app import App
from textual.strip import Strip

from paraschut_tui.terminal import textual_compat
from paraschut_tui.terminal.frame_buffer import FrameBuffer
from paraschut_tui.terminal.terminal_app import TerminalApp

PLACES = [
    importlib.import_module(name)
    for name in (
        "paraschut_tui.terminal.textual_compat",
        "paraschut_tui.web.driver",
        "paraschut_tui.web.session",
        "tests.tui.textual_internals",
    )
]
HOOKS = [hook for place in PLACES for hook in place.HOOKS]
FIELDS = [field for place in PLACES for field in place.FIELDS]


def name_of(part: object) -> str:
    return str(getattr(part, "__name__", part))


@pytest.mark.parametrize(("owner", "name"), HOOKS, ids=name_of)
def test_textual_still_has_each_method_that_it_does_not_document(owner: object, name: str) -> None:
    assert hasattr(owner, name), f"{owner}.{name} is gone: see where it is listed"


@pytest.mark.parametrize(("owner", "name"), FIELDS, ids=name_of)
def test_textual_still_has_each_field_that_it_does_not_document(owner: type, name: str) -> None:
    sources = "".join(inspect.getsource(one) for one in owner.__mro__ if one.__module__.startswith("textual"))
    assert f"self.{name}" in sources, f"{owner.__name__}.{name} is gone: see where it is listed"


def test_textual_still_has_each_class_that_it_does_not_document() -> None:
    assert textual_compat.XTermParser is not None
    assert (
        len({textual_compat.ChopsUpdate, textual_compat.LayoutUpdate, textual_compat.CompositorUpdate}) == 3
    )
    from textual.drivers import web_driver

    assert web_driver.XTermParser is textual_compat.BrowserParser  # type: ignore[attr-defined]  # our class


def test_what_is_called_has_the_parameters_that_it_is_called_with() -> None:
    assert list(inspect.signature(vars(App)["_display"]).parameters) == ["self", "screen", "renderable"]
    assert list(inspect.signature(vars(App)["_fatal_error"]).parameters) == ["self"]
    assert list(inspect.signature(vars(App)["on_event"]).parameters) == ["self", "event"]


class RenamedFields(textual_compat.LayoutUpdate):
    """An update whose fields a later Textual calls something else."""

    def __init__(self) -> None:
        self.rows = [[Strip.blank(3)]]

    def render_segments(self, console: Console) -> str:
        return "as Textual renders it"


@pytest.mark.parametrize("kind", ["LayoutUpdate", "ChopsUpdate"])
def test_an_update_with_renamed_fields_is_sent_as_textual_renders_it(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(textual_compat, kind, RenamedFields)
    frame = FrameBuffer()
    console = Console(file=io.StringIO(), color_system="truecolor", force_terminal=True)
    frame.update(0, 0, Strip.blank(3))
    assert not frame.update(0, 0, Strip.blank(3))
    smaller = frame.minimize(RenamedFields())
    assert smaller.render_segments(console) == "as Textual renders it"  # type: ignore[attr-defined]
    assert textual_compat.regions_of(RenamedFields()) is None
    assert frame.update(0, 0, Strip.blank(3)), "what the terminal shows is not known any more"


def test_what_textual_no_longer_has_is_left_alone() -> None:
    bare: Any = SimpleNamespace()
    textual_compat.intercept_updates(bare, lambda screen, update, send: None)
    textual_compat.intercept_crash(bare, lambda: None)
    textual_compat.allow_switching(bare)
    assert vars(bare) == {}
    assert textual_compat.driver_of(bare) is None
    assert not textual_compat.is_on_terminal(bare)
    assert not textual_compat.is_batching(bare)


async def test_a_crash_ends_the_app_with_the_error_in_its_exit_status() -> None:
    app: TerminalApp[None] = TerminalApp()
    app.call_later(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # Textual's test raises it as well
        async with app.run_test() as pilot:
            await pilot.pause()
    with pytest.raises(ZeroDivisionError):
        app.exit_status()
