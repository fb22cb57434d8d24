"""Heavy packages wait until they are needed."""

from helpers.imports import loaded_by, modules_of


def test_importing_data_loads_no_heavy_package() -> None:
    modules = modules_of("hilbertune.data")
    assert len(modules) > 5
    assert not loaded_by(modules) & {"torch", "transformers", "sentence_transformers", "sklearn", "numba"}
