#!/usr/bin/env python3
"""The rows of bench.cpp in JAX under jit. JAX_PLATFORMS=cpu or cuda."""
import os

import rows

args = rows.arguments()
os.environ.setdefault("JAX_PLATFORMS", "cuda" if args.device == "cuda" else "cpu")

import jax
import jax.numpy as jnp
from jax import lax

bench = rows.Rows(args)
key = jax.random.PRNGKey(0)


def R(*shape):
    global key
    key, now = jax.random.split(key)
    return jax.random.normal(now, shape, jnp.float32)


def integers(most, *shape):
    global key
    key, now = jax.random.split(key)
    return jax.random.randint(now, shape, 0, most)


def replayed(f, *inputs):
    g = jax.jit(f)
    return lambda: jax.block_until_ready(g(*inputs))


def operation(name, f, *shapes):
    @bench.row(name)
    def _():
        return replayed(f, *(R(*shape) for shape in shapes))


# ---- Single operations ----------------------------------------------------------------------------------------------

for n in (64, 256, 512, 1024, 2048):
    operation(f"matmul_{n}", jnp.matmul, (n, n), (n, n))
operation("matmul_128x784x512", jnp.matmul, (128, 784), (784, 512))
operation("add_big", jnp.add, (1 << 24, ), (1 << 24, ))
operation("gelu_chain_big", jax.nn.gelu, (1 << 24, ))
operation("sum_big", jnp.sum, (1 << 24, ))
operation("softmax_rows_1024", lambda x: jax.nn.softmax(x, -1), (4096, 1024))
operation("layernorm_rows_1024", lambda x: (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5), (4096, 1024))
operation("sum_cols", lambda x: x.sum(0), (4096, 1024))
operation("transpose_4096", lambda x: x.T + 0, (4096, 4096))
operation("tiny_add_16", lambda x: x + x, (16, ))


def conv(x, w, padding=0, stride=1, groups=1):
    return lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2, feature_group_count=groups,
                                    dimension_numbers=("NCHW", "OIHW", "NCHW"))


def convolution(name, image, kernel, options, backward):
    f = lambda x, w: conv(x, w, **options)
    both = lambda x, w: jax.value_and_grad(lambda x, w: f(x, w).sum(), (0, 1))(x, w)
    operation(name, both if backward else f, image, kernel)


for row, geometry in rows.CONVOLUTIONS.items():
    convolution(row, *geometry)


def attention(q, k, v):
    scores = jnp.einsum("bhtd,bhsd->bhts", q, k) / q.shape[-1]**.5
    scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    return jnp.einsum("bhts,bhsd->bhtd", jax.nn.softmax(scores, -1), v)


operation("attention_4x8x1024x64", attention, *[(4, 8, 1024, 64)] * 3)
operation("sort_1e6", jnp.sort, (1000000, ))
operation("cumsum_1e6", jnp.cumsum, (1000000, ))


@bench.row("scatter_1e6")
def _():
    return replayed(lambda zeros, index, x: zeros.at[index].add(x), R(1000000) * 0, integers(1000000, 1000000), R(1000000))


@bench.row("embedding_8192x256")
def _():
    return replayed(lambda table, index: table[index], R(50257, 256), integers(50257, 8192))


@bench.row("lstm_1000")
def _():
    def lstm(x, w, u, b):
        def step(state, projected):
            h, c = state
            i, f, g, o = jnp.split(projected + h @ u, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        zero = jnp.zeros((x.shape[1], u.shape[0]))
        return lax.scan(step, (zero, zero), x @ w + b)[1]
    return replayed(lstm, R(1000, 1, 40), R(40, 256) * .1, R(64, 256) * .1, R(256))


# ---- Networks -------------------------------------------------------------------------------------------------------

def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def channels(p):
    return p.reshape(1, -1, 1, 1)


def batchnorm(x, p):
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-5) * channels(p[0]) + channels(p[1])


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def adam(p, g, state, t):
    m = jax.tree.map(lambda m, g: .9 * m + .1 * g, state[0], g)
    v = jax.tree.map(lambda v, g: .999 * v + .001 * g * g, state[1], g)
    p = jax.tree.map(lambda p, m, v: p - 1e-3 * (m / (1 - .9**t)) / (jnp.sqrt(v / (1 - .999**t)) + 1e-8), p, m, v)
    return p, (m, v)


