// A replay does what the call would have done, to the bit.
#include <doctest/doctest.h>

#include "always_fused.h"
#include "small_nets.h"
#include "teeny/graph/context.h"
#include "teeny/teeny.h"

using namespace teeny;

namespace {

/// Everything a training step can have: convolution, batch norm, dropout, an optimiser with moments and a step count.
struct Net {
  nn::Conv2d conv{1, 4, 3};
  nn::BatchNorm2d norm{4};
  nn::Linear head{36, 3};
  nn::Dropout dropout{0.3};

  Tensor operator()(const Tensor& x) {
    return head(dropout(norm(conv(x)).relu().max_pool2d().flatten(1)));
  }
  TEENY_STATE(conv, norm, head)
};

Tensor images(int step, int64_t batch = 6) {
  return (Tensor::arange(batch * 64).reshape({batch, 1, 8, 8}) * (step + 1) % 17).cast(DType::Float32).realize() / 17;
}
Tensor classes(int step, int64_t batch = 6) { return ((Tensor::arange(batch) + step) % 3).realize(); }

template <class Optimizer, class Options>
void same_as_without(const Options& options) {
  Training mode;
  test::Bytes bytes[2];
  std::pair<uint64_t, uint64_t> random[2];
  for (const bool replayed : {false, true}) {
    test::Trained<Net, Optimizer> run(options);
    const auto call = [&](Tensor x, Tensor y) { return run.step(x, y); };
    Jit step(call);
    for (int i = 0; i < 50; ++i) {
      if (i == 20) run.optimizer.set_lr(0.003);
      const Tensor x = images(i), y = classes(i);
      bytes[replayed].push_back((replayed ? step(x, y) : call(x, y)).to_bytes());
    }
    if (replayed) CHECK(step.replays() == 46);  // a new rate is a constant in the first call that reads it
    for (const test::Bytes& all : {run.bytes(), run.gradients()})
      bytes[replayed].insert(bytes[replayed].end(), all.begin(), all.end());
    random[replayed] = Tensor::random_state();
  }
  CHECK(bytes[0] == bytes[1]);
  CHECK(random[0] == random[1]);
}

/// Steps of two groups, of 16-bit parameters with float32 copies, too: all but the first two are replayed, to the same
/// bits.
template <class Optimizer, class Options>
void replays_of(Options options) {
  options.master_weights = true;
  Options slower = options;
  slower.lr /= 2;
  for (const DType dtype : {DType::Float32, DType::Float16}) {
    CAPTURE(Optimizer::kName);
    CAPTURE(dtype);
    std::vector<std::vector<std::byte>> bytes[2];
    for (const bool replayed : {false, true}) {
      Tensor::manual_seed(3);
      const Tensor a = Tensor::randn({4, 3}).cast(dtype).realize().requires_grad_(),
                   b = Tensor::randn({3, 2}).cast(dtype).realize().requires_grad_();
      Optimizer optimizer(std::vector<optim::ParamGroup<Options>>{{{a}, options}, {{b}, slower}});
      const auto call = [&](Tensor x) {
        optimizer.zero_grad();
        const Tensor loss = x.matmul(a).tanh().matmul(b).square().mean().backward();
        const std::vector<Tensor> all = {a, b};
        optim::clip_grad_norm(all, 1);
        optimizer.step();
        return loss;
      };
      Jit step(call);
      for (int i = 0; i < 8; ++i) {
        const Tensor x = ((Tensor::arange(8) * (i + 2) % 7).reshape({2, 4}) * 0.25).cast(dtype).realize();
        bytes[replayed].push_back((replayed ? step(x) : call(x)).to_bytes());
      }
      nn::StateDict all = nn::state_dict(optimizer);
      all.insert(all.end(), {{"a", a}, {"b", b}, {"a.grad", a.grad()}, {"b.grad", b.grad()}});
      for (const auto& [name, tensor] : all) bytes[replayed].push_back(tensor.to_bytes());
      CHECK_MESSAGE(step.replays() == (replayed ? 6 : 0), step.why());
    }
    CHECK(bytes[0] == bytes[1]);
  }
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) { return error.what(); }
  return "(nothing was thrown)";
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("jit: fifty steps of a convnet with batch norm and dropout, with Adam") {
  same_as_without<optim::Adam>(optim::AdamOptions{.lr = 0.01});
}
TEST_CASE("jit: and with AdamW and SGD") {
  same_as_without<optim::AdamW>(optim::AdamWOptions{.lr = 0.01});
  same_as_without<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3});
}

