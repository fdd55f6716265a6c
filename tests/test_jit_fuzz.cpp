// Random programs of calls, assignments, exchanged handles, shapes, modes and optimisers, run twice: with a Jit and
// without. Whatever they compute must be the same to the bit after every action; and so must what a program file of the
// Jit makes of each call that the Jit replays.
//
// FUZZ=n runs n programs, FUZZ_SEED=n one of them, or n from there.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>

#include "teeny/jit/run_program.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"
#include "tinyops/base/environment.h"

using namespace teeny;

namespace {

constexpr int64_t kSize = 4;

struct Random {
  std::mt19937_64 engine;
  int below(int n) { return int(engine() % uint64_t(n)); }
  bool one_in(int n) { return below(n) == 0; }
};

/// One instruction of the function: what the numbers mean depends on the kind.
struct Instruction {
  enum Kind {
    Compute,
    AssignVariable,
    AddToVariable,
    SetElement,
    AssignInput,
    AddToInput,
    Draw,
    Train,
    FirstUse,
    Kinds
  } kind;
  int a, b, c;
};
struct Action {
  enum Kind { Call, Assign, Swap, Exchange, Mode, Grad, Rate, Hold, Kinds } kind;
  int a, b;
  bool lazy;
};
struct Script {
  int variables;
  std::vector<Instruction> function;
  std::vector<Action> actions;
};

Script make(uint64_t seed) {
  Random random{std::mt19937_64(seed)};
  Script program{2 + random.below(3), {}, {}};
  const bool trains = random.one_in(2);
  for (int i = 0, n = 2 + random.below(7); i < n; ++i) {
    const auto kind = Instruction::Kind(random.below(Instruction::Kinds));
    if (kind != Instruction::Train)
      program.function.push_back({kind, random.below(100), random.below(100), random.below(100)});
  }
  if (trains) program.function.push_back({Instruction::Train, random.below(100), random.below(100), random.below(100)});
  for (int i = 0, n = 12 + random.below(16); i < n; ++i) {
    const auto kind = random.one_in(8) ? Action::Kind(random.below(Action::Kinds)) : Action::Call;
    const auto input = [&] { return random.one_in(10) ? random.below(4) : 1 + random.below(2); };  // mostly of 3 rows
    if (kind == Action::Call) program.actions.push_back({kind, input(), input(), random.one_in(10)});
    else program.actions.push_back({kind, random.below(100), random.below(100), random.one_in(4)});
  }
  return program;
}

/// The tensors of a program while it runs, and everything that was seen of them.
class Run {
 public:
  Run(const Script& program, bool replayed) : program_(program) {
    Tensor::manual_seed(7);
    for (int i = 0; i < program.variables; ++i) variables_.push_back(fresh(i));
    weight_ = fresh(20).requires_grad_();
    optimizer_.emplace(std::vector<Tensor>{weight_}, optim::AdamOptions{.lr = 0.1});
    for (int64_t rows : {1, 3, 3, 5})
      inputs_.push_back((Tensor::arange(rows * kSize).reshape({rows, kSize}) % 7 - 3).cast(DType::Float32).realize());
    const auto function = [this](Tensor x, Tensor y) { return call(x, y); };
    Jit jit(function, {.recordings = 4});
    for (const Action& action : program.actions) {
      if (action.kind != Action::Call) saved_.reset();
      act(action, [&](const Tensor& x, const Tensor& y) { return replayed ? replay(jit, x, y) : function(x, y); });
    }
    look(held_);
    replays = jit.replays();
  }
  std::vector<std::vector<std::byte>> seen;
  int64_t replays = 0, of_file = 0;  ///< calls that the Jit replayed, and of which a file gave the same

 private:
  /// The Jit's call, and if it is replayed that of a program file, too: one from before this call or an earlier one.
  template <class F>
  std::vector<Tensor> replay(Jit<F>& jit, const Tensor& x, const Tensor& y) {
    std::vector<Tensor> given = {x.clone().realize()};
    if (!x.same(y)) given.push_back(y.clone().realize());
    nn::StateDict state = {{"weight", weight_}};
    for (size_t v = 0; v < variables_.size(); ++v) state.emplace_back(text('v', v), variables_[v]);
    for (const auto& [name, moment] : nn::state_dict(*optimizer_)) state.emplace_back(name, moment);
    if (cache_.defined()) state.emplace_back("cache", cache_);
    std::set<const LazyBuffer*> seen_before;
    std::erase_if(state, [&](const auto& entry) { return !seen_before.insert(&entry.second.lazy()).second; });
    const std::string file = directory_ / "call.teeny";
    const bool saves = !saved_ && error_of([&] { jit.save(file, {.state = state}); }).empty();
    if (saves) saved_.emplace(Program::load(file));  // others: a recording for other shapes is out of date
    std::vector<Tensor> out = jit(x, y);
    if (!jit.why().empty() || !saved_) return saved_.reset(), out;
    ++of_file;
    std::vector<Tensor> wanted = out;
    const std::vector<Tensor> got = run(*saved_, given);
    REQUIRE(got.size() >= wanted.size());
    const auto fits = [&](const Signature& s) {
      return std::ranges::equal(s.inputs, given, [](const Port& p, const Tensor& g) { return p.shape == g.shape(); });
    };
    const Signature& signature = *std::ranges::find_if(saved_->signatures(), fits);
    for (size_t k = wanted.size(); k < got.size(); ++k)
      wanted.push_back(signature.outputs[k].name == "input_1.assigned" ? y : x);
    for (size_t k = 0; k < got.size(); ++k) CHECK_MESSAGE(got[k].to_bytes() == wanted[k].to_bytes(), "output ", k);
    for (const auto& [name, value] : state_dict(*saved_))
      for (const auto& [other, tensor] : state)
        if (name == other) CHECK_MESSAGE(value.to_bytes() == tensor.to_bytes(), name);
    return out;
  }

