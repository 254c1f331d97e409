"""`#PBS` lines of a script that goes to Slurm: what they ask for, in sbatch's words, as sbatch reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ...errors import UsageError
from ..resources import mebibytes, parse_size, parse_time, slurm_time
from .options import OptionGrammar, SubmitOption, parse

_GRAMMAR = OptionGrammar(lists=("l",))

_ARRAY = frozenset({"J", "t"})
_NODES = re.compile(r"([0-9]+)(?::ppn=([0-9]+))?")
_MAIL = {"a": "FAIL", "b": "BEGIN", "e": "END", "n": "NONE"}


class TranslatedDirectives(NamedTuple):
    """Slurm's words, and the PBS options that have none."""

    words: tuple[str, ...]
    left: tuple[str, ...]


@lru_cache(maxsize=64)
def from_pbs(words: tuple[str, ...]) -> TranslatedDirectives:
    """The words of `#PBS` lines in those of sbatch.

    Raises:
        UsageError: one makes an array of the job, or has a value that is none.
    """
    found: list[str] = []
    left: list[str] = []
    for option in parse(words, _GRAMMAR):
        if option.names[:1] and option.names[0] in _ARRAY:
            raise UsageError(
                f"its script has the directive '#PBS {' '.join(option.words)}': make each task a job of its "
                "own (paraschut add --range)"
            )
        if option.flag:
            for part in option.parts:
                asked = _resource(part)
                found += asked or ()
                left += () if asked else (f"#PBS -l {part}",)
            continue
        asked = _plain(option)
        found += asked or ()
        left += () if asked is not None else (f"#PBS {' '.join(option.words)}",)
    return TranslatedDirectives(tuple(found), tuple(left))


def _plain(option: SubmitOption) -> list[str] | None:
    """What an option other than `-l` asks for; None: nothing that Slurm has."""
    name, value = (*option.names, "")[0], option.value
    if name == "q" and (queue := value.partition("@")[0]):
        return [f"--partition={queue}"]
    if name in ("A", "M") and value:
        return [f"--{'account' if name == 'A' else 'mail-user'}={value}"]
    if name == "m" and value and set(value) <= _MAIL.keys():
        return [f"--mail-type={','.join(_MAIL[letter] for letter in value)}"]
    if name == "r" and value in ("y", "n"):
        return ["--requeue" if value == "y" else "--no-requeue"]
    if name == "h":
        return ["--hold"]
    if name == "V":
        return []  # Slurm hands over the whole environment by itself
    if name == "v" and value:
        return [f"--export=ALL,{value}"]
    if name == "W" and value.startswith("depend="):
        return [f"--dependency={value.removeprefix('depend=')}"]
    return None


def _resource(part: str) -> list[str] | None:
    """What one part of `-l` asks for; None: nothing that Slurm has."""
    name, _, value = part.strip().partition("=")
    if name == "walltime":
        return [f"--time={slurm_time(parse_time(value, '#PBS -l walltime'))}"]
    if name in ("mem", "pmem"):
        option = "mem" if name == "mem" else "mem-per-cpu"
        return [f"--{option}={mebibytes(parse_size(value, f'#PBS -l {name}'))}M"]
    if name == "ncpus" and value.isdigit():
        return [f"--cpus-per-task={value}"]
    if name in ("ngpus", "gpus") and value.isdigit():
        return [f"--gres=gpu:{value}"]
    if name == "nodes" and (match := _NODES.fullmatch(value)):
        return [f"--nodes={match[1]}", *_tasks(int(match[1]), int(match[2] or 1), 1)]
    if name == "select":
        return _chunks(value)
    return None


def _tasks(nodes: int, tasks: int, cpus: int) -> Iterator[str]:
    """So many tasks on each of the nodes, and the CPUs of each."""
    yield f"--ntasks={nodes * tasks}"
    yield f"--cpus-per-task={cpus}"


def _chunks(value: str) -> list[str] | None:
    """What `select=N:ncpus=C:mpiprocs=P:mem=M:ngpus=G` asks for; None for any other."""
    number, *parts = value.split(":")
    asked = dict(part.partition("=")[::2] for part in parts)
    if not number.isdigit() or not asked.keys() <= {"ncpus", "mpiprocs", "mem", "ngpus", "ompthreads"}:
        return None
    counts = [asked.get(name, "1") for name in ("ncpus", "mpiprocs", "ngpus")]
    if not all(map(str.isdigit, counts)):
        return None
    cpus, tasks = int(counts[0]), max(int(counts[1]), 1)
    words = [f"--nodes={number}", *_tasks(int(number), tasks, max(cpus // tasks, 1))]
    if "mem" in asked:
        words.append(f"--mem={mebibytes(parse_size(asked['mem'], '#PBS -l select=...:mem'))}M")
    if "ngpus" in asked:
        words.append(f"--gres=gpu:{asked['ngpus']}")
    return words


def without(words: Sequence[str], own: Sequence[str], grammar: OptionGrammar) -> list[str]:
    """These words but for those in whose place the script's `#SBATCH` lines ask for something."""
    from .options import excludes

    names = [name for option in parse(own, grammar) for name in option.names]
    return [
        word
        for option in parse(words, grammar)
        for word in option.words
        if not any(excludes(name, other, grammar) for name in option.names for other in names)
    ]
