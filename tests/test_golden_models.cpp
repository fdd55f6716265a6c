// Layers and networks with PyTorch's weights, optimisers and learning rates over a run, against PyTorch. What the files
// hold says golden/models.py, which made them.
#include <doctest/doctest.h>

#include <set>

#include "teeny/teeny.h"
#include "tests/golden.h"

namespace teeny::test {
namespace {

using Tensors = std::map<std::string, Tensor>;

/// The cases of one file. Each is asked for once, and in the end all were.
class Cases {
 public:
  explicit Cases(const std::string& section) : file_(load_golden(section)) {}
  ~Cases() {
    for (const auto& [key, tensor] : file_) CHECK_MESSAGE(used_.count(key), key << " is asked by no line");
  }

  bool has(const std::string& key) const { return file_.count(key); }
  const Tensor& at(const std::string& key) {
    REQUIRE_MESSAGE(has(key), key << " is not in the file");
    used_.insert(key);
    return file_.at(key);
  }
  void compare(const std::string& key, const Tensor& got) {
    const std::string wrong = difference(got, at(key));
    CHECK_MESSAGE(wrong.empty(), key << " " << wrong);
  }

  /// Forward, gradients of inputs and parameters, and the state afterwards, of `model` with PyTorch's state.
  /// `run(model, inputs)` is the value.
  template <class Model, class Run>
  void check(const std::string& name, Model model, Run run, bool train = false) {
    const nn::StateDict state = nn::state_dict(model);
    nn::StateDict given;
    for (const auto& [key, tensor] : state) given.emplace_back(key, at(name + ".state." + key));
    nn::load_state_dict(model, given);
    std::vector<Tensor> inputs;
    for (const std::string letter : {"x", "y", "z"})
      if (has(name + "." + letter))
        inputs.push_back(at(name + "." + letter).detach().requires_grad_(has(name + ".d" + letter)));

    const Training mode(train);
    const Tensor out = run(model, inputs);
    compare(name + ".out", out);
    (out * golden_weights(out)).sum().backward();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].requires_grad()) compare(name + ".d" + "xyz"[i], inputs[i].grad());
    for (const auto& [key, tensor] : state)
      tensor.requires_grad() ? compare(name + ".grad." + key, tensor.grad()) : compare(name + ".after." + key, tensor);
  }
  template <class Model>
  void check(const std::string& name, Model model, bool train = false) {
    check(
        name, std::move(model), [](Model& m, const std::vector<Tensor>& in) { return m(in[0]); }, train);
  }

 private:
  Tensors file_;
  std::set<std::string> used_;
};

/// What to do with a model `m` and inputs `in`, the second argument of Cases::check.
#define RUN(...) [&](auto& m, const std::vector<Tensor>& in) -> Tensor { return __VA_ARGS__; }

/// The outputs of an LSTM, a GRU or an RNN in a row.
Tensor flat(const nn::LSTM::Output& out) {
  return Tensor::cat({out.y.flatten(), out.state.h.flatten(), out.state.c.flatten()});
}
Tensor flat(const nn::GRU::Output& out) { return Tensor::cat({out.y.flatten(), out.state.flatten()}); }
Tensor flat(const nn::RNN::Output& out) { return Tensor::cat({out.y.flatten(), out.state.flatten()}); }

nn::LSTM::State initial_state(const nn::LSTM&, const std::vector<Tensor>& in) { return {in[1], in[2]}; }
template <class Layer>
Tensor initial_state(const Layer&, const std::vector<Tensor>& in) {
  return in[1];
}

template <class Layer>
void check_recurrent(Cases& cases, const std::string& kind) {
  const Tensor lengths = Tensor::of<int64_t>({3, 5, 1});
  const nn::RecurrentOptions deep{.layers = 2, .bidirectional = true};
  cases.check(kind, Layer(3, 4), RUN(flat(m(in[0]))));
  cases.check(kind + "_alone", Layer(3, 4, {.bias = false}), RUN(flat(m(in[0], initial_state(m, in)))));
  cases.check(kind + "_deep", Layer(3, 4, {.layers = 2, .batch_first = true, .bidirectional = true}),
              RUN(flat(m(in[0], initial_state(m, in)))));
  cases.check(kind + "_packed", Layer(3, 4, deep), RUN(flat(m(in[0], initial_state(m, in), lengths))));
  cases.check(kind + "_packed_first", Layer(3, 4, {.batch_first = true}), RUN(flat(m(in[0], {}, lengths))));
}

}  // namespace

