#include "tests/test_onnx_networks.h"

#include <concepts>

#include "examples/gpt2.h"
#include "examples/resnet.h"
#include "tests/small_nets.h"

namespace teeny::test {

namespace {

using Inputs = std::vector<std::vector<Tensor>>;
constexpr const char* kBatch = "batch";

/// As in examples/gpt.cpp.
struct GptBlock {
  int64_t heads;
  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, up, down;
  GptBlock(int64_t width, int64_t heads)
      : heads(heads),
        norm1(width),
        norm2(width),
        qkv(width, 3 * width),
        out(width, width),
        up(width, 4 * width),
        down(4 * width, width) {}
  Tensor operator()(const Tensor& x) const {
    const Tensor parts = qkv(norm1(x)).reshape({x.size(0), x.size(1), 3, heads, -1}).permute({2, 0, 3, 1, 4});
    const Tensor seen = parts[0].scaled_dot_product_attention(parts[1], parts[2], {.causal = true});
    const Tensor y = x + out(seen.transpose(1, 2).reshape(x.shape()));
    return y + down(up(norm2(y)).gelu());
  }
  TEENY_STATE(norm1, norm2, qkv, out, up, down)
};
struct Gpt {
  nn::Embedding tokens, positions;
  std::vector<GptBlock> blocks;
  nn::LayerNorm norm;
  nn::Linear head;
  Gpt(int64_t layers, int64_t width, int64_t heads, int64_t context)
      : tokens(256, width), positions(context, width), norm(width), head(width, 256, {.bias = false}) {
    for (int64_t i = 0; i < layers; ++i) blocks.emplace_back(width, heads);
  }
  Tensor operator()(const Tensor& bytes) const {
    Tensor x = tokens(bytes) + positions.weight[{slice(0, bytes.size(1))}];
    for (const GptBlock& block : blocks) x = block(x);
    return head(norm(x));
  }
  TEENY_STATE(tokens, positions, blocks, norm, head)
};

/// Patches of a picture are vectors; a class token in front collects what they say. Dosovitskiy et al., 2020.
struct Vit {
  nn::Conv2d patches{3, 32, 4, {.stride = 4}};
  Tensor token = Tensor::randn({1, 1, 32}), positions = Tensor::randn({1, 17, 32});
  nn::TransformerEncoderLayer block{32, 4, {.feedforward = 64, .activation = &Tensor::gelu_erf, .norm_first = true}};
  nn::LayerNorm norm{32};
  nn::Linear head{32, 10};
  Tensor operator()(const Tensor& image) const {
    Tensor x = patches(image).flatten(2).transpose(1, 2);
    x = Tensor::cat({token.expand({image.size(0), 1, 32}), x}, 1) + positions;
    return head(norm(block(x))[{ellipsis, 0, slice()}]);
  }
  TEENY_STATE(patches, token, positions, block, norm, head)
};

/// A step of GPT-2: what the tokens say, and what comes next.
struct Gpt2Step {
  examples::Gpt2 gpt2;
  std::vector<Tensor> operator()(const Tensor& tokens, const Tensor& position, const Tensor& keys,
                                 const Tensor& values) const {
    const auto [x, now] = gpt2(tokens, position, {keys, values});
    return {gpt2.next(x), now.keys, now.values};
  }
  TEENY_STATE(gpt2)
};

/// A recurrent layer with its states as inputs and results.
template <class Layer>
struct WithStates {
  Layer layer;
  auto operator()(const Tensor& x, const Tensor& h) const requires(!std::same_as<Layer, nn::LSTM>) {
    return layer(x, h);
  }
  auto operator()(const Tensor& x, const Tensor& h, const Tensor& c) const requires(std::same_as<Layer, nn::LSTM>) {
    return layer(x, {h, c});
  }
  TEENY_STATE(layer)
};

/// What a text is about, by its last state in both directions.
struct Classifier {
  nn::Embedding table{20, 12};
  nn::LSTM lstm{12, 16, {.layers = 2, .batch_first = true, .bidirectional = true}};
  nn::Linear head{32, 4};
  Tensor operator()(const Tensor& tokens, const Tensor& lengths) const {
    const Tensor h = lstm(table(tokens), {}, lengths).state.h;  // (4, N, 16)
    return head(Tensor::cat({h[2], h[3]}, 1)).log_softmax(1);
  }
  TEENY_STATE(table, lstm, head)
};

/// Running statistics that are not 0 and 1.
template <class Model>
Model with_statistics(Model model) {
  for (const auto& [name, tensor] : nn::state_dict(model)) {
    Tensor t = tensor;
    if (name.ends_with("running_mean")) t.assign(Tensor::randn(t.shape()) * 0.1);
    if (name.ends_with("running_var")) t.assign(Tensor::rand(t.shape()) + 0.5);
  }
  return model;
}

/// The model with its float32 parameters in float16.
template <class Model>
Model halved(Model model) {
  for (const auto& [name, tensor] : nn::state_dict(model))
    if (tensor.dtype() == DType::Float32)
      teeny::detail::TensorAccess::replace(tensor, tensor.detach().cast(DType::Float16).realize().lazy());
  return model;
}

Tensor half(const Tensor& x) { return x.cast(DType::Float16); }
Tensor bytes(const Shape& shape) { return Tensor::randint(0, 256, shape); }

onnx::SaveOptions open_batch(int inputs = 1, int64_t axis = 0) {
  onnx::SaveOptions options;
  for (int i = 0; i < inputs; ++i) options.dynamic.push_back({i, axis, kBatch});
  return options;
}

}  // namespace

std::vector<SavedNetwork> saved_networks() {
  Tensor::manual_seed(17);
  std::vector<SavedNetwork> all;
  const auto images = [](const Shape& image) {
    Inputs sets;
    for (int64_t n : {3, 1, 4}) {
      Shape shape = image;
      shape.insert(0, n);
      sets.push_back({Tensor::randn(shape)});
    }
    return sets;
  };
  const auto halves = [](Inputs sets) {
    for (auto& set : sets) set[0] = half(set[0]);
    return sets;
  };
  const std::map<std::string, int64_t> mnist{{"Sub", 1},     {"Div", 1},     {"Conv", 2}, {"Relu", 2},
                                             {"MaxPool", 2}, {"Flatten", 1}, {"Gemm", 1}};
  all.push_back(saved_network("mnist", Convnet(), images({1, 28, 28}), open_batch(), mnist));
  all.push_back(saved_network("mnist_f16", halved(Convnet()), halves(images({1, 28, 28})), open_batch(), mnist, false));

  std::map<std::string, int64_t> gpt{{"Gather", 7},     {"Slice", 1},   {"Add", 17},    {"LayerNormalization", 5},
                                     {"Transpose", 15}, {"MatMul", 13}, {"Reshape", 4}, {"Mul", 10},
                                     {"Where", 2},      {"Softmax", 2}, {"Pow", 2},     {"Tanh", 2}};
  const Inputs texts{{bytes({2, 24})}, {bytes({1, 24})}, {bytes({5, 24})}};
  all.push_back(saved_network("gpt", Gpt(2, 32, 4, 64), texts, open_batch(), gpt, false));
  onnx::SaveOptions newer = open_batch();
  newer.opset = 20;
  gpt["Mul"] = 2, gpt["Add"] = 13, gpt["Gelu"] = 2, gpt.erase("Pow"), gpt.erase("Tanh");
  all.push_back(saved_network("gpt_opset20", Gpt(2, 32, 4, 64), texts, newer, gpt));
  onnx::SaveOptions both = newer;
  both.dynamic.push_back({0, 1, "time"});
  for (const char* op : {"Shape", "Range", "Squeeze", "Unsqueeze", "LessOrEqual"}) gpt[op] = 1;
  all.push_back(
      saved_network("gpt_time", Gpt(2, 32, 4, 64), {{bytes({2, 24})}, {bytes({1, 7})}, {bytes({3, 64})}}, both, gpt));
  all.push_back(saved_network("gpt_f16", halved(Gpt(2, 32, 4, 64)), texts, open_batch(), {}, false));

  const std::map<std::string, int64_t> block{{"Conv", 3}, {"BatchNormalization", 3}, {"Relu", 2}, {"Add", 1}};
  all.push_back(saved_network("resnet_block", with_statistics(examples::ResNetBlock(8, 16, 16, 2)), images({8, 14, 14}),
                              open_batch(), block, false));
  const std::map<std::string, int64_t> resnet{{"Conv", 20},   {"BatchNormalization", 20}, {"Relu", 17}, {"Add", 8},
                                              {"MaxPool", 1}, {"ReduceMean", 1},          {"Gemm", 1}};
  const examples::ResNetConfig small{{2, 2, 2, 2}, false, 8, 10};
  all.push_back(saved_network("resnet18", with_statistics(examples::ResNet(small)), images({3, 64, 64}), open_batch(),
                              resnet, false));
  onnx::SaveOptions any_size = open_batch();
  any_size.dynamic.push_back({0, 2, "height"}), any_size.dynamic.push_back({0, 3, "width"});
  all.push_back(saved_network("resnet18_any_size", with_statistics(examples::ResNet(small)),
                              {{Tensor::randn({1, 3, 128, 160})}, {Tensor::randn({1, 3, 70, 50})}}, any_size, resnet,
                              false));
  all.push_back(saved_network("resnet50_f16", halved(with_statistics(examples::ResNet({{1, 1, 1, 1}, true, 8, 10}))),
                              halves(images({3, 64, 64})), open_batch(), {}, false));

  all.push_back(saved_network("vit", Vit(), images({3, 16, 16}), open_batch(), {}, false));

  const examples::Gpt2Config config{300, 32, 64, 2, 2};
  const auto tokens = [&](int64_t time) {
    const Tensor keys = Tensor::randn({2, 2, 32, 8}), values = Tensor::randn({2, 2, 8, 32});
    return std::vector<Tensor>{Tensor::randint(0, 300, {time}), Tensor::full({}, 5, DType::Int64), keys, values};
  };
  onnx::SaveOptions step;
  step.inputs = {"tokens", "position", "keys", "values"}, step.outputs = {"logits", "new_keys", "new_values"};
  step.dynamic = {{0, 0, "time"}};
  all.push_back(
      saved_network("gpt2", Gpt2Step{examples::Gpt2(config)}, {tokens(4), tokens(1), tokens(12)}, step, {}, false));

  const auto sequences = [](const Shape& state, int states) {  // (time, batch, 6)
    Inputs sets;
    for (const auto& [time, batch] : {std::pair<int64_t, int64_t>(5, 3), {1, 2}, {9, 1}}) {
      Shape shape = state;
      shape[1] = batch;
      sets.push_back({Tensor::randn({time, batch, 6})});
      for (int s = 0; s < states; ++s) sets.back().push_back(Tensor::randn(shape));
    }
    return sets;
  };
  const auto recurrent = [](int inputs) {
    onnx::SaveOptions options = open_batch(inputs, 1);
    options.dynamic.push_back({0, 0, "time"});
    return options;
  };
  using Counts = std::map<std::string, int64_t>;
  all.push_back(saved_network("lstm", nn::LSTM(6, 8), sequences({1, 0, 8}, 0), recurrent(1),
                              {{"LSTM", 1}, {"Squeeze", 1}}, false));
  all.push_back(saved_network("lstm_states", WithStates<nn::LSTM>{nn::LSTM(6, 8)}, sequences({1, 0, 8}, 2),
                              recurrent(3), Counts{{"LSTM", 1}, {"Squeeze", 1}}, false));
  const nn::RecurrentOptions deep{.layers = 2, .bidirectional = true};
  all.push_back(
      saved_network("lstm_deep", WithStates<nn::LSTM>{nn::LSTM(6, 8, deep)}, sequences({4, 0, 8}, 2), recurrent(3),
                    Counts{{"LSTM", 2}, {"Transpose", 2}, {"Reshape", 2}, {"Slice", 4}, {"Concat", 2}}, false));
  all.push_back(saved_network("gru", nn::GRU(6, 8), sequences({1, 0, 8}, 0), recurrent(1),
                              Counts{{"GRU", 1}, {"Squeeze", 1}}, false));
  all.push_back(
      saved_network("gru_deep", WithStates<nn::GRU>{nn::GRU(6, 8, deep)}, sequences({4, 0, 8}, 1), recurrent(2),
                    Counts{{"GRU", 2}, {"Transpose", 2}, {"Reshape", 2}, {"Slice", 2}, {"Concat", 1}}, false));
  all.push_back(saved_network("rnn", nn::RNN(6, 8, {.relu = true}), sequences({1, 0, 8}, 0), recurrent(1),
                              Counts{{"RNN", 1}, {"Squeeze", 1}}, false));
  onnx::SaveOptions classifier = open_batch(2);
  classifier.dynamic.push_back({0, 1, "time"});
  const auto texts_of = [](int64_t batch, int64_t time) {
    return std::vector<Tensor>{Tensor::randint(0, 20, {batch, time}), Tensor::randint(1, time + 1, {batch})};
  };
  all.push_back(saved_network("lstm_classifier", Classifier(), {texts_of(3, 7), texts_of(1, 2), texts_of(4, 1)},
                              classifier, {}, false));
  all.push_back(saved_network("lstm_f16", halved(nn::LSTM(6, 8)), halves(sequences({1, 0, 8}, 0)), recurrent(1),
                              Counts{{"LSTM", 1}, {"Squeeze", 1}}, false));
  return all;
}

std::vector<SavedNetwork> large_saved_networks() {
  std::vector<SavedNetwork> all;
  all.push_back(saved_network("resnet50_true_size", with_statistics(examples::ResNet({{3, 4, 6, 3}, true, 64, 1000})),
                              {{Tensor::randn({1, 3, 224, 224})}}, open_batch(), {}, false));
  const examples::Gpt2 gpt2{examples::Gpt2Config()};
  const Tensor tokens = Tensor::randint(0, 50257, {16}), position = Tensor::full({}, 20, DType::Int64);
  onnx::SaveOptions step;
  step.inputs = {"tokens", "position", "keys", "values"}, step.outputs = {"logits", "new_keys", "new_values"};
  step.dynamic = {{0, 0, "time"}};
  all.push_back(saved_network("gpt2_true_size", Gpt2Step{gpt2},
                              {{tokens, position, Tensor::randn({12, 12, 64, 64}), Tensor::randn({12, 12, 64, 64})}},
                              step, {}, false));
  return all;
}

}  // namespace teeny::test
