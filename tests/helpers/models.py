"""Small models of random weights in folders, as Hugging Face saves them, and items for them.

In: an empty folder.
Out: the folder of a model, or files of pictures.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LONG_AND_SHORT = ["a b c d e f g h", "i", "j k l", "m n o p q r", "s t"]

WITHOUT_WORDS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = {**WITHOUT_WORDS, "vocab_size": 40}
SPEECH = {
    "conv_dim": (8, 8),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def copied(model: Path, to: Path) -> Path:
    """Copy a model's folder."""
    return Path(shutil.copytree(model, to))


def saved(folder: Path, model: Any, processor: Any) -> Path:
    """Save a model with its tokenizer or preprocessor."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def word_tokenizer(**options: Any) -> Any:
    """Make a tokenizer: one token a letter, "</s>" at the end, no token for padding unless `options` name one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"</s>": 0, "<unk>": 1, **{letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 2)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", **options)


def pictures(folder: Path) -> list[Path]:
    """Write three pictures, one of them grey."""
    draw = np.random.default_rng(0)
    paths = [folder / name for name in ("a.png", "b.png", "c.bmp")]
    for path, mode in zip(paths, ("RGB", "L", "RGB"), strict=True):
        shape = (40, 30) if mode == "L" else (24, 48, 3)
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8), mode).save(path)
    return paths


PROMPTED: dict[str, Any] = {"prompts": {"query": "query : film "}, "default_prompt_name": "query"}
"""Options of a sentence transformer that puts a prompt before every text."""


def saved_base(plain: Path, to: Path, *more: Any, pooling: Any = None, dtype: Any = None, **options: Any) -> Path:
    """Save a sentence transformer of a plain model's folder: pooling, then further modules."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    transformer = Transformer(str(plain), **options.pop("transformer", {}))
    modules = [transformer, Pooling(16, **(pooling or {})), *more]
    model = SentenceTransformer(modules=modules, device="cpu", **options)
    (model if dtype is None else model.to(dtype)).save(str(to))
    return to


def saved_static(plain: Path, to: Path, **options: Any) -> Path:
    """Save a sentence transformer that looks up the vectors of a plain model's tokens, and nothing else."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    table = StaticEmbedding(Tokenizer.from_file(str(plain / "tokenizer.json")), embedding_dim=16)
    SentenceTransformer(modules=[table], device="cpu", **options).save(str(to))
    return to
