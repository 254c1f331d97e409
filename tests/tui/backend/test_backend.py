"""The backend of a real project and the tests' own have the methods of the protocol, with its parameters."""

from __future__ import annotations

import inspect

import pytest

from paraschut_tui.backend.backend import Backend
from paraschut_tui.backend.threaded_backend import ThreadedBackend
from tests.tui.fake import FakeGateway

METHODS = [name for name in vars(Backend) if not name.startswith("_") and callable(getattr(Backend, name))]


@pytest.mark.parametrize("backend", [ThreadedBackend, FakeGateway])
def test_a_backend_has_every_method_of_the_protocol_with_its_parameters(backend: type) -> None:
    assert "load" in METHODS and "run" in METHODS
    for name in METHODS:
        wanted, found = getattr(Backend, name), getattr(backend, name)
        assert list(inspect.signature(found).parameters) == list(inspect.signature(wanted).parameters), name
        assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(wanted), name
