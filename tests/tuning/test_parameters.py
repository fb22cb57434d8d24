"""The layer of each parameter of a base, by its name in the models that Hugging Face has."""

import pytest

from hilbertune.tuning.parameters import layer_of


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("embeddings.word_embeddings.weight", -1),
        ("embed_tokens.weight", -1),
        ("encoder.layer.0.attention.self.query.weight", 0),
        ("encoder.layer.11.output.dense.bias", 11),
        ("layers.7.mlp.up_proj.weight", 7),
        ("base_model.model.encoder.layer.2.attention.self.key.lora_A.default.weight", 2),
        ("pooler.dense.weight", 12),
        ("norm.weight", 12),
    ],
)
def test_layers_are_counted_from_the_embeddings_up(name: str, layer: int) -> None:
    assert layer_of(name, 12) == layer
