"""The verbs export and serve, as far as they can be tried without a server."""

import json
import socket
from pathlib import Path

import pytest
from helpers.commands import Run, fitted


@pytest.mark.slow
def test_a_model_is_exported(run: Run, films: Path, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    fitted(run, films, "--embedding", tiny_models["encoder"], "--out", tmp_path / "model")
    code, answer, err = run("export", tmp_path / "model", "--onnx", tmp_path / "graph", "--json")
    assert code == 0, err
    assert json.loads(answer)["classes"] == ["negative", "positive"]
    assert (tmp_path / "graph/model.onnx").exists()
    code, _, err = run("export", tmp_path / "model", "--onnx", tmp_path / "graph")
    assert (code, "already exists" in err) == (2, True)


def test_serving_refuses_a_port_that_is_taken(
    run: Run, films: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    fitted(run, films, "--embedding", tiny_models["encoder"], "--out", tmp_path / "model")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = run("serve", tmp_path / "model", "--port", taken.getsockname()[1])
    assert code == 2
    assert "choose another port" in err
