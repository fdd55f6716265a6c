"""Networks that strangers bring, each with the shapes it is tried at: what export_models.py exports.

An entry of NETWORKS says how the model is made and what it takes. An input is written "name: batch 3 height width",
for integers with their bound, "ids: batch time < 1000"; words are sizes that stay open in the exported file, and
`sizes` gives them for the data sets, two or more. Exported is with the second one, so it has no size of 1:
torch.export takes a 1 for a constant.
"""
import dataclasses
import math
import typing

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


@dataclasses.dataclass
class Network:
    make: typing.Callable[[], nn.Module]
    inputs: tuple[str, ...]
    sizes: tuple[dict, ...]
    exporters: tuple[str, ...] = ("script", "dynamo")
    settings: dict = dataclasses.field(default_factory=dict)  # of torch.onnx.export, by exporter
    adjust: typing.Callable = lambda inputs: inputs  # what random inputs must obey, {name: tensor}
    by_reference: bool = False  # outputs by ONNX's own evaluator, where onnxruntime refuses what the exporter writes


NETWORKS: dict[str, Network] = {}
SMALL: dict[str, Network] = {}
LEGACY, NEW = ("script", ), ("dynamo", )


def sizes(names, *sets):
    return tuple(dict(zip(names.split(), values, strict=True)) for values in sets)


def image(name, make, first=(1, 224, 224), second=(2, 160, 192), table=NETWORKS, channels=3, **more):
    table[name] = Network(make, (f"x: batch {channels} height width", ), sizes("batch height width", first, second),
                          **more)


def square(name, make, side, table=NETWORKS, channels=3, batches=(1, 3), **more):
    """Only the batch is open."""
    table[name] = Network(make, (f"x: batch {channels} {side} {side}", ), sizes("batch", batches[:1], batches[1:]),
                          **more)


def tokens(name, make, words=1000, first=(1, 48), second=(2, 21), table=NETWORKS, **more):
    table[name] = Network(make, (f"ids: batch time < {words}", ), sizes("batch time", first, second), **more)


def network(name, make, inputs, names, *sets, table=NETWORKS, **more):
    table[name] = Network(make, tuple(inputs), sizes(names, *sets), **more)


class Pick(nn.Module):
    """One output of a model of the transformers package, with its options fixed."""
    def __init__(self, model, output, *names, **options):
        super().__init__()
        self.model, self.output, self.names, self.options = model, output, names, options

    def forward(self, *inputs):
        return getattr(self.model(**dict(zip(self.names, inputs)), **self.options, return_dict=True), self.output)


class Each(nn.Module):
    """Several answers to one input, as outputs."""
    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return tuple(part(x) for part in self.parts)


class PickOut(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"]


class Boxes(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        found = self.model(list(x))[0]
        return found["boxes"], found["scores"], found["labels"]


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


# --- Images -----------------------------------------------------------------------------------------------------------

vision = torchvision.models
for maker in ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "shufflenet_v2_x0_5",
              "squeezenet1_1", "regnet_y_400mf", "mnasnet0_5"):
    image(maker, getattr(vision, maker))
# The one of full size has its weights in a file beside the model.
image("convnext_tiny", vision.convnext_tiny, exporters=NEW, settings={"dynamo": {"external_data": True}})
image(
    "convnext_half_width", lambda: vision.ConvNeXt([
        vision.convnext.CNBlockConfig(*widths) for widths in ((48, 96, 3), (96, 192, 3), (192, 384, 9), (384, None, 3))
    ]))
square("vit", lambda: vision.VisionTransformer(224, 16, 6, 4, 192, 768, num_classes=100), 224)
square("swin", lambda: vision.SwinTransformer([4, 4], 48, [2, 2, 2], [2, 4, 8], [7, 7], num_classes=50), 224)
square("maxvit", lambda: vision.MaxVit((64, 64), 32, 4, [32, 64], [1, 1], 16, 0.0, num_classes=30), 64)
image("deeplab", lambda: PickOut(vision.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)),
      first=(1, 128, 160), second=(2, 96, 96))


class UNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        w = width
        self.first = nn.Sequential(nn.Conv2d(3, w, 3, padding=1), nn.GroupNorm(4, w), nn.SiLU())
        self.down = nn.Conv2d(w, 2 * w, 3, 2, 1)
        self.middle = nn.Sequential(nn.Conv2d(2 * w, 2 * w, 3, padding=1), nn.InstanceNorm2d(2 * w, affine=True),
                                    nn.LeakyReLU(0.1))
        self.up = nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.shortcut = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2 * w, w, 1))
        self.last = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        high = self.first(x)
        low = self.middle(self.down(high))
        joined = self.up(low) + self.shortcut(low) + high
        return torch.sigmoid(self.last(F.pad(joined, (1, 1, 1, 1), mode="reflect")))


