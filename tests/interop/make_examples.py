#!/usr/bin/env python3
"""Writes tests/interop/examples: small networks with random weights under the names that GPT-2 and torchvision's ResNets were
published with, and what PyTorch, transformers, tokenizers and PIL make of them.

    python make_examples.py          with torch 2.15, transformers 5.24, tokenizers 0.23, torchvision 0.29, pillow 13.0

    vocab.json merges.txt            a vocabulary of 400, trained on the text below
    words.json                       texts, and their tokens
    gpt2.safetensors.gz              2 layers, 2 heads, width 24, 32 positions; float16
    resnet_basic.safetensors.gz      a block a layer, width 4, 10 classes; float16
    resnet_bottleneck.safetensors.gz the same, width 2
    pictures/                        PNGs of all kinds, and PPMs
    expected.safetensors.gz          logits, tokens, pixels
"""
import gzip
import json
import pathlib
import sys

import numpy as np
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import save
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

HERE = pathlib.Path(__file__).resolve().parent
TO = HERE / 'examples'
SEED = 20

TEXT = """
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so
well fixed in the minds of the surrounding families, that he is considered as the rightful property of some one or other
of their daughters. "My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let at
last?" Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been here, and she told me
all about it." Mr. Bennet made no answer. "Do not you want to know who has taken it?" cried his wife, impatiently. "You
want to tell me, and I have no objection to hearing it." This was invitation enough.
Größe, façade, naïve, Здравствуй, мир, こんにちは世界, 你好, 안녕, مرحبا, नमस्ते, 3.14159 2024 100,000 x1 y2
"""

TEXTS = [
    '', ' ', '  ', '   a', 'a', 'a ', 'a  ', ' a', '\n', '\n\n', ' \n ', '\n\n\nfoo', 'foo\n', 'foo \n bar', '\t\ttab', 'a\r\nb\r\n',
    'Hello, world!', "I don't know what you've said; we'll see, he'd say I'm it's they're", "DON'T SHOUT'S 'tis 'twas ''s ' s '",
    "l'été d'hier n'est", 'a universal truth', 'the  feelings   of    such     a man', 'trailing spaces   ', '   leading',
    'x=1;y=22;z=333', '3.14159', '1,000,000', 'v2.0-beta3', 'a1b2c3', '½ ⅓ Ⅷ ² ₃ ①', '٠١٢٣ ०१२ ๑๒๓ 一二三', '𝟘𝟙𝟚 𝔸𝔹',
    'Größe naïve façade', 'e\u0301 vs \u00e9', 'a\u0300\u0301\u0302b', 'नमस्ते दुनिया', 'สวัสดี ชาวโลก', '你好，世界。', 'こんにちは カタカナ', '안녕 하세요',
    'Здравствуй, мир', 'مرحبا بالعالم', 'שלום', 'ﬁ ﬀ ŉ ǅ', '😀', '👩‍👩‍👧‍👦 family', '🇩🇪🇫🇷', '❤️ ☂ ♥', 'a😀b 😀😀', '\u200b\u200d\ufeff',
    'no\u00a0break\u2003em\u3000ideographic', '\u2028line\u2029para', '\x00\x01\x1b[31m', '\x85next\x1c\x1d', '\ud7ff\ue000\uffff\U0010ffff',
    '!!!???...', '#include <stdio.h>\nint main() { return 0; }\n', 'def f(x):\n    return x**2\n\n\n', '<|endoftext|'[:8], '____ ---- ====',
    '\U000105c0\U00010d4a \ua7ce\u088f', 'a' * 300, ' ' * 70 + 'z', 'ab' * 100, '\n' * 40, "'" * 9 + 's',
]


def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                         special_tokens=['<|endoftext|>'], show_progress=False))
    made.model.save(str(TO))
    theirs = transformers.GPT2Tokenizer(str(TO / 'vocab.json'), str(TO / 'merges.txt'))
    cases = [{'text': text, 'tokens': theirs(text)['input_ids']} for text in TEXTS]
    (TO / 'words.json').write_text('[\n' + ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases) + '\n]\n')
    return theirs


def coarse(model):
    """Random weights which float16 has exactly, and gzip makes small."""
    with torch.no_grad():
        for name, x in model.state_dict().items():
            if not x.is_floating_point():
                continue
            if name.endswith('running_var'):
                x.uniform_(0.5, 2)
            elif name.endswith(('norm.weight', 'bn1.weight', 'bn2.weight', 'bn3.weight', 'ln_1.weight', 'ln_2.weight', 'ln_f.weight')):
                x.uniform_(0.5, 1.5)
            elif x.dim() < 2:
                x.normal_(0, 0.2)
            elif x.dim() == 2:
                x.normal_(0, 0.35 if '.h.' in name else 0.2)
            else:
                x.normal_(0, 1.5 / x[0].numel() ** 0.5)
            x.copy_((x * 32).round() / 32)
    return model.eval()


def write(name, tensors):
    data = save({key: x.contiguous() for key, x in tensors.items()})
    (TO / (name + '.safetensors.gz')).write_bytes(gzip.compress(data, mtime=0))


