"""Golden values that take more than the line of cases.py: layers and networks with their weights, optimisers over ten
steps, learning rates over a run. Each function of MAKERS returns the tensors of one file.

A layer or network `name` has its state `name.state.<key>` before, inputs `name.x`, `name.y`, ..., the value `name.out`,
the gradients `name.dx`, ... and `name.grad.<key>` of (out * weights).sum() (see generate.py), and `name.after.<key>`:
the running statistics as they are then. Numbers are drawn in steps of 1/64.
"""
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import _muon, lr_scheduler


def values(seed, *shape, low=-1, high=1, dtype=torch.float32):
    rng = random.Random(seed)  # a string is a seed, the same in every version of Python
    values = [rng.randrange(round(low * 64), round(high * 64)) / 64 for _ in range(torch.Size(shape).numel())]
    return torch.tensor(values, dtype=torch.float64).to(dtype).reshape(shape)


def fill(name, module):
    """Gives every tensor of a module values that depend on its name alone."""
    for key, value in module.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.fill_(3)
        else:
            low, high = (0.5, 2) if key.endswith("running_var") else (-1, 1)
            value.copy_(values(f"{name}.{key}", *value.shape, low=low, high=high))


def record(name, module, call, *inputs, train=False):
    fill(name, module)
    module.train(train)
    result = {f"{name}.state.{key}": value.clone() for key, value in module.state_dict().items()}
    letters = dict(zip("xyz", (x.clone().requires_grad_(x.is_floating_point()) for x in inputs)))
    out = call(module, *letters.values())
    if isinstance(out, tuple):  # the last one is what gradients start from
        result[f"{name}.logits"], out = out
    out.backward(((torch.arange(out.numel()) % 5 + 1).to(out.dtype) / 4).reshape(out.shape))
    result[f"{name}.out"] = out
    result |= {f"{name}.{letter}": x for letter, x in letters.items()}
    result |= {f"{name}.d{letter}": x.grad for letter, x in letters.items() if x.grad is not None}
    result |= {f"{name}.grad.{key}": p.grad for key, p in module.named_parameters()}
    result |= {f"{name}.after.{key}": b for key, b in module.named_buffers()}
    return {key: value.detach() for key, value in result.items()}


