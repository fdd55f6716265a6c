#!/usr/bin/env python3
"""Rows of bench.cpp in tinygrad with TinyJit. DEV=CPU or CUDA is tinygrad's own choice of the device."""
import rows

args = rows.arguments()

from tinygrad import Context, Device, Tensor, TinyJit, nn

bench = rows.Rows(args, lambda: Device[Device.DEFAULT].synchronize())


def product(n):
    @bench.row(f"matmul_{n}")
    def _():
        x, y, f = Tensor.randn(n, n).realize(), Tensor.randn(n, n).realize(), TinyJit(lambda x, y: (x @ y).realize())
        return lambda: f(x, y)


product(512)


@bench.row("gelu_chain_big")
def _():
    x, f = Tensor.randn(1 << 24).realize(), TinyJit(lambda x: x.gelu().realize())
    return lambda: f(x)


def network(name, batch, layers):
    @bench.row(name + "_train")
    def _():
        net = layers()
        parameters = nn.state.get_parameters(net)
        adam = nn.optim.Adam(parameters)
        x, y = Tensor.randn(batch, 1, 28, 28).realize(), Tensor.randint(batch, high=10).realize()

        @TinyJit
        @Context(TRAINING=1)
        def step(x, y):
            adam.zero_grad()
            loss = x.sequential(net).sparse_categorical_crossentropy(y).backward()
            return loss.realize(*adam.schedule_step())
        return lambda: step(x, y)


def flat(x):
    return x.flatten(1)


network("mlp_b128", 128, lambda: [flat, nn.Linear(784, 512), Tensor.relu, nn.Linear(512, 512), Tensor.relu, nn.Linear(512, 10)])
network("tinyconv_b128", 128, lambda: [nn.Conv2d(1, 8, 3, bias=False), Tensor.relu, Tensor.max_pool2d, nn.Conv2d(8, 16, 3, bias=False),
                                       Tensor.relu, Tensor.max_pool2d, flat, nn.Linear(400, 10, bias=False)])
network("beautiful_b512", 512, lambda: [nn.Conv2d(1, 32, 5), Tensor.relu, nn.Conv2d(32, 32, 5), Tensor.relu, nn.BatchNorm(32),
                                        Tensor.max_pool2d, nn.Conv2d(32, 64, 3), Tensor.relu, nn.Conv2d(64, 64, 3), Tensor.relu,
                                        nn.BatchNorm(64), Tensor.max_pool2d, flat, nn.Linear(576, 10)])
bench.run()
