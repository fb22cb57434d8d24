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


@pytest.mark.slow
def test_an_ensemble_is_explained_head_by_head_and_exported(
    run: Run, films: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    fitted(run, films, "--embedding", tiny_models["encoder"], "--members", 2, "--out", out)
    code, answer, err = run("explain", out, "good film")
    assert code == 0, err
    first, second = answer.index("Head 1 of 2"), answer.index("Head 2 of 2")
    shown = [part.splitlines()[1:] for part in (answer[first:second], answer[second:])]
    assert shown[0] != shown[1]
    assert [line.split(":")[0] for line in shown[0]] == [line.split(":")[0] for line in shown[1]]
    explained = json.loads(run("explain", out, "good film", "--json")[1])
    assert explained["members"] == 2
    assert len(explained["encoders"]) == 2
    code, answer, err = run("export", out, "--onnx", tmp_path / "graph", "--json")
    assert code == 0, err
    assert json.loads(answer)["members"] == 2
