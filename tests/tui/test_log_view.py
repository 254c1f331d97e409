"""The log of a job on the screen: following, moving, streams and attempts, searching, copying."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from textual import events
from textual.geometry import Region
from textual.widgets import Input

from paraschut_core.errors import ParaschutError
from paraschut_tui import keymap
from paraschut_tui.formatting import CLIPBOARD_BYTES
from paraschut_tui.job_log import external_programs, file_tasks
from paraschut_tui.job_log.external_programs import FilePosition
from paraschut_tui.job_log.screen import LogScreen
from paraschut_tui.job_log.status_line import LogStatusLine
from paraschut_tui.job_log.view import LogSources, LogView, LogViewState
from paraschut_tui.terminal.textual_compat import driver_of
from tests.tui.log_app import LogApp, Viewer, append, numbered, one, viewing
from tests.tui.textual_internals import toasts, wait_for_screen


class TestWhatThereIs:
    async def test_without_a_job_it_says_so(self) -> None:
        async with viewing() as log:
            await log.shows("No job is chosen")

    async def test_without_a_log_it_says_why(self) -> None:
        async with viewing(LogSources("JOB 1", {}, "JOB 1 has no log yet: it was never submitted")) as log:
            await log.shows("has no log yet: it was never submitted")
            assert "JOB 1" in log.status

    async def test_what_is_not_there_yet_is_named_and_comes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.err"
        async with viewing(one(path), size=(160, 12)) as log:
            await log.shows(f"stderr is not there yet: {path}")
            path.write_text("")
            await log.shows(f"stderr is empty: {path}")
            append(path, "hello\n")
            await log.shows("1  hello")

    async def test_the_end_is_shown_first(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5000))) as log:
            await log.shows("5000  line 5000")
            assert log.lines[1] == " 4978  line 4978"
            assert "following" in log.status

    async def test_sources_given_before_there_is_a_screen_are_shown(self, tmp_path: Path) -> None:
        app = LogApp()
        app.view.show(one(numbered(tmp_path / "a", 100)))
        async with app.run_test() as pilot:
            await Viewer(app, pilot).shows("100  line 100")

    async def test_clear_shows_its_note(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5))) as log:
            await log.shows("line 5")
            log.view.clear("the batch was removed")
            await log.shows("the batch was removed")
            assert "line 5" not in log.text

    async def test_a_quarter_of_a_gigabyte_opens_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "big"
        block = b"".join(b"[12:%02d:%02d] step %d\n" % (n // 60 % 60, n % 60, n) for n in range(40_000))
        with path.open("wb") as file:
            for _ in range((260 << 20) // len(block) + 1):
                file.write(block)
        async with viewing(one(path)) as log:
            await log.shows("step 39999")
            # Too big to be counted unasked; everything else works without.
            assert log.pane.feed.index.covered == 0
            await log.press("g")
            await log.shows("step 22")
            await log.press("G")
            await log.shows("step 39999")
            await log.press("number_sign")
            lines = 40_000 * ((260 << 20) // len(block) + 1)
            await log.shows(f"{lines}  [12:")
            await log.answer("colon", str(lines - 40_000))
            await log.shows(f"▸{lines - 40_000}  ")

    async def test_hostile_text_is_shown_harmlessly(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(
            b"\x1b]0;title\x07\x1b[2Jcleared \xff\xc2\x9b1m \xe2\x80\xaegnp.exe [/foo] [@click=app.quit]x\n"
            b"\x1b[31mred\x1b[0m \xe6\xbc\xa2\xe5\xad\x97\ttab\n"
        )
        title = "[/]\x1b]0;x\x07"
        async with viewing(LogSources(title, {"std\x1berr [/b]": [str(path)]}, "")) as log:
            await log.shows("cleared \ufffd \ufffdgnp.exe [/foo] [@click=app.quit]x")
            await log.shows("red 漢字        tab")
            assert not any(character in log.text for character in "\x1b\x07\x9b\u202e")
            painted = [s for strip in log.pane._strips for s in strip if s.text == "red"]
            assert painted[0].style is not None and painted[0].style.color is not None

    async def test_a_line_of_a_megabyte_comes_in_marked_parts(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"start\n" + b"x" * (1 << 20) + b"END\nlast\n")
        async with viewing(one(path)) as log:
            await log.shows("3  last")
            assert log.lines[-2].lstrip().startswith("…  xxx")


class TestFollowing:
    async def test_goes_on_with_what_is_written(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 100)
        async with viewing(one(path)) as log:
            await log.shows("line 100")
            append(path, "line 101\nline 102")
            await log.shows("102  line 102")
            append(path, " and more\n")
            await log.shows("102  line 102 and more")

    async def test_a_burst_is_skipped_to_its_end(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 100)
        async with viewing(one(path)) as log:
            await log.shows("line 100")
            append(path, "".join(f"line {n}\n" for n in range(101, 50_001)))
            await log.shows("50000  line 50000")

    async def test_scrolling_up_pauses_and_end_resumes(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 100)
        async with viewing(one(path)) as log:
            await log.shows("line 100")
            await log.press("k", "k")
            await log.says("97%")
            assert log.lines[-1].endswith("line 98")
            append(path, "line 101\n")
            await log.until(lambda: log.pane.size_in_bytes == path.stat().st_size, "the growth is known")
            assert log.lines[-1].endswith("line 98")
            await log.press("G")
            await log.shows("line 101")
            await log.says("following")
            await log.press("F")
            append(path, "line 102\n")
            await log.until(lambda: log.pane.size_in_bytes == path.stat().st_size, "the growth is known")
            assert log.lines[-1].endswith("line 101")

    async def test_keeps_the_column(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 100)
        async with viewing(one(path)) as log:
            await log.shows("line 100")
            append(path, "0123456789abc\n")
            await log.shows("101  0123456789abc")
            await log.press("l")
            await log.shows("101  89abc")
            await log.says("col 9")
            await log.press("l")
            await log.shows("101  c")  # no farther than the longest row in sight
            await log.press("0")
            await log.shows("101  0123456789abc")

    async def test_only_lines_that_differ_are_painted(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 3)
        async with viewing(one(path)) as log:
            await log.shows("3  line 3")
            regions: list[Region] = []
            really_refresh = log.pane.refresh

            def noting_refresh(*areas: Region, **options: bool) -> object:
                regions.extend(areas or [Region(0, 0, 0, 0)])
                return really_refresh(*areas, **options)

            log.pane.refresh = noting_refresh  # type: ignore[method-assign,assignment]  # to listen
            append(path, "line 4\n")
            await log.shows("4  line 4")
            await log.press("up")  # nowhere to go
            assert [region.y for region in regions] == [3]

    async def test_nothing_is_painted_while_nothing_changes(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 30)
        async with viewing(one(path)) as log:
            await log.shows("30  line 30")
            painted: list[object] = []
            log.pane.refresh = lambda *areas, **options: painted.append(areas)  # type: ignore
            polls = 0
            really_poll = log.pane.feed.poll

            def counting_poll(*arguments: object) -> bool:
                nonlocal polls
                polls += 1
                return really_poll(*arguments)  # type: ignore[arg-type]  # handed on

            log.pane.feed.poll = counting_poll  # type: ignore[method-assign]  # to listen
            await log.until(lambda: polls >= 3, "three looks at the file")
            assert painted == []

    async def test_nobody_looks_at_the_file_while_nobody_can_see_it(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 30)
        async with viewing(one(path)) as log:
            await log.shows("30  line 30")
            log.view.display = False
            await log.until(lambda: not log.pane.is_on_screen, "the view is hidden")
            looks: list[object] = []
            log.pane.feed.poll = lambda *arguments: bool(looks.append(arguments))  # type: ignore
            log.pane._poll()
            assert looks == []
            log.view.display = True
            await log.until(lambda: looks, "a look at the file")


class TestMoving:
    async def test_with_the_mouse(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 100))) as log:
            await log.shows("100  line 100")
            wheel = events.MouseScrollUp(log.pane, 5, 5, 0, -1, 0, False, False, False)
            log.pane.post_message(wheel)
            await log.until(lambda: log.lines[-1].endswith(" line 97"), "three lines up")
            await log.pilot.click(log.pane, offset=(10, 4))
            await log.until(lambda: log.lines[5].startswith("▸"), "the line that was clicked")

    async def test_with_the_mouse_to_the_other_stream(self, tmp_path: Path) -> None:
        sources = LogSources(
            "JOB 1", {"stdout": [str(numbered(tmp_path / "o", 3))], "stderr": [str(tmp_path)]}
        )
        async with viewing(sources) as log:
            await log.shows("line 3")
            column = log.status.index("stderr")
            await log.pilot.click(LogStatusLine, offset=(column + 2, 0))
            await log.shows("stderr is a directory")

    async def test_by_line_page_and_to_the_ends(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 1000))) as log:
            await log.shows("line 1000")
            await log.press("g")
            await log.until(lambda: log.lines[1].endswith("line 1"), "the first line on top")
            for key, top in [
                *(("j", 2), ("down", 3), ("k", 2), ("pagedown", 24), ("ctrl+d", 35), ("ctrl+u", 24)),
                *(("space", 46), ("pageup", 24), ("ctrl+b", 2), ("pageup", 1), ("up", 1)),
            ]:
                await log.press(key)
                await log.until(lambda top=top: log.lines[1].endswith(f" line {top}"), f"{key} to {top}")
            await log.press("end", "j", "pagedown")
            await log.until(lambda: log.lines[-1].endswith("line 1000"), "the last line at the bottom")

    async def test_all_the_way_by_pages(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 1200))) as log:
            await log.shows("line 1200")
            await log.press("g")
            await log.until(lambda: log.lines[1].endswith(" line 1"), "the top")
            for _ in range(56):
                await log.press("pagedown")
            await log.until(lambda: log.lines[-1].endswith("line 1200"), "the end")

    @pytest.mark.parametrize(
        ("place", "line"), [("4321", 4321), ("1", 1), ("50%", 2520), ("12:00", 3001), ("99%", 4955)]
    )
    async def test_to_a_line_a_percentage_or_a_time(self, tmp_path: Path, place: str, line: int) -> None:
        path = tmp_path / "a"
        path.write_text("".join(f"{n // 250:02}:{n * 6 // 25 % 60:02}:00 n {n + 1}\n" for n in range(5000)))
        async with viewing(one(path)) as log:
            await log.shows("n 5000")
            await log.answer("colon", place)
            await log.until(
                lambda: any("▸" in text and abs(int(text.split()[-1]) - line) < 60 for text in log.lines[1:]),
                f"the sign at line {line}",
            )

    async def test_to_a_line_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 50)), size=(120, 24)) as log:
            await log.shows("line 50")
            await log.answer("colon", "9999")
            await log.says("there is no line 9,999: the last is 50")

    async def test_nonsense_keeps_the_prompt_and_says_why(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 50)), size=(120, 24)) as log:
            await log.shows("line 50")
            await log.answer("colon", "soon")
            await log.says("'soon' is not a line (4813)")
            await log.press("escape")
            await log.says("JOB 24")
            assert log.pane.has_focus

    async def test_wrapped_lines_are_walked_line_by_line(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("".join(f"{n} " + "漢x" * 60 + f" end{n}\n" for n in range(200)))
        async with viewing(one(path), size=(80, 12)) as log:
            await log.shows("199 漢x")
            assert "end199" not in log.text
            await log.press("w")
            await log.shows("end199")
            assert all(len(strip.text) <= 80 for strip in log.pane._strips)
            seen = [log.lines[1]]
            await log.press("k", "k", "k", "k")
            assert log.lines[5] == seen[0]
            await log.press("w")
            await log.shows_not("end19")

    async def test_wide_characters_are_never_cut_in_half(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("漢字漢字漢字漢字漢字漢字\n")
        async with viewing(one(path), size=(20, 5)) as log:
            await log.shows("漢字漢字漢字")
            log.pane.move_sideways(1)
            await log.until(lambda: "  字" in log.text, "half a character as a space")
            assert all(strip.cell_length == 20 for strip in log.pane._strips)


class TestStreamsAndAttempts:
    def sources(self, tmp_path: Path, attempts: int = 2) -> LogSources:
        streams: dict[str, list[str]] = {}
        for stream in (
            "stderr",
            "stdout",
            "spawn 0 stdout",
            "spawn 0 stderr",
            "spawn 1 stdout",
            "spawn 1 stderr",
        ):
            streams[stream] = []
            for attempt in range(attempts):
                path = tmp_path / f"{stream} {attempt}"
                path.write_text(f"text of {stream}, attempt {attempt}\n")
                streams[stream].append(str(path))
        return LogSources("JOB 24  run", streams)

    async def test_o_changes_between_stdout_and_stderr(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path)) as log:
            await log.shows("text of stderr, attempt 1")
            await log.press("o")
            await log.shows("text of stdout, attempt 1")
            await log.press("o")
            await log.shows("text of stderr, attempt 1")

    async def test_brackets_go_through_the_attempts(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path), size=(120, 10)) as log:
            await log.says("log 2 of 2")
            await log.press("left_square_bracket")
            await log.shows("text of stderr, attempt 0")
            await log.says("log 1 of 2")
            await log.press("left_square_bracket")
            await log.says("this is the first attempt")
            await log.press("right_square_bracket")
            await log.shows("text of stderr, attempt 1")

    async def test_braces_go_through_the_spawns(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path)) as log:
            await log.press("right_curly_bracket")
            await log.shows("text of spawn 0 stderr")
            await log.press("right_curly_bracket", "o")
            await log.shows("text of spawn 1 stdout")
            await log.press("right_curly_bracket")
            await log.shows("text of stdout")

    async def test_both_streams_side_by_side(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path)) as log:
            await log.press("O")
            await log.shows("text of stdout, attempt 1")
            assert "text of stderr, attempt 1" in log.text
            await log.press("vertical_line")
            await log.shows_not("text of stdout, attempt 1")

    async def test_keys_act_on_the_pane_that_has_the_focus(self, tmp_path: Path) -> None:
        sources = LogSources(
            "JOB 1",
            {
                "stdout": [str(numbered(tmp_path / "o", 100))],
                "stderr": [str(numbered(tmp_path / "e", 100, 501))],
            },
        )
        async with viewing(sources) as log:
            await log.press("O")
            await log.shows("line 600")
            await log.press("tab", "g")
            await log.shows("line 501")
            assert "line 100" in log.text

    async def test_a_new_attempt_is_shown_once_it_is_there(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path, 1)) as log:
            await log.shows("text of stderr, attempt 0")
            log.view.show(self.sources(tmp_path, 2)._replace(title="JOB 24  submit"))
            await log.shows("text of stderr, attempt 1")

    async def test_an_earlier_attempt_stays_when_a_new_one_comes(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path, 2), size=(120, 10)) as log:
            await log.press("left_square_bracket")
            await log.shows("text of stderr, attempt 0")
            log.view.show(self.sources(tmp_path, 3)._replace(title="JOB 24  submit"))
            await log.says("log 1 of 3")
            assert "text of stderr, attempt 0" in log.text

    async def test_the_same_sources_leave_the_position(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 500)
        async with viewing(one(path)) as log:
            await log.shows("line 500")
            await log.press("g")
            await log.until(lambda: log.lines[1].endswith(" line 1"), "the top")
            log.view.show(one(path, "JOB 24  complete"))
            await log.says("complete")
            assert log.lines[1].endswith(" line 1")

    async def test_the_stream_and_the_column_stay_from_job_to_job(self, tmp_path: Path) -> None:
        async with viewing(self.sources(tmp_path)) as log:
            await log.press("o", "l")
            other = numbered(tmp_path / "other", 3)
            log.view.show(LogSources("JOB 25", {"stderr": [str(tmp_path / "x")], "stdout": [str(other)]}))
            await log.says("JOB 25")
            assert log.pane.label == "stdout" and log.pane.left == 8


class TestSearching:
    async def test_earlier_searches_are_a_key_away(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 100))) as log:
            await log.shows("line 100")
            for text in ("line 7$", "line 8$"):
                await log.answer("slash", text)
                await log.says(f"/{text}/")
            await log.press("slash", "up")
            prompt = log.view.query_one(Input)
            assert prompt.value == "line 8$"
            await log.press("up", "up")
            assert prompt.value == "line 7$"
            await log.press("down", "down")
            assert prompt.value == ""
            assert log.view.place.searches == ("line 8$", "line 7$")

    async def test_a_log_is_opened_at_the_first_place_that_holds_a_text(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 5000)
        async with viewing() as log:
            log.view.show_found(one(path), "stderr", "line 12", literal=True)
            await log.shows("▸  12  line 12")
            await log.says("/line 12/ 1 of 111")
            log.view.forget_search()
            await log.until(lambda: log.pane.hits is None, "no search")

    @pytest.mark.parametrize("wrap", [False, True])
    async def test_a_jump_ends_where_the_match_is_seen(self, tmp_path: Path, wrap: bool) -> None:
        path = tmp_path / "a"
        far = "." * 200 + "FIRST NEEDLE" + "." * 1890 + "SECOND NEEDLE"
        path.write_text("line\n" * 40 + far + "\n" + "line\n" * 40 + "LAST NEEDLE\n" + "line\n" * 40)
        async with viewing(one(path), size=(80, 24)) as log:
            await log.shows("line")
            await log.press("g", *("w" if wrap else ""))
            await log.answer("slash", "NEEDLE")
            await log.shows("FIRST NEEDLE")
            await log.says("1 of 2")
            await log.press("n")  # the second one of the same row
            await log.shows("SECOND NEEDLE")
            await log.says("1 of 2")
            await log.press("n")
            await log.shows("LAST NEEDLE")
            await log.says("2 of 2")
            await log.press("N")
            await log.shows("SECOND NEEDLE")
            await log.press("N")
            await log.shows("FIRST NEEDLE")

    async def test_says_what_form_a_log_has(self, tmp_path: Path) -> None:
        (tmp_path / "latin").write_bytes(b"caf\xe9\n")
        (tmp_path / "packed.gz").write_bytes(gzip.compress(b"packed\n"))
        async with viewing(one(tmp_path / "latin")) as log:
            await log.shows("café")
            await log.says("Latin-1")
        async with viewing(one(tmp_path / "packed")) as log:
            await log.shows("packed")
            await log.says("compressed")

    async def test_what_an_ended_job_has_not_written_is_gone(self, tmp_path: Path) -> None:
        sources = one(tmp_path / "none")
        async with viewing(sources) as log:
            await log.shows("is not there yet")
            log.view.show(sources._replace(streams={"stderr": [str(tmp_path / "other")]}, over=True))
            await log.shows("is gone, or was never written")

    async def test_finds_the_last_match_first_when_following(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5000))) as log:
            await log.shows("line 5000")
            await log.answer("slash", "LINE 1.9$|line 7$")
            await log.says("/LINE 1.9$|line 7$/")
            await log.shows("▸   7  line 7")
            await log.press("escape", "escape")
            await log.press("G")
            await log.answer("slash", "line 12")
            await log.says("111 of 111")
            await log.press("N")
            await log.says("110 of 111")
            await log.shows("▸1298  line 1298")
            await log.press("n", "n")
            await log.says("no later match")

    async def test_goes_forwards_from_where_one_reads(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5000))) as log:
            await log.shows("line 5000")
            await log.press("g")
            await log.until(lambda: log.lines[1].endswith(" line 1"), "the top")
            await log.answer("slash", "line 3")
            await log.shows("▸   3  line 3")
            await log.press("n")
            await log.shows("▸  30  line 30")

    async def test_a_bad_expression_is_told_and_can_be_taken_literally(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("call f(x)\nother\n")
        async with viewing(one(path), size=(120, 10)) as log:
            await log.shows("other")
            await log.answer("slash", "f(")
            await log.says("is not a regular expression")
            await log.press("ctrl+r", "enter")
            await log.says("/f(/ 1 of 1")

    async def test_the_filter_shows_only_matching_lines_and_follows(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 500)
        async with viewing(one(path)) as log:
            await log.shows("line 500")
            await log.answer("ampersand", "line 49")
            await log.says("only /line 49/ 11")
            assert [text.split()[-1] for text in log.lines[1:12]] == ["49", *map(str, range(490, 500))]
            append(path, "no match\nline 49 again\n")
            await log.shows("502  line 49 again")
            assert "no match" not in log.text
            await log.press("ampersand")
            await log.shows("no match")

    async def test_a_filter_without_matches_says_so(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 50))) as log:
            await log.shows("line 50")
            await log.answer("ampersand", "nowhere")
            await log.shows("No lines match /nowhere/ · Esc shows all")
            await log.press("escape")
            await log.shows("line 50")

    async def test_errors_and_warnings_are_found_without_typing(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        lines = [f"step {n}" for n in range(2000)]
        lines[100], lines[1500] = "UserWarning: careful", "slurmstepd: error: killed"
        path.write_text("\n".join(lines) + "\n")
        async with viewing(one(path)) as log:
            await log.shows("step 1999")
            await log.press("E")
            await log.shows("▸1501  slurmstepd: error: killed")
            await log.press("E")
            await log.shows("▸ 101  UserWarning: careful")
            await log.press("E")
            await log.says("no earlier error or warning")
            await log.press("e")
            await log.shows("▸1501  slurmstepd: error: killed")

    async def test_escape_ends_one_thing_at_a_time_and_then_is_not_for_the_log(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 50))) as log:
            await log.shows("line 50")
            await log.answer("ampersand", "line 4")
            await log.says("only /line 4/")
            await log.press("escape")
            await log.until(lambda: "only" not in log.status, "all lines")
            assert "/line 4/" in log.status
            await log.press("escape")
            await log.until(lambda: "/line 4/" not in log.status, "no search")
            assert log.app.escapes == 0
            await log.press("escape")
            await log.until(lambda: log.app.escapes == 1, "the escape for others")


class TestTakingAway:
    async def test_the_screen_is_copied(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("\x1b[31mone\x1b[0m\x07\ntwo\n")
        async with viewing(one(path)) as log:
            await log.shows("two")
            await log.press("y")
            await log.says("copied 2 lines")
            assert log.app.clipboard == "one␇\ntwo\n"

    async def test_marked_lines_are_copied(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 2000))) as log:
            await log.shows("line 2000")
            await log.answer("colon", "5")
            await log.shows("▸   5  line 5")
            await log.press("m")
            await log.answer("colon", "1200")
            await log.shows("▸1200  line 1200")
            await log.press("M", "y")
            await log.says("copied 1,196 lines; if your terminal did not take it: Y")
            assert log.app.clipboard == "".join(f"line {n}\n" for n in range(5, 1201))

    async def test_a_range_is_chosen_line_by_line(self, tmp_path: Path) -> None:
        """Behind a mark the arrows move the current line, and the view only where it must follow."""
        async with viewing(one(numbered(tmp_path / "a", 2000))) as log:
            await log.shows("line 2000")
            await log.press("k", "k", "m", *"k" * 15, "M", "y")
            await log.says("copied")
            first, *_, last = log.app.clipboard.splitlines()
            assert int(last[5:]) - int(first[5:]) == 14, "from the marked line to 14 above it"
            assert f"▸{first[5:]}  {first}" in log.text
            await log.press("escape", "k")
            assert "▸" not in log.text, "nothing is marked: it is the view that moves"

    async def test_no_more_is_copied_than_terminals_take(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("漢" * 1000 + "\n" + "".join(f"line {n} é\n" for n in range(20_000)))
        async with viewing(one(path), size=(120, 24)) as log:
            await log.shows("line 19999")
            await log.press("m")
            await log.answer("colon", "1")
            await log.shows("▸   1  漢")
            await log.press("M", "y")
            await log.says("cut at 74,99")
            assert 74_990 <= len(log.app.clipboard.encode()) <= CLIPBOARD_BYTES
            assert "\ufffd" not in log.app.clipboard

    async def test_the_log_is_saved_byte_for_byte_and_nothing_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"\xff\x1b[31m\0\r\nline\n")
        target = tmp_path / "copy"
        async with viewing(one(path), size=(200, 10)) as log:
            await log.shows("line")
            await log.answer("ctrl+s", str(target))
            await log.says("saved 14 bytes")
            assert target.read_bytes() == path.read_bytes()
            await log.answer("ctrl+s", str(target))
            await log.says("is there already: choose another name")

    async def test_in_tmux_what_is_copied_goes_to_its_buffer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tool = tmp_path / "tmux"
        tool.write_text(
            f'#!/bin/sh\n[ "$2" = -w ] && exit 1\necho "$@" > {tmp_path}/asked\ncat > {tmp_path}/got\n'
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
        async with viewing(one(numbered(tmp_path / "a", 3)), size=(160, 10)) as log:
            await log.shows("line 3")
            await log.press("y")
            await log.says("copied 3 lines to tmux")
        assert (tmp_path / "got").read_text() == "line 1\nline 2\nline 3\n"
        assert (tmp_path / "asked").read_text() == "load-buffer -\n"

    async def test_lines_are_shown_plainly_for_the_terminals_own_selection(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a"
        path.write_text("\x1b]52;c;AA\x07one\ntwo\n")
        told = io.StringIO()
        async with viewing(one(path), size=(120, 10)) as log:
            await log.shows("two")
            await log.press("Y")
            await log.says("this terminal cannot be written on directly")
            monkeypatch.setattr(type(driver_of(log.app)), "can_suspend", True)
            monkeypatch.setattr(sys, "__stdout__", told)
            monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
            assert external_programs.print_plainly(log.app, "\x1b]0;x\x07one\n") == ""
        assert told.getvalue() == "␛]0;x␇one\n\n[select and copy; Enter goes back] "

    async def test_the_file_is_told_with_its_path(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 100)
        async with viewing(one(path), size=(200, 10)) as log:
            await log.shows("100  line 100")
            await log.press("equals_sign")
            await log.until(lambda: toasts(log.app), "a notice")
            (notice,) = toasts(log.app)
            assert notice.startswith("792 bytes, 100 lines, written ")
            assert notice.endswith(f" ago: {path}")

    async def test_saving_that_is_stopped_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with path.open("wb") as file:
            file.truncate(1 << 30)
        with pytest.raises(ParaschutError, match="nothing was saved"):
            file_tasks.save(str(path), str(tmp_path / "copy"), None, lambda: True)
        assert not (tmp_path / "copy").exists()

    async def test_of_a_filter_its_lines_are_saved(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 100)), size=(200, 10)) as log:
            await log.shows("line 100")
            await log.answer("ampersand", "line 1")
            await log.says("only /line 1/ 12")
            await log.answer("ctrl+s", str(tmp_path / "copy"))
            await log.says("saved")
            assert (tmp_path / "copy").read_text().split("\n")[:3] == ["line 1", "line 10", "line 11"]

    async def test_other_programs_get_the_path_as_one_argument_and_no_shell(self, tmp_path: Path) -> None:
        odd = numbered(tmp_path / "$(touch evil); 'x y", 3)
        tool = tmp_path / "tool"
        tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        async with viewing(one(odd)) as log:
            await log.shows("line 3")
            command = external_programs.pager({"PAGER": f"{tool} -a 'b c'"})
            with pytest.MonkeyPatch.context() as patch:
                driver = driver_of(log.app)
                patch.setattr(type(driver), "can_suspend", True)
                assert external_programs.open_with(log.app, command, str(odd)) == ""
        assert (tmp_path / "arguments").read_text() == f"-a\nb c\n{odd}\n"
        assert not os.path.exists("evil")

    @pytest.mark.parametrize(
        ("command", "spot", "opens"),
        [
            (["less", "-R"], FilePosition(4096, 100), ["less", "-R", "+4096P"]),
            (["/usr/bin/less"], FilePosition(end=True), ["/usr/bin/less", "+G"]),
            (["vim"], FilePosition(4096, 100), ["vim", "+100"]),
            (["vim"], FilePosition(4096), ["vim"]),
            (["code", "-w"], FilePosition(4096, 100), ["code", "-w"]),
        ],
    )
    def test_programs_that_can_open_the_log_where_it_is_read(
        self, command: list[str], spot: FilePosition, opens: list[str]
    ) -> None:
        # An absolute path is never an option.
        assert external_programs.arguments(command, "-x", spot) == [*opens, os.path.abspath("-x")]

    async def test_an_interrupt_is_for_the_program(self, tmp_path: Path) -> None:
        tool = tmp_path / "tool"
        tool.write_text(f"#!/bin/sh\nkill -INT $PPID\nkill -QUIT $PPID\necho done > {tmp_path}/done\n")
        tool.chmod(0o755)
        async with viewing(one(numbered(tmp_path / "a", 3))) as log:
            await log.shows("line 3")
            before = signal.getsignal(signal.SIGINT)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(driver_of(log.app)), "can_suspend", True)
                assert external_programs.open_with(log.app, [str(tool)], "x") == ""
                assert (
                    external_programs.open_with(log.app, ["/none/such"], "x")
                    == "/none/such is not installed, or not in PATH"
                )
                assert external_programs.open_with(log.app, ["false"], "x") == "false ended with status 1"
            assert (tmp_path / "done").exists()
            assert signal.getsignal(signal.SIGINT) is before

    async def test_where_no_program_can_be_opened_it_is_said(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 3)), size=(120, 10)) as log:
            await log.shows("line 3")
            await log.press("v")
            await log.says("other programs cannot be opened from this terminal")

    @pytest.mark.parametrize(
        ("environment", "pager", "editor"),
        [
            ({}, ["less", "-R"], ["vi"]),
            ({"PAGER": "most -w", "EDITOR": "nano"}, ["most", "-w"], ["nano"]),
            ({"PAGER": "'broken", "VISUAL": "emacs -nw", "EDITOR": "vi"}, ["less", "-R"], ["emacs", "-nw"]),
            ({"PAGER": " ", "VISUAL": ""}, ["less", "-R"], ["vi"]),
        ],
    )
    def test_the_users_own_programs_are_taken(
        self, environment: dict[str, str], pager: list[str], editor: list[str]
    ) -> None:
        assert external_programs.pager(environment) == pager
        assert external_programs.editor(environment) == editor


class TestFullScreen:
    async def test_is_asked_for_with_all_it_takes_to_go_on_there(self, tmp_path: Path) -> None:
        path = numbered(tmp_path / "a", 5000)
        async with viewing(one(path)) as log:
            await log.shows("line 5000")
            await log.answer("colon", "2500")
            await log.shows("line 2500")
            await log.answer("slash", "line 25")
            await log.press("w", "plus")
            await log.until(lambda: log.app.full_screens, "the message")
            message = log.app.full_screens[0]
            top = log.pane.window.top_row
            assert top is not None
            assert message.place == LogViewState(
                "stderr", -1, top.start, 0, True, True, False, "line 25", searches=("line 25",)
            )

            screen = LogScreen(message.sources, message.place)
            places: list[LogViewState | None] = []
            await log.app.push_screen(screen, places.append)
            await log.until(lambda: f"line {2493}" in log.text, "the same place")
            await log.says("/line 25/ 111")
            await log.press("j", "escape", "escape")
            await log.press("escape")
            await log.until(lambda: places, "the result")
            assert places[0] is not None and places[0].offset == top.end

    async def test_enter_asks_for_it_too_and_there_leads_back(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5))) as log:
            await log.shows("line 5")
            await log.press("enter")
            await log.until(lambda: log.app.full_screens, "the message")
            await log.app.push_screen(LogScreen(log.view.sources, log.view.place))
            await log.shows("Esc back")
            await log.press("plus")
            await log.shows_not("Esc back")


class TestKeys:
    def test_every_key_has_its_action_and_its_words(self) -> None:
        assert all(key.help for key in keymap.LOG)
        for binding in LogView.BINDINGS:
            name = binding.action.partition("(")[0]  # type: ignore[union-attr]  # all are Bindings
            assert callable(getattr(LogView, f"action_{name}")), name

    async def test_the_prompt_does_not_blink(self, tmp_path: Path) -> None:
        async with viewing(one(numbered(tmp_path / "a", 5))) as log:
            assert not log.view.query_one(Input).cursor_blink


class TestExpressionsThatTakeForEver:
    @staticmethod
    async def seconds_of_a_key(log: Viewer) -> float:
        """How long a key usually takes until the screen has answered."""
        took = []
        for key in ("g", "j", "k", "j", "k", "G", "g"):
            began = time.monotonic()
            log.app.simulate_key(key)
            await asyncio.sleep(0)
            await wait_for_screen(log.pilot)
            took.append(time.monotonic() - began)
        return sorted(took)[len(took) // 2]

    async def test_keys_are_answered_while_one_is_tried_and_escape_ends_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("first\n" + ("a" * 900 + "!\n") * 300)
        async with viewing(one(path), size=(120, 24)) as log:
            await log.shows("301  aaa")
            usual = await self.seconds_of_a_key(log)
            await log.answer("slash", "(a|aa)+$")
            assert log.pane.hits is not None and not log.pane.hits.done
            assert await self.seconds_of_a_key(log) < 0.2 + 3 * usual
            await log.press("escape", "escape")
            await log.until(lambda: log.pane.hits is None, "the search is over")

    async def test_it_says_that_it_was_stopped_and_why(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text(("a" * 900 + "!\n") * 300)
        async with viewing(one(path), size=(200, 24)) as log:
            await log.shows("300  aaa")
            await log.answer("slash", "(a|aa)+$")
            await log.says("/(a|aa)+$/ takes too long on this log: the search was stopped")
            await log.says("/(a|aa)+$/ 0+")
            append(path, "more\n")  # a search that was stopped is not begun again
            await log.shows("301  more")
            await log.says("0+")

    async def test_it_is_painted_without_its_matches(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text(("a" * 5000 + "!\n") * 30)
        async with viewing(one(path), size=(80, 24)) as log:
            await log.shows("aaa")
            await log.answer("slash", "(a|aa)+$")
            await log.until(lambda: log.pane.hits is not None and log.pane.hits.done, "the end of the search")
            await log.shows("aaa")
