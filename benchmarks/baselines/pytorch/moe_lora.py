"""MoE-LoRA in PyTorch in two forms: the expert loop of PEFT-style code, and dense rank space.

Gates come from one sequence-level router per layer over the mean-pooled layer input, scaled to a root mean
square of 1. `top_k` keeps the k largest
softmax gates, renormalised; `sparsegen` is Sparsegen with a learned sparsity per layer. With `shared` the last
expert is always on with gate 1.
"""

import torch
from torch import nn


def sparsegen(z, sparsity):
    one_minus = 1 - sparsity
    sorted_z, _ = torch.sort(z, dim=-1, descending=True)
    cumulative = sorted_z.cumsum(-1)
    k = torch.arange(1, z.shape[-1] + 1, device=z.device)
    support = (one_minus + k * sorted_z > cumulative).sum(-1, keepdim=True)
    tau = (cumulative.gather(-1, support - 1) - one_minus) / support
    return (z - tau).clamp_min(0) / one_minus


class Router(nn.Module):
    def __init__(self, weight, kind, top_k, shared):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.kind, self.top_k, self.shared = kind, top_k, shared
        if kind == "sparsegen":
            # λ = logsigmoid(θ) + 0.99 starts at 0
            self.theta = nn.Parameter(-torch.log(torch.expm1(torch.tensor(0.99))))

    def forward(self, hidden, mask):
        m = mask.unsqueeze(-1).float()
        pooled = (hidden.float() * m).sum(1) / m.sum(1)
        pooled = nn.functional.normalize(pooled, dim=-1) * pooled.shape[-1] ** 0.5
        z = pooled @ self.weight.t()
        if self.kind == "sparsegen":
            gates = sparsegen(z, nn.functional.logsigmoid(self.theta) + 0.99)
        else:
            p = z.softmax(-1)
            values, index = p.topk(self.top_k, dim=-1)
            gates = torch.zeros_like(p).scatter(-1, index, values / values.sum(-1, keepdim=True))
        if self.shared:
            gates = torch.cat([gates, torch.ones_like(gates[:, :1])], dim=-1)
        return gates


class MoeLinear(nn.Module):
    def __init__(self, base, a, b, experts, rank, scale, form, state):
        super().__init__()
        self.base, self.experts, self.rank, self.scale, self.form, self.state = base, experts, rank, scale, form, state
        dtype = base.weight.dtype
        if form == "loop":
            self.a = nn.ParameterList([nn.Parameter(t.to(dtype).clone()) for t in a.split(rank, 0)])
            self.b = nn.ParameterList([nn.Parameter(t.to(dtype).clone()) for t in b.split(rank, 1)])
        else:
            self.a, self.b = nn.Parameter(a.to(dtype).clone()), nn.Parameter(b.to(dtype).clone())

    def forward(self, x):
        gates = self.state["gates"]
        y = self.base(x)
        if self.form == "loop":
            for e in range(self.experts):
                out = (x @ self.a[e].t()) @ self.b[e].t()
                y = y + out * (gates[:, e] * self.scale).to(x.dtype)[:, None, None]
            return y
        h = x @ self.a.t()
        g = (gates * self.scale).to(x.dtype).repeat_interleave(self.rank, dim=-1)
        return y + (h * g[:, None, :]) @ self.b.t()


def install(layers, spec, adapters, form):
    """Wraps the target linears of each layer, returns the trainable parameters."""
    moe = spec["moe"]
    experts = moe["experts"] + (1 if moe["shared"] else 0)
    trainable = []
    for index, (layer, prefix) in enumerate(layers):
        state = {}
        router = Router(adapters[f"router.{index}.weight"], moe["kind"], moe["topK"], moe["shared"])
        trainable += list(router.parameters())

        def before(module, args, kwargs, router=router, state=state):
            hidden = args[0] if args else kwargs["hidden_states"]
            state["gates"] = router(hidden, module.unimoer_mask)

        layer.register_forward_pre_hook(before, with_kwargs=True)
        for name in spec["targets"]:
            parent_name, _, leaf = name.rpartition(".")
            parent = layer.get_submodule(parent_name)
            full = f"{prefix}.{name}"
            wrapped = MoeLinear(
                getattr(parent, leaf), adapters[f"{full}.A"], adapters[f"{full}.B"], experts, moe["rank"], moe["scale"], form, state
            )
            setattr(parent, leaf, wrapped)
            trainable += [p for n, p in wrapped.named_parameters() if not n.startswith("base.")]
    return trainable
