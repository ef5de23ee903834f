"""Encodes texts with sentence-transformers, in f32 or bf16.

usage: encode.py SPEC.json f32|bf16     SPEC.json: {"model", "weights", "texts", "maxLength", "batchSize"}
The vectors go to the file that UNIMOER_BENCH_VECTORS names.
"""

import json
import os
import sys
import tempfile

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from protocol import serve

spec = json.load(open(sys.argv[1]))
dtype = sys.argv[2]
torch.set_num_threads(2)

config = AutoConfig.from_pretrained(spec["model"])
body = AutoModel.from_config(config)
state = {k: v.float() for k, v in load_file(spec["weights"]).items()}
body.load_state_dict(state, strict=False)
with tempfile.TemporaryDirectory() as folder:
    body.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_file=spec["model"] + "/tokenizer.json",
        pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", mask_token="[MASK]",
        model_max_length=512,
    ).save_pretrained(folder)
    transformer = Transformer(folder, max_seq_length=spec["maxLength"])
model = SentenceTransformer(modules=[transformer, Pooling(config.hidden_size, "mean"), Normalize()], device="cpu")
if dtype == "bf16":
    model = model.to(torch.bfloat16)
model.eval()


def encode():
    return model.encode(spec["texts"], batch_size=spec["batchSize"], show_progress_bar=False, convert_to_tensor=True).float()


def check():
    encode().numpy().tofile(os.environ["UNIMOER_BENCH_VECTORS"])
    return {}


serve(encode, check)