class Doubled(nn.Sequential):
    def __init__(self, inside, outside):
        super().__init__(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
                         nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


class OddUNet(nn.Module):
    """The classic one: max pooling, and padding to the shortcut's size where that is odd."""
    def __init__(self, width=16):
        super().__init__()
        w = width
        self.down = nn.ModuleList([Doubled(3, w), Doubled(w, 2 * w), Doubled(2 * w, 4 * w)])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), nn.ConvTranspose2d(2 * w, w, 2, 2)])
        self.up = nn.ModuleList([Doubled(4 * w, 2 * w), Doubled(2 * w, w)])
        self.last = nn.Conv2d(w, 2, 1)

    def forward(self, x):
        kept = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for grow, block, shortcut in zip(self.grow, self.up, kept[-2::-1]):
            x = grow(x)
            height, width = shortcut.shape[2] - x.shape[2], shortcut.shape[3] - x.shape[3]
            x = F.pad(x, [width // 2, width - width // 2, height // 2, height - height // 2])
            x = block(torch.cat([shortcut, x], 1))
        return self.last(x)


class SuperResolution(nn.Module):
    def __init__(self, factor=3, width=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), nn.PReLU(width),
                                    nn.Conv2d(width, width, 3, padding=1), nn.Tanh(),
                                    nn.Conv2d(width, factor**2, 3, padding=1), nn.PixelShuffle(factor))
        self.factor = factor

    def forward(self, x):
        return self.layers(x) + F.interpolate(x, scale_factor=self.factor, mode="bicubic", align_corners=False)


class StyleTransfer(nn.Module):
    """Reflection padding, instance normalisation, nearest upsampling."""
    def __init__(self, width=16):
        super().__init__()
        w = width

        def conv(inside, outside, kernel, stride):
            return [
                nn.ReflectionPad2d(kernel // 2),
                nn.Conv2d(inside, outside, kernel, stride),
                nn.InstanceNorm2d(outside, affine=True)
            ]

        self.start = nn.Sequential(*conv(3, w, 9, 1), nn.ReLU(), *conv(w, 2 * w, 3, 2), nn.ReLU())
        self.residual = nn.Sequential(*conv(2 * w, 2 * w, 3, 1), nn.ReLU(), *conv(2 * w, 2 * w, 3, 1))
        self.end = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *conv(2 * w, w, 3, 1), nn.ReLU(),
                                 nn.ReflectionPad2d(4), nn.Conv2d(w, 3, 9))

    def forward(self, x):
        x = self.start(x)
        return self.end(x + self.residual(x))


class Detector(nn.Module):
    """A YOLO-like head: a grid from the image's size, anchors, the best 20 boxes by TopK and Gather."""
    def __init__(self, width=16, best=20):
        super().__init__()
        w = width
        self.body = nn.Sequential(nn.Conv2d(3, w, 3, 2, 1), nn.BatchNorm2d(w), nn.SiLU(), nn.Conv2d(w, w, 3, 2, 1),
                                  nn.SiLU())
        self.pool, self.head, self.best = nn.MaxPool2d(5, 1, 2), nn.Conv2d(w, 3 * 9, 3, padding=1), best

    def boxes(self, x):
        y = self.body(x)
        half = y.shape[1] // 2
        y = torch.cat([y[:, :half], self.pool(y)[:, half:]], 1)
        p = self.head(F.interpolate(y, scale_factor=2.0))
        batch, _, height, width = p.shape
        p = p.view(batch, 3, 9, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = (p[..., :2] * 2 - 0.5 + torch.stack([columns, rows], -1).float()) * 8
        return torch.cat([centre, (p[..., 2:4] * 2)**2, p[..., 4:]], -1).reshape(batch, -1, 9)

    def forward(self, x):
        boxes = self.boxes(x)
        scores, index = boxes[..., 4].topk(self.best, 1)
        return torch.gather(boxes, 1, index[..., None].expand(-1, -1, 9)), scores


class SuppressedDetector(Detector):
    """One image; the boxes that non-maximum suppression leaves, so the number of rows depends on the data."""
    def forward(self, x):
        boxes = self.boxes(x)[0]
        corners = torch.cat([boxes[:, :2] - 2 * boxes[:, 2:4], boxes[:, :2] + 2 * boxes[:, 2:4]], 1)
        kept = torchvision.ops.nms(corners, boxes[:, 4], 0.5)
        return corners[kept], boxes[kept, 4]


class SpatialTransformer(nn.Module):
    """Where GridSample and AffineGrid come from."""
    def __init__(self):
        super().__init__()
        self.locate = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 10, 5),
                                    nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(10 * 3 * 3, 32), nn.ReLU(),
                                    nn.Linear(32, 6))
        self.classify = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                                      nn.Linear(8 * 144, 10))

    def forward(self, x):
        theta = self.locate(x).view(-1, 2, 3) * 0.1 + torch.tensor([[1.0, 0, 0], [0, 1, 0]])
        return self.classify(F.grid_sample(x, F.affine_grid(theta, x.size(), align_corners=False),
                                           align_corners=False)).log_softmax(1)


class Warp(nn.Module):
    """GridSample in each mode, with a grid that leaves the image."""
    def __init__(self, modes=("bilinear", "nearest", "bicubic"), paddings=("zeros", "border", "reflection")):
        super().__init__()
        self.flow, self.ways = nn.Conv2d(3, 2, 3, padding=1), [(m, p) for m in modes for p in paddings]

    def forward(self, x):
        grid = self.flow(x).permute(0, 2, 3, 1)
        return torch.cat([
            F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=i % 2 == 0)
            for i, (mode, padding) in enumerate(self.ways)
        ], 1)


class Resizes(nn.Module):
    def forward(self, x):
        nearest = F.interpolate(x, scale_factor=2.0), F.interpolate(x, size=(13, 29))
        linear = (F.interpolate(x, scale_factor=1.5, mode="bilinear"),
                  F.interpolate(x, scale_factor=(2.0, 0.5), mode="bilinear", align_corners=True),
                  F.interpolate(x, size=(x.shape[2] + 5, x.shape[3] * 2), mode="bilinear"))
        cubic = (F.interpolate(x, scale_factor=1.7, mode="bicubic"),
                 F.interpolate(x, size=(7, 9), mode="bicubic", align_corners=True))
        return *nearest, *linear, *cubic


class AntialiasedResizes(nn.Module):
    def forward(self, x):
        linear = F.interpolate(x, size=(11, 9), mode="bilinear", antialias=True)
        return linear, F.interpolate(x, size=(17, 40), mode="bicubic", antialias=True)


class FromBytes(nn.Module):
    """What a camera gives: bytes, channels last; the network does the rest."""
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish(),
                                  nn.Conv2d(16, 32, 3, 2, 1, groups=16), nn.ReLU6(), nn.AvgPool2d(4), nn.Flatten(),
                                  nn.Linear(288, 20))

    def forward(self, x):
        x = x.permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, size=(48, 48), mode="bilinear")
        x = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        return self.body(x).softmax(-1).max(-1)


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d((1, 2, 2)),
                                  nn.Conv3d(8, 16, (3, 1, 1), (2, 1, 1), (1, 0, 0), groups=4), nn.ELU(),
                                  nn.AvgPool3d(2, ceil_mode=True), nn.ConvTranspose3d(16, 6, 2, 2))

    def forward(self, x):
        return self.body(x).mean((3, 4))


