#!/usr/bin/env python3
"""The rows of bench.cpp in PyTorch, eager or with --compile; on a GPU --graphs adds CUDA graphs, and --tf32 tensor cores."""
import math

import rows

args = rows.arguments(compile={"action": "store_true"}, graphs={"action": "store_true"}, tf32={"action": "store_true"})

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
on_gpu = args.device == "cuda"
if not on_gpu:
    torch.set_num_threads(args.threads)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
torch._dynamo.config.cache_size_limit = 64 if args.compile else 8
bench = rows.Rows(args, torch.cuda.synchronize if on_gpu else lambda: None)


def compiled(f):
    return torch.compile(f, mode="reduce-overhead" if args.graphs else None) if args.compile else f


def R(*shape):
    return torch.randn(*shape, device=args.device)


def integers(most, *shape):
    return torch.randint(0, most, shape, device=args.device)


# ---- Single operations ----------------------------------------------------------------------------------------------

def product(name, m, k, n, dtype=torch.float32):
    @bench.row(name)
    def _():
        x, y, f = R(m, k).to(dtype), R(k, n).to(dtype), compiled(torch.matmul)
        return lambda: f(x, y)


sizes = (64, 256, 512, 1024, 2048) + ((4096, 8192) if on_gpu else ())
for n in sizes:
    product(f"matmul_{n}", n, n, n)
for n in sizes if on_gpu else ():
    if n >= 1024:
        product(f"matmul_bf16_{n}", n, n, n, torch.bfloat16)
product("matmul_128x784x512", 128, 784, 512)

BIG, ROWS = 1 << (26 if on_gpu else 24), (32768 if on_gpu else 4096, 1024)


def unary(name, shape, f):
    @bench.row(name)
    def _():
        x, g = R(*shape), compiled(f)
        return lambda: g(x)


@bench.row("add_big")
def _():
    x, y, f = R(BIG), R(BIG), compiled(torch.add)
    return lambda: f(x, y)


unary("gelu_chain_big", [BIG], lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x))))
unary("sum_big", [BIG], lambda x: x.sum())
unary("softmax_rows_1024", ROWS, lambda x: torch.softmax(x, -1))
unary("layernorm_rows_1024", ROWS, lambda x: F.layer_norm(x, (1024,)))
unary("sum_cols", ROWS, lambda x: x.sum(0))
unary("transpose_4096", [4096, 4096], lambda x: x.t().contiguous())


@bench.row("tiny_add_16")
def _():
    x = R(16)  # a compiled function's call alone takes longer
    return lambda: x + x


def convolution(name, image, kernel, options, backward):
    @bench.row(name)
    def _():
        x, w, f = R(*image), R(*kernel), compiled(lambda x, w: F.conv2d(x, w, **options))
        if not backward:
            return lambda: f(x, w)
        x.requires_grad_(), w.requires_grad_()
        ones = torch.ones_like(f(x, w))
        return lambda: torch.autograd.grad(f(x, w), (x, w), ones)


for row, geometry in rows.CONVOLUTIONS.items():
    convolution(row, *geometry)


def transposed(name, image, kernel):
    @bench.row(name)
    def _():
        x, w, f = R(*image), R(*kernel), compiled(F.conv_transpose2d)
        return lambda: f(x, w)


for row, geometry in rows.TRANSPOSED.items():
    transposed(row, *geometry)


@bench.row("attention_4x8x1024x64")
def _():
    q, k, v = R(4, 8, 1024, 64), R(4, 8, 1024, 64), R(4, 8, 1024, 64)
    f = compiled(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
    return lambda: f(q, k, v)


unary("sort_1e6", [1000000], lambda x: torch.sort(x).values)
unary("cumsum_1e6", [1000000], lambda x: x.cumsum(0))


@bench.row("scatter_1e6")
def _():
    zeros, index, x = R(1000000) * 0, integers(1000000, 1000000), R(1000000)
    f = compiled(lambda zeros, index, x: zeros.scatter_add(0, index, x))
    return lambda: f(zeros, index, x)


@bench.row("embedding_8192x256")
def _():
    table, index, f = R(50257, 256), integers(50257, 8192), compiled(lambda t, i: F.embedding(i, t))
    return lambda: f(table, index)


@bench.row("lstm_1000")
def _():
    lstm, x = nn.LSTM(40, 64).to(args.device), R(1000, 1, 40)

    @torch.no_grad()
    def infer():
        return lstm(x)
    return infer


# ---- Networks -------------------------------------------------------------------------------------------------------

def mlp():
    return nn.Sequential(nn.Flatten(1), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def tiny_conv():  # the network of teenygrad's mnist.py
    return nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, bias=False), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(1), nn.Linear(400, 10, bias=False))