# ---- Layers ---------------------------------------------------------------------------------------------------------
def layers():
    result = {}

    def layer(name, module, *shapes, call=lambda m, *xs: m(*xs), train=False):
        inputs = [s if isinstance(s, torch.Tensor) else values(f"{name}.{i}", *s) for i, s in enumerate(shapes)]
        result.update(record(name, module, call, *inputs, train=train))

    layer("linear", nn.Linear(4, 3), (2, 5, 4))
    layer("linear_plain", nn.Linear(4, 3, bias=False), (4,))
    layer("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 7))
    layer("conv2d", nn.Conv2d(3, 4, 3), (2, 3, 5, 6))
    layer("conv2d_options", nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2, bias=False), (2, 4, 6, 5))
    layer("conv3d", nn.Conv3d(2, 3, 2, padding=1), (1, 2, 3, 4, 3))
    layer("conv1d_same", nn.Conv1d(4, 6, 4, padding="same", dilation=2, groups=2), (2, 4, 7))
    layer("conv2d_same", nn.Conv2d(2, 3, (3, 2), padding="same", bias=False), (2, 2, 4, 5))
    layer("conv_transpose1d", nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5))
    layer("conv_transpose2d", nn.ConvTranspose2d(3, 4, 3), (2, 3, 4, 3))
    layer("conv_transpose2d_options", nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 2)),
          (2, 4, 3, 4))
    layer("conv_transpose3d", nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 2, 3, 2))
    for train in (False, True):
        mode = "_train" if train else "_eval"
        layer("batchnorm1d" + mode, nn.BatchNorm1d(3), (5, 3), train=train)
        layer("batchnorm1d_length" + mode, nn.BatchNorm1d(3), (2, 3, 4), train=train)
        layer("batchnorm2d" + mode, nn.BatchNorm2d(3), (2, 3, 4, 5), train=train)
        layer("batchnorm2d_options" + mode, nn.BatchNorm2d(3, eps=0.1, momentum=0.3), (2, 3, 4, 5), train=train)
        layer("batchnorm2d_twice" + mode, nn.BatchNorm2d(3), (2, 3, 2, 2), train=train, call=lambda m, x: m(m(x) * x))
        layer("batchnorm3d" + mode, nn.BatchNorm3d(2), (2, 2, 2, 3, 2), train=train)
        layer("groupnorm" + mode, nn.GroupNorm(2, 6), (2, 6, 3, 2), train=train)
        layer("instancenorm" + mode, nn.InstanceNorm2d(3), (2, 3, 3, 4), train=train)
        layer("instancenorm2d_tracked" + mode, nn.InstanceNorm2d(3, 0.1, 0.3, True, True), (2, 3, 3, 4), train=train)
        layer("instancenorm1d_tracked" + mode, nn.InstanceNorm1d(3, track_running_stats=True), (3, 5), train=train,
              call=lambda m, x: m(m(x) * x))
        layer("layernorm" + mode, nn.LayerNorm(6), (2, 3, 6), train=train)
        layer("rmsnorm" + mode, nn.RMSNorm(6), (2, 3, 6), train=train)
    layer("groupnorm_one", nn.GroupNorm(1, 4), (3, 4))
    layer("groupnorm_plain", nn.GroupNorm(3, 6, eps=0.1, affine=False), (2, 6, 5))
    layer("instancenorm_affine", nn.InstanceNorm1d(3, affine=True), (2, 3, 5))
    layer("layernorm_axes", nn.LayerNorm([3, 4]), (2, 3, 4))
    layer("layernorm_plain", nn.LayerNorm(4, eps=0.1, elementwise_affine=False), (2, 3, 4))
    layer("layernorm_without_bias", nn.LayerNorm(4, bias=False), (2, 3, 4))
    layer("rmsnorm_axes", nn.RMSNorm([3, 4], eps=0.1), (2, 3, 4))
    layer("rmsnorm_plain", nn.RMSNorm(4, elementwise_affine=False), (2, 3, 4))
    rows = torch.tensor([[4, 0, 4], [1, 2, 0]])
    layer("embedding", nn.Embedding(5, 3), rows)
    layer("embedding_padding", nn.Embedding(5, 3, padding_idx=0), rows)

    def steps(m, x, h, c):
        for t in range(x.size(0)):
            h, c = m(x[t], (h, c))
        return torch.cat([h, c], -1)

    layer("lstm_cell", nn.LSTMCell(3, 4), (2, 3), (2, 4), (2, 4), call=lambda m, x, h, c: torch.cat(m(x, (h, c)), -1))
    layer("lstm_cell_first", nn.LSTMCell(3, 4), (2, 3), call=lambda m, x: torch.cat(m(x), -1))
    layer("lstm_cell_alone", nn.LSTMCell(3, 4, bias=False), (3,), call=lambda m, x: torch.cat(m(x), -1))
    layer("lstm_cell_steps", nn.LSTMCell(3, 4), (3, 2, 3), (2, 4), (2, 4), call=steps)

    layer("gru_cell", nn.GRUCell(3, 4), (2, 3), (2, 4))
    layer("gru_cell_alone", nn.GRUCell(3, 4, bias=False), (3,))
    layer("rnn_cell", nn.RNNCell(3, 4), (2, 3), (2, 4))
    layer("rnn_cell_relu", nn.RNNCell(3, 4, bias=False, nonlinearity="relu"), (3,))

    def flat(y, state):
        return torch.cat([part.flatten() for part in (y, *(state if isinstance(state, tuple) else [state]))])

    def whole(m, x, *state):
        return flat(*m(x, state[0] if len(state) == 1 else state or None))

    def packed(m, x, *state):
        first = m.batch_first
        pack = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 5, 1]), first, enforce_sorted=False)
        y, state = m(pack, state[0] if len(state) == 1 else state or None)
        return flat(nn.utils.rnn.pad_packed_sequence(y, first, total_length=x.size(1 if first else 0))[0], state)

    deep = {"num_layers": 2, "bidirectional": True}
    for kind, made, parts in (("lstm", nn.LSTM, 2), ("gru", nn.GRU, 1), ("rnn", nn.RNN, 1)):
        layer(kind, made(3, 4), (5, 2, 3), call=whole)
        layer(kind + "_alone", made(3, 4, bias=False), (5, 3), *[(1, 4)] * parts, call=whole)
        layer(kind + "_deep", made(3, 4, batch_first=True, **deep), (2, 5, 3), *[(4, 2, 4)] * parts, call=whole)
        layer(kind + "_packed", made(3, 4, **deep), (6, 3, 3), *[(4, 3, 4)] * parts, call=packed)
        layer(kind + "_packed_first", made(3, 4, batch_first=True), (3, 6, 3), call=packed)
    layer("rnn_relu", nn.RNN(3, 4, nonlinearity="relu"), (5, 2, 3), call=whole)
    layer("lstm_projected", nn.LSTM(3, 4, proj_size=2), (5, 2, 3), call=whole)
    layer("lstm_projected_deep", nn.LSTM(3, 4, 2, False, True, bidirectional=True, proj_size=1), (2, 5, 3), (4, 2, 1), (4, 2, 4),
          call=whole)
    layer("lstm_projected_packed", nn.LSTM(3, 4, proj_size=3, **deep), (6, 3, 3), (4, 3, 3), (4, 3, 4), call=packed)
    layer("lstm_projected_alone", nn.LSTM(3, 4, proj_size=2), (5, 3), (1, 2), (1, 4), call=whole)
    layer("gru_dropped", nn.GRU(3, 4, num_layers=3, dropout=1.0), (5, 2, 3), call=whole, train=True)

    hidden = torch.ones(4, 4, dtype=torch.bool).triu(1)
    seen = torch.tensor([[True, False, True], [True, True, False], [False, True, True], [True, True, True]])
    layer("attention_self", nn.MultiheadAttention(6, 2, batch_first=True), (2, 4, 6), call=lambda m, x: m(x, x, x)[0])
    layer("attention_causal", nn.MultiheadAttention(6, 3, batch_first=True), (2, 4, 6),
          call=lambda m, x: m(x, x, x, attn_mask=hidden)[0])
    layer("attention_cross", nn.MultiheadAttention(6, 2, bias=False, batch_first=True), (2, 4, 6), (2, 3, 6), (2, 3, 6),
          call=lambda m, q, k, v: m(q, k, v)[0])
    layer("attention_mask", nn.MultiheadAttention(6, 2, batch_first=True), (2, 4, 6), (2, 3, 6), (2, 3, 6),
          call=lambda m, q, k, v: m(q, k, v, attn_mask=~seen)[0])
    layer("attention_dropped", nn.MultiheadAttention(6, 2, dropout=1.0, batch_first=True), (2, 4, 6), train=True,
          call=lambda m, x: m(x, x, x)[0])
    layer("batchnorm2d_plain_train", nn.BatchNorm2d(3, affine=False), (2, 3, 4, 5), train=True)
    layer("batchnorm2d_plain_eval", nn.BatchNorm2d(3, affine=False), (2, 3, 4, 5))
    layer("batchnorm1d_untracked_train", nn.BatchNorm1d(3, track_running_stats=False), (5, 3), train=True)
    layer("batchnorm1d_untracked_eval", nn.BatchNorm1d(3, track_running_stats=False), (5, 3))
    layer("batchnorm3d_bare", nn.BatchNorm3d(2, affine=False, track_running_stats=False), (2, 2, 2, 3, 2))
    layer("batchnorm2d_mean_of_all", nn.BatchNorm2d(3, momentum=None), (2, 3, 2, 2), train=True, call=lambda m, x: m(m(x) * x))
    layer("instancenorm2d_alone", nn.InstanceNorm2d(3), (3, 3, 4))
    layer("prelu", nn.PReLU(), (2, 3))
    layer("prelu_channels", nn.PReLU(3), (2, 3, 2, 4))
    starts = torch.tensor([0, 2, 2, 5])
    for mode in ("sum", "mean", "max"):
        layer("bag_" + mode, nn.EmbeddingBag(5, 3, mode=mode), torch.tensor([[4, 0, 1], [1, 2, 3]]))
        layer(f"bag_{mode}_offsets", nn.EmbeddingBag(5, 3, mode=mode), torch.tensor([4, 0, 1, 1, 2, 3]),
              call=lambda m, x: m(x, starts))
        layer(f"bag_{mode}_padding", nn.EmbeddingBag(5, 3, mode=mode, padding_idx=1), torch.tensor([4, 0, 3, 1, 2, 1]),
              call=lambda m, x: m(x, starts))
    layer("bag_weights", nn.EmbeddingBag(5, 3, mode="sum"), torch.tensor([[4, 0, 4], [1, 2, 0]]), (2, 3),
          call=lambda m, x, w: m(x, per_sample_weights=w))
    layer("bag_weights_offsets", nn.EmbeddingBag(5, 3, mode="sum"), torch.tensor([4, 0, 4, 1, 2, 0]), (6,),
          call=lambda m, x, w: m(x, starts, w))
    for name, options, mask in (("encoder", {}, None), ("encoder_norm_first", {"norm_first": True, "bias": False}, hidden),
                                ("encoder_gelu", {"activation": "gelu", "layer_norm_eps": 0.1}, hidden)):
        layer(name, nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, **options), (2, 4, 6),
              call=lambda m, x, mask=mask: m(x, mask))
    stateless = {
        "identity": nn.Identity(), "relu": nn.ReLU(), "relu6": nn.ReLU6(), "selu": nn.SELU(), "silu": nn.SiLU(),
        "mish": nn.Mish(), "sigmoid": nn.Sigmoid(), "logsigmoid": nn.LogSigmoid(), "tanh": nn.Tanh(),
        "softsign": nn.Softsign(), "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(),
        "leaky_relu": nn.LeakyReLU(), "elu": nn.ELU(0.5), "celu": nn.CELU(), "softplus": nn.Softplus(2), "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU("tanh"), "glu": nn.GLU(1), "softmax": nn.Softmax(1), "log_softmax": nn.LogSoftmax(1),
        "flatten": nn.Flatten(), "flatten_axes": nn.Flatten(2, -1), "unflatten": nn.Unflatten(1, (2, 1)),
        "max_pool2d": nn.MaxPool2d(2), "max_pool2d_options": nn.MaxPool2d(3, 2, 1), "avg_pool2d": nn.AvgPool2d((2, 3)),
        "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d(1), "upsample": nn.Upsample(scale_factor=2),
        "upsample_bilinear": nn.Upsample(scale_factor=(2, 3), mode="bilinear"),
    }
    for name, module in stateless.items():
        layer(name, module, (2, 2, 4, 6))
    layer("max_pool1d", nn.MaxPool1d(2), (2, 3, 6))
    layer("avg_pool1d", nn.AvgPool1d(3, 1), (2, 3, 6))
    layer("max_pool3d", nn.MaxPool3d(2), (1, 2, 4, 2, 4))
    layer("avg_pool3d", nn.AvgPool3d(2), (1, 2, 4, 2, 4))
    layer("sequential", nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.LayerNorm(6), nn.Tanh()),
                                      nn.Linear(6, 2)), (3, 4))
    return result


