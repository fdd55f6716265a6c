#!/usr/bin/env python3
"""The workloads of bench.cpp in tinygrad with TinyJit: `name ms`, median of repeats. Run with tinygrad on PYTHONPATH; DEV=CPU|CUDA."""
import statistics, sys, time, os
from tinygrad import Tensor, TinyJit, nn, Context, Device
only = sys.argv[1].split(",") if len(sys.argv) > 1 else []
SEC = float(os.environ.get("SECONDS_EACH", "3"))
def timeit(name, f, work=None, unit=""):
  if only and not any(o in name for o in only): return
  try:
    for _ in range(4): f()
    ts, end = [], time.perf_counter()+SEC
    while time.perf_counter() < end or len(ts) < 3:
      t = time.perf_counter(); f(); Device[Device.DEFAULT].synchronize(); ts.append(time.perf_counter()-t)
    m = statistics.median(ts); print(f"{name:34s} {m*1e3:10.4f} ms" + (f"  {work/m:.4g} {unit}" if work else ""), flush=True)
  except Exception as e: print(f"{name:34s} failed {type(e).__name__} {str(e)[:100]}", flush=True)
class MLP:
  def __init__(s): s.l = [nn.Linear(784, 512), Tensor.relu, nn.Linear(512, 512), Tensor.relu, nn.Linear(512, 10)]
  def __call__(s, x): return x.flatten(1).sequential(s.l)
class TinyConv:
  def __init__(s): s.l = [nn.Conv2d(1, 8, 3, bias=False), Tensor.relu, Tensor.max_pool2d, nn.Conv2d(8, 16, 3, bias=False), Tensor.relu, Tensor.max_pool2d, lambda x: x.flatten(1), nn.Linear(400, 10, bias=False)]
  def __call__(s, x): return x.sequential(s.l)
class Beautiful:
  def __init__(s): s.l = [nn.Conv2d(1, 32, 5), Tensor.relu, nn.Conv2d(32, 32, 5), Tensor.relu, nn.BatchNorm(32), Tensor.max_pool2d, nn.Conv2d(32, 64, 3), Tensor.relu, nn.Conv2d(64, 64, 3), Tensor.relu, nn.BatchNorm(64), Tensor.max_pool2d, lambda x: x.flatten(1), nn.Linear(576, 10)]
  def __call__(s, x): return x.sequential(s.l)
def train(name, net, B):
  opt = nn.optim.Adam(nn.state.get_parameters(net)); x = Tensor.randn(B, 1, 28, 28).realize(); y = Tensor.randint(B, high=10).realize()
  @TinyJit
  @Context(TRAINING=1)
  def step(x, y):
    opt.zero_grad(); loss = net(x).sparse_categorical_crossentropy(y).backward(); return loss.realize(*opt.schedule_step())
  timeit(name, lambda: step(x, y))
def mm(n):
  a, b = Tensor.randn(n, n).realize(), Tensor.randn(n, n).realize()
  f = TinyJit(lambda a, b: (a@b).realize()); timeit(f"matmul_{n}", lambda: f(a, b), 2*n**3/1e9, "GFLOP/s")
for n in (512, 1024): mm(n)
z = Tensor.randn(1<<24).realize(); g = TinyJit(lambda z: z.gelu().realize()); timeit("gelu_chain_big", lambda: g(z), 8*(1<<24)/1e9, "GB/s")
train("mlp_b128_train", MLP(), 128); train("tinyconv_b128_train", TinyConv(), 128); train("beautiful_b512_train", Beautiful(), 512)