def beautiful():  # the network of tinygrad's beautiful_mnist.py
    return nn.Sequential(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.Conv2d(32, 32, 5), nn.ReLU(), nn.BatchNorm2d(32), nn.MaxPool2d(2),
                         nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.BatchNorm2d(64), nn.MaxPool2d(2),
                         nn.Flatten(1), nn.Linear(576, 10))


class Block(nn.Module):
    def __init__(self, width=128, heads=4):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, symbols=65, time=64, width=128, layers=4):
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, width), nn.Parameter(torch.randn(time, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, symbols, bias=False)

    def forward(self, index):
        return self.head(self.norm(self.blocks(self.symbols(index) + self.places))).flatten(0, 1)


def network(name, make, inputs, labels):
    @bench.row(name + "_train", name + "_infer")
    def _():
        model, x, y = make().to(args.device), inputs(), labels()
        adam, net = torch.optim.Adam(model.parameters(), **({"fused": True} if args.graphs else {})), compiled(model)

        def train():
            adam.zero_grad()
            F.cross_entropy(net(x), y).backward()
            adam.step()

        @torch.no_grad()
        def infer():
            return net(x)
        return train, infer


network("mlp_b128", mlp, lambda: R(128, 1, 28, 28), lambda: integers(10, 128))
network("tinyconv_b128", tiny_conv, lambda: R(128, 1, 28, 28), lambda: integers(10, 128))
network("beautiful_b512", beautiful, lambda: R(512, 1, 28, 28), lambda: integers(10, 512))


@bench.row("dcgan_b64_train")  # layers whose images are as small as their kernels
def _():
    generator = nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, bias=False), nn.BatchNorm2d(512), nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
        nn.ConvTranspose2d(256, 1, 4, 2, 1), nn.Tanh()).to(args.device)
    discriminator = nn.Sequential(
        nn.Conv2d(1, 256, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(256, 512, 4, 2, 1, bias=False), nn.BatchNorm2d(512),
        nn.LeakyReLU(0.2), nn.Conv2d(512, 1, 4), nn.Flatten(0)).to(args.device)
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), 2e-4) for net in (generator, discriminator))
    g, d, loss = compiled(generator), compiled(discriminator), F.binary_cross_entropy_with_logits
    noise, real = R(64, 100, 1, 1), R(64, 1, 16, 16)
    zeros, ones = torch.zeros(64, device=args.device), torch.ones(64, device=args.device)

    def step():
        fake = g(noise)
        adam_d.zero_grad()
        (loss(d(real), ones) + loss(d(fake.detach()), zeros)).backward()
        adam_d.step()
        adam_g.zero_grad()
        loss(d(fake), ones).backward()
        adam_g.step()
    return step


network("gpt_b32", Gpt, lambda: integers(65, 32, 64), lambda: integers(65, 32 * 64))


# The published sizes with random weights, as transformers and torchvision have them.
def gpt2(*names):
    def make_all():
        from transformers import GPT2Config, GPT2LMHeadModel
        net = GPT2LMHeadModel(GPT2Config()).to(args.device).eval()

        @torch.no_grad()
        def read(count, past=None):
            return net(integers(50257, 1, count), past_key_values=past, use_cache=True, logits_to_keep=1).past_key_values

        def token_behind(before, most):
            past = None

            def token():
                nonlocal past
                if past is None or past.get_seq_length() == most:
                    past = read(before)
                past = read(1, past)
            return token
        return token_behind(64, 128), token_behind(512, 640), lambda: read(512)
    bench.row(*names)(make_all)


def resnet(name, depth):
    @bench.row(name)
    def _():
        import torchvision
        net, x = compiled(getattr(torchvision.models, f"resnet{depth}")().to(args.device).eval()), R(1, 3, 224, 224)

        @torch.no_grad()
        def infer():
            return net(x)
        return infer


if not args.compile:  # its cache grows by a token a step, and each length would be compiled anew
    gpt2("gpt2_token", "gpt2_token_512", "gpt2_prompt_512")
resnet("resnet18_infer", 18)
resnet("resnet50_infer", 50)
bench.run()