# ---- Networks, from their inputs to a loss --------------------------------------------------------------------------
class Block(nn.Module):
    """A transformer's: each half looks at its normalised input and adds what it makes of it."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        n, later = self.norm1(x), torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
        x = x + self.attention(n, n, n, attn_mask=later)[0]
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.symbols, self.places = nn.Embedding(7, 8), nn.Embedding(5, 8)
        self.block, self.norm, self.head = Block(), nn.LayerNorm(8), nn.Linear(8, 7, bias=False)

    def forward(self, tokens, targets):
        x = self.symbols(tokens) + self.places(torch.arange(tokens.size(1)))
        logits = self.head(self.norm(self.block(x)))
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class ResNet(nn.Module):
    """One basic block that halves the image, and a head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.downsample = nn.Sequential(nn.Conv2d(3, 6, 1, 2, bias=False), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 4)

    def forward(self, x, targets):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        logits = self.fc((y + self.downsample(x)).relu().mean((2, 3)))
        return logits, F.cross_entropy(logits, targets)


def networks():
    tokens, targets = torch.tensor([[0, 3, 6, 1, 3], [2, 2, 5, 4, 0]]), torch.tensor([[3, 6, 1, 3, 2], [2, 5, 4, 0, 6]])
    result = record("transformer", Transformer(), lambda m, *xs: m(*xs), tokens, targets, train=True)
    images, classes = values("images", 3, 3, 9, 8), torch.tensor([2, 0, 3])
    for mode, train in (("train", True), ("eval", False)):
        result |= record("resnet_" + mode, ResNet(), lambda m, *xs: m(*xs), images, classes, train=train)
    return result