TEST_CASE("jit: each optimiser's step is replayed, to the same bits, also of groups and of 16-bit parameters") {
  replays_of<optim::SGD>(optim::SGDOptions{.lr = 0.05});
  replays_of<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3});
  replays_of<optim::Adam>(optim::AdamOptions{.lr = 0.01, .weight_decay = 1e-3});
  replays_of<optim::AdamW>(optim::AdamWOptions{.lr = 0.01});
  replays_of<optim::LAMB>(optim::LAMBOptions{.lr = 0.01});
  replays_of<optim::RMSprop>(optim::RMSpropOptions{});
  replays_of<optim::RMSprop>(optim::RMSpropOptions{.momentum = 0.9, .centered = true});
  replays_of<optim::Adagrad>(optim::AdagradOptions{.lr_decay = 0.01});
  replays_of<optim::NAdam>(optim::NAdamOptions{});
  replays_of<optim::Muon>(optim::MuonOptions{});
}

TEST_CASE("jit: a gradient that the call reads and does not set is looked for in its place") {
  Tensor w = Tensor::of({1, 2}).realize().requires_grad_();
  w.set_grad(Tensor::of({3, 4}).realize());
  const Tensor old = w.grad();
  Jit doubled([&](Tensor x) { return w.grad() * x; });
  Jit cleared([&](Tensor x) { return w.zero_grad(), x * 2; });
  const Tensor two = Tensor::of({2, 2}).realize();
  for (int i = 0; i < 4; ++i) CHECK(doubled(two).to_vector() == std::vector<float>{6, 8});
  CHECK(doubled.replays() == 2);
  w.set_grad(Tensor::of({5, 6}).realize());
  for (int i = 0; i < 4; ++i) CHECK(doubled(two).to_vector() == std::vector<float>{10, 12});
  CHECK(doubled.replays() == 4);
  for (int i = 0; i < 4; ++i) {
    w.set_grad(old);
    cleared(two);
    CHECK_FALSE(w.grad().defined());
  }
  CHECK(cleared.replays() == 2);
}

TEST_CASE("jit: the function itself is called twice, and then no more") {
  int calls = 0;
  Jit twice([&](Tensor x) { return ++calls, x.exp() * 2; });
  for (int i = 0; i < 5; ++i) {
    const Tensor x = Tensor::of({float(i), 1});
    CHECK(twice(x).to_vector() == (x.exp() * 2).to_vector());
  }
  CHECK(calls == 2);
}

TEST_CASE("jit: indexing, sorting and random values with temporary memory of their own") {
  const auto call = [](Tensor x, Tensor index) {
    const Tensor table = Tensor::zeros({7, 3}).requires_grad_();
    const Tensor sum = (table.pad({1, 0}, {0, 2}).embedding(index) * x.reshape({300, 1})).sum();
    return std::vector<Tensor>{gradient(sum, {table})[0],
                               x.argsort(0, true),
                               x.cumsum(0),
                               (x + Tensor::rand({300})).sort().values,
                               x.pad({0}, {5}).gather(0, index),
                               x.scatter_add(0, index, x)};
  };
  Jit step(call);
  for (int i = 0; i < 5; ++i) {
    const Tensor x = (Tensor::arange(300) * (i + 1) % 37).cast(DType::Float32).realize(),
                 index = (Tensor::arange(300) * (i + 2) % 8).realize();
    Tensor::manual_seed(3);
    const std::vector<Tensor> got = step(x, index);
    Tensor::manual_seed(3);
    const std::vector<Tensor> want = call(x, index);
    for (size_t t = 0; t < want.size(); ++t)
      CHECK_MESSAGE(got[t].to_bytes() == want[t].to_bytes(), text("result ", t, " of call ", i));
  }
}

TEST_CASE("jit: an index outside is told at the latest where the result is read") {
  const Tensor table = Tensor::arange(12).reshape({4, 3}).realize();
  Jit rows([&](Tensor index) { return table.embedding(index); });
  const Tensor good = Tensor::of<int64_t>({3, 0}).realize(), bad = Tensor::of<int64_t>({3, 4}).realize();
  for (int i = 0; i < 3; ++i) CHECK(rows(good).sum().item() == 33);
  CHECK(contains(error_of([&] { rows(bad).to_vector(); }),
                 "embedding: index 4 at position (1,) is outside 0 <= index < 4"));
  CHECK(rows(good).sum().item() == 33);
}