def network(name, net, parameters, inputs, labels):
    @bench.row(name + "_train", name + "_infer")
    def _():
        @jax.jit
        def step(p, state, t, x, y):
            loss, g = jax.value_and_grad(lambda p: cross_entropy(net(p, x), y))(p)
            p, state = adam(p, g, state, t)
            return p, state, t + 1, loss

        first, x, y = parameters(), inputs(), labels()
        now = [first, (jax.tree.map(jnp.zeros_like, first), jax.tree.map(jnp.zeros_like, first)), jnp.float32(1)]

        def train():
            now[0], now[1], now[2], _ = step(*now, x, y)
            jax.block_until_ready(now[0])
        return train, replayed(net, first, x)


def linear(p, x):
    return x @ p[0] + p[1]


def of_linear(inputs, outputs):
    return R(inputs, outputs) * .05, R(outputs)


def norm(p, x):
    return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * p[0] + p[1]


relu = jax.nn.relu
network("mlp_b128", lambda p, x: linear(p[2], relu(linear(p[1], relu(linear(p[0], x))))),
        lambda: [of_linear(784, 512), of_linear(512, 512), of_linear(512, 10)], lambda: R(128, 784), lambda: integers(10, 128))
network("tinyconv_b128", lambda p, x: pool(relu(conv(pool(relu(conv(x, p[0]))), p[1]))).reshape(x.shape[0], -1) @ p[2],
        lambda: [R(8, 1, 3, 3), R(16, 8, 3, 3) * .1, R(400, 10) * .05], lambda: R(128, 1, 28, 28), lambda: integers(10, 128))


def beautiful(p, x):
    x = relu(conv(x, p[0]) + channels(p[1]))
    x = pool(batchnorm(relu(conv(x, p[2]) + channels(p[3])), p[4]))
    x = relu(conv(x, p[5]) + channels(p[6]))
    x = pool(batchnorm(relu(conv(x, p[7]) + channels(p[8])), p[9]))
    return linear(p[10], x.reshape(x.shape[0], -1))


network("beautiful_b512", beautiful, lambda: [
    R(32, 1, 5, 5) * .1, R(32), R(32, 32, 5, 5) * .03, R(32), (R(32), R(32)), R(64, 32, 3, 3) * .05, R(64), R(64, 64, 3, 3) * .05, R(64),
    (R(64), R(64)), of_linear(576, 10)], lambda: R(512, 1, 28, 28), lambda: integers(10, 512))
WIDTH, HEADS, TIME, SYMBOLS, BATCH = 128, 4, 64, 65, 32


def gpt(p, index):
    x = p[0][index] + p[1][None]
    for layer in p[2]:
        parts = jnp.split(linear(layer[1], norm(layer[0], x)), 3, -1)
        q, k, v = (z.reshape(BATCH, TIME, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3) for z in parts)
        x = x + linear(layer[2], attention(q, k, v).transpose(0, 2, 1, 3).reshape(BATCH, TIME, WIDTH))
        x = x + linear(layer[5], jax.nn.gelu(linear(layer[4], norm(layer[3], x))))
    return linear(p[4], norm(p[3], x)).reshape(BATCH * TIME, SYMBOLS)


def gpt_parameters():
    of_norm = lambda: (R(WIDTH), R(WIDTH))
    layer = lambda: (of_norm(), of_linear(WIDTH, 3 * WIDTH), of_linear(WIDTH, WIDTH), of_norm(), of_linear(WIDTH, 4 * WIDTH),
                     of_linear(4 * WIDTH, WIDTH))
    return [R(SYMBOLS, WIDTH), R(TIME, WIDTH), [layer() for _ in range(4)], of_norm(), of_linear(WIDTH, SYMBOLS)]


network("gpt_b32", gpt, gpt_parameters, lambda: integers(SYMBOLS, BATCH, TIME), lambda: integers(SYMBOLS, BATCH * TIME))
bench.run()
