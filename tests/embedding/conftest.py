"""Small models of random weights, made once for all tests of embeddings."""

import json
from pathlib import Path

import pytest
from helpers.models import SMALL, SPEECH, WITHOUT_WORDS, saved, word_tokenizer


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a sentence transformer, 8 numbers wide, that reads at most 6 tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = tmp_path_factory.mktemp("words")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (words / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
        )
    ).save_pretrained(words)
    BertTokenizerFast(str(words / "vocab.txt")).save_pretrained(words)
    transformer = Transformer(str(words), max_seq_length=6)
    folder = tmp_path_factory.mktemp("tiny")
    SentenceTransformer(modules=[transformer, Pooling(8)], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a causal model that counts positions from the left, pads on the left and has no padding token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_positions=12, n_embd=16, n_layer=2, n_head=2)
    tokenizer = word_tokenizer(padding_side="left")
    assert tokenizer.pad_token is None
    return saved(tmp_path_factory.mktemp("gpt2"), GPT2LMHeadModel(config), tokenizer)


@pytest.fixture(scope="session")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a causal model with a chat template, in half precision."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(num_key_value_heads=1, max_position_embeddings=64, **SMALL)
    tokenizer = word_tokenizer(pad_token="<unk>", padding_side="left")
    tokenizer.chat_template = "{% for m in messages %}z z {{ m['content'] }}{% endfor %}"
    model = MistralForCausalLM(config).to(torch.bfloat16)
    return saved(tmp_path_factory.mktemp("mistral"), model, tokenizer)


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(image_size=32, patch_size=8, **WITHOUT_WORDS)
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    return saved(tmp_path_factory.mktemp("vit"), ViTModel(config), processor)


@pytest.fixture(scope="session")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model of sounds with its feature extractor alone."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    model = HubertModel(HubertConfig(**SMALL, **SPEECH))
    return saved(tmp_path_factory.mktemp("hubert"), model, extractor)


@pytest.fixture(scope="session")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model of sounds that has a tokenizer for its transcripts, too."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
        Wav2Vec2Processor,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wav2vec2")
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}))
    processor = Wav2Vec2Processor(
        Wav2Vec2FeatureExtractor(return_attention_mask=False),
        Wav2Vec2CTCTokenizer(str(folder / "vocab.json")),
    )
    return saved(folder, Wav2Vec2Model(Wav2Vec2Config(**SMALL, **SPEECH)), processor)


@pytest.fixture(params=["hubert", "wav2vec2"])
def speech(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))