namespace {

void check_functions(Cases& cases) {
  cases.check("identity", nn::Identity());
  cases.check("relu", nn::ReLU());
  cases.check("relu6", nn::ReLU6());
  cases.check("selu", nn::SELU());
  cases.check("silu", nn::SiLU());
  cases.check("mish", nn::Mish());
  cases.check("sigmoid", nn::Sigmoid());
  cases.check("logsigmoid", nn::LogSigmoid());
  cases.check("tanh", nn::Tanh());
  cases.check("softsign", nn::Softsign());
  cases.check("hardswish", nn::Hardswish());
  cases.check("hardsigmoid", nn::Hardsigmoid());
  cases.check("leaky_relu", nn::LeakyReLU());
  cases.check("elu", nn::ELU(0.5));
  cases.check("celu", nn::CELU());
  cases.check("softplus", nn::Softplus(2));
  cases.check("gelu", nn::GELU());
  cases.check("gelu_tanh", nn::GELU{.tanh = true});
  cases.check("glu", nn::GLU(1));
  cases.check("softmax", nn::Softmax(1));
  cases.check("log_softmax", nn::LogSoftmax(1));
  cases.check("flatten", nn::Flatten());
  cases.check("flatten_axes", nn::Flatten{.start = 2});
  cases.check("unflatten", nn::Unflatten{1, {2, 1}});
  cases.check("max_pool2d", nn::MaxPool2d());
  cases.check("max_pool2d_options", nn::MaxPool2d{3, {.stride = 2, .padding = 1}});
  cases.check("avg_pool2d", nn::AvgPool2d{{2, 3}});
  cases.check("adaptive_avg_pool2d", nn::AdaptiveAvgPool2d());
  cases.check("upsample", nn::Upsample());
  cases.check("upsample_bilinear", nn::Upsample{{2, 3}, {.mode = Interpolation::Linear}});
  cases.check("max_pool1d", nn::MaxPool1d());
  cases.check("avg_pool1d", nn::AvgPool1d{3, {.stride = 1}});
  cases.check("max_pool3d", nn::MaxPool3d());
  cases.check("avg_pool3d", nn::AvgPool3d());
}

}  // namespace