TEST_CASE("jit: a result survives the calls after it") {
  Jit square([](Tensor x) { return x * x; });
  std::vector<Tensor> results;
  for (int i = 0; i < 6; ++i) results.push_back(square(Tensor::of({float(i), float(-i)})));
  for (int i = 0; i < 6; ++i) CHECK(results[size_t(i)].to_vector() == std::vector<float>{float(i * i), float(i * i)});
}

TEST_CASE("jit: other shapes, dtypes and modes are recorded anew, and the old recording stays") {
  int calls = 0;
  Jit f([&](Tensor x) { return ++calls, x.dropout(0.5).sum(0); });
  const Tensor small = Tensor::ones({2, 3}), large = Tensor::ones({5, 3}), ints = Tensor::ones({2, 3}, DType::Int32);
  for (int i = 0; i < 3; ++i) {
    CHECK(f(small).to_vector() == std::vector<float>{2, 2, 2});
    CHECK(f(large).to_vector() == std::vector<float>{5, 5, 5});
    CHECK(f(ints).to_vector() == std::vector<float>{2, 2, 2});
  }
  CHECK(calls == 6);
  Training mode;
  f(small), f(small), f(small);
  CHECK(calls == 8);
}

TEST_CASE("jit: what it takes and returns") {
  Tensor total = Tensor::zeros({2});
  Jit add([&](Tensor x) { total.assign(total + x); });
  Jit pair([](Tensor x, Tensor y) { return std::pair(x + y, x - y); });
  Jit list([](Tensor x) { return std::vector<Tensor>{x, x.t(), x.sum(), Tensor::full({2}, 7)}; });
  Jit none([] { return Tensor::rand({3}); });
  Tensor::manual_seed(9);
  std::vector<float> drawn;
  for (int i = 1; i < 5; ++i) {
    const Tensor x = Tensor::of({float(i), 2});
    add(x);
    const auto [sum, difference] = pair(x, total);
    CHECK(sum.to_vector() == (x + total).to_vector());
    CHECK(difference.to_vector() == (x - total).to_vector());
    const Tensor m = Tensor::arange(6).reshape({2, 3}) * i;
    const std::vector<Tensor> views = list(m);
    CHECK(views[0].to_vector() == m.to_vector());
    CHECK(views[1].to_vector() == m.t().to_vector());
    CHECK(views[2].item() == 15 * i);
    CHECK(views[3].to_vector() == std::vector<float>{7, 7});
    for (float value : none().to_vector()) drawn.push_back(value);
  }
  CHECK(total.to_vector() == std::vector<float>{10, 8});
  Tensor::manual_seed(9);
  std::vector<float> expected;
  for (int i = 1; i < 5; ++i)
    for (float value : Tensor::rand({3}).to_vector()) expected.push_back(value);
  CHECK(drawn == expected);
}

TEST_CASE("jit: inputs may be views, and are not written to") {
  Jit f([](Tensor x) { return (x + 1).sum(1); });
  const Tensor x = Tensor::arange(12).reshape({3, 4}).cast(DType::Float32).realize();
  for (int i = 0; i < 4; ++i) {
    CHECK(f(x.t()).to_vector() == (x.t() + 1).sum(1).to_vector());
    CHECK(f(x.flip(0)[{slice(), slice(0, 3)}].t()).to_vector() ==
          (x.flip(0)[{slice(), slice(0, 3)}].t() + 1).sum(1).to_vector());
  }
  CHECK(x.to_vector()[5] == 5);
}

TEST_CASE("jit: what the host gives in the call may be assigned to, and is the same in each") {
  Jit added([](Tensor x) {
    NoGrad guard;
    Tensor sum = Tensor::of({1, 2});
    sum += x;
    return sum;
  });
  for (int i = 0; i < 4; ++i) CHECK(added(Tensor::of({double(i), 0})).to_vector() == std::vector<float>{1.f + float(i), 2});
  CHECK(added.replays() == 2);
}

TEST_CASE("jit: variables may be assigned to between the calls, and who holds their old values keeps them") {
  Tensor p = Tensor::of({1, 2}).contiguous(), scale = Tensor::of({3, 3}).contiguous();
  Jit step([&](Tensor x) {
    p.assign(p + scale * x);
    return p * 1;
  });
  Tensor q = Tensor::of({1, 2});
  float s = 3;
  std::vector<Tensor> held;
  std::vector<std::vector<float>> kept;
  for (int i = 0; i < 8; ++i) {
    if (i == 4) scale.assign(Tensor::of({5, 5})), s = 5;
    if (i == 6) p.assign(Tensor::of({0, 0})), q = Tensor::of({0, 0});
    q = q + s * float(i);
    step(Tensor::of({float(i), float(i)}));
    CHECK(p.to_vector() == q.to_vector());
    held.push_back(p.detach());
    kept.push_back(p.to_vector());
  }
  for (size_t i = 0; i < held.size(); ++i) CHECK(held[i].to_vector() == kept[i]);
}