  static Tensor fresh(int i) { return ((Tensor::arange(kSize) * (i + 2)) % 5 - 2).cast(DType::Float32).realize(); }
  Tensor& variable(int i) { return variables_[size_t(i) % variables_.size()]; }

  void look(const std::vector<Tensor>& tensors) {
    for (const Tensor& x : tensors) seen.push_back(x.to_bytes());
  }

  template <class Call>
  void act(const Action& action, Call&& function) {
    switch (action.kind) {
      case Action::Call: {
        const Training mode(training_);
        const GradMode grad(grad_);
        Tensor x = inputs_[size_t(action.a) % 4], y = inputs_[size_t(action.b) % 4];
        if (action.lazy) x = x.flip(0) + 1;
        const std::vector<Tensor> out = function(x, y);
        if (!action.lazy) look(out);
        held_.insert(held_.end(), out.begin(), out.end());
        break;
      }
      case Action::Assign:
        variable(action.a).assign(variable(action.b) * 0.5 + 1);
        if (!action.lazy) variable(action.a).realize();
        break;
      case Action::Swap: std::swap(variable(action.a), variable(action.b)); break;
      case Action::Exchange:
        held_.push_back(variable(action.a));  // the old one lives on
        variable(action.a) = fresh(action.b);
        break;
      case Action::Mode: training_ = !training_; break;
      case Action::Grad: grad_ = !grad_; break;
      case Action::Rate: optimizer_->set_lr(0.01 * action.a); break;
      default: held_.push_back(variable(action.a).detach());
    }
    if (action.lazy) return;
    look(variables_), look(inputs_), look({weight_});
    const auto [seed, counter] = Tensor::random_state();
    seen.push_back({std::byte(counter % 251), std::byte(seed % 251)});
  }

  std::vector<Tensor> call(Tensor x, Tensor y) {
    std::vector<Tensor> values = {x.sum(0) * 0.25, y.mean(0)};
    for (const Instruction& i : program_.function) {
      const Tensor a = i.a % 3 ? values[size_t(i.a) % values.size()] : variable(i.a / 3);
      const Tensor b = values[size_t(i.b) % values.size()];
      switch (i.kind) {
        case Instruction::Compute:
          if (i.c % 5 == 0) values.push_back(a.maximum(b) - 0.5);
          else if (i.c % 5 == 1) values.push_back((a * b).tanh());
          else if (i.c % 5 == 2) values.push_back(a.softmax() + b.flip(0));
          else if (i.c % 5 == 3) values.push_back(a.index_select(0, Tensor::of<int64_t>({3, 1, 1, 0})));
          else values.push_back(x.matmul(a.reshape({kSize, 1})).sum() * 0.1 + b);
          break;
        case Instruction::AssignVariable: values.push_back(variable(i.c).assign((a + b) * 0.5)); break;
        case Instruction::AddToVariable: {
          const NoGrad guard;
          values.push_back(variable(i.c) += b * 0.1);
          break;
        }
        case Instruction::SetElement: {
          const NoGrad guard;
          variable(i.c).set({slice(1, 3)}, b[slice(0, 2)]);
          break;
        }
        case Instruction::AssignInput: (i.c % 2 ? x : y).assign((i.c % 2 ? x : y) * 0.5 + a.detach()); break;
        case Instruction::AddToInput: {
          const NoGrad guard;
          (i.c % 2 ? x : y) += b * 0.25;
          break;
        }
        case Instruction::Draw: values.push_back((a + Tensor::rand({kSize})).dropout(0.3)); break;
        case Instruction::Train:
          optimizer_->zero_grad();
          if (GradMode::enabled()) (weight_ * a.detach() - b.detach()).square().sum().backward(), optimizer_->step();
          break;
        default:
          if (!cache_.defined()) cache_ = Tensor::zeros({kSize}).contiguous();
          cache_.assign(cache_ * 0.5 + b.detach());
          values.push_back(cache_.detach());
      }
    }
    // Of a Jit each result is a value of its own; without it, what assign() returns is the variable.
    return {values.back().detach(), values[values.size() / 2].detach(), x.detach(), y.sum(), variable(0).detach()};
  }

  const Script& program_;
  std::vector<Tensor> variables_, inputs_, held_;
  Tensor weight_, cache_;
  std::optional<optim::Adam> optimizer_;
  bool training_ = false, grad_ = true;
  const TemporaryDirectory directory_;
  std::optional<Program> saved_;
};

}  // namespace

TEST_CASE("jit: random programs give the same bits with and without it (fuzz)") {
  using tinyops::environment::whole_number;
  const uint64_t only = whole_number("FUZZ_SEED", UINT64_MAX), first = only == UINT64_MAX ? 0 : only;
  const uint64_t programs = whole_number("FUZZ", only == UINT64_MAX ? 60 : 1);
  int64_t replays = 0, of_file = 0;
  for (uint64_t seed = first; seed < first + programs; ++seed) {
    CAPTURE(seed);
    const Script program = make(seed);
    const Run plain(program, false), replayed(program, true);
    REQUIRE(plain.seen.size() == replayed.seen.size());
    size_t different = 0;
    while (different < plain.seen.size() && plain.seen[different] == replayed.seen[different]) ++different;
    CHECK_MESSAGE(different == plain.seen.size(), "from the value number ", different, " of ", plain.seen.size());
    replays += replayed.replays, of_file += replayed.of_file;
  }
  CHECK(replays >= int64_t(programs));  // most calls are
  CHECK(of_file >= replays * 9 / 10);
}
