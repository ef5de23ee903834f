"""Exports a BERT encoder for ONNX Runtime and transformers.js, at the forms that run fastest there.

usage: export.py SPEC.json OUT     SPEC.json: {"model", "weights", "maxLength"}

OUT/plain and OUT/fused are folders that transformers.js reads: onnx/model.onnx in f32 and
onnx/model_quantized.onnx with dynamic int8 (weights per channel). `plain` is the graph as exported, `fused`
has gone through ONNX Runtime's transformer optimiser (attention, bias + GELU and skip layer normalisation as
single operators). OUT/pooled/{f32,int8}.onnx are the fused graphs with mean pooling and normalisation inside.
"""

import json
import logging
import os
import shutil
import sys

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

logging.disable(logging.WARNING)
spec = json.load(open(sys.argv[1]))
out = sys.argv[2]

config = AutoConfig.from_pretrained(spec["model"])
config._attn_implementation = "eager"
body = AutoModel.from_config(config, attn_implementation="eager")
state = {k: v.float() for k, v in load_file(spec["weights"]).items()}
missing, _ = body.load_state_dict(state, strict=False)
missing = [m for m in missing if "pooler" not in m and "position_ids" not in m]
if missing:
    raise SystemExit(f"weights lack {missing[:3]}")
body.eval()


class Hidden(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = body

    def forward(self, input_ids, attention_mask, token_type_ids):
        # an additive mask of four dimensions passes the model's own mask code unchanged
        mask = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        return self.body(input_ids=input_ids, attention_mask=mask, token_type_ids=token_type_ids).last_hidden_state


class Pooled(Hidden):
    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = super().forward(input_ids, attention_mask, token_type_ids)
        weight = attention_mask.unsqueeze(-1).float()
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


def export(module, path, output, axes):
    ids = torch.randint(1000, 2000, (2, 16))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.onnx.export(
        module,
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        path,
        input_names=["input_ids", "attention_mask", "token_type_ids"],
        output_names=[output],
        dynamic_axes={
            **{name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", "token_type_ids")},
            output: axes,
        },
        opset_version=17,
        dynamo=False,
    )


def divide_scores(path):
    """Writes the scaling of attention scores as a division, the form that the optimiser recognises."""
    model = onnx.load(path)
    made = {output: node for node in model.graph.node for output in node.output}
    for softmax in (n for n in model.graph.node if n.op_type == "Softmax"):
        scaled = made[made[softmax.input[0]].input[0]]
        factor = made[scaled.input[1]].attribute[0].t
        scaled.op_type = "Div"
        inverse = 1 / float(onnx.numpy_helper.to_array(factor))
        factor.CopyFrom(onnx.helper.make_tensor("", onnx.TensorProto.FLOAT, [], [inverse]))
    onnx.save(model, path)


def fuse(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    divide_scores(source)
    options = FusionOptions("bert")
    model = optimizer.optimize_model(
        source, "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size, optimization_options=options
    )
    model.save_model_to_file(target)
    return {k: v for k, v in model.get_fused_operator_statistics().items() if v}


def quantise(source, target):
    # the fused operators belong to another domain, whose output types shape inference does not know
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)


export(Hidden(), f"{out}/plain/onnx/model.onnx", "last_hidden_state", {0: "batch", 1: "length"})
export(Pooled(), f"{out}/pooled/plain.onnx", "sentence_embedding", {0: "batch"})
fused = fuse(f"{out}/plain/onnx/model.onnx", f"{out}/fused/onnx/model.onnx")
fuse(f"{out}/pooled/plain.onnx", f"{out}/pooled/f32.onnx")
if fused.get("Attention") != config.num_hidden_layers:
    raise SystemExit(f"attention was not fused in every layer: {fused}")
for form in ("plain", "fused"):
    quantise(f"{out}/{form}/onnx/model.onnx", f"{out}/{form}/onnx/model_quantized.onnx")
    shutil.copy(spec["model"] + "/config.json", f"{out}/{form}/config.json")
    shutil.copy(spec["model"] + "/tokenizer.json", f"{out}/{form}/tokenizer.json")
    with open(f"{out}/{form}/tokenizer_config.json", "w") as file:
        json.dump({
            "tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": spec["maxLength"],
            "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]",
        }, file)
quantise(f"{out}/pooled/f32.onnx", f"{out}/pooled/int8.onnx")
print(json.dumps({"fused": fused, "onnx": onnx.__version__}))