# ---- Optimisers: parameters `name.<k>` after each of ten steps ------------------------------------------------------
class LAMB(torch.optim.Optimizer):
    """The formula of You et al., 2020, in torch's arithmetic."""

    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0):
        super().__init__(params, {"lr": lr})
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    @torch.no_grad()
    def step(self):
        (beta1, beta2), group = self.betas, self.param_groups[0]
        for p in group["params"]:
            state = self.state[p]
            t = state["t"] = state.get("t", 0) + 1
            m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * p.grad
            v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * p.grad**2
            u = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + self.eps) + self.weight_decay * p
            ratio = p.norm() / u.norm() if p.norm() > 0 and u.norm() > 0 else 1
            p -= group["lr"] * ratio * u


def exact_newton_schulz(x, coefficients, rounds, eps):
    """torch.optim.Muon's, which rounds to bfloat16 at each step, without the rounding."""
    a, b, c = coefficients
    y = x.T if x.size(0) > x.size(1) else x
    y = y / y.norm().clamp(min=eps)
    for _ in range(rounds):
        gram = y @ y.T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if x.size(0) > x.size(1) else y


STEPS, SHAPES = 10, [(3, 4), (5, 2)]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adam_options": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adamw_decay": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
    "lamb": lambda p: LAMB(p, lr=0.1),
    "lamb_options": lambda p: LAMB(p, lr=0.05, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.2),
    "muon": lambda p: torch.optim.Muon(p, lr=0.1),
    "muon_options": lambda p: torch.optim.Muon(p, lr=0.05, momentum=0.8, nesterov=False, weight_decay=0, ns_steps=3),
    "muon_like_adamw": lambda p: torch.optim.Muon(p, lr=0.1, adjust_lr_fn="match_rms_adamw"),
    "muon_bfloat16": lambda p: torch.optim.Muon(p, lr=0.1),
    "muon_coefficients": lambda p: torch.optim.Muon(p, lr=0.1, ns_coefficients=(2, -1.5, 0.5)),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "rmsprop_momentum": lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.9, momentum=0.5, weight_decay=0.1),
    "rmsprop_centered": lambda p: torch.optim.RMSprop(p, lr=0.05, eps=1e-3, centered=True, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "adagrad_options": lambda p: torch.optim.Adagrad(p, lr=0.2, lr_decay=0.1, weight_decay=0.1,
                                                     initial_accumulator_value=0.5, eps=1e-3),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "nadam_options": lambda p: torch.optim.NAdam(p, lr=0.05, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.2,
                                                 momentum_decay=0.1),
    "nadam_decoupled": lambda p: torch.optim.NAdam(p, lr=0.05, weight_decay=0.2, decoupled_weight_decay=True),
    # Each parameter in a group of its own.
    "sgd_groups": lambda p: torch.optim.SGD([{"params": p[:1], "momentum": 0.9}, {"params": p[1:], "lr": 0.01}], lr=0.1,
                                            weight_decay=0.1),
    "adamw_groups": lambda p: torch.optim.AdamW([{"params": p[:1], "weight_decay": 0},
                                                 {"params": p[1:], "lr": 0.2, "betas": (0.5, 0.8)}], lr=0.1),
    "nadam_groups": lambda p: torch.optim.NAdam([{"params": p[:1]}, {"params": p[1:], "lr": 0.2, "betas": (0.5, 0.8)}],
                                                lr=0.1),
}