TEST_CASE("jit: a parameter with one owner is updated in place") {
  const AlwaysFused fused;
  Tensor p = Tensor::ones({1000}).contiguous().realize();
  Jit step([&] { p.assign(p * 0.5); });
  for (int i = 0; i < 3; ++i) step();
  const void* address = p.lazy().node()->buffer->data();
  step();
  CHECK(p.lazy().node()->buffer->data() == address);
  CHECK(p.to_vector()[7] == 1 / 16.f);
}

TEST_CASE("jit: temporaries share memory where their lives do not meet") {
  const Tensor x = Tensor::rand({256, 256}).realize();
  Jit chain([](Tensor x) {
    for (int i = 0; i < 10; ++i) x = x.matmul(x) / 256;
    return x.sum();
  });
  for (int i = 0; i < 3; ++i) chain(x);
  tinyops::reset_peak();
  chain(x);
  // x and two blocks, and small things; a GPU may make a product in parts, which lie beside it.
  const size_t blocks = tinyops::device_name().starts_with("cuda") ? 6 : 4;
  CHECK(tinyops::memory_use().peak <= blocks * 256 * 256 * sizeof(float));
}

TEST_CASE("jit: a replay runs the kernels of the call") {
  const Tensor x = Tensor::rand({32, 32}).realize();
  Jit f([](Tensor x) { return x.softmax().matmul(x).sum(0); });
  auto kernels = [&] {
    const int64_t before = context.kernels;
    f(x);
    return context.kernels - before;
  };
  const int64_t first = kernels();
  kernels();
  CHECK(kernels() == first);
}

TEST_CASE("jit: a replay draws where the stream is, as a list and kernel by kernel") {
  const Tensor x = Tensor::rand({300}).realize();
  const auto call = [](const Tensor& x) {
    return std::pair(x * Tensor::rand({300}), x.sort().values + Tensor::rand({300}));
  };
  Jit f(call);
  for (int i = 0; i < 6; ++i) {
    const ExecutionScope one_by_one({.run = i < 4 ? tinyops::run : tinyops::reference::check});
    const auto state = Tensor::random_state();
    const auto [a, b] = f(x);
    const auto after = Tensor::random_state();
    Tensor::set_random_state(state.first, state.second);
    const auto [c, d] = call(x);
    CHECK(a.to_vector() == c.to_vector());
    CHECK(b.to_vector() == d.to_vector());
    CHECK(Tensor::random_state() == after);
  }
  CHECK(f.replays() == 4);
}

TEST_CASE("jit: an index outside is an error in a replay, too, and the next one is right") {
  const Tensor x = Tensor::of({1, 2, 3});
  Jit pick([](const Tensor& x, const Tensor& i) { return (x * 2).index_select(0, i) + 1; });
  const Tensor good = Tensor::of<int64_t>({2, 0}), bad = Tensor::of<int64_t>({2, 3});
  for (int i = 0; i < 3; ++i) CHECK(pick(x, good).to_vector() == std::vector<float>{7, 3});
  CHECK(contains(error_of([&] { pick(x, bad).to_vector(); }), "index 3"));
  CHECK(pick(x, good).to_vector() == std::vector<float>{7, 3});
  CHECK(pick.replays() == 3);
}

