#pragma once
// Record the kernels of a call once, replay them with new inputs: no graph is built, nothing is scheduled.
//
//   Jit step([&](Tensor x, Tensor y) {
//     adam.zero_grad();
//     Tensor loss = model(x).cross_entropy(y).backward();
//     adam.step();
//     return loss;
//   });
//   for (auto [x, y] : loader) total += step(x, y).item();
//
//   call 1   runs as ever: what is made on first use (moments, lazy initial values) is made
//   call 2   runs as ever, and its kernels are written down
//   call 3   the kernels run again, on the new inputs                      x ──┐
//            tensors that the call assigns to hold the new values         p ──┼─► kernel ─► kernel ─► kernel ──► loss
//            random values continue the stream                             m ──┘                          └────► p, m
//
// The call may do what tensors do, but not read a value (`item`, `to_vector`, printing): what it decided by it could
// not be decided again. Constants of the host (`Tensor::of(...)`, a loop's bound, a learning rate from `set_lr`) are
// part of the recording. What the call changes, it changes with `assign`, `set` or `+=`, or in `.grad`; results have no
// history. It may change its inputs, too: each of the three writes to the caller's tensor, in a replay as in a call
// that runs; that gets fresh memory, where a tensor that the function captures is updated in place. A gradient by an
// input is returned, not found in its `.grad`. When tensors that the call looks at are replaced by others (also where
// the old one lives on: the handles that the call read are looked at), shaped or frozen anew, the next calls are
// recorded again: `replays()` and `why()` tell, and DEBUG=1 prints a line for each call that is not replayed.
//
// A call that throws (an index outside) is not done: what it assigned, and the random stream, are as they were before
// it. On a GPU, which works on while the program does, the Error is thrown where a value is next read, and the call is
// done.
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny {

class Recording;
namespace program {
struct Contents;
}

struct JitOptions {
  /// For how many combinations of input shapes, dtypes and modes there is room: of more, the one that was used least
  /// recently goes, which DEBUG=1 tells. Each recording keeps the memory of its temporaries.
  int64_t recordings = 64;
  /// Whether what is made on first use may be made in the first call. Otherwise that is recorded already.
  bool first_call_makes = true;
};

/// The names in a program file. Where none are given: "input" or "input_0", "input_1" .., and so for "output".
struct SaveOptions {
  std::vector<std::string> inputs = {}, outputs = {};
  /// Those of the tensors that the function looks at: `nn::state_dict(model)`. Others are "constant.0" .. or, where the
  /// call changes them, "variable.0" ..
  std::vector<std::pair<std::string, Tensor>> state = {};
};

/// The part of a Jit that does not depend on the function's type.
class Replayer {
 public:
  using Call = std::function<std::vector<Tensor>(std::span<const Tensor>)>;
  explicit Replayer(JitOptions options);
  ~Replayer();
  Replayer(Replayer&&) noexcept;
  /// Records or replays; there is one recording for each combination of input shapes, dtypes, Training and GradMode,
  /// and with it the memory of its temporaries.
  std::vector<Tensor> operator()(std::span<const Tensor> inputs, const Call& call);
  int64_t replays() const { return replays_; }
  const std::string& why() const { return why_; }
  /// See Jit::save; its tensors share the memory of those that the recordings look at.
  program::Contents contents(const SaveOptions& options) const;
  void save(const std::string& path, const SaveOptions& options) const;

 private:
  struct Entry {
    bool watched = false;   ///< a call has been made
    int64_t last_call = 0;  ///< that used it
    std::unique_ptr<Recording> recording;
  };
  Entry& entry_of(const std::vector<int64_t>& key);
  /// Calls; `inputs` are the values of what is `given`, `number[i]` is which of these argument i is.
  std::vector<Tensor> run(Entry& entry, std::span<const Tensor> given, std::span<const Tensor> inputs,
                          std::span<const size_t> number, const Call& call);

  JitOptions options_;
  std::map<std::vector<int64_t>, Entry> entries_;
  int64_t calls_ = 0, replays_ = 0;
  std::string why_;
  bool moved_from_ = false;
};

template <class F>
class Jit {
 public:
  explicit Jit(F function, JitOptions options = {}) : function_(std::move(function)), replayer_(options) {}

  /// How many calls were replayed, and not run.
  int64_t replays() const { return replayer_.replays(); }
  /// Why the last call was not replayed; empty when it was. The first call and the second one never are: a Jit that is
  /// slow says here what changes from call to call.
  const std::string& why() const { return replayer_.why(); }

  /// Writes what calls would replay now, one recording for each combination of input shapes, to a program file, which
  /// needs neither this function nor a graph (program/program.h): `jit.save("net.teeny", {.state = state_dict(model)})`.
  /// Nothing is called for it. Of a training step the file has what the call changes, with the values of now, and the
  /// random stream; what it leaves in `.grad` is not in the file. An input that the call assigns to is one more output,
  /// "input.assigned"; one tensor that was given as two inputs is one input, the first of the two. Throws where nothing
  /// is recorded, or a recording is out of date, and says what to do.
  void save(const std::string& path, const SaveOptions& options = {}) const { replayer_.save(path, options); }

  /// What the function returns: nothing, a Tensor, a vector of them, or a tuple, pair or array.
  template <class... Inputs>
  auto operator()(const Inputs&... inputs) {
    using Result = std::invoke_result_t<F&, const Inputs&...>;
    const Tensor list[] = {inputs..., Tensor()};
    const std::vector<Tensor> out = replayer_({list, sizeof...(inputs)}, [&](std::span<const Tensor> in) {
      return [&]<size_t... i>(std::index_sequence<i...>) {
        if constexpr (std::is_void_v<Result>) return function_(in[i]...), std::vector<Tensor>();
        else return gather(function_(in[i]...));
      }(std::index_sequence_for<Inputs...>());
    });
    if constexpr (std::is_same_v<Result, Tensor>) return out[0];
    else if constexpr (std::is_same_v<Result, std::vector<Tensor>>) return out;
    else if constexpr (!std::is_void_v<Result>)
      return [&]<size_t... i>(std::index_sequence<i...>) {
        return Result{out[i]...};
      }(std::make_index_sequence<std::tuple_size_v<Result>>());
  }

 private:
  static std::vector<Tensor> gather(const Tensor& x) { return {x}; }
  static std::vector<Tensor> gather(const std::vector<Tensor>& xs) { return xs; }
  template <class Tuple>
  static std::vector<Tensor> gather(const Tuple& xs) {
    return std::apply([](const auto&... x) { return std::vector<Tensor>{x...}; }, xs);
  }

  F function_;
  Replayer replayer_;
};

}  // namespace teeny