TEST_CASE("golden: layers are PyTorch's") {
  Cases cases("layers");
  cases.check("linear", nn::Linear(4, 3));
  cases.check("linear_plain", nn::Linear(4, 3, {.bias = false}));
  cases.check("conv1d", nn::Conv1d(4, 6, 3, {.stride = 2, .padding = 1, .groups = 2}));
  cases.check("conv2d", nn::Conv2d(3, 4, 3));
  const ConvOptions options{.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2};
  cases.check("conv2d_options", nn::Conv2d(4, 6, {3, 2}, options, {.bias = false}));
  cases.check("conv3d", nn::Conv3d(2, 3, 2, {.padding = 1}));
  cases.check("conv1d_same", nn::Conv1d(4, 6, 4, {.padding = "same", .dilation = 2, .groups = 2}));
  cases.check("conv2d_same", nn::Conv2d(2, 3, {3, 2}, {.padding = "same"}, false));
  cases.check("conv_transpose1d", nn::ConvTranspose1d(4, 6, 3, {.stride = 2, .padding = 1, .groups = 2}));
  cases.check("conv_transpose2d", nn::ConvTranspose2d(3, 4, 3));
  const ConvTransposeOptions back{
      .stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}, .dilation = {1, 2}, .groups = 2};
  cases.check("conv_transpose2d_options", nn::ConvTranspose2d(4, 6, {3, 2}, back, {.bias = false}));
  cases.check("conv_transpose3d", nn::ConvTranspose3d(2, 3, 2, {.stride = 2}));
  for (const bool train : {false, true}) {
    const std::string mode = train ? "_train" : "_eval";
    cases.check("batchnorm1d" + mode, nn::BatchNorm1d(3), train);
    cases.check("batchnorm1d_length" + mode, nn::BatchNorm1d(3), train);
    cases.check("batchnorm2d" + mode, nn::BatchNorm2d(3), train);
    cases.check("batchnorm2d_options" + mode, nn::BatchNorm2d(3, {.eps = 0.1, .momentum = 0.3}), train);
    cases.check("batchnorm2d_twice" + mode, nn::BatchNorm2d(3), RUN(m(m(in[0]) * in[0])), train);
    cases.check("batchnorm3d" + mode, nn::BatchNorm3d(2), train);
    cases.check("groupnorm" + mode, nn::GroupNorm(2, 6), train);
    cases.check("instancenorm" + mode, nn::InstanceNorm2d(3), train);
    const nn::InstanceNormOptions tracked{.eps = 0.1, .affine = true, .momentum = 0.3, .track_running_stats = true};
    cases.check("instancenorm2d_tracked" + mode, nn::InstanceNorm2d(3, tracked), train);
    cases.check("instancenorm1d_tracked" + mode, nn::InstanceNorm1d(3, {.track_running_stats = true}),
                RUN(m(m(in[0]) * in[0])), train);
    cases.check("layernorm" + mode, nn::LayerNorm(6), train);
    cases.check("rmsnorm" + mode, nn::RMSNorm(6), train);
  }
  cases.check("groupnorm_one", nn::GroupNorm(1, 4));
  cases.check("groupnorm_plain", nn::GroupNorm(3, 6, {.eps = 0.1, .affine = false}));
  cases.check("instancenorm_affine", nn::InstanceNorm1d(3, {.affine = true}));
  cases.check("layernorm_axes", nn::LayerNorm(Shape{3, 4}));
  cases.check("layernorm_plain", nn::LayerNorm(4, {.eps = 0.1, .affine = false}));
  cases.check("layernorm_without_bias", nn::LayerNorm(4, {.bias = false}));
  cases.check("rmsnorm_axes", nn::RMSNorm(Shape{3, 4}, {.eps = 0.1}));
  cases.check("rmsnorm_plain", nn::RMSNorm(4, {.affine = false}));
  cases.check("embedding", nn::Embedding(5, 3));
  cases.check("embedding_padding", nn::Embedding(5, 3, 0));

  const auto both = [](const nn::LSTMCell::State& s) { return Tensor::cat({s.h, s.c}, -1); };
  cases.check("lstm_cell", nn::LSTMCell(3, 4), RUN(both(m(in[0], {in[1], in[2]}))));
  cases.check("lstm_cell_first", nn::LSTMCell(3, 4), RUN(both(m(in[0]))));
  cases.check("lstm_cell_alone", nn::LSTMCell(3, 4, {.bias = false}), RUN(both(m(in[0]))));
  const auto steps = [&](const nn::LSTMCell& m, const std::vector<Tensor>& in) {
    nn::LSTMCell::State state{in[1], in[2]};
    for (int64_t t = 0; t < in[0].size(0); ++t) state = m(in[0][t], state);
    return both(state);
  };
  cases.check("lstm_cell_steps", nn::LSTMCell(3, 4), steps);

  cases.check("gru_cell", nn::GRUCell(3, 4), RUN(m(in[0], in[1])));
  cases.check("gru_cell_alone", nn::GRUCell(3, 4, {.bias = false}));
  cases.check("rnn_cell", nn::RNNCell(3, 4), RUN(m(in[0], in[1])));
  cases.check("rnn_cell_relu", nn::RNNCell(3, 4, {.bias = false}, true));
  check_recurrent<nn::LSTM>(cases, "lstm");
  check_recurrent<nn::GRU>(cases, "gru");
  check_recurrent<nn::RNN>(cases, "rnn");
  const auto whole = [](auto& m, const std::vector<Tensor>& in) { return flat(m(in[0])); };
  cases.check("rnn_relu", nn::RNN(3, 4, {.relu = true}), whole);
  const auto from_state = [](auto& m, const std::vector<Tensor>& in) { return flat(m(in[0], {in[1], in[2]})); };
  cases.check("lstm_projected", nn::LSTM(3, 4, {.projection = 2}), whole);
  cases.check("lstm_projected_deep",
              nn::LSTM(3, 4, {.layers = 2, .bias = false, .batch_first = true, .bidirectional = true, .projection = 1}),
              from_state);
  cases.check("lstm_projected_packed", nn::LSTM(3, 4, {.layers = 2, .bidirectional = true, .projection = 3}),
              RUN(flat(m(in[0], {in[1], in[2]}, Tensor::of<int64_t>({3, 5, 1})))));
  cases.check("lstm_projected_alone", nn::LSTM(3, 4, {.projection = 2}), from_state);
  cases.check("gru_dropped", nn::GRU(3, 4, {.layers = 3, .dropout = 1}), whole, true);

  cases.check("attention_self", nn::MultiHeadAttention(6, 2), RUN(m(in[0], in[0], in[0])));
  cases.check("attention_causal", nn::MultiHeadAttention(6, 3), RUN(m(in[0], in[0], in[0], {.causal = true})));
  cases.check("attention_cross", nn::MultiHeadAttention(6, 2, {.bias = false}), RUN(m(in[0], in[1], in[2])));
  const Tensor seen = Tensor::from(std::vector<bool>{1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1}, {4, 3});
  cases.check("attention_mask", nn::MultiHeadAttention(6, 2), RUN(m(in[0], in[1], in[2], seen)));
  cases.check("attention_dropped", nn::MultiHeadAttention(6, 2, {.dropout = 1}), RUN(m(in[0], in[0], in[0])), true);
  cases.check("batchnorm2d_plain_train", nn::BatchNorm2d(3, {.affine = false}), true);
  cases.check("batchnorm2d_plain_eval", nn::BatchNorm2d(3, {.affine = false}));
  cases.check("batchnorm1d_untracked_train", nn::BatchNorm1d(3, {.track_running_stats = false}), true);
  cases.check("batchnorm1d_untracked_eval", nn::BatchNorm1d(3, {.track_running_stats = false}));
  cases.check("batchnorm3d_bare", nn::BatchNorm3d(2, {.affine = false, .track_running_stats = false}));
  cases.check("batchnorm2d_mean_of_all", nn::BatchNorm2d(3, {.momentum = std::nullopt}), RUN(m(m(in[0]) * in[0])),
              true);
  cases.check("instancenorm2d_alone", nn::InstanceNorm2d(3));
  cases.check("prelu", nn::PReLU());
  cases.check("prelu_channels", nn::PReLU(3));
  const Tensor starts = Tensor::of<int64_t>({0, 2, 2, 5});
  for (const auto& [mode, name] : {std::pair(nn::BagMode::Sum, "sum"), std::pair(nn::BagMode::Mean, "mean"),
                                   std::pair(nn::BagMode::Max, "max")}) {
    cases.check(text("bag_", name), nn::EmbeddingBag(5, 3, {.mode = mode}));
    cases.check(text("bag_", name, "_offsets"), nn::EmbeddingBag(5, 3, {.mode = mode}), RUN(m(in[0], starts)));
    cases.check(text("bag_", name, "_padding"), nn::EmbeddingBag(5, 3, {.mode = mode, .padding = 1}),
                RUN(m(in[0], starts)));
  }
  const nn::EmbeddingBagOptions sum{.mode = nn::BagMode::Sum};
  cases.check("bag_weights", nn::EmbeddingBag(5, 3, sum), RUN(m(in[0], {}, in[1])));
  cases.check("bag_weights_offsets", nn::EmbeddingBag(5, 3, sum), RUN(m(in[0], starts, in[1])));
  const AttentionOptions causal{.causal = true};
  cases.check("encoder", nn::TransformerEncoderLayer(6, 2, {.feedforward = 8}));
  cases.check("encoder_norm_first",
              nn::TransformerEncoderLayer(6, 2, {.feedforward = 8, .norm_first = true, .bias = false}),
              RUN(m(in[0], causal)));
  cases.check("encoder_gelu",
              nn::TransformerEncoderLayer(6, 2, {.feedforward = 8, .activation = &Tensor::gelu_erf, .eps = 0.1}),
              RUN(m(in[0], Tensor::tri(4, 4))));
  check_functions(cases);
  cases.check("sequential", nn::Sequential(nn::Linear(4, 6), nn::ReLU(),
                                           nn::Sequential(nn::LayerNorm(6), [](const Tensor& x) { return x.tanh(); }),
                                           nn::Linear(6, 2)));
}