TEST_CASE("jit: what cannot be replayed is an error") {
  const Tensor x = Tensor::of({1, 2});
  Jit looks([](Tensor x) { return x.sum().item() > 0 ? x : -x; });
  CHECK(contains(error_of([&] { looks(x); }), "Jit: the call reads the values of a tensor of ()"));
  CHECK(x.sum().item() == 3);  // no recorder is set any more

  Jit inner([](Tensor x) { return x + 1; });
  Jit outer([&](Tensor x) { return inner(x); });
  CHECK(contains(error_of([&] { outer(x); }), "Jit: called inside the call of another Jit"));

  Tensor outside;
  Jit leaks([&](Tensor x) { return outside = x * 2, x; });
  leaks(x);  // a first call may make what is made on first use
  CHECK(contains(error_of([&] { leaks(x); }), "Jit: a tensor of (2,) that the call made lives on outside"));
  Jit counts([&](Tensor x) { return outside = outside + 1, x; });
  counts(x);
  CHECK(contains(error_of([&] { counts(x); }), "Jit: a tensor of (2,) that the call made lives on outside"));

  Tensor p = Tensor::of({3, 4}).requires_grad_();
  Jit adds([&](Tensor x) { return (p * x).sum().backward(); });
  adds(x);
  CHECK(contains(error_of([&] { adds(x); }), "call zero_grad() inside"));
  Jit clears([&](Tensor x) {
    p.zero_grad();
    return (p * x).sum().backward();
  });
  for (int i = 1; i < 5; ++i) {
    clears(x * i);
    CHECK(p.grad().to_vector() == (x * i).to_vector());
  }

  for (int i = 0; i < 3; ++i) {
    p.zero_grad();
    adds(x);
  }
  CHECK(contains(error_of([&] { adds(x); }), "call zero_grad() inside"));

  Jit fails([](Tensor x) { return x.matmul(x.unsqueeze(0).unsqueeze(0)); });
  CHECK(contains(error_of([&] { fails(Tensor::ones({2, 3})); }), "matmul"));
  CHECK((x + 1).to_vector() == std::vector<float>{2, 3});
}

TEST_CASE("jit: initial values that are not realized are variables, too") {
  nn::Linear layer{4, 3};
  Jit f([&](Tensor x) {
    const NoGrad guard;
    return layer(x);
  });
  const Tensor x = Tensor::ones({2, 4});
  for (int i = 0; i < 4; ++i) f(x);
  layer.bias.assign(Tensor::full({3}, 100));
  CHECK(f(x).to_vector() == layer(x).to_vector());
  layer.weight.assign(layer.weight * 2);
  CHECK(f(x).to_vector() == layer(x).to_vector());
}

TEST_CASE("jit: tensors that are replaced are found out") {
  Tensor t = Tensor::of({2}).realize();
  nn::Linear layer{2, 2};
  Jit f([&](Tensor x) { return layer(x) / t; });
  const Tensor x = Tensor::of({{3, 4}});
  for (int i = 0; i < 12; ++i) {
    if (i == 4) t = Tensor::of({8});
    if (i == 6) t = Tensor(4);
    if (i == 8) layer = nn::Linear(2, 2);
    CHECK(f(x).to_vector() == (layer(x) / t).to_vector());
  }
}

TEST_CASE("jit: it says which calls are not replayed, and why") {
  const AlwaysFused fused;  // what else is in memory after a call depends on it
  nn::Linear layer{2, 2};
  Tensor scale = Tensor::of({2}).realize(), other = scale.detach(), bound = Tensor(4);
  Jit f([&](Tensor x) { return layer(x) / scale * other + bound; });
  const Tensor x = Tensor::of({{3, 4}}), wide = Tensor::of({{3, 4}, {5, 6}});
  const auto says = [&](const Tensor& input, const std::string& part) {
    const int64_t before = f.replays();
    CHECK(f(input).to_vector() == (layer(input) / scale * other + bound).to_vector());
    CHECK(f.replays() == before + part.empty());
    CHECK(f.why().empty() == part.empty());
    CHECK_MESSAGE(contains(f.why(), part), f.why());
  };
  const auto says_then_settles = [&](const std::string& part) {
    says(x, part);
    says(x, "it is recorded");
    says(x, "");
  };
  says_then_settles("no call before with these shapes, dtypes and modes");
  says(wide, "no call before with these shapes, dtypes and modes");
  says(x, "");
  layer.weight.requires_grad_(false);
  says_then_settles("a tensor of (2, 2) requires no gradient any more");
  other = Tensor::of({8}).realize();
  says_then_settles("a tensor of (1,) that the call looked at is gone");
  other.assign(Tensor::of({3}).realize());
  says(x, "");
  bound.assign(Tensor(5));
  says_then_settles("a tensor of (), a constant in the recording, holds other values now");
  layer.bias.assign(Tensor::zeros({2}));
  says(x, "");

  scale = x.sum();  // unrealized, made anew before each call
  says(x, "a tensor of (1,) that the call looked at is gone");
  for (int i = 0; i < 3; ++i) {
    scale = x.sum() + i;
    says(x, "a tensor of () from before the call was still to be computed; realize() it before");
  }
}

