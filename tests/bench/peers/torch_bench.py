#!/usr/bin/env python3
"""The workloads of bench.cpp in PyTorch: one line per workload, `name ms`, median of repeats.

usage: torch_bench.py [--device cpu|cuda] [--compile] [--only NAME[,NAME]] [--tf32]
"""
import argparse, math, statistics, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

ap = argparse.ArgumentParser()
ap.add_argument("--device", default="cpu")
ap.add_argument("--compile", action="store_true")
ap.add_argument("--graphs", action="store_true", help="with --compile: mode=reduce-overhead (CUDA graphs)")
ap.add_argument("--only", default="")
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--tf32", action="store_true")
ap.add_argument("--seconds", type=float, default=2.0)
a = ap.parse_args()
torch.manual_seed(0)
dev = torch.device(a.device)
if a.device == "cpu": torch.set_num_threads(a.threads)
if a.tf32:
  torch.backends.cuda.matmul.allow_tf32 = True; torch.backends.cudnn.allow_tf32 = True
else:
  try: torch.backends.cuda.matmul.allow_tf32 = False; torch.backends.cudnn.allow_tf32 = False
  except Exception: pass
sync = (lambda: torch.cuda.synchronize()) if a.device == "cuda" else (lambda: None)
maybe = (lambda f: torch.compile(f, mode="reduce-overhead" if a.graphs else None)) if a.compile else (lambda f: f)

def timeit(name, f, work=None, unit=""):
  if a.only and not any(o in name for o in a.only.split(",")): return
  try:
    for _ in range(5): f()
    sync()
    ts, t_end = [], time.perf_counter() + a.seconds
    while time.perf_counter() < t_end or len(ts) < 5:
      n = 1 if (not ts or ts[-1] > 1e-3) else max(1, int(1e-3/ts[-1]))
      t = time.perf_counter()
      for _ in range(n): f()
      sync(); ts.append((time.perf_counter()-t)/n)
    m = statistics.median(ts)
    extra = f"  {work/m:.4g} {unit}" if work else ""
    print(f"{name:34s} {m*1e3:10.4f} ms{extra}", flush=True)
  except Exception as e:
    print(f"{name:34s} failed: {type(e).__name__}: {str(e)[:100]}", flush=True)

def R(*s): return torch.randn(*s, device=dev)

# matmul
for n in (64, 256, 512, 1024, 2048) + ((4096, 8192) if a.device == "cuda" else ()):
  x, y = R(n, n), R(n, n)
  timeit(f"matmul_{n}", lambda: x @ y, 2*n**3/1e9, "GFLOP/s")
  if a.device == "cuda" and n >= 1024:
    xb, yb = x.bfloat16(), y.bfloat16()
    timeit(f"matmul_bf16_{n}", lambda: xb @ yb, 2*n**3/1e9, "GFLOP/s")
x, y = R(128, 784), R(784, 512)
timeit("matmul_128x784x512", lambda: x @ y, 2*128*784*512/1e9, "GFLOP/s")

# elementwise / reduce: bytes are the least that must move
N = 1 << (26 if a.device == "cuda" else 24)
x, y = R(N), R(N)
timeit("add_big", lambda: x + y, 12*N/1e9, "GB/s")
g = maybe(lambda x: 0.5*x*(1+torch.tanh(0.7978845608*(x+0.044715*x*x*x))))
timeit("gelu_chain_big", lambda: g(x), 8*N/1e9, "GB/s")
timeit("sum_big", lambda: x.sum(), 4*N/1e9, "GB/s")
s = R(4096, 1024) if a.device == "cpu" else R(32768, 1024)
sm = maybe(lambda s: torch.softmax(s, -1))
timeit("softmax_rows_1024", lambda: sm(s), 8*s.numel()/1e9, "GB/s")
ln = maybe(lambda s: F.layer_norm(s, (1024,)))
timeit("layernorm_rows_1024", lambda: ln(s), 8*s.numel()/1e9, "GB/s")
timeit("sum_cols", lambda: s.sum(0), 4*s.numel()/1e9, "GB/s")
t = R(4096, 4096)
timeit("transpose_4096", lambda: t.t().contiguous(), 8*t.numel()/1e9, "GB/s")
q = R(16)
timeit("tiny_add_16", lambda: q + q)

# conv
cx, cw = R(128, 32, 24, 24), R(32, 32, 5, 5)
timeit("conv_128x32x24_k5_fwd", lambda: F.conv2d(cx, cw), 2*128*32*20*20*32*25/1e9, "GFLOP/s")
def convbwd():
  cx.requires_grad_(); cw.requires_grad_()
  o = F.conv2d(cx, cw); torch.autograd.grad(o, (cx, cw), torch.ones_like(o))
timeit("conv_128x32x24_k5_fwdbwd", convbwd, 3*2*128*32*20*20*32*25/1e9, "GFLOP/s")

# training steps
class MLP(nn.Module):
  def __init__(s):
    super().__init__(); s.l = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
  def forward(s, x): return s.l(x.flatten(1))
class TinyConv(nn.Module):   # the network of teenygrad's mnist.py
  def __init__(s):
    super().__init__(); s.c1 = nn.Conv2d(1, 8, 3, bias=False); s.c2 = nn.Conv2d(8, 16, 3, bias=False); s.l = nn.Linear(400, 10, bias=False)
  def forward(s, x):
    x = F.max_pool2d(F.relu(s.c1(x)), 2); x = F.max_pool2d(F.relu(s.c2(x)), 2)
    return s.l(x.flatten(1))
