from __future__ import annotations

import pytest
from planted import PlantedClip, make_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> PlantedClip:
    """Twelve seconds of the procedural head."""
    return make_clip(tmp_path_factory.mktemp("planted"))
