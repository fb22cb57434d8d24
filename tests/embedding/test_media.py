"""Images and sounds: the vectors of transformers itself, cached by content, refused by row."""

from pathlib import Path

import numpy as np
import pytest
from helpers.models import SMALL, WITHOUT_WORDS, pictures, saved, word_tokenizer
from PIL import Image

from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError


def test_images_go_through_the_same_door(vit: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    paths = pictures(tmp_path)
    embedder = Embedder(str(vit), cache=tmp_path / "cache")
    assert embedder.pooling == "mean"
    vectors = embedder.embed([str(paths[0]), *paths[1:]])
    processor, model = (
        AutoImageProcessor.from_pretrained(vit),
        AutoModel.from_pretrained(vit).eval(),
    )
    for path, vector in zip(paths, vectors, strict=True):
        inputs = processor(Image.open(path).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0].numpy()
        np.testing.assert_allclose(vector, states.mean(axis=0), atol=1e-6)
    opened = [Image.open(path) for path in paths]
    np.testing.assert_allclose(embedder.embed(opened), vectors, atol=1e-6)


def test_images_are_cached_by_their_content(vit: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    vectors = Embedder(str(vit), cache=tmp_path / "cache").embed(paths)
    renamed = [path.rename(tmp_path / f"other-{path.name}") for path in paths]
    second = Embedder(str(vit), cache=tmp_path / "cache")
    np.testing.assert_array_equal(second.embed(renamed), vectors)
    assert second.computed == 0
    Image.new("RGB", (8, 8), "red").save(renamed[0])
    assert np.abs(second.embed(renamed)[0] - vectors[0]).max() > 1e-4
    assert second.computed == 1


def test_images_that_cannot_be_read_are_named_by_row(vit: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    embedder = Embedder(str(vit), cache=None)
    with pytest.raises(HilbertuneError, match=r"Row 2: there is no file .*none\.png"):
        embedder.embed([paths[0], tmp_path / "none.png"])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(HilbertuneError, match=r"Row 1: .*text\.png cannot be read as an image"):
        embedder.embed([tmp_path / "text.png"])
    half = paths[0].read_bytes()
    (tmp_path / "half.png").write_bytes(half[: len(half) // 2])
    with pytest.raises(HilbertuneError, match=r"Row 3: .*half\.png cannot be read as an image"):
        embedder.embed([*paths[:2], tmp_path / "half.png"])
    with pytest.raises(HilbertuneError, match="Row 1 has a value of type int where an image belongs"):
        embedder.embed([3])


def test_a_model_for_texts_and_images_takes_both(tmp_path: Path) -> None:
    import torch
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPTextConfig,
        CLIPVisionConfig,
    )

    torch.manual_seed(0)
    text = CLIPTextConfig(max_position_embeddings=12, projection_dim=8, eos_token_id=0, **SMALL)
    vision = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=8, **WITHOUT_WORDS)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    processor = CLIPProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        word_tokenizer(pad_token="<unk>"),
    )
    folder = saved(tmp_path / "clip", model, processor)
    paths = pictures(tmp_path)
    embedder = Embedder(str(folder), cache=None)
    mixed = embedder.embed(["a b c", str(paths[0]), paths[1], "a b.png"])
    assert mixed.shape == (4, 8)
    np.testing.assert_allclose(embedder.embed([paths[0]])[0], mixed[1], atol=1e-6)
    np.testing.assert_allclose(embedder.embed(["a b c"])[0], mixed[0], atol=1e-6)
    with pytest.raises(HilbertuneError, match=r"Row 1: there is no file none\.png"):
        embedder.embed(["none.png"])
    for address in ("https://example.org/a.png", "data:image/png;base64,AAAA"):
        with pytest.raises(HilbertuneError, match=r"Row 2 has the address .*: fetch the image"):
            embedder.embed(["a", address])


def test_sounds_go_through_the_same_door(speech: Path, tmp_path: Path) -> None:
    import soundfile
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    draw = np.random.default_rng(0)
    waves = [draw.normal(size=size).astype(np.float32) * 0.1 for size in (1600, 800, 1600)]
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, 16000, subtype="FLOAT")
    embedder = Embedder(str(speech), cache=tmp_path / "cache")
    vectors = embedder.embed(paths)
    extractor = AutoFeatureExtractor.from_pretrained(speech)
    model = AutoModel.from_pretrained(speech).eval()
    for wave, vector in zip(waves, vectors, strict=True):
        inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0].numpy()
        np.testing.assert_allclose(vector, states.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(embedder.embed(waves), vectors, atol=1e-6)
    again = Embedder(str(speech), cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.embed([str(path) for path in paths]), vectors)
    assert again.computed == 0


def test_sounds_are_mixed_down_and_resampled(speech: Path, tmp_path: Path) -> None:
    import soundfile

    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)

    soundfile.write(tmp_path / "own.wav", tone(16000), 16000)
    stereo = np.stack([0.5 * tone(48000), 1.5 * tone(48000)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo / 2, 48000, subtype="FLOAT")
    own, other = Embedder(str(speech), cache=None).embed([tmp_path / "own.wav", tmp_path / "stereo.wav"])
    assert own @ other / np.linalg.norm(own) / np.linalg.norm(other) > 0.999


def test_sounds_that_cannot_be_read_are_named_by_row(speech: Path, tmp_path: Path) -> None:
    embedder = Embedder(str(speech), cache=None)
    with pytest.raises(HilbertuneError, match=r"Row 1: there is no file .*none\.wav"):
        embedder.embed([tmp_path / "none.wav"])
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(HilbertuneError, match=r"Row 1: .*text\.wav cannot be read as a sound"):
        embedder.embed([str(tmp_path / "text.wav")])
    with pytest.raises(HilbertuneError, match=r"Row 1 holds float64 of the shape \[2, 3\]"):
        embedder.embed([np.ones((2, 3))])
    with pytest.raises(HilbertuneError, match=r"Row 2: the sound does not suit .*remove the row"):
        embedder.embed([np.ones(1600), np.ones(3)])