TEST_CASE("jit: a second training starts as the first one did") {
  const auto train = [](auto& step, const nn::Linear& model) {
    for (int i = 0; i < 6; ++i) step(Tensor::ones({3, 2}));
    return model.weight.to_vector();
  };
  std::vector<float> weights[2][2];
  for (const bool replayed : {false, true}) {
    Tensor::manual_seed(4);
    nn::Linear model(2, 2);
    optim::SGD sgd(nn::parameters(model), {.lr = 0.1});
    const auto call = [&](Tensor x) {
      sgd.zero_grad();
      const Tensor loss = model(x).square().sum().backward();
      sgd.step();
      return loss;
    };
    Jit jit(call);
    for (int fold = 0; fold < 2; ++fold) {
      if (fold) model = nn::Linear(2, 2), sgd = optim::SGD(nn::parameters(model), {.lr = 0.1});
      auto plain = call;
      weights[replayed][fold] = replayed ? train(jit, model) : train(plain, model);
    }
  }
  CHECK(weights[0][0] == weights[1][0]);
  CHECK(weights[0][1] == weights[1][1]);
}

TEST_CASE("jit: frozen parameters stay as they are") {
  nn::Linear model(2, 2);
  optim::SGD sgd(nn::parameters(model), {.lr = 0.1});
  Jit step([&](Tensor x) {
    sgd.zero_grad();
    const Tensor loss = model(x).square().sum().backward();
    sgd.step();
    return loss;
  });
  for (int i = 0; i < 4; ++i) step(Tensor::ones({3, 2}));
  model.bias.requires_grad_(false);
  const std::vector<float> bias = model.bias.to_vector(), weight = model.weight.to_vector();
  for (int i = 0; i < 4; ++i) step(Tensor::ones({3, 2}));
  CHECK(model.bias.to_vector() == bias);
  CHECK(model.weight.to_vector() != weight);
}

TEST_CASE("jit: gradients by an input, the optimiser alone, a transposed tensor held outside") {
  Tensor w = Tensor::of({{1, 2}, {3, 4}}).requires_grad_();
  const Tensor turned = w.t();
  Jit by_input([&](Tensor x) { return gradient((w * x).sum(), {x})[0]; });
  int calls = 0;
  Jit views([&](Tensor x) { return ++calls, x.matmul(turned.detach()) + x.matmul(w.detach()); });
  optim::SGD sgd({w}, {.lr = 0.5});
  Jit update([&] { sgd.step(); });
  for (int i = 1; i < 7; ++i) {
    Tensor x = Tensor::of({{1, 1}, {1, 1}}).contiguous().requires_grad_();
    CHECK(by_input(x).to_vector() == w.to_vector());
    CHECK(views(x.detach()).to_vector() == (x.matmul(turned) + x.matmul(w)).to_vector());
    w.zero_grad();
    (w * float(i)).sum().backward();
    w.grad().realize();
    const std::vector<float> before = w.to_vector();
    update();
    CHECK(w.to_vector()[0] == before[0] - 0.5f * float(i));
    CHECK(turned.to_vector()[0] == 1);  // a view is a value
  }
}

TEST_CASE("jit: a result that is an input or a variable is a value of its own") {
  Tensor p = Tensor::of({1, 2}).contiguous().realize();
  Jit same([](Tensor x) { return x; });
  Jit step([&] {
    p += 1;
    return p;
  });
  for (int i = 0; i < 5; ++i) {
    const Tensor y = same(p), z = step();
    const std::vector<float> values = y.to_vector(), stepped = z.to_vector();
    p += 5;
    step();
    CHECK(y.to_vector() == values);
    CHECK(z.to_vector() == stepped);
    CHECK(stepped[0] == values[0] + 1);
  }
}

TEST_CASE("jit: a result that no kernel reads or writes") {
  Tensor held = Tensor::of({{1, 2}, {3, 4}});
  const Tensor turned = held.t();
  Jit both([&](const Tensor& x) { return std::vector{held, turned, x + 1}; });
  Jit alone([&](const Tensor&) { return turned; });
  for (int i = 0; i < 4; ++i) {
    const Tensor x = Tensor::full({2}, double(i)).realize();
    const std::vector<Tensor> results = both(x);
    CHECK(results[0].to_vector() == std::vector<float>{1, 2, 3, 4});
    CHECK(results[1].to_vector() == std::vector<float>{1, 3, 2, 4});
    CHECK(results[2].to_vector() == std::vector<float>{float(i) + 1, float(i) + 1});
    CHECK(alone(x).to_vector() == std::vector<float>{1, 3, 2, 4});
  }
  CHECK(both.replays() == 2);
  held.assign(held * 10);
  CHECK(both(Tensor::ones({2}))[0].to_vector() == std::vector<float>{10, 20, 30, 40});
}