class Pools(nn.Module):
    def forward(self, x):
        mean = (F.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
                F.avg_pool2d(x, 3, 2, ceil_mode=True), F.adaptive_avg_pool2d(x, 1))
        largest = (F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.max_pool2d(x, 3, 1, 1, dilation=2),
                   F.adaptive_max_pool2d(x, 1), x.amax((2, 3)))
        return *mean, *largest, F.lp_pool2d(x, 2, 3, 2), x.logsumexp((1, 3))


class Unpool(nn.Module):
    """The indices of max pooling, and their way back."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        pooled, index = F.max_pool2d(x, 2, return_indices=True)
        flat = torch.zeros_like(x).flatten(2).scatter(2, index.flatten(2), self.conv(pooled).flatten(2))
        return flat.view_as(x), index


class Convolutions(nn.Module):
    """Groups, dilation, transposed with everything, depthwise with a multiplier, strings for padding."""
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([
            nn.Conv2d(6, 12, 3, groups=6, padding="same"),
            nn.Conv2d(12, 12, 3, dilation=2, padding=2, groups=3),
            nn.Conv2d(12, 12, (1, 5), padding=(0, 2), padding_mode="circular"),
            nn.Conv2d(12, 8, 4, 2, padding=1, padding_mode="replicate"),
            nn.ConvTranspose2d(8, 12, 3, 2, 1, output_padding=1, groups=4),
            nn.ConvTranspose2d(12, 4, 3, 1, dilation=2)
        ])

    def forward(self, x):
        for layer in self.layers:
            x = F.gelu(layer(x))
        return x


image("unet", UNet, (1, 64, 96), (2, 48, 64))
image("unet_odd_sizes", OddUNet, (1, 67, 93), (2, 50, 71))
image("super_resolution", SuperResolution, (1, 60, 80), (2, 33, 47), channels=1)
image("style_transfer", StyleTransfer, (1, 64, 96), (2, 48, 64))
image("detector", Detector, (1, 64, 96), (2, 64, 64))
image("detector_suppressed", SuppressedDetector, (1, 64, 64), (1, 48, 80), exporters=LEGACY)
square("spatial_transformer", SpatialTransformer, 28, channels=1,
       settings={"script": {"opset_version": 20}, "dynamo": {"opset_version": 20}})
image("warp", Warp, (1, 17, 23), (2, 20, 12))
image("warp_opset16", lambda: Warp(("bilinear", "nearest"), ("zeros", "border")), (1, 17, 23), (2, 20, 12),
      exporters=LEGACY, settings={"script": {"opset_version": 16}})
image("resizes", Resizes, (1, 16, 20), (2, 12, 18))
image("resizes_antialiased", AntialiasedResizes, (1, 32, 30), (2, 24, 33), exporters=NEW)
network("from_bytes", FromBytes, ["x: batch height width 3 < 256u8"], "batch height width", (1, 60, 80), (3, 48, 64))
network("video", Video, ["x: batch 3 frames height width"], "batch frames height width", (1, 8, 24, 24), (2, 6, 16, 20))
image("pools", Pools, (1, 23, 31), (2, 18, 21))
image("unpool", Unpool, (1, 16, 12), (2, 10, 18))
image("convolutions", Convolutions, (1, 16, 20), (2, 12, 18), channels=6)
square(
    "detection_ssd",
    lambda: Boxes(vision.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)),
    320, batches=(1, 1), exporters=LEGACY)

# --- Sound and time ---------------------------------------------------------------------------------------------------


class Vocoder(nn.Module):
    """HiFi-GAN in little: transposed convolutions, residual blocks of growing dilation, weight normalisation."""
    def __init__(self, width=64, bands=40):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.first = norm(nn.Conv1d(bands, width, 7, padding=3))
        self.up, self.blocks = nn.ModuleList(), nn.ModuleList()
        for factor in (8, 4, 2):
            self.up.append(norm(nn.ConvTranspose1d(width, width // 2, 2 * factor, factor, factor // 2)))
            width //= 2
            self.blocks.append(
                nn.ModuleList([norm(nn.Conv1d(width, width, 3, dilation=d, padding=d)) for d in (1, 3, 5)]))
        self.last = norm(nn.Conv1d(width, 1, 7, padding=3))

    def forward(self, x):
        x = self.first(x)
        for up, block in zip(self.up, self.blocks):
            x = up(F.leaky_relu(x, 0.1))
            for conv in block:
                x = x + conv(F.leaky_relu(x, 0.1))
        return torch.tanh(self.last(F.leaky_relu(x)))


class WaveNet(nn.Module):
    """Causal, dilated, gated."""
    def __init__(self, width=32, layers=8):
        super().__init__()
        self.first, self.layers = nn.Conv1d(1, width, 1), nn.ModuleList(
            nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(layers))
        self.skip, self.last = nn.ModuleList(nn.Conv1d(width, 2 * width, 1)
                                             for _ in range(layers)), nn.Conv1d(width, 64, 1)

    def forward(self, x):
        x, total = self.first(x), 0
        for i, (layer, skip) in enumerate(zip(self.layers, self.skip)):
            value, gate = layer(F.pad(x, (2**i, 0))).chunk(2, 1)
            more, out = skip(torch.tanh(value) * torch.sigmoid(gate)).chunk(2, 1)
            x, total = x + more, total + out
        return self.last(F.relu(total))


class Tagger(nn.Module):
    """An embedding, a bidirectional LSTM of two layers, a GRU."""
    def __init__(self, words=50, width=32):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(words, width), nn.LSTM(width, width, 2, batch_first=True,
                                                                    bidirectional=True)
        self.gru, self.last = nn.GRU(2 * width, width, batch_first=True), nn.Linear(width, words)

    def forward(self, ids):
        return self.last(self.gru(self.lstm(self.embed(ids))[0])[0]).log_softmax(-1)


class LongRecurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, width=64, **options):
        super().__init__()
        self.recurrent = kind(40, width, batch_first=True, **options)
        self.last = nn.Linear(width * (2 if options.get("bidirectional") else 1), 12)

    def forward(self, x):
        states, final = self.recurrent(x)
        return self.last(states), *(final if isinstance(final, tuple) else (final, ))


class Packed(nn.Module):
    """Sequences of different lengths, packed: the exporter hands the lengths to LSTM's sequence_lens."""
    def __init__(self, inputs=40, width=48):
        super().__init__()
        self.lstm, self.last = nn.LSTM(inputs, width, bidirectional=True), nn.Linear(2 * width, 12)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
        states, (h, c) = self.lstm(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(states)
        return self.last(states), h, c


class Masked(nn.Module):
    """The same by hand: states of steps beyond the length are zeroed, and the last one is gathered."""
    def __init__(self):
        super().__init__()
        self.gru, self.last = nn.GRU(40, 48, batch_first=True), nn.Linear(48, 12)

    def forward(self, x, lengths):
        states, _ = self.gru(x)
        inside = torch.arange(x.shape[1])[None] < lengths[:, None]
        states = states.masked_fill(~inside[..., None], 0.0)
        final = states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        return self.last(final), states.sum(1) / lengths[:, None]


class Cells(nn.Module):
    """Recurrent cells in a Python loop: unrolled by both exporters."""
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(8, 16), nn.GRUCell(16, 16)

    def forward(self, x, state):
        h = c = g = state
        for i in range(12):
            h, c = self.lstm(x[:, i], (h, c))
            g = self.gru(h, g)
        return g, c


def falling_lengths(inputs):
    time = inputs["x"].shape[0]
    inputs["lengths"] = torch.tensor([max(1, time - 3 * i) for i in range(len(inputs["lengths"]))])
    return inputs


def any_lengths(inputs):
    batch, time = inputs["x"].shape[:2]
    inputs["lengths"] = torch.tensor([time - (7 * i) % time for i in range(batch)])
    return inputs


network("vocoder", Vocoder, ["mel: batch 40 frames"], "batch frames", (1, 60), (2, 33))
network("wavenet", WaveNet, ["x: batch 1 samples"], "batch samples", (1, 2000), (2, 700))
tokens("tagger", Tagger, 50, (1, 40), (3, 17))
network("lstm_1000", LongRecurrent, ["x: batch time 40"], "batch time", (1, 1000), (3, 700))
network("gru_1000", lambda: LongRecurrent(nn.GRU), ["x: batch time 40"], "batch time", (1, 1000), (3, 700))
network("lstm_two_layers_both_ways", lambda: LongRecurrent(num_layers=2, bidirectional=True), ["x: batch time 40"],
        "batch time", (1, 100), (3, 70))
network("rnn_tanh", lambda: LongRecurrent(nn.RNN), ["x: batch time 40"], "batch time", (1, 200), (3, 70),
        exporters=LEGACY)
network("rnn_unrolled", lambda: LongRecurrent(nn.RNN), ["x: batch 30 40"], "batch", (1, ), (3, ), exporters=NEW)
network("lstm_packed", Packed, ["x: time batch 40", "lengths: batch < 2"], "batch time", (2, 1000), (4, 60),
        exporters=LEGACY, adjust=falling_lengths)
network("gru_masked_1000", Masked, ["x: batch time 40", "lengths: batch < 2"], "batch time", (2, 1000), (4, 60),
        adjust=any_lengths)
network("recurrent_cells", Cells, ["x: batch 12 8", "state: batch 16"], "batch", (1, ), (3, ))

# --- Language ---------------------------------------------------------------------------------------------------------


def transformers_model(name, config, **settings):
    import transformers

    return getattr(transformers, name)(getattr(transformers, config)(initializer_range=0.1, **settings))


SMALL_BERT = dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024, vocab_size=1000)


