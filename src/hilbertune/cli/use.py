"""The verbs that take a model elsewhere: explain, export, serve.

In: a model directory.
Out: a table and a picture, a folder with an ONNX graph, a server.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertune.cli.flags import BestDevice, Device, Json, ModelArgument, Picture, finite
from hilbertune.cli.output import print_json, remark
from hilbertune.cli.places import check_model, check_picture, check_place
from hilbertune.cli.terminal import as_typed
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.escaping import visible

if TYPE_CHECKING:
    from hilbertune.use.explanation import Explanation


def explain(
    model: ModelArgument,
    text: Annotated[str, typer.Argument(help="The text to explain.")],
    draw: Picture = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Show why a model answers as it does: encoders, the head's qubits by block, the effect of each word.

    Example: hilbertune explain model 'a warm , funny film' --draw why.png
    """
    check_model(model)
    check_picture(draw)
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.use import explanation, picture

    explained = explanation.explain(load_pretrained(model, device=device), as_typed(text))
    print_json(explained.to_dict()) if json_ else _print(explained)
    if draw is not None:
        picture.draw_explanation(explained, draw)


def _print(explained: "Explanation") -> None:
    print(f"{visible(explained.answer)} (score {explained.score:.4f})")
    for word, effect in explained.words:
        print(f"{'' if effect is None else f'{effect:+.4f}':>8}  {visible(word)}")
    if explained.words_left_out:
        remark(f"{explained.words_left_out} further words were not tried.")
    for member in range(explained.members):
        if explained.members > 1:
            print(f"Head {member + 1} of {explained.members}, whose answers are averaged:")
        encoders, blocks = explained.of_member(member)
        widths = [len(values) for values in encoders] + [len(block.z) for block in blocks]
        print(f"{'Z of qubit':>12}: " + " ".join(f"{qubit:>5}" for qubit in range(max(widths, default=0))))
        for number, values in enumerate(encoders):
            print(f"{f'encoder {number}':>12}: " + " ".join(f"{v:+.2f}" for v in values))
        for block in blocks:
            print(f"{block.name:>12}: " + " ".join(f"{v:+.2f}" for v in block.z))


def export(
    model: ModelArgument,
    onnx: Annotated[Path, typer.Option(help="New folder for model.onnx and the tokenizer.")],
    json_: Json = False,
) -> None:
    """Write base and head as one ONNX graph, which onnxruntime runs without this package.

    Example: hilbertune export model --onnx exported
    """
    check_model(model)
    check_place(onnx)
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.use.onnx import export_onnx

    about = export_onnx(load_pretrained(model), onnx)
    if json_:
        print_json(about)
    else:
        print(f"Exported: {onnx} ({about['bytes'] / 1e6:.1f} MB), {', '.join(about['inputs'])}")


def serve(
    model: ModelArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    max_bytes: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Maximum number of bytes in a request.")
    ] = 1_000_000,
    max_items: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Maximum number of items in a request.")
    ] = 256,
    max_characters: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Maximum number of characters in a text.")
    ] = 10_000,
    max_seconds: Annotated[
        float,
        typer.Option(parser=finite(0.01, 1e6), metavar="<float>", help="Maximum seconds that a request may take."),
    ] = 30.0,
    max_waiting: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Maximum number of items that may wait.")
    ] = 4096,
    batch: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Maximum number of items that share a batch.")
    ] = 64,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Answer only requests whose header Host has this name, such as *.example.org; repeatable."),
    ] = None,
    device: BestDevice = "auto",
) -> None:
    """Answer POST /predict over HTTP, with /health, /model, /metrics and /openapi.json.

    Example: hilbertune serve model --port 8000
    """
    check_model(model)
    from hilbertune.estimator.devices import best_device
    from hilbertune.estimator.directory import load_pretrained

    loaded = load_pretrained(model, device=best_device() if device == "auto" else device)
    # After the model: its mistakes are more likely than a missing extra.
    from hilbertune.use import serving

    limits = serving.Limits(max_bytes, max_items, max_characters, max_seconds, max_waiting, batch)
    try:
        serving.serve(loaded, host=host, port=port, limits=limits, hosts=allowed_host or ())
    except SystemExit as error:
        # uvicorn has said why it could not listen.
        if error.code:
            raise HilbertuneError(f"Cannot listen on {host}:{port}: choose another port.") from None