// ---- Networks -------------------------------------------------------------------------------------------------------

namespace {

struct Block {
  nn::LayerNorm norm1{8}, norm2{8};
  nn::MultiHeadAttention attention{8, 2};
  nn::Linear up{8, 16}, down{16, 8};
  Tensor operator()(Tensor x) const {
    const Tensor n = norm1(x);
    x = x + attention(n, n, n, {.causal = true});
    return x + down(up(norm2(x)).gelu());
  }
  TEENY_STATE(norm1, norm2, attention, up, down)
};
struct Transformer {
  nn::Embedding symbols{7, 8}, places{5, 8};
  Block block;
  nn::LayerNorm norm{8};
  nn::Linear head{8, 7, {.bias = false}};
  Tensor operator()(const Tensor& tokens) const {
    return head(norm(block(symbols(tokens) + places(Tensor::arange(tokens.size(1))))));
  }
  TEENY_STATE(symbols, places, block, norm, head)
};
struct ResNet {
  static nn::Conv2d conv(int64_t in, int64_t kernel, int64_t stride) {
    return nn::Conv2d(in, 6, kernel, {.stride = stride, .padding = kernel / 2}, {.bias = false});
  }
  nn::Conv2d conv1 = conv(3, 3, 2), conv2 = conv(6, 3, 1);
  nn::BatchNorm2d bn1{6}, bn2{6};
  nn::Sequential downsample{conv(3, 1, 2), nn::BatchNorm2d(6)};
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x) {
    const Tensor y = bn2(conv2(bn1(conv1(x)).relu()));
    return fc((y + downsample(x)).relu().mean({2, 3}));
  }
  TEENY_STATE(conv1, bn1, conv2, bn2, downsample, fc)
};

}  // namespace