def halves(tensors):
    return {key: x.half() if x.is_floating_point() else x for key, x in tensors.items()}


def gpt2(words):
    config = transformers.GPT2Config(vocab_size=400, n_positions=32, n_embd=24, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    model = coarse(transformers.GPT2LMHeadModel(config))
    tensors = {key.removeprefix('transformer.'): x for key, x in model.state_dict().items() if key != 'lm_head.weight'}
    tensors['h.0.attn.bias'] = torch.tril(torch.ones(32, 32)).bool().reshape(1, 1, 32, 32)  # as in the published file
    write('gpt2', halves(tensors))
    tokens = torch.tensor(words('It is a truth that a man is let, however, at last: 3 cats')['input_ids'])[None, :12]
    assert tokens.shape[1] == 12
    with torch.no_grad():
        logits = model(tokens).logits[0]
        greedy = tokens
        while greedy.shape[1] < 32:
            greedy = torch.cat([greedy, model(greedy).logits[:, -1].argmax(-1)[None]], 1)
    return {'gpt2.tokens': tokens[0], 'gpt2.logits': logits[:, ::8], 'gpt2.greedy': greedy[0]}


class Small(ResNet):
    """torchvision's ResNet with a block a layer, and narrow: its width is 64."""

    def __init__(self, block, width):
        super().__init__(block, [1, 1, 1, 1], num_classes=10)
        self.inplanes = width
        self.conv1 = torch.nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        for i in range(4):
            setattr(self, f'layer{i + 1}', self._make_layer(block, width << i, 1, stride=1 if i == 0 else 2))
        self.fc = torch.nn.Linear(8 * width * block.expansion, 10)


def resnets(picture):
    x = torchvision.transforms.functional.resize(picture, 64)
    x = torchvision.transforms.functional.center_crop(x, 48)
    expected = {'resnet.pixels': torch.from_numpy(np.array(x))}
    x = torchvision.transforms.functional.normalize(torchvision.transforms.functional.to_tensor(x), [0.485, 0.456, 0.406],
                                                    [0.229, 0.224, 0.225])
    for name, block, width in [('basic', BasicBlock, 4), ('bottleneck', Bottleneck, 2)]:
        model = coarse(Small(block, width))
        write(f'resnet_{name}', halves(model.state_dict()))
        with torch.no_grad():
            expected[f'resnet_{name}.logits'] = model(x[None])[0]
    return expected


def scene(width, height):
    """A picture with edges and slopes."""
    y, x = np.mgrid[0:height, 0:width]
    colours = [128 + 100 * np.sin(x / 7), 128 + 90 * np.cos(y / 5 + x / 31), (x * y) // 3 % 256]
    return Image.fromarray(np.stack(colours, -1).clip(0, 255).astype(np.uint8))


def pictures():
    """Of each kind of file its pixels as PIL reads them, and sizes that PIL makes of a picture."""
    to = TO / 'pictures'
    to.mkdir(exist_ok=True)
    small = scene(19, 13)
    rgba = small.copy()
    rgba.putalpha(small.convert('L'))
    deep = np.array(small.convert('L')).astype(np.uint16) * 257
    expected = {}

    def add(name, image, pixels=None, **options):
        image.save(to / name, optimize=True, **options)
        expected['pixels.' + name] = torch.from_numpy(np.array((pixels or Image.open(to / name)).convert('RGB')))

    add('rgb.png', small)
    add('rgba.png', rgba)
    add('grey.png', small.convert('L'))
    add('grey_alpha.png', rgba.convert('LA'))
    add('palette.png', small.quantize(32))
    add('transparent_palette.png', small.quantize(16), transparency=3)
    add('bits.png', small.convert('1'))
    add('deep.png', Image.fromarray(deep), small.convert('L'))
    add('colour.ppm', small)
    add('grey.pgm', small.convert('L'))
    header = b'P6 # sixteen bits\n19\t13\n# two bytes each\n65535\n'
    (to / 'deep.ppm').write_bytes(header + (np.array(small).astype('>u2') * 257).tobytes())
    expected['pixels.deep.ppm'] = expected['pixels.rgb.png'].clone()
    larger = scene(61, 40)
    larger.save(to / 'scene.png', optimize=True)
    for width, height in [(30, 20), (61, 17), (7, 40), (25, 44), (1, 1)]:
        size = larger.resize((width, height), Image.Resampling.BILINEAR)
        expected[f'resized.{width}x{height}'] = torch.from_numpy(np.array(size))
    return expected, scene(101, 83)


def main():
    TO.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    words = tokenizer()
    expected, picture = pictures()
    picture.save(TO / 'pictures' / 'large.png', optimize=True)
    expected |= gpt2(words) | resnets(picture)
    write('expected', expected)
    sizes = {str(f.relative_to(TO)): f.stat().st_size for f in sorted(TO.rglob('*')) if f.is_file()}
    for name, size in sizes.items():
        print(f'{size:7} {name}')
    print(f'{sum(sizes.values()):7} in all')


sys.exit(main())