def optimizers():
    result = {f"start.{k}": values(f"start.{k}", *shape, low=-2, high=2) for k, shape in enumerate(SHAPES)}
    grads = [values(f"grads.{k}", STEPS, *shape) for k, shape in enumerate(SHAPES)]
    result |= {f"grads.{k}": g for k, g in enumerate(grads)}
    rounded = _muon._zeropower_via_newtonschulz
    torch.set_default_dtype(torch.float64)  # of NAdam's product of momenta
    for name, make in OPTIMIZERS.items():
        _muon._zeropower_via_newtonschulz = rounded if name == "muon_bfloat16" else exact_newton_schulz
        params = [result[f"start.{k}"].double().requires_grad_() for k in range(len(SHAPES))]
        optimizer, seen = make(params), [[] for _ in params]
        for t in range(STEPS):
            if t == 5:  # the rate changes on the way
                for group in optimizer.param_groups:
                    group["lr"] *= 0.3
            for p, g in zip(params, grads):
                p.grad = g[t].double()
            optimizer.step()
            for k, p in enumerate(params):
                seen[k].append(p.detach().clone())
        result |= {f"{name}.{k}": torch.stack(s) for k, s in enumerate(seen)}
    _muon._zeropower_via_newtonschulz = rounded
    torch.set_default_dtype(torch.float32)

    for name, norm_type, limit in (("norm2", 2, 1.5), ("norm1", 1, 3), ("norm3", 3, 2), ("largest", torch.inf, 0.5),
                                   ("short", 2, 1e3)):
        params = [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES]
        for p, g in zip(params, grads):
            p.grad = g[0].double()
        result[f"clip_{name}.norm"] = nn.utils.clip_grad_norm_(params, limit, norm_type)
        result |= {f"clip_{name}.{k}": p.grad for k, p in enumerate(params)}
    return result