def padded(inputs):
    """Rows end in padding, each later than the one before."""
    mask = inputs["mask"]
    time = mask.shape[1]
    inputs["mask"] = (torch.arange(time)[None]
                      < torch.tensor([time - 3 * i for i in range(len(mask))])[:, None]).to(mask.dtype)
    return inputs


def bert(attention="sdpa", **changes):
    return transformers_model("BertModel", "BertConfig", attn_implementation=attention, **(SMALL_BERT | changes))


def gpt2(**changes):
    sizes = dict(n_embd=256, n_layer=4, n_head=4, vocab_size=1000, n_positions=128, use_cache=False, bos_token_id=0,
                 eos_token_id=0)
    return transformers_model("GPT2LMHeadModel", "GPT2Config", **(sizes | changes))


def llama(**changes):
    sizes = dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
                 intermediate_size=688, vocab_size=1000, use_cache=False)
    return transformers_model("LlamaForCausalLM", "LlamaConfig", **(sizes | changes))


tokens("bert", lambda: Pick(bert(), "last_hidden_state", "input_ids"))
tokens("bert_eager", lambda: Pick(bert("eager"), "last_hidden_state", "input_ids"))
network("bert_padded", lambda: Pick(bert(), "pooler_output", "input_ids", "attention_mask"),
        ["ids: batch time < 1000", "mask: batch time < 2"], "batch time", (1, 48), (3, 21), adjust=padded)
# Without a mask transformers looks for packed sequences by torch.diff, which the older exporter does not know.
tokens("gpt2", lambda: Pick(gpt2(), "logits", "input_ids"), exporters=NEW)
tokens("llama", lambda: Pick(llama(), "logits", "input_ids"), exporters=NEW)
for name, made in (("gpt2", gpt2), ("llama", llama)):
    network(f"{name}_padded", lambda made=made: Pick(made(), "logits", "input_ids", "attention_mask"),
            ["ids: batch time < 1000", "mask: batch time < 2"], "batch time", (1, 48), (2, 21), adjust=padded)
tokens(
    "roberta",
    lambda: Pick(transformers_model("RobertaModel", "RobertaConfig", **
                                    (SMALL_BERT | dict(num_hidden_layers=2))), "last_hidden_state", "input_ids"))