TEST_CASE("golden: networks with PyTorch's weights have its loss and its gradients") {
  Cases cases("networks");
  const auto loss = [&cases](const std::string& name) {
    return [&cases, name](auto& m, const std::vector<Tensor>& in) {
      const Tensor logits = m(in[0]);
      cases.compare(name + ".logits", logits);
      return logits.flatten(0, -2).cross_entropy(in[1].flatten());
    };
  };
  cases.check("transformer", Transformer(), loss("transformer"), true);
  cases.check("resnet_train", ResNet(), loss("resnet_train"), true);
  cases.check("resnet_eval", ResNet(), loss("resnet_eval"), false);
}

// ---- Optimisers -----------------------------------------------------------------------------------------------------

namespace {

/// |got - want| <= tolerance * (1 + |want|) for all elements.
void check_near(const std::string& what, const Tensor& got, const Tensor& want, double tolerance) {
  const auto g = got.to_vector<double>(), w = want.to_vector<double>();
  REQUIRE(g.size() == w.size());
  for (size_t i = 0; i < w.size(); ++i)
    CHECK_MESSAGE(is_close(g[i], w[i], tolerance),
                  what << ": element " << i << " is " << g[i] << " and should be " << w[i]);
}

/// Ten steps with the gradients of the file, compared after each. `make(parameters)` is the optimiser.
template <class Make>
void check_optimizer(Cases& cases, const std::string& name, const Make& make, DType dtype, double tolerance) {
  std::vector<Tensor> params;
  for (const std::string k : {"0", "1"}) params.push_back(cases.at("start." + k).cast(dtype).detach().requires_grad_());
  auto optimizer = make(params);
  for (int t = 0; t < 10; ++t) {
    if (t == 5) optimizer.set_lr(optimizer.lr() * 0.3);
    for (size_t k = 0; k < 2; ++k) params[k].set_grad(cases.at(text("grads.", k))[t].cast(dtype));
    optimizer.step();
    for (size_t k = 0; k < 2; ++k)
      check_near(text(name, '.', k, " after step ", t + 1, " in ", dtype), params[k], cases.at(text(name, '.', k))[t],
                 tolerance);
  }
}
template <class Optimizer, class Options>
void check_optimizer(Cases& cases, const std::string& name, const Options& options) {
  const auto make = [&](const std::vector<Tensor>& params) { return Optimizer(params, options); };
  check_optimizer(cases, name, make, DType::Float64, 1e-12);
  check_optimizer(cases, name, make, DType::Float32, 1e-5);
  // Of 16 bits, where nothing adds up but a rounding a step, and where float32 copies leave only the last of them.
  check_optimizer(cases, name, make, DType::Float16, 1e-2);
  Options copied = options;
  copied.master_weights = true;
  const auto make_copied = [&](const std::vector<Tensor>& params) { return Optimizer(params, copied); };
  check_optimizer(cases, name, make_copied, DType::Float16, 0x1.1p-11);
  check_optimizer(cases, name, make_copied, DType::BFloat16, 0x1.1p-8);
}
/// The same with a group for each parameter.
template <class Optimizer, class Options>
void check_groups(Cases& cases, const std::string& name, const Options& first, const Options& second) {
  const auto make = [&](const std::vector<Tensor>& p) { return Optimizer({{{p[0]}, first}, {{p[1]}, second}}); };
  check_optimizer(cases, name, make, DType::Float64, 1e-12);
  check_optimizer(cases, name, make, DType::Float32, 1e-5);
}

}  // namespace