TEST_CASE("jit: a handle that is another tensor's now is noticed, also while the old tensor lives") {
  const auto number = [](float value) { return Tensor::of({value}).realize(); };
  Tensor w = number(1);
  const Tensor best = w;
  Jit step([&](Tensor x) { return x * w; });
  std::vector<Tensor> two = {number(1), number(2)};
  Jit first([&](Tensor x) {
    const Tensor copy = two[0];  // a copy reads its handle, too
    return x * copy;
  });
  struct Model {
    std::vector<Tensor> parts;
    nn::Linear layer{1, 1, {.bias = false}};
  } model{{number(3)}}, other{{number(4)}};
  const Model old = model;
  Jit evaluate([&](Tensor x) { return model.layer(x) * model.parts[0]; });
  for (int i = 0; i < 4; ++i) step(number(1)), first(number(1)), evaluate(number(1));
  CHECK((step.replays() == 2 && first.replays() == 2 && evaluate.replays() >= 1));
  w = number(5);
  CHECK(step(number(1)).item() == 5);
  CHECK(contains(step.why(), "a handle through which the call looked at a tensor of (1,) is another one's now"));
  std::swap(two[0], two[1]);
  CHECK(first(number(1)).item() == 2);
  std::swap(two[0], two[1]);
  CHECK(first(number(1)).item() == 1);
  model = other;
  CHECK(evaluate(number(1)).item() == (other.layer(number(1)) * 4).item());
  model.parts.push_back(number(9));  // the handles move
  CHECK(evaluate(number(2)).item() == (other.layer(number(2)) * 4).item());

  Jit swaps([&](Tensor x) { return std::swap(two[0], two[1]), x * two[0]; });
  for (int i = 0; i < 6; ++i) CHECK(swaps(number(1)).item() == (i % 2 ? 1 : 2));
  CHECK(swaps.replays() == 0);
  CHECK(contains(swaps.why(), "assign() to the tensor"));
}

TEST_CASE("jit: assigning to an input writes to the caller's tensor, whichever way and in whichever call") {
  Jit assigns([](Tensor a, Tensor b) { return b.assign(a + 1); });
  Jit adds([](Tensor a, Tensor b) { return b += a; });
  Jit sets([](Tensor a, Tensor b) { return b.set({0}, a[0]); });
  Jit exchanges([](Tensor a, Tensor b) {
    const Tensor old = a.detach();
    a.assign(b), b.assign(old);
  });
  Jit twice([](Tensor a, Tensor b) { return a += 1, b * 2; });  // of one tensor given twice
  Tensor b = Tensor::of({1, 2}).realize(), c = Tensor::of({1, 2}).realize(), d = Tensor::of({1, 2}).realize(),
         p = Tensor::of({1, 1}).realize(), q = Tensor::of({2, 2}).realize(), both = Tensor::of({0, 0}).realize();
  const Tensor handle = b, kept = b.detach(), view = c.detach();
  float sum = 1;
  for (int i = 1; i < 7; ++i) {
    const float x = float(i);
    const Tensor a = Tensor::of({x, x}).realize();
    CHECK(assigns(a, b).to_vector() == std::vector<float>{x + 1, x + 1});
    CHECK(handle.to_vector() == std::vector<float>{x + 1, x + 1});
    CHECK(adds(a, c).to_vector()[0] == (sum += x));
    CHECK(c.to_vector()[0] == sum);
    CHECK(sets(a, d).to_vector() == std::vector<float>{x, 2});
    exchanges(p, q);
    CHECK(p.to_vector()[0] == (i % 2 ? 2 : 1));
    CHECK(q.to_vector()[0] == (i % 2 ? 1 : 2));
    CHECK(twice(both, both).to_vector() == std::vector<float>{2 * x, 2 * x});
  }
  CHECK(kept.to_vector() == std::vector<float>{1, 2});
  CHECK(view.to_vector() == std::vector<float>{1, 2});
  CHECK((assigns.replays() == 4 && adds.replays() == 4 && sets.replays() == 4 && exchanges.replays() == 4 &&
         twice.replays() == 4));

  Jit shared([&](Tensor a) { return b.assign(b + a), a * 1; });
  const Tensor one = Tensor::ones({2}).contiguous();
  for (int i = 0; i < 4; ++i) {
    const std::vector<float> before = b.to_vector();
    CHECK(contains(error_of([&] { shared(b); }),
                   "Jit: a tensor of (2,) is an input and is looked at from outside as well"));
    CHECK(b.to_vector() == before);
    shared(one);
  }
}

