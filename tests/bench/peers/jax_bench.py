#!/usr/bin/env python3
"""The workloads of bench.cpp in JAX under jit, two threads: `name ms`, median of repeats."""
import os, sys, time, statistics
os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax, jax.numpy as jnp
from jax import lax
only = sys.argv[1].split(",") if len(sys.argv) > 1 else []
SEC = float(os.environ.get("SECONDS_EACH", "3"))
key = jax.random.PRNGKey(0)
def R(*s):
  global key; key, k = jax.random.split(key); return jax.random.normal(k, s, jnp.float32)
def timeit(name, f, work=None, unit=""):
  if only and not any(o in name for o in only): return
  try:
    for _ in range(4): f()
    ts, end = [], time.perf_counter() + SEC
    while time.perf_counter() < end or len(ts) < 3:
      t = time.perf_counter(); f(); ts.append(time.perf_counter() - t)
    m = statistics.median(ts); print(f"{name:34s} {m*1e3:10.4f} ms" + (f"  {work/m:.4g} {unit}" if work else ""), flush=True)
  except Exception as e: print(f"{name:34s} failed {type(e).__name__} {str(e)[:100]}", flush=True)
def block(f): return lambda: jax.block_until_ready(f())
for n in (512, 1024, 2048):
  a, b = R(n, n), R(n, n); g = jax.jit(jnp.matmul); timeit(f"matmul_{n}", block(lambda: g(a, b)), 2*n**3/1e9, "GFLOP/s")
z, z2 = R(1 << 24), R(1 << 24)
ad = jax.jit(jnp.add); timeit("add_big", block(lambda: ad(z, z2)), 12*(1<<24)/1e9, "GB/s")
gl = jax.jit(jax.nn.gelu); timeit("gelu_chain_big", block(lambda: gl(z)), 8*(1<<24)/1e9, "GB/s")
sm = jax.jit(jnp.sum); timeit("sum_big", block(lambda: sm(z)), 4*(1<<24)/1e9, "GB/s")
r = R(4096, 1024); s1 = jax.jit(lambda x: jax.nn.softmax(x, -1)); timeit("softmax_rows_1024", block(lambda: s1(r)))
ln = jax.jit(lambda x: (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)); timeit("layernorm_rows_1024", block(lambda: ln(r)))
t4 = R(4096, 4096); tr = jax.jit(lambda x: x.T + 0); timeit("transpose_4096", block(lambda: tr(t4)))
conv = lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))
cx, cw = R(128, 32, 24, 24), R(32, 32, 5, 5); cf = jax.jit(conv); timeit("conv_128x32x24_k5_fwd", block(lambda: cf(cx, cw)), 2*128*32*400*32*25/1e9, "GFLOP/s")
cg = jax.jit(jax.grad(lambda x, w: conv(x, w).sum(), (0, 1))); timeit("conv_128x32x24_k5_fwdbwd", block(lambda: cg(cx, cw)), 3*2*128*32*400*32*25/1e9, "GFLOP/s")
def pool(x): return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
def bn(x, p): m = x.mean((0, 2, 3), keepdims=True); v = x.var((0, 2, 3), keepdims=True); return (x - m) * lax.rsqrt(v + 1e-5) * p[0].reshape(1, -1, 1, 1) + p[1].reshape(1, -1, 1, 1)
def ce(l, y): return -jnp.take_along_axis(jax.nn.log_softmax(l), y[:, None], 1).mean()
def adam(p, g, s, t):
  m = jax.tree.map(lambda m, g: .9*m + .1*g, s[0], g); v = jax.tree.map(lambda v, g: .999*v + .001*g*g, s[1], g)
  p = jax.tree.map(lambda p, m, v: p - 1e-3 * (m/(1-.9**t)) / (jnp.sqrt(v/(1-.999**t)) + 1e-8), p, m, v); return p, (m, v)
def train(name, net, p, x, y):
  @jax.jit
  def step(p, s, t, x, y):
    l, g = jax.value_and_grad(lambda p: ce(net(p, x), y))(p); p, s = adam(p, g, s, t); return p, s, t + 1, l
  st = [p, (jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)), jnp.float32(1)]
  def run(): st[0], st[1], st[2], l = step(*st, x, y); jax.block_until_ready(st[0])
  timeit(name + "_train", run)
  inf = jax.jit(net); timeit(name + "_infer", block(lambda: inf(p, x)))
lab = lambda *s: jnp.zeros(s, jnp.int32)
lin = lambda p, x: x @ p[0] + p[1]
train("mlp_b128", lambda p, x: lin(p[2], jax.nn.relu(lin(p[1], jax.nn.relu(lin(p[0], x))))), [(R(784, 512)*.03, R(512)), (R(512, 512)*.03, R(512)), (R(512, 10)*.03, R(10))], R(128, 784), lab(128))
train("tinyconv_b128", lambda p, x: pool(jax.nn.relu(conv(pool(jax.nn.relu(conv(x, p[0]))), p[1]))).reshape(x.shape[0], -1) @ p[2], [R(8, 1, 3, 3), R(16, 8, 3, 3)*.1, R(400, 10)*.05], R(128, 1, 28, 28), lab(128))
def beautiful(p, x):
  b = lambda q: q.reshape(1, -1, 1, 1)
  x = jax.nn.relu(conv(x, p[0]) + b(p[1])); x = jax.nn.relu(conv(x, p[2]) + b(p[3])); x = pool(bn(x, p[4]))
  x = jax.nn.relu(conv(x, p[5]) + b(p[6])); x = jax.nn.relu(conv(x, p[7]) + b(p[8])); x = pool(bn(x, p[9])); return lin(p[10], x.reshape(x.shape[0], -1))
train("beautiful_b512", beautiful, [R(32, 1, 5, 5)*.1, R(32), R(32, 32, 5, 5)*.03, R(32), (R(32), R(32)), R(64, 32, 3, 3)*.05, R(64), R(64, 64, 3, 3)*.05, R(64), (R(64), R(64)), (R(576, 10)*.05, R(10))], R(512, 1, 28, 28), lab(512))
D, H, T, V, B = 128, 4, 64, 65, 32
def lnp(p, x): return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * p[0] + p[1]
def gpt(p, x):
  h = p[0][x] + p[1][None]
  for l in p[2]:
    q, k, v = jnp.split(lin(l[1], lnp(l[0], h)), 3, -1); f = lambda z: z.reshape(B, T, H, D//H).transpose(0, 2, 1, 3)
    s = f(q) @ f(k).transpose(0, 1, 3, 2) / (D//H)**.5; s = jnp.where(jnp.tril(jnp.ones((T, T), bool)), s, -jnp.inf)
    h = h + lin(l[2], (jax.nn.softmax(s, -1) @ f(v)).transpose(0, 2, 1, 3).reshape(B, T, D))
    h = h + lin(l[5], jax.nn.gelu(lin(l[4], lnp(l[3], h))))
  return lin(p[4], lnp(p[3], h)).reshape(B*T, V)
L = lambda i, o: (R(i, o)*.05, R(o))
train("gpt_b32", gpt, [R(V, D), R(T, D), [((R(D), R(D)), L(D, 3*D), L(D, D), (R(D), R(D)), L(D, 4*D), L(4*D, D)) for _ in range(4)], (R(D), R(D)), L(D, V)], jnp.zeros((B, T), jnp.int32), lab(B*T))
import resource; print("peak RSS MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