TEST_CASE("golden: optimisers are PyTorch's, step by step") {
  using namespace optim;
  Cases cases("optimizers");
  check_optimizer<SGD>(cases, "sgd", SGDOptions{.lr = 0.1});
  check_optimizer<SGD>(cases, "sgd_decay", SGDOptions{.lr = 0.1, .weight_decay = 0.2});
  check_optimizer<SGD>(cases, "sgd_momentum", SGDOptions{.lr = 0.05, .momentum = 0.9});
  check_optimizer<SGD>(cases, "sgd_nesterov",
                       SGDOptions{.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.1});
  check_optimizer<Adam>(cases, "adam", AdamOptions{.lr = 0.1});
  check_optimizer<Adam>(cases, "adam_options",
                        AdamOptions{.lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.2});
  check_optimizer<AdamW>(cases, "adamw", AdamWOptions{.lr = 0.1});
  check_optimizer<AdamW>(cases, "adamw_decay", AdamWOptions{.lr = 0.1, .weight_decay = 0.5});
  check_optimizer<LAMB>(cases, "lamb", LAMBOptions{.lr = 0.1});
  check_optimizer<LAMB>(cases, "lamb_options",
                        LAMBOptions{.lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.2});
  check_optimizer<Muon>(cases, "muon", MuonOptions{.lr = 0.1});
  check_optimizer<Muon>(
      cases, "muon_options",
      MuonOptions{.lr = 0.05, .momentum = 0.8, .nesterov = false, .weight_decay = 0, .iterations = 3});
  check_optimizer<Muon>(cases, "muon_like_adamw", MuonOptions{.lr = 0.1, .rate = MuonRate::MatchAdamW});
  // As PyTorch runs it, in bfloat16: the steps add up to half, and their directions differ by hundredths.
  check_optimizer(
      cases, "muon_bfloat16", [](const auto& params) { return Muon(params, {.lr = 0.1}); }, DType::Float64, 6e-3);
  check_optimizer<Muon>(cases, "muon_coefficients", MuonOptions{.lr = 0.1, .coefficients = {2, -1.5, 0.5}});
  check_optimizer<RMSprop>(cases, "rmsprop", RMSpropOptions{.lr = 0.1});
  check_optimizer<RMSprop>(cases, "rmsprop_momentum",
                           RMSpropOptions{.lr = 0.05, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.5});
  check_optimizer<RMSprop>(cases, "rmsprop_centered",
                           RMSpropOptions{.lr = 0.05, .eps = 1e-3, .momentum = 0.9, .centered = true});
  check_optimizer<Adagrad>(cases, "adagrad", AdagradOptions{.lr = 0.1});
  check_optimizer<Adagrad>(
      cases, "adagrad_options",
      AdagradOptions{.lr = 0.2, .lr_decay = 0.1, .weight_decay = 0.1, .initial_accumulator_value = 0.5, .eps = 1e-3});
  check_optimizer<NAdam>(cases, "nadam", NAdamOptions{.lr = 0.1});
  check_optimizer<NAdam>(
      cases, "nadam_options",
      NAdamOptions{.lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.2, .momentum_decay = 0.1});
  check_optimizer<NAdam>(cases, "nadam_decoupled",
                         NAdamOptions{.lr = 0.05, .weight_decay = 0.2, .decoupled_weight_decay = true});

  check_groups<SGD>(cases, "sgd_groups", SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1},
                    SGDOptions{.lr = 0.01, .weight_decay = 0.1});
  check_groups<AdamW>(cases, "adamw_groups", AdamWOptions{.lr = 0.1, .weight_decay = 0},
                      AdamWOptions{.lr = 0.2, .beta1 = 0.5, .beta2 = 0.8});
  check_groups<NAdam>(cases, "nadam_groups", NAdamOptions{.lr = 0.1},
                      NAdamOptions{.lr = 0.2, .beta1 = 0.5, .beta2 = 0.8});

  const auto check_clip = [&cases](const std::string& name, double limit, double norm_type) {
    std::vector<Tensor> params;
    for (const std::string k : {"0", "1"}) {
      const Tensor g = cases.at("grads." + k)[0].cast(DType::Float64);
      params.push_back(g.zeros_like().requires_grad_());
      params.back().set_grad(g);
    }
    params.push_back(Tensor::zeros({3}).requires_grad_());  // without a gradient
    check_near(name, clip_grad_norm(params, limit, norm_type), cases.at("clip_" + name + ".norm"), 1e-12);
    for (size_t k = 0; k < 2; ++k) check_near(name, params[k].grad(), cases.at(text("clip_", name, '.', k)), 1e-12);
    CHECK_FALSE(params[2].grad().defined());
  };
  check_clip("norm2", 1.5, 2);
  check_clip("norm1", 3, 1);
  check_clip("norm3", 2, 3);
  check_clip("largest", 0.5, INFINITY);
  check_clip("short", 1e3, 2);
}

