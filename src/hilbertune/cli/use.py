"""Verbs that take a model elsewhere: explain, export, serve.

In: a model directory. Out: a table and a picture, a folder with an ONNX graph, a server.
"""

from pathlib import Path
from typing import Annotated

import typer

from hilbertune.cli.flags import BestDevice, Device, Json
from hilbertune.cli.output import print_json, say
from hilbertune.errors import HilbertuneError


def explain(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    text: Annotated[str, typer.Argument(help="The text to explain.")],
    draw: Annotated[Path | None, typer.Option(help="Also draw it to this .png, .svg or .pdf file.")] = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Why a model answers as it does: encoders, the head's qubits by block, the effect of each word.

    Example: hilbertune explain model 'a warm , funny film' --draw why.png
    """
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.use import explanation as explaining
    from hilbertune.use import picture as drawing

    found = explaining.explain(load_pretrained(model, device=device), text)
    if draw is not None:
        drawing.draw_explanation(found, draw)
    if json_:
        print_json(found.to_dict())
        return
    print(f"{found.answer} (score {found.score:.4f})")
    for word, effect in found.words:
        print(f"{'' if effect is None else f'{effect:+.4f}':>8}  {word}")
    if found.words_left_out:
        say(f"{found.words_left_out} further words were not tried.")
    for number, values in enumerate(found.encoders):
        print(f"encoder {number}: " + " ".join(f"{v:+.2f}" for v in values))
    for block in found.blocks:
        print(f"{block.name:>12}: " + " ".join(f"{v:+.2f}" for v in block.z))


def export(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    onnx: Annotated[Path, typer.Option(help="New folder for model.onnx and the tokenizer.")],
    json_: Json = False,
) -> None:
    """Write base and head as one ONNX graph, which onnxruntime runs without this package.

    Example: hilbertune export model --onnx exported
    """
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.use.onnx import export_onnx

    found = export_onnx(load_pretrained(model), onnx)
    if json_:
        print_json(found)
    else:
        print(f"Exported: {onnx} ({found['bytes'] / 1e6:.1f} MB), {', '.join(found['inputs'])}")


def serve(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    max_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 1_000_000,
    max_items: Annotated[int, typer.Option(min=1, help="Items of a request.")] = 256,
    max_characters: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 10_000,
    max_seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of a request.")] = 30.0,
    max_waiting: Annotated[int, typer.Option(min=1, help="Items that may wait.")] = 4096,
    batch: Annotated[int, typer.Option(min=1, help="Items that share a batch.")] = 64,
    device: BestDevice = "auto",
) -> None:
    """Answer POST /predict over HTTP, with /health, /model, /metrics and /openapi.json.

    Example: hilbertune serve model --port 8000
    """
    from hilbertune.estimator.devices import best_device
    from hilbertune.estimator.directory import load_pretrained

    loaded = load_pretrained(model, device=best_device() if device == "auto" else device)
    # After the model: its mistakes are more likely than a missing extra.
    from hilbertune.use import serving

    limits = serving.Limits(max_bytes, max_items, max_characters, max_seconds, max_waiting, batch)
    try:
        serving.serve(loaded, host=host, port=port, limits=limits)
    except SystemExit as error:
        # uvicorn has said why it could not listen.
        if error.code:
            raise HilbertuneError(f"Cannot listen on {host}:{port}: choose another port.") from None