tokens(
    "distilbert", lambda: Pick(
        transformers_model("DistilBertModel", "DistilBertConfig", dim=128, n_layers=2, n_heads=4, hidden_dim=256,
                           vocab_size=1000), "last_hidden_state", "input_ids"))
network(
    "t5", lambda: Pick(
        transformers_model("T5Model", "T5Config", attn_implementation="eager", d_model=128, d_kv=32, d_ff=256,
                           num_layers=2, num_heads=4, vocab_size=1000, use_cache=False), "last_hidden_state",
        "input_ids", "decoder_input_ids"), ["ids: batch time < 1000", "answer: batch words < 1000"], "batch time words",
    (1, 30, 11), (2, 17, 7))
network(
    "whisper", lambda: Pick(
        transformers_model("WhisperModel", "WhisperConfig", d_model=128, encoder_layers=2, decoder_layers=2,
                           encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=
                           256, vocab_size=1000, num_mel_bins=40, max_source_positions=100, max_target_positions=64,
                           use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
        "last_hidden_state", "input_features", "decoder_input_ids"), ["mel: batch 40 200", "ids: batch time < 1000"],
    "batch time", (1, 12), (2, 7), exporters=NEW)
network(
    "wav2vec2", lambda: Pick(
        transformers_model("Wav2Vec2ForCTC", "Wav2Vec2Config", hidden_size=96, num_hidden_layers=2, num_attention_heads=
                           4, intermediate_size=192, vocab_size=40, conv_dim=(32, 32, 32, 32), conv_kernel=(
                               10, 3, 3, 2), conv_stride=(5, 2, 2, 2), num_conv_pos_embeddings=16,
                           num_conv_pos_embedding_groups=4, num_feat_extract_layers=4), "logits", "input_values"),
    ["x: batch samples"], "batch samples", (1, 8000), (2, 5000))
square(
    "segformer", lambda: Pick(
        transformers_model("SegformerForSemanticSegmentation", "SegformerConfig", hidden_sizes=[16, 32, 64, 96],
                           num_attention_heads=[1, 2, 4, 6], depths=[1, 1, 1, 1], decoder_hidden_size=64, num_labels=10
                           ), "logits", "pixel_values"), 128)
square(
    "mobilevit", lambda: Pick(
        transformers_model("MobileViTForImageClassification", "MobileViTConfig", hidden_sizes=[48, 64, 80],
                           neck_hidden_sizes=[16, 16, 24, 32, 48, 64, 128], image_size=128, num_attention_heads=4),
        "logits", "pixel_values"), 128)


def ended(inputs):
    """A text is read at its end; without one CLIP looks at the first word alone, which attends to nothing."""
    for i, row in enumerate(inputs["ids"]):
        row[9 + i] = 999
    return inputs


network("clip", lambda: Clip(), ["x: batch 3 64 64", "ids: texts 16 < 999"], "batch texts", (1, 3), (2, 4), adjust=ended)


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                     initializer_factor=4.0)
        text = dict(vocab_size=1000, max_position_embeddings=16, eos_token_id=999, bos_token_id=0, pad_token_id=1)
        self.model = transformers_model("CLIPModel", "CLIPConfig", projection_dim=64, text_config=sizes | text,
                                        vision_config=sizes | dict(image_size=64, patch_size=16))

    def forward(self, x, ids):
        return self.model(pixel_values=x, input_ids=ids, return_dict=True).logits_per_image


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.project, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, past_key=None, past_value=None):
        batch, time, width = x.shape
        query, key, value = (part.view(batch, time, self.heads, -1).transpose(1, 2)
                             for part in self.project(x).chunk(3, -1))
        if past_key is not None:
            key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
        ahead = torch.arange(key.shape[2])[None] > torch.arange(time)[:, None] + (key.shape[2] - time)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        mixed = scores.masked_fill(ahead, float("-inf")).softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width)), key, value


class CachedDecoder(nn.Module):
    """New tokens and what earlier calls kept, to logits and what later calls need: how a language model is served."""
    def __init__(self, words=500, width=64, heads=4, layers=2, positions=128):
        super().__init__()
        self.embed, self.position = nn.Embedding(words, width), nn.Embedding(positions, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
            for _ in range(layers))

    def forward(self, ids, key_0, value_0, key_1, value_1):
        kept = []
        x = self.embed(ids) + self.position(torch.arange(ids.shape[1]) + key_0.shape[2])
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlp)):
            mixed, key, value = attention(self.norms[2 * i](x), (key_0, key_1)[i], (value_0, value_1)[i])
            x = x + mixed
            x = x + mlp(self.norms[2 * i + 1](x))
            kept += [key, value]
        return F.linear(self.norms[-1](x), self.embed.weight), *kept


class Encoder(nn.Module):
    """PyTorch's own encoder layer, with a mask of padding; its fast path is not what is exported."""
    def __init__(self, width=64):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 128, batch_first=True, activation="gelu", norm_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(width, 10)

    def forward(self, x, mask):
        return self.out(self.encoder(x, src_key_padding_mask=mask == 0))