TEST_CASE("jit: what the first call makes on first use may live on: a cache of keys and values") {
  for (const bool in_place : {false, true}) {
    Tensor cache, plain = Tensor::zeros({3, 2});
    Jit step([&](Tensor x, Tensor position) {
      if (!cache.defined()) cache = Tensor::zeros({3, 2}).contiguous();
      const Tensor mask = (Tensor::arange(3).unsqueeze(1) == position);
      if (in_place) cache.assign(where(mask, x, cache));
      else cache *= 1, cache += mask * x;
      return cache.sum(1);
    });
    for (int i = 0; i < 6; ++i) {
      const Tensor x = Tensor::of({float(i), 1}).realize(), position = Tensor::of<int64_t>({i % 3}).realize();
      const Tensor mask = (Tensor::arange(3).unsqueeze(1) == position);
      plain = in_place ? where(mask, x, plain) : plain + mask * x;
      CHECK(step(x, position).to_vector() == plain.sum(1).to_vector());
    }
    CHECK(step.replays() == 4);
  }
}

TEST_CASE("jit: of more shapes than there is room for, the recording used least recently goes") {
  Jit f([](Tensor x) { return x * 2; }, {.recordings = 2});
  const auto call = [&](int64_t n) {
    CHECK(f(Tensor::ones({n}).contiguous()).numel() == n);
    return f.why();
  };
  for (int64_t n : {1, 1, 2, 2}) call(n);
  CHECK(call(1) == "");
  CHECK(contains(call(3), "no call before"));  // 2 goes
  CHECK(call(1) == "");
  CHECK(contains(call(2), "no call before"));
  const size_t live = tinyops::memory_use().live;
  for (int64_t n = 1; n < 200; ++n) call(1000 + n), call(1000 + n), call(1000 + n);
  CHECK(tinyops::memory_use().live < live + 100000);
  CHECK_THROWS_WITH_AS(Jit([](Tensor x) { return x; }, {.recordings = 0}),
                       doctest::Contains("Jit: room for 0 recordings"), Error);
}

TEST_CASE("jit: one that was moved from says so") {
  Tensor w = Tensor::of({2}).realize();
  Jit f([w](Tensor x) { return x * w; });
  const Tensor x = Tensor::of({3}).realize();
  for (int i = 0; i < 3; ++i) f(x);
  Jit g = std::move(f);
  CHECK(contains(error_of([&] { f(x); }), "Jit: called after it was moved from"));
  for (int i = 0; i < 3; ++i) CHECK(g(x).item() == 6);
  CHECK(g.why().empty());
  CHECK(contains(error_of([&] { g(Tensor()); }), "Jit: input 0 is an undefined tensor"));
}

TEST_CASE("jit: a graph from before a replay is told that its tensor has changed") {
  Tensor w = Tensor::of({2}).contiguous().requires_grad_();
  w.realize();
  Jit step([&] {
    const NoGrad guard;
    w.assign(w + 1);
  });
  for (int i = 0; i < 3; ++i) step();
  Tensor loss = (w * w).sum();
  step();
  CHECK(contains(error_of([&] { loss.backward(); }), "was assigned to after Mul had used it"));
}

TEST_CASE("jit: after a call that throws everything is as it was, the random stream too") {
  const Tensor table = Tensor::arange(4).cast(DType::Float32).realize();
  Tensor count = Tensor::of({0}).realize(), sum = Tensor::of({0}).realize();
  Jit step([&](Tensor index) {
    const Tensor noise = Tensor::rand({1});
    count += 1;
    sum.assign(sum + table.gather(0, index) + noise * 0);
    return sum * 1;
  });
  const Tensor good = Tensor::of<int64_t>({2}).realize(), bad = Tensor::of<int64_t>({7}).realize();
  const bool late = tinyops::device_name().starts_with("cuda");  // the Error comes when a value is read
  if (late) return;
  for (int i = 0; i < 5; ++i) {
    const auto random = Tensor::random_state();
    CHECK(contains(error_of([&] { step(bad); }), "gather: index 7"));
    CHECK(Tensor::random_state() == random);
    CHECK(count.item() == i);
    CHECK(sum.item() == 2 * i);
    step(good);
    CHECK((count.item() == i + 1 && sum.item() == 2 * (i + 1)));
  }
}