# ---- Learning rates, one a step -------------------------------------------------------------------------------------
def schedules():
    L = lr_scheduler

    def warm(optimizer, then):
        first = L.LinearLR(optimizer, start_factor=0.1, end_factor=1, total_iters=8)
        return L.SequentialLR(optimizer, [first, then], milestones=[8])

    runs = {
        "step": (50, lambda o: L.StepLR(o, 7, gamma=0.3)),
        "multi_step": (50, lambda o: L.MultiStepLR(o, [5, 6, 20, 40])),
        "exponential": (50, lambda o: L.ExponentialLR(o, 0.93)),
        "cosine": (40, lambda o: L.CosineAnnealingLR(o, 40)),
        "cosine_up_again": (70, lambda o: L.CosineAnnealingLR(o, 30, eta_min=0.01)),
        "warmup_cosine": (60, lambda o: warm(o, L.CosineAnnealingLR(o, 52, eta_min=1e-3))),
        "warmup_step": (60, lambda o: warm(o, L.StepLR(o, 10))),
        "one_cycle": (100, lambda o: L.OneCycleLR(o, 0.1, total_steps=100, cycle_momentum=False)),
        "one_cycle_options": (37, lambda o: L.OneCycleLR(o, 0.1, total_steps=37, pct_start=0.45, div_factor=10,
                                                         final_div_factor=100, cycle_momentum=False)),
        "one_cycle_short": (3, lambda o: L.OneCycleLR(o, 0.1, total_steps=3, cycle_momentum=False)),
    }
    result = {"plateau.metric": torch.tensor([5, 4, 4.5, 4.2, 4.1, 3.9995, 3.9, 4, 4, 4, 4, 4, 4, torch.nan, 4, 4, 3, 3.5, 4, 4],
                                             dtype=torch.float64)}
    plateaus = {"plateau": {}, "plateau_short": {"patience": 2}, "plateau_max": {"mode": "max", "patience": 1, "factor": 0.5},
                "plateau_options": {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 2, "min_lr": 3e-3}}
    for name, options in plateaus.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler, rates = L.ReduceLROnPlateau(optimizer, **options), []
        for metric in result["plateau.metric"]:
            scheduler.step(metric)
            rates.append(float(optimizer.param_groups[0]["lr"]))
        result[name] = torch.tensor(rates, dtype=torch.float64)
    for name, (count, make) in runs.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler, rates = make(optimizer), []
        for _ in range(count):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if len(rates) < count:
                scheduler.step()
        result[name] = torch.tensor(rates, dtype=torch.float64)
    return result


MAKERS = {"layers": layers, "networks": networks, "optimizers": optimizers, "schedules": schedules}