class Translator(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.model, self.out = nn.Transformer(width, 4, 2, 2, 128, batch_first=True), nn.Linear(width, 10)

    def forward(self, x, y):
        time = y.shape[1]
        ahead = torch.arange(time)[None] > torch.arange(time)[:, None]
        return self.out(self.model(x, y, tgt_mask=ahead, tgt_is_causal=True))


CACHE = [f"{kind}_{i}: batch 4 past 16" for i in range(2) for kind in ("key", "value")]
network("decoder_with_cache", CachedDecoder, ["ids: batch time < 500", *CACHE], "batch time past", (1, 5, 0), (2, 3, 7),
        exporters=LEGACY)
network("decoder_with_cache_step", CachedDecoder, ["ids: batch 1 < 500", *CACHE], "batch past", (1, 60), (2, 7))
network("encoder_padded", Encoder, ["x: batch time 64", "mask: batch time < 2"], "batch time", (1, 30), (3, 17),
        adjust=padded, exporters=NEW)
network("translator", Translator, ["x: batch time 64", "y: batch words 64"], "batch time words", (1, 30, 11),
        (2, 17, 7), exporters=NEW)
# The older exporter writes the sizes of nn.MultiheadAttention into the graph.
network("encoder_fixed", Encoder, ["x: 2 17 64", "mask: 2 17 < 2"], "", (), (), adjust=padded, exporters=LEGACY)
network("translator_fixed", Translator, ["x: 2 17 64", "y: 2 7 64"], "", (), (), exporters=LEGACY)
# From opset 23 with Attention, RotaryEmbedding (whose angles are broadcast over the batch) and RMSNormalization.
for opset in (18, 20, 21, 22, 23, 24):
    tokens(f"llama_opset{opset}",
           lambda: Pick(llama(num_hidden_layers=1, hidden_size=64, intermediate_size=128), "logits", "input_ids"),
           exporters=NEW, settings={"dynamo": {"opset_version": opset}}, by_reference=opset > 22)

# --- Everything else --------------------------------------------------------------------------------------------------


class TimeEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width, self.layers = width, nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t):
        frequency = torch.exp(torch.arange(self.width // 2) * (-math.log(10000.0) / (self.width // 2)))
        angle = t[:, None].float() * frequency[None]
        return self.layers(torch.cat([angle.sin(), angle.cos()], -1))


class DiffusionBlock(nn.Module):
    def __init__(self, inside, outside, width, attend):
        super().__init__()
        self.norm, self.conv = nn.ModuleList([nn.GroupNorm(8, inside),
                                              nn.GroupNorm(8, outside)]), nn.ModuleList([
                                                  nn.Conv2d(inside, outside, 3, padding=1),
                                                  nn.Conv2d(outside, outside, 3, padding=1)
                                              ])
        self.time, self.skip = nn.Linear(width, 2 * outside), nn.Conv2d(inside, outside, 1)
        self.attention = nn.MultiheadAttention(outside, 4, batch_first=True) if attend else None

    def forward(self, x, t):
        y = self.conv[0](F.silu(self.norm[0](x)))
        scale, shift = self.time(t)[:, :, None, None].chunk(2, 1)
        y = self.skip(x) + self.conv[1](F.silu(self.norm[1](y) * (1 + scale) + shift))
        if self.attention is not None:
            rows = y.flatten(2).transpose(1, 2)
            y = y + self.attention(rows, rows, rows, need_weights=False)[0].transpose(1, 2).reshape(y.shape)
        return y


class Diffusion(nn.Module):
    """A denoiser: time steps in, group normalisation, attention over pixels at the low resolution."""
    def __init__(self, width=32):
        super().__init__()
        w = width
        self.time, self.first = TimeEmbedding(64), nn.Conv2d(4, w, 3, padding=1)
        self.down, self.shrink = DiffusionBlock(w, w, 64, False), nn.Conv2d(w, 2 * w, 3, 2, 1)
        self.middle = DiffusionBlock(2 * w, 2 * w, 64, True)
        self.grow, self.up = nn.Conv2d(2 * w, w, 3, padding=1), DiffusionBlock(2 * w, w, 64, False)
        self.last = nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), nn.Conv2d(w, 4, 3, padding=1))

    def forward(self, x, t):
        t = self.time(t)
        high = self.down(self.first(x), t)
        low = self.middle(self.shrink(high), t)
        return self.last(self.up(torch.cat([self.grow(F.interpolate(low, scale_factor=2.0)), high], 1), t))


class Recommender(nn.Module):
    """Bags of items of any length, given as one list and where each begins; factorised interactions."""
    def __init__(self):
        super().__init__()
        self.items, self.users = nn.EmbeddingBag(200, 16, mode="mean"), nn.Embedding(50, 16)
        self.top = nn.Sequential(nn.Linear(6 + 3, 32), nn.ReLU(), nn.Linear(32, 1))
        self.bottom = nn.Sequential(nn.Linear(6, 16), nn.ReLU())

    def forward(self, dense, user, items, offsets):
        parts = torch.stack([self.bottom(dense), self.users(user), self.items(items, offsets)], 1)
        pairs = torch.bmm(parts, parts.transpose(1, 2))
        rows, columns = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
        return torch.sigmoid(self.top(torch.cat([dense, pairs[:, rows, columns]], 1)))[:, 0]


