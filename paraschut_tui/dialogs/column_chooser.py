"""ColumnChooserScreen: which columns the rows show, how wide, in which order, and what they are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.sanitize import clean_line

from ..job_grid.columns import COLUMNS, DEFAULT, META, ColumnSetting, SortKey, column_of
from ..state_styles import Palette
from ..widgets.select_list import SelectList
from ..widgets.styled_line import Part, fit
from ..widgets.text_line import TextLine
from .prompt import PromptScreen


class ColumnChoice(NamedTuple):
    """What was chosen."""

    columns: tuple[ColumnSetting, ...]
    sorting: tuple[SortKey, ...]


class ColumnChooserScreen(ModalScreen[ColumnChoice | None]):
    """Returns the choice, None if it was left by Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "leave all as it was", show=False),
        Binding("w", "take", "take it", show=False),
        Binding("m", "add", "a field of the metadata", show=False),
    ]

    def __init__(self, palette: Palette, chosen: Sequence[ColumnSetting], sorting: Sequence[SortKey]) -> None:
        super().__init__()
        self._palette = palette
        self._list = ColumnList(palette, chosen, sorting)

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            title = TextLine(self._palette)
            title.show(
                [(" COLUMNS", "accent-bold"), ("   Enter takes them, Esc leaves all as it was", "muted")]
            )
            yield title
            hints = TextLine(self._palette)
            hints.show(
                [
                    (" Space", "accent-bold"), (" show  ", "muted"),
                    ("s", "accent-bold"), (" sort  ", "muted"),
                    ("J K", "accent-bold"), (" move  ", "muted"),
                    ("+ -", "accent-bold"), (" width  ", "muted"),
                    ("m", "accent-bold"), (" any field  ", "muted"),
                    ("0", "accent-bold"), (" defaults", "muted"),
                ]
            )  # fmt: skip
            yield hints
            yield self._list

    def on_mount(self) -> None:
        self._list.focus()

    def on_select_list_chosen(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        self.dismiss(self._list.choice)

    @work(exclusive=True, exit_on_error=False)
    async def action_add(self) -> None:
        name = await self.app.push_screen_wait(
            PromptScreen("A column for a field of the metadata", "field, or field.part:")
        )
        if name:
            self._list.add(META + name)


class ColumnList(SelectList):
    """All columns, the shown ones first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_shown", "show or hide", show=False),
        Binding("s", "sort", "sort by it", show=False),
        Binding("J,shift+down", "move(1)", "further right", show=False),
        Binding("K,shift+up", "move(-1)", "further left", show=False),
        Binding("plus,greater_than_sign", "widen(2)", "wider", show=False),
        Binding("minus,less_than_sign", "widen(-2)", "narrower", show=False),
        Binding("0", "restore", "defaults", show=False),
    ]

    def __init__(self, palette: Palette, chosen: Sequence[ColumnSetting], sorting: Sequence[SortKey]) -> None:
        super().__init__(palette)
        self._sorting = list(sorting)
        self._fill(chosen)

    def _fill(self, chosen: Sequence[ColumnSetting]) -> None:
        self._shown = {one.name for one in chosen}
        self._wider = {one.name: one.wider for one in chosen}
        self._names = [one.name for one in chosen] + [name for name in COLUMNS if name not in self._shown]

    @property
    def choice(self) -> ColumnChoice:
        """What is chosen now; the job's number is always the first column."""
        names = [name for name in self._names if name in self._shown and name != "index"]
        chosen = tuple(ColumnSetting(name, self._wider.get(name, 0)) for name in ("index", *names))
        return ColumnChoice(chosen, tuple(self._sorting))

    def add(self, name: str) -> None:
        """Adds a column and shows it."""
        if name not in self._names:
            at = len([known for known in self._names if known in self._shown])
            self._names.insert(at, name)
        self._shown.add(name)
        self._changed()

    def on_mount(self) -> None:
        self._changed()

    def _changed(self, row: int | None = None) -> None:
        self.show([self._parts(name) for name in self._names], row=row)

    def _parts(self, name: str) -> list[Part]:
        column = column_of(name)
        shown = name in self._shown
        rank = next((i for i, key in enumerate(self._sorting, 1) if key.name == name), 0)
        order = f"{'▼' if self._sorting[rank - 1].down else '▲'}{rank}" if rank else ""
        size = "rest" if column.least == 0 else str(max(column.least + self._wider.get(name, 0), 1))
        return [
            (" ✓ " if shown else "   ", "success"),
            (fit(clean_line(name), 18), "text" if shown else "muted"),
            (f"{order:<4}", "accent"),
            (f"{size:>5}   ", "muted"),
            (column.help or "a field of the metadata", "muted"),
        ]

    def action_toggle_shown(self) -> None:
        self._shown ^= {self._names[self.row]}
        self._changed()

    def action_sort(self) -> None:
        """Up, then down, then not; the first one chosen counts most."""
        name = self._names[self.row]
        at = next((i for i, key in enumerate(self._sorting) if key.name == name), None)
        if at is None:
            self._sorting.append(SortKey(name))
        elif self._sorting[at].down:
            del self._sorting[at]
        else:
            self._sorting[at] = SortKey(name, down=True)
        self._changed()

    def action_move(self, by: int) -> None:
        to = self.row + by
        if 0 <= to < len(self._names):
            self._names.insert(to, self._names.pop(self.row))
            self._changed(to)

    def action_widen(self, by: int) -> None:
        name = self._names[self.row]
        self._wider[name] = max(self._wider.get(name, 0) + by, 2 - column_of(name).least)
        self._changed()

    def action_restore(self) -> None:
        self._sorting.clear()
        self._fill(DEFAULT)
        self._changed()
