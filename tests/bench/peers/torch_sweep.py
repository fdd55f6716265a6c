#!/usr/bin/env python3
"""The operations of sweep.cpp in PyTorch: one line in, `kind pass numbers`, one line out, its milliseconds.

usage: torch_sweep.py [--seconds S] [--threads N]
"""
import argparse, sys, time
import torch, torch.nn.functional as F

ap = argparse.ArgumentParser()
ap.add_argument("--seconds", type=float, default=0.03)
ap.add_argument("--threads", type=int, default=2)
a = ap.parse_args()
torch.manual_seed(0)
torch.set_num_threads(a.threads)
R = torch.randn

def best(f):
  def once():
    t = time.perf_counter(); f(); return time.perf_counter() - t
  least = spent = once(); runs = 1
  while spent < a.seconds or (runs < 5 and spent < 4 * a.seconds):
    t = once(); least = min(least, t); spent += t; runs += 1
  return least

def work(way, x, y, f):
  if way == "fwd":
    def forward():
      with torch.no_grad(): f(x, y)
    return forward
  wanted = y if way == "dw" else x
  wanted.requires_grad_()
  out = f(x, y); grad = torch.randn_like(out)
  if way == "both": return lambda: torch.autograd.grad(f(x, y), wanted, grad)
  return lambda: torch.autograd.grad(out, wanted, grad, retain_graph=True)

def operation(words):
  kind = words.pop(0)
  if kind in ("conv", "conv_transpose"):
    n, way = int(words.pop(0)), words.pop(0)
    v = [int(w) for w in words]; N, C, O, G = v[:4]; axes = [v[4+5*i:9+5*i] for i in range(n)]
    size, k, s, p, d = zip(*axes)
    if kind == "conv":
      f = (F.conv1d, F.conv2d, F.conv3d)[n-1]
      return work(way, R(N, C, *size), R(O, C//G, *k), lambda x, w: f(x, w, None, s, p, d, G))
    f = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n-1]
    return work(way, R(N, C, *size), R(C, O//G, *k), lambda x, w: f(x, w, None, s, p, 0, G, d))
  if kind in ("max_pool", "avg_pool"):
    n, way = int(words.pop(0)), words.pop(0)
    v = [int(w) for w in words]; N, C = v[:2]; axes = [v[2+4*i:6+4*i] for i in range(n)]
    size, k, s, p = zip(*axes)
    f = getattr(F, f"{kind}{n}d")
    return work(way, R(N, C, *size), R(1), lambda x, _: f(x, k, s, p))
  way = words.pop(0); v = [int(w) for w in words]
  if kind == "matmul":
    B, M, K, N, tx, ty, shared = v
    matrix = lambda r, c, t, one: R(*([] if one else [B]), *((c, r) if t else (r, c)))
    turn = lambda x, t: x.transpose(-1, -2) if t else x
    return work(way, matrix(M, K, tx, B == 1), matrix(K, N, ty, B == 1 or shared), lambda x, y: turn(x, tx) @ turn(y, ty))
  if kind == "gather":
    index = torch.randint(0, v[0], (v[2],))
    return work(way, R(v[0], v[1]), R(1), lambda x, _: x.index_select(0, index))
  axes = [i for i in range(len(v) - 1) if v[0] >> i & 1]
  f = {"sum": lambda x, _: x.sum(axes), "max": lambda x, _: x.amax(axes), "var": lambda x, _: x.var(axes),
       "softmax": lambda x, _: x.softmax(axes[0])}[kind]
  return work(way, R(*v[1:]), R(1), f)

for line in sys.stdin: print(1e3 * best(operation(line.split())), flush=True)