TEST_CASE("golden: learning rates are PyTorch's") {
  using namespace optim;
  Cases cases("schedules");
  const auto check = [&cases](const std::string& name, const LRSchedule& schedule) {
    const auto want = cases.at(name).to_vector<double>();
    SGD sgd({Tensor::zeros({1}).requires_grad_()});
    LRScheduler rate(sgd, schedule);
    for (size_t step = 0; step < want.size(); ++step) {
      if (step) rate.step();
      CHECK_MESSAGE(is_close(sgd.lr(), want[step], 1e-12),
                    name << " at step " << step << " is " << sgd.lr() << " and should be " << want[step]);
    }
  };
  const auto check_plateau = [&cases](const std::string& name, const ReduceLROnPlateauOptions& options) {
    SGD sgd({Tensor::zeros({1}).requires_grad_()}, {.lr = 0.1});
    ReduceLROnPlateau plateau(sgd, options);
    const auto metric = cases.at("plateau.metric").to_vector<double>(), want = cases.at(name).to_vector<double>();
    for (size_t epoch = 0; epoch < want.size(); ++epoch) {
      plateau.step(metric[epoch]);
      CHECK_MESSAGE(is_close(sgd.lr(), want[epoch], 1e-12),
                    name << " after epoch " << epoch << " is " << sgd.lr() << " and should be " << want[epoch]);
    }
  };
  check_plateau("plateau", {});
  check_plateau("plateau_short", {.patience = 2});
  check_plateau("plateau_max", {.factor = 0.5, .patience = 1, .maximize = true});
  check_plateau("plateau_options",
                {.patience = 1, .threshold = 0.05, .relative = false, .cooldown = 2, .min_lr = 3e-3});
  check("step", StepLR{.lr = 0.1, .step_size = 7, .gamma = 0.3});
  check("multi_step", MultiStepLR{.lr = 0.1, .milestones = {5, 6, 20, 40}});
  check("exponential", ExponentialLR{.lr = 0.1, .gamma = 0.93});
  check("cosine", CosineAnnealingLR{.lr = 0.1, .t_max = 40});
  check("cosine_up_again", CosineAnnealingLR{.lr = 0.1, .t_max = 30, .eta_min = 0.01});
  check("warmup_cosine", Warmup{8, 0.1, CosineAnnealingLR{.lr = 0.1, .t_max = 52, .eta_min = 1e-3}});
  check("warmup_step", Warmup{8, 0.1, StepLR{.lr = 0.1, .step_size = 10}});
  check("one_cycle", OneCycleLR{.max_lr = 0.1, .total_steps = 100});
  check("one_cycle_options",
        OneCycleLR{.max_lr = 0.1, .total_steps = 37, .pct_start = 0.45, .div_factor = 10, .final_div_factor = 100});
  check("one_cycle_short", OneCycleLR{.max_lr = 0.1, .total_steps = 3});
}

}  // namespace teeny::test
