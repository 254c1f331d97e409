"""Welcome: what a terminal shows where there is no project yet: what to do, and what can be done at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from paraschut_core.sanitize import clean_line

from .session.store import RecentDatabase, SessionStore
from .state_styles import Palette, default_theme, themes
from .terminal.terminal_app import TerminalApp, run_app, use_terminal_size
from .terminal.textual_compat import SteadyScreen
from .widgets.select_list import SelectList
from .widgets.styled_line import Part
from .widgets.text_line import TextLine

DEMO, INIT, OPEN = "demo", "init", "open"


class WelcomeChoice(NamedTuple):
    """What the user wants: DEMO, INIT, to OPEN a database, or nothing (""), and the exit status then."""

    what: str = ""
    database: str = ""
    config: str = ""
    status: int = 0


class WelcomeApp(TerminalApp[WelcomeChoice]):
    """A list of what to do.

    Args:
        reason: why there is nothing to show.
        recent: databases that were open before.
        low_bandwidth: sixteen colours.
    """

    CSS = """
    Screen { layout: vertical; padding: 1 2; overflow: hidden; }
    SelectList { height: 1fr; scrollbar-size-vertical: 0; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,ctrl+q", "leave", "leave", show=False, priority=True),
        Binding("d", "choose(0)", "the demo", show=False),
        Binding("i", "choose(1)", "a project here", show=False),
    ]

    def __init__(
        self, reason: str, recent: Sequence[RecentDatabase] = (), *, low_bandwidth: bool = False
    ) -> None:
        super().__init__(flow_control=False)  # a page of text, which every line takes
        for theme in themes():
            self.register_theme(theme)
        self.theme = default_theme(low_bandwidth)
        self._reason = reason
        self._choices = [WelcomeChoice(DEMO), WelcomeChoice(INIT)]
        self._rows: list[list[Part]] = [
            [(" d  ", "accent-bold"), ("See it work: the demo, a real pipeline in ./paraschut-demo", "text")],
            [(" i  ", "accent-bold"), ("Begin here: paraschut.toml and an empty database", "text")],
        ]
        for one in recent:
            self._choices.append(WelcomeChoice(OPEN, one.database, one.config))
            self._rows.append([("    ", "base"), (f"Open {clean_line(one.database)}", "text")])

    def get_default_screen(self) -> Screen[object]:
        return SteadyScreen()

    def compose(self) -> ComposeResult:
        palette = Palette(self.current_theme)
        for parts in self._words():
            line = TextLine(palette)
            line.show(parts)
            yield line
        yield SelectList(palette, always=True)

    def _words(self) -> list[list[Part]]:
        return [
            [("PARASCHUT", "accent-bold"), ("  runs and watches many jobs", "text")],
            [],
            [(clean_line(self._reason), "warning")],
            [],
            [("A project is a paraschut.toml, found from the directory you are in upwards, and", "muted")],
            [("the database that it names. --db FILE or PARASCHUT_DB name another database.", "muted")],
            [("Jobs come in by `paraschut add`, or from Python: import paraschut_core as psu", "muted")],
            [],
            [("Enter chooses, q leaves:", "muted")],
        ]

    def on_mount(self) -> None:
        pane = self.query_one(SelectList)
        pane.show(self._rows)
        pane.focus()

    def on_select_list_chosen(self, message: SelectList.Chosen) -> None:
        self.action_choose(message.row)

    def action_choose(self, row: int) -> None:
        self.exit(self._choices[row])

    def action_leave(self) -> None:
        self.exit(WelcomeChoice())


def ask(reason: str, *, low_bandwidth: bool = False) -> WelcomeChoice:
    """Shows it; returns what was chosen."""
    use_terminal_size()
    app = WelcomeApp(reason, SessionStore().recent()[:10], low_bandwidth=low_bandwidth)
    return run_app(app, mouse=True) or WelcomeChoice(status=app.exit_status())