def bags(inputs):
    batch, count = len(inputs["user"]), len(inputs["items"])
    inputs["offsets"] = torch.tensor([i * count // batch for i in range(batch)])
    return inputs


class GraphNetwork(nn.Module):
    """Messages along edges: gather, sum into nodes, the mean over them, softmax over the edges of a node."""
    def __init__(self):
        super().__init__()
        self.message, self.update, self.last = nn.Linear(16, 16), nn.GRUCell(16, 8), nn.Linear(8, 4)

    def forward(self, x, edges):
        source, target = edges[0], edges[1]
        for _ in range(2):
            messages = F.relu(self.message(torch.cat([x[source], x[target]], 1)))
            total = torch.zeros(x.shape[0], 16).scatter_add(0, target[:, None].expand(-1, 16), messages)
            degree = torch.zeros(x.shape[0]).scatter_add(0, target, torch.ones_like(target, dtype=torch.float32))
            x = self.update(total / degree.clamp(min=1)[:, None], x)
        return self.last(x)


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.PReLU(6)
        self.functions = [
            F.relu, F.relu6, F.elu, F.selu, F.celu, F.gelu, lambda x: F.gelu(x, approximate="tanh"), F.silu, F.mish,
            F.hardswish, F.hardsigmoid, F.hardtanh, F.softplus, F.softsign, F.logsigmoid, F.leaky_relu, torch.tanh,
            torch.sigmoid, F.tanhshrink, F.softshrink, F.hardshrink, lambda x: F.threshold(x, 0.0, 0.0),
            lambda x: F.glu(x, 1).repeat(1, 2, 1), lambda x: x.softmax(1), lambda x: x.log_softmax(2),
            lambda x: F.normalize(x, dim=1), torch.erf, lambda x: x.exp() - 1, lambda x: torch.log1p(x.abs()),
            lambda x: torch.rsqrt(x.square() + 0.1), torch.atan, lambda x: torch.asin(x.clamp(-1, 1)),
            lambda x: torch.remainder(x, 0.7), lambda x: torch.fmod(x, 0.7), torch.floor, torch.round, torch.sign
        ]

    def forward(self, x):
        return torch.stack([self.slope(x), *[function(x) for function in self.functions]], 1)


class Indexing(nn.Module):
    """What a user writes with brackets."""
    def forward(self, x, index):
        y = x.clone()
        y[:, 1] = 0.5
        y[:, :, -2:] = x[:, :, :2] * 2
        z = torch.zeros_like(x)
        z[:, index] = x[:, index] + 1
        return (y, z, x[:, index, :], x[:, ::2, 1:-1:3], x[..., None, -1].flip(0), torch.roll(x, (1, -2), (1, 2)),
                x.cumsum(1), x.sort(2, descending=True)[0], x.argmax(2), torch.where(x > 0, x, -x).amin(1),
                x.unfold(2, 3, 2), torch.tril(x), x.std(2), x.var((1, 2), unbiased=False),
                torch.einsum("bij,bkj->bik", x, x), (x[:, :1] > x).any(2), (x > -9).all(1), F.one_hot(index,
                                                                                                      7), x.norm(dim=2))


class Chosen(nn.Module):
    """Rows by a condition: how many there are depends on the data."""
    def forward(self, x):
        rows = x[x.sum(1) > 0]
        return rows, torch.nonzero(x > 1), x[x < -1]


@torch.jit.script
def branches(x, flag):
    """If within If, a loop whose length is data, and a value carried through it."""
    if bool(flag > 0):
        if bool(flag > 1):
            y = x.relu()
        else:
            y = x.tanh() + 1
        y = y * 2
    else:
        y = -x
    for i in range(int(flag) + 2):
        y = y * 0.5 + x[:, i:i + 1]
    return y


class Branches(nn.Module):
    def forward(self, x, flag):
        return branches(x, flag)


@torch.jit.script
def until_small(x, limit: float):
    steps = 0
    while bool(x.abs().sum() > limit):
        x = x * 0.7 - 0.01
        steps += 1
    return x, torch.tensor(steps)


class Conditional(nn.Module):
    """torch.cond, within another."""
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        def inner_then(x):
            return self.one(x).relu()

        def inner_else(x):
            return self.other(x).tanh()

        def then(x):
            return torch.cond(x.abs().sum() > 20, inner_then, inner_else, (x, )) + 1

        def otherwise(x):
            return self.other(x) * 2

        return torch.cond(x.sum() > 0, then, otherwise, (x, ))


class Scanned(nn.Module):
    """A recurrence by torch's scan operator: ONNX's Scan."""
    def __init__(self):
        super().__init__()
        self.inside, self.state = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, x):
        from torch._higher_order_ops.scan import scan

        def step(carry, row):
            carry = torch.tanh(self.inside(row) + self.state(carry))
            return carry, carry * 2

        return scan(step, torch.zeros(x.shape[0], 8), x, dim=1)


class Autoencoder(nn.Module):
    def __init__(self, activation=nn.SELU):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.3), activation(),
                                    nn.Linear(32, 8))
        self.decode = nn.Sequential(nn.Linear(4, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 64))

    def forward(self, x):
        mean, spread = self.encode(x).chunk(2, 1)
        return self.decode(mean * spread.exp()), (0.5 * (mean**2 + spread.exp() - spread - 1)).sum(1)


class Changed(nn.Module):
    """Operations whose form changed between opsets: axes became inputs; clip, softmax, pad, split, resize, top-k."""
    def __init__(self, late=True):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout()
        self.layer, self.late = nn.LayerNorm(8), late

    def forward(self, x):
        y = self.drop(self.norm(self.conv(x))).clamp(-0.8, 2.5)
        y = F.pad(y, (1, 2, 0, 1), value=0.25)
        if self.late:
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
        first, second = y.split([3, 5], 1)
        rows = torch.cat([second, first], 1).mean(3, keepdim=True).squeeze(3).permute(0, 2, 1)
        rows = F.gelu(self.layer(rows)).softmax(1)
        best, where = rows.topk(2, 2)
        middle = rows[:, 1:-1:2 if self.late else 1].amax(1)
        return best, where, rows.square().sum(
            (1, 2)), (rows + 1).prod(2), middle, y.flatten(1).norm(dim=1), torch.where(rows > 0.02, rows, -rows)


network("diffusion", Diffusion, ["x: batch 4 height width", "t: batch < 1000"], "batch height width", (1, 16, 16),
        (2, 12, 20), exporters=NEW)
network("diffusion_fixed", Diffusion, ["x: 2 4 16 12", "t: 2 < 1000"], "", (), (), exporters=LEGACY)
network("recommender", Recommender, ["dense: batch 6", "user: batch < 50", "items: count < 200", "offsets: batch < 1"],
        "batch count", (1, 7), (4, 19), exporters=LEGACY, adjust=bags)
network("graph_network", GraphNetwork, ["x: nodes 8", "edges: 2 count < 5"], "nodes count", (6, 14), (9, 20))
network("activations", Activations, ["x: batch 6 time"], "batch time", (1, 50), (2, 33))
network("indexing", Indexing, ["x: batch 7 9", "index: 3 < 7"], "batch", (2, ), (3, ))
network("chosen", Chosen, ["x: batch 6"], "batch", (12, ), (40, ))
# A batch a branch, so that each is taken.
network("branches", Branches, ["x: batch 6", "flag: < 3"], "batch", (2, ), (3, ), (4, ), exporters=LEGACY,
        adjust=lambda inputs: inputs | {"flag": torch.tensor(4 - len(inputs["x"]))})
network("while_loop", lambda: Function(lambda x: until_small(x, 2.0)), ["x: batch 6"], "batch", (2, ), (3, ),
        exporters=LEGACY)
