"""Values that metadata cannot hold: pickled beside it and named in it, read back only by an explicit call."""

from __future__ import annotations

import os

from ..errors import ParaschutError, UsageError
from .metadata_json import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Store = Callable[[bytes, str], str]

STORED = "stored"
"""The field, of what stands for such a value, with the file's path (None where it could not be pickled)."""

_DEEPEST = 20
_MOST = 8
"""In a list or dict with more values than these that cannot be held, all of it is stored in one file."""
_LONGEST = 200
_MOST_TEXT = 10 << 20


def settle(info: Mapping[str, Any], store: Store) -> tuple[dict[str, Any], list[str]]:
    """Metadata that can be stored, and the places in it where a value was put aside.

    What stands for a value is a plain dict: {"stored": path, "type": its class, "text": its beginning in
    words}, for an Enum and a named tuple with their plain `value` as well.

    Args:
        store: writes a file: its content, the ending of its name; returns its path.

    Raises:
        ParaschutError: a file cannot be written.
    """
    from .jobs import NOT_IN_METADATA, pack_metadata

    settled = dict(info)
    try:
        pack_metadata(settled)
    except Exception:  # noqa: BLE001 - methods of values that are not ours may raise anything
        pass
    else:
        return settled, []
    places: list[str] = []
    for field, value in info.items():
        if field not in NOT_IN_METADATA:
            settled[field] = _settled(value, str(field), store, places, 0, set())
    return settled, places


def _fits(value: object) -> bool:
    """Return whether the metadata can hold the value as it is."""
    try:
        encode({"x": value})
    except Exception:  # noqa: BLE001 - see above
        return False
    return True


def _settled(value: Any, place: str, store: Store, places: list[str], depth: int, open_: set[int]) -> Any:
    if _fits(value):
        return value
    kind = type(value)
    if kind in (dict, list, tuple) and depth < _DEEPEST and id(value) not in open_:
        items = list(value.items()) if kind is dict else list(enumerate(value))
        bad = [key for key, item in items if not _fits(item)]
        if 0 < len(bad) <= _MOST and all(_fits({key: 0}) for key, _ in items):
            open_.add(id(value))
            parts = {
                key: _settled(item, f"{place}[{key!r}]", store, places, depth + 1, open_)
                for key, item in items
            }
            open_.discard(id(value))
            return parts if kind is dict else kind(parts.values())
    places.append(place)
    return _put_aside(value, store)


def _put_aside(value: Any, store: Store) -> dict[str, Any]:
    """Write one value to a file of its own; return what stands for it."""
    import pickle

    kind = type(value)
    stands: dict[str, Any] = {STORED: None, "type": f"{kind.__module__}.{kind.__qualname__}"}
    stands["text"] = _text(value)[:_LONGEST]
    plain = value._asdict() if hasattr(kind, "_fields") and hasattr(kind, "_asdict") else None
    if plain is None and any(base.__module__ == "enum" for base in kind.__mro__):
        plain = getattr(value, "value", None)
    if plain is not None and _fits(plain):
        stands["value"] = plain
    try:
        content, suffix = pickle.dumps(value, protocol=4), "pkl"
    except Exception as error:  # noqa: BLE001 - what a class of somebody's raises, or recursion
        stands["error"] = f"it cannot be pickled: {type(error).__name__}: {error}"[:_LONGEST]
        content, suffix = _text(value)[:_MOST_TEXT].encode("utf-8", "replace"), "txt"
    path = store(content, suffix)
    stands[STORED if suffix == "pkl" else "text_in"] = path
    return stands


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - see above
        return f"<{type(value).__name__}, of which repr fails: {type(error).__name__}>"


def writer(folders: Callable[[], list[str]], stem: str) -> Store:
    """Write files STEM_N.pkl for this user alone, into the first folder that takes them."""

    def store(content: bytes, suffix: str) -> str:
        from .kept_endings import write_private

        trouble: list[str] = []
        for folder in folders():
            try:
                if os.path.isdir(os.path.dirname(folder)):
                    os.makedirs(folder, exist_ok=True)
                return write_private(folder, f"{stem}_{os.urandom(4).hex()}.{suffix}", content)
            except (OSError, ParaschutError) as error:
                trouble.append(str(error))
        raise ParaschutError(f"A value that the metadata cannot hold is nowhere to be stored: {trouble}")

    return store


def load(value: object) -> object:
    """The value that was put aside.

    Args:
        value: what stands for it in the metadata: {"stored": path, ...}, or the path.

    Raises:
        UsageError: it stands for none.
        UntrustedError: the file is not this user's alone; reading a pickle runs what is in it.
        ParaschutError: the file cannot be read.
    """
    path = value.get(STORED) if isinstance(value, dict) else value
    if isinstance(value, dict) and path is None and "error" in value:
        raise UsageError(f"The value was not stored whole ({value['error']}); see {value.get('text_in')}.")
    if not isinstance(path, str):
        raise UsageError(f"This stands for no stored value: {_text(value)[:80]}")
    import pickle

    from ..security.ownership import open_own

    try:
        with open(open_own(path, os.O_RDONLY), "rb") as file:
            return pickle.load(file)  # noqa: S301 - asked for, and of this user's alone
    except OSError as error:
        raise ParaschutError(f"Cannot read {path}: {error.strerror or error}") from error
    except ParaschutError:
        raise
    except Exception as error:
        raise ParaschutError(
            f"{path} cannot be unpickled here ({type(error).__name__}: {error}): import the module that its "
            "class is from, or read it where it was written."
        ) from error
