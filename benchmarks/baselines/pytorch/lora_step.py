"""One LoRA or MoE-LoRA training step in PyTorch: forward, InfoNCE over mean-pooled vectors, backward, AdamW.

usage: lora_step.py SPEC.json --dtype f32|bf16|autocast --attention eager|sdpa [--form lora|loop|dense] [--compile]

SPEC.json (written by the benchmark) names the model folder, the adapter tensors and the token ids; the first
half of the sequences are queries, the second half their documents. `bf16` keeps model and adapters in bf16,
`autocast` keeps f32 adapters under torch.autocast, as PEFT users train.
"""

import argparse
import json

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

import moe_lora
from protocol import serve


def batches(spec, pad_id):
    """Pads each group of sequences; groups hold sequences of similar length (length-sorted within the batch)."""
    out = []
    for group in spec["groups"]:
        rows = [spec["sequences"][i] for i in group]
        width = max(len(r) for r in rows)
        ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        out.append((torch.tensor(group), ids, mask))
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("spec")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--attention", default="eager")
    parser.add_argument("--form", default="lora")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    spec = json.load(open(args.spec))
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    config = AutoConfig.from_pretrained(spec["model"])
    config._attn_implementation = args.attention
    model = AutoModel.from_config(config, attn_implementation=args.attention)
    state = load_file(spec["weights"])
    missing, _ = model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    missing = [m for m in missing if "pooler" not in m and "position_ids" not in m]
    if missing:
        raise SystemExit(f"weights lack {missing[:3]}")
    if args.dtype == "bf16":
        model = model.to(torch.bfloat16)
    model.requires_grad_(False)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    layers = spec["layers"]
    adapters = load_file(spec["adapters"])

    if args.form == "lora":
        trainable = []
        for prefix in layers:
            layer = model.get_submodule(prefix)
            for name in spec["targets"]:
                parent_name, _, leaf = name.rpartition(".")
                parent = layer.get_submodule(parent_name)
                base = getattr(parent, leaf)
                a, b = adapters[f"{prefix}.{name}.A"], adapters[f"{prefix}.{name}.B"]
                adapted = Lora(base, a, b, spec["scale"], torch.bfloat16 if args.dtype == "bf16" else torch.float32)
                setattr(parent, leaf, adapted)
                trainable += [adapted.a, adapted.b]
    else:
        trainable = moe_lora.install([(model.get_submodule(p), p) for p in layers], spec, adapters, args.form)
    for p in trainable:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(trainable, lr=spec["lr"], weight_decay=0.0, foreach=True)
    forward = torch.compile(model) if args.compile else model
    data = batches(spec, spec["padId"])
    count = len(spec["sequences"])

    def pooled():
        vectors = [None] * count
        for index, ids, mask in data:
            if args.form != "lora":
                for prefix in layers:
                    model.get_submodule(prefix).unimoer_mask = mask
            hidden = forward(input_ids=ids, attention_mask=mask).last_hidden_state
            m = mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * m).sum(1).float() / m.sum(1).float()
            for row, i in enumerate(index.tolist()):
                vectors[i] = mean[row]
        return F.normalize(torch.stack(vectors), dim=-1)

    def loss_of():
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "autocast"):
            v = pooled()
        half = count // 2
        scores = v[:half].float() @ v[half:].float().t() / spec["temperature"]
        return F.cross_entropy(scores, torch.arange(half))

    def iteration():
        loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def check():
        loss = loss_of()
        loss.backward()
        norm = torch.sqrt(sum((p.grad.float() ** 2).sum() for p in trainable)).item()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": loss.item(), "gradNorm": norm, "trainable": sum(p.numel() for p in trainable)}

    serve(iteration, check)


class Lora(torch.nn.Module):
    """y = W x + scale B A x, the form peft computes without dropout, with no per-call bookkeeping."""

    def __init__(self, base, a, b, scale, dtype):
        super().__init__()
        self.base, self.scale = base, scale
        self.a = torch.nn.Parameter(a.to(dtype).clone())
        self.b = torch.nn.Parameter(b.to(dtype).clone())

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.a), self.b) * self.scale


if __name__ == "__main__":
    main()
