"""How this program starts Python: never with the working directory on the module path.

`python -m` and `python -c` look for modules in the working directory first. That may be anybody's, and a
`json.py` in it would run with the rights of this process.
"""

# No `from __future__` here: that would be looked for in the working directory, too.
import os
import sys

_OURS = ("paraschut_core", "paraschut_tui")


def forget_working_directory() -> None:
    """Take the working directory off the module path of a process that was started as `python -m` of ours.

    Where this package itself lies in it (a checkout), it goes to the end, behind all that Python has.
    """
    words = sys.orig_argv
    for word, name in zip(words, [*words[1:], ""], strict=True):
        module = name if word == "-m" else word[2:] if word.startswith("-m") else ""
        if module:
            break
    else:
        return
    if module.partition(".")[0] not in _OURS:
        return  # another program that uses this package
    try:
        here = os.getcwd()
    except FileNotFoundError:
        here = ""  # it was removed
    if sys.path[0] not in ("", here):
        return
    del sys.path[0]
    if here and here == _root():
        sys.path.append(here)


def _root() -> str:
    """The directory that this package lies in."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def python(module: str) -> list[str]:
    """The beginning of the command line that runs a module of ours, from any directory."""
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-m", module]
    # Neither `sys` nor what Python itself has loaded is looked for on the module path.
    begin = "import sys; del sys.path[0]; from runpy import run_module"
    return [sys.executable, "-c", f"{begin}; run_module({module!r}, None, '__main__', True)"]


def environment() -> dict[str, str]:
    """What such a child finds in its environment: this process's, and a module path that finds this package.

    An empty or relative part of PYTHONPATH means the working directory of each process that reads it: the
    first is left out, the second stands for what it means here.
    """
    paths = [os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    here = _root()
    if os.path.basename(here) not in ("site-packages", "dist-packages") and here not in paths:
        # A checkout that is on this process's module path may not be on the child's.
        paths.insert(0, here)
    variables = dict(os.environ)
    variables.pop("PYTHONPATH", None)
    if paths:
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables
