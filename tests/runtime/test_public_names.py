from __future__ import annotations

import pytest

import tandem_export
import tandem_export.runtime


@pytest.mark.parametrize("module", [tandem_export, tandem_export.runtime], ids=lambda m: m.__name__)
def test_every_public_name_is_there(module) -> None:
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'engine_of_doom'"):
        _ = tandem_export.engine_of_doom