class Beautiful(nn.Module):  # the network of tinygrad's beautiful_mnist.py
  def __init__(s):
    super().__init__()
    s.c1, s.c2, s.b1 = nn.Conv2d(1, 32, 5), nn.Conv2d(32, 32, 5), nn.BatchNorm2d(32)
    s.c3, s.c4, s.b2 = nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64)
    s.l = nn.Linear(576, 10)
  def forward(s, x):
    x = F.relu(s.c2(F.relu(s.c1(x)))); x = F.max_pool2d(s.b1(x), 2)
    x = F.relu(s.c4(F.relu(s.c3(x)))); x = F.max_pool2d(s.b2(x), 2)
    return s.l(x.flatten(1))
class GPT(nn.Module):
  def __init__(s, V=65, T=64, C=128, L=4, H=4):
    super().__init__(); s.te, s.pe = nn.Embedding(V, C), nn.Embedding(T, C); s.L, s.H = L, H
    s.b = nn.ModuleList([nn.ModuleDict(dict(l1=nn.LayerNorm(C), qkv=nn.Linear(C, 3*C), o=nn.Linear(C, C), l2=nn.LayerNorm(C), f=nn.Linear(C, 4*C), p=nn.Linear(4*C, C))) for _ in range(L)])
    s.ln, s.h = nn.LayerNorm(C), nn.Linear(C, V, bias=False)
    s.register_buffer("m", torch.triu(torch.full((T, T), -math.inf), 1)); s.register_buffer("pos", torch.arange(T))
  def forward(s, i):
    B, T = i.shape; x = s.te(i) + s.pe(s.pos); C = x.shape[-1]
    for b in s.b:
      q, k, v = b["qkv"](b["l1"](x)).view(B, T, 3, s.H, C//s.H).permute(2, 0, 3, 1, 4)
      y = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(C//s.H) + s.m, -1) @ v
      x = x + b["o"](y.transpose(1, 2).reshape(B, T, C)); x = x + b["p"](F.gelu(b["f"](b["l2"](x)), approximate="tanh"))
    return s.h(s.ln(x))
def train(name, model, x, y, lr=1e-3):
  if a.only and not any(o in name for o in a.only.split(",")): return
  model = model.to(dev); opt = torch.optim.Adam(model.parameters(), lr, **({'fused': True} if a.graphs else {}))
  net = maybe(model)
  def step():
    opt.zero_grad(); out = net(x); loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1)); loss.backward(); opt.step()
  timeit(name, step)
  def infer():
    with torch.no_grad(): net(x)
  timeit(name.replace("_train", "_infer"), infer)
I = lambda hi, *s: torch.randint(0, hi, s, device=dev)
train("mlp_b128_train", MLP(), R(128, 1, 28, 28), I(10, 128))
train("tinyconv_b128_train", TinyConv(), R(128, 1, 28, 28), I(10, 128))
train("beautiful_b512_train", Beautiful(), R(512, 1, 28, 28), I(10, 512))
def dcgan(name):  # layers whose images are as small as their kernels
  if a.only and not any(o in name for o in a.only.split(",")): return
  G = maybe(nn.Sequential(nn.ConvTranspose2d(100, 512, 4, bias=False), nn.BatchNorm2d(512), nn.ReLU(),
                          nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
                          nn.ConvTranspose2d(256, 1, 4, 2, 1), nn.Tanh()).to(dev))
  D = maybe(nn.Sequential(nn.Conv2d(1, 256, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(256, 512, 4, 2, 1, bias=False),
                          nn.BatchNorm2d(512), nn.LeakyReLU(0.2), nn.Conv2d(512, 1, 4), nn.Flatten(0)).to(dev))
  g, d = torch.optim.Adam(G.parameters(), 2e-4), torch.optim.Adam(D.parameters(), 2e-4)
  noise, real, bce = R(64, 100, 1, 1), R(64, 1, 16, 16), F.binary_cross_entropy_with_logits
  zeros, ones = torch.zeros(64, device=dev), torch.ones(64, device=dev)
  def step():
    fake = G(noise)
    d.zero_grad(); (bce(D(real), ones) + bce(D(fake.detach()), zeros)).backward(); d.step()
    g.zero_grad(); bce(D(fake), ones).backward(); g.step()
  timeit(name, step)
dcgan("dcgan_b64_train")
train("gpt_b32_train", GPT(), I(65, 32, 64), I(65, 32, 64))

# The published sizes with random weights: transformers' GPT-2 reads a token behind 64 to 127 others, torchvision's nets a picture.
def gpt2_token(name):
  if a.only and not any(o in name for o in a.only.split(",")): return
  from transformers import GPT2Config, GPT2LMHeadModel
  net = GPT2LMHeadModel(GPT2Config()).to(dev).eval()
  token, past = I(50257, 1, 1), None
  @torch.no_grad()
  def step():
    nonlocal past
    if past is None or past.get_seq_length() == 128: past = net(I(50257, 1, 64), use_cache=True).past_key_values
    past = net(token, past_key_values=past, use_cache=True).past_key_values
  timeit(name, step)
def resnet_infer(name, depth):
  if a.only and not any(o in name for o in a.only.split(",")): return
  import torchvision
  net, x = maybe(getattr(torchvision.models, f"resnet{depth}")().to(dev).eval()), R(1, 3, 224, 224)
  @torch.no_grad()
  def infer(): net(x)
  timeit(name, infer)
for published in (lambda: gpt2_token("gpt2_token"), lambda: resnet_infer("resnet18_infer", 18), lambda: resnet_infer("resnet50_infer", 50)):
  try: published()
  except ImportError as e: print(f"left out: {e}", file=sys.stderr)
if a.device == "cuda": print("peak MiB", torch.cuda.max_memory_allocated()/2**20)
else:
  import resource; print("peak RSS MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)