network("conditional", Conditional, ["x: batch 6"], "batch", (2, ), (3, ), (4, ), exporters=NEW,
        adjust=lambda inputs: inputs | {"x": inputs["x"].abs() * {2: 0.5, 3: 3.0, 4: -1.0}[len(inputs["x"])]})
network("scanned", Scanned, ["x: batch time 6"], "batch time", (2, 50), (3, 7), exporters=NEW)
network("distances", lambda: Function(lambda x, y: torch.cdist(x, y)), ["x: batch rows 6", "y: batch columns 6"],
        "batch rows columns", (1, 8, 5), (2, 6, 4), exporters=LEGACY)
network("autoencoder", Autoencoder, ["x: batch 64"], "batch", (1, ), (5, ))
network("double", lambda: Autoencoder(nn.ReLU).double(), ["x: batch 64 f64"], "batch", (1, ), (5, ))
for opset in (9, 10, *range(11, 21)):
    image(f"changed_opset{opset}", lambda opset=opset: Changed(opset > 10), (1, 9, 11), (2, 8, 7), exporters=LEGACY,
          settings={"script": {"opset_version": opset}})
for opset in (18, 20, 22, 24):
    image(f"changed_opset{opset}", Changed, (1, 9, 11), (2, 8, 7), exporters=LEGACY + NEW if opset < 21 else NEW,
          settings={"script": {"opset_version": opset}, "dynamo": {"opset_version": opset}})
image("weights_as_inputs", lambda: Changed(), (1, 9, 11), (2, 8, 7), exporters=LEGACY,
      settings={"script": {"keep_initializers_as_inputs": True}})
image("not_folded", UNet, (1, 64, 96), (2, 48, 64), exporters=LEGACY,
      settings={"script": {"do_constant_folding": False}})
image("local_functions", UNet, (1, 64, 96), (2, 48, 64), exporters=NEW, settings={"dynamo": {"optimize": False}})
tokens("local_functions_bert",
       lambda: Pick(bert(num_hidden_layers=1, hidden_size=64), "last_hidden_state", "input_ids"), exporters=NEW,
       settings={"dynamo": {"optimize": False}})

# --- The few that tests carry -----------------------------------------------------------------------------------------


class Blocks(nn.Module):
    """MobileNet in little: batch normalisation, a depthwise convolution, squeeze and excitation, a residual."""
    def __init__(self, w=8):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, w, 3, 2, 1, bias=False), nn.BatchNorm2d(w), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(w, w, 5, 1, 2, groups=w, bias=False), nn.BatchNorm2d(w), nn.ReLU6())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(w, 4, 1), nn.ReLU(), nn.Conv2d(4, w, 1),
                                     nn.Hardsigmoid())
        self.last = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(w, 12, 1), nn.SiLU())
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.first(x)
        y = self.depthwise(x)
        return self.head(self.last(x + y * self.squeeze(y)).mean((2, 3)))


class Mixer(nn.Module):
    """Layer normalisation and both forms of GELU."""
    def __init__(self, w=12):
        super().__init__()
        self.patch, self.norms = nn.Conv2d(3, w, 4, 4), nn.ModuleList(nn.LayerNorm(w) for _ in range(3))
        self.rows = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 16))
        self.columns = nn.Sequential(nn.Linear(w, 24), nn.GELU("tanh"), nn.Linear(24, w))

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.rows(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.columns(self.norms[1](x))
        return self.norms[2](x).log_softmax(-1)


LITTLE_CACHE = [f"{kind}_{i}: batch 2 past 4" for i in range(2) for kind in ("key", "value")]
image("blocks", Blocks, (1, 16, 12), (2, 9, 13), SMALL)
square("mixer", Mixer, 16, SMALL, batches=(1, 2))
network("decoder", lambda: CachedDecoder(20, 8, 2, 2, 16), ["ids: batch 1 < 20", *LITTLE_CACHE], "batch past", (1, 9),
        (2, 4), table=SMALL)
tokens("recurrent", lambda: Tagger(10, 6), 10, (1, 9), (3, 5), SMALL)
network("recurrent_packed", lambda: Packed(5, 4), ["x: time batch 5", "lengths: batch < 2"], "batch time", (2, 9),
        (3, 12), table=SMALL, exporters=LEGACY, adjust=falling_lengths)
image("detector", lambda: Detector(6, 5), (1, 16, 12), (2, 12, 20), SMALL)
image("unet", lambda: UNet(4), (1, 12, 8), (2, 8, 10), SMALL)
network("vocoder", lambda: Vocoder(8, 5), ["mel: batch 5 frames"], "batch frames", (1, 4), (2, 3), table=SMALL)
network("graph_network", GraphNetwork, ["x: nodes 8", "edges: 2 count < 5"], "nodes count", (6, 14), (9, 20),
        table=SMALL)
network("indexing", Indexing, ["x: batch 7 9", "index: 3 < 7"], "batch", (2, ), (3, ), table=SMALL, exporters=LEGACY)
SMALL |= {
    name: NETWORKS[name] for name in ("branches", "while_loop", "conditional", "recommender", "chosen",
                                      "weights_as_inputs", "changed_opset9", "changed_opset11", "changed_opset24")
}
network("scanned", Scanned, ["x: batch time 6"], "batch time", (2, 6), (3, 7), table=SMALL, exporters=NEW)
tokens(
    "llama_opset23", lambda: Pick(
        llama(num_hidden_layers=1, hidden_size=16, intermediate_size=24, vocab_size=20, num_attention_heads=4,
              num_key_value_heads=2), "logits", "input_ids"), 20, (1, 7), (2, 5), SMALL, exporters=NEW,
    settings={"dynamo": {"opset_version": 23}}, by_reference=True)
image("local_functions", lambda: UNet(4), (1, 12, 8), (2, 8, 10), SMALL, exporters=NEW,
      settings={"dynamo": {"optimize": False}})
image("external_weights", Blocks, (1, 16, 12), (2, 9, 13), SMALL, exporters=NEW,
      settings={"dynamo": {"external_data": True}})
