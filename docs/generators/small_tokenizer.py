"""A small tokenizer in the form of CLIP's, for the models of transformers_families."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from vitquant.data.texts import template_texts

START, END = "<|startoftext|>", "<|endoftext|>"
SIZE = 300


def tokenizer() -> Tokenizer:
    """Byte-level BPE in the form of CLIP's, with 300 tokens; the last two begin and end texts."""
    learned = _form(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    texts = template_texts("texts", 200, seed=0)
    trainer = BpeTrainer(
        vocab_size=SIZE - 2, end_of_word_suffix="</w>", show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    learned.train_from_iterator([texts.image(i) for i in range(len(texts))], trainer)
    model = json.loads(learned.to_str())["model"]
    vocab = model["vocab"] | {START: SIZE - 2, END: SIZE - 1}
    merges = [tuple(merge) for merge in model["merges"]]
    made = _form(models.BPE(vocab, merges, unk_token=END, end_of_word_suffix="</w>"))
    made.add_special_tokens([START, END])
    made.post_processor = processors.RobertaProcessing(
        (END, SIZE - 1), (START, SIZE - 2), trim_offsets=False, add_prefix_space=False
    )
    return made


def _form(model: models.BPE) -> Tokenizer:
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    return made


def write_tokenizer(folder: Path) -> Path:
    """As ``tokenizer.json``, with what transformers asks for beside it; the folder."""
    tokenizer().save(str(folder / "tokenizer.json"))
    config = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_vocabulary(folder: Path) -> Path:
    """As ``vocab.json`` and ``merges.txt``, the form of older repositories; the folder."""
    model = json.loads(tokenizer().to_str())["model"]
    merges = [" ".join(merge) for merge in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder
