// Replayer: which calls run, which are recorded and which are replayed. How a call is recorded: recording.h.
//
//   entry of calls like this one   the call                                      the entry after it
//   new                            runs: what is made on first use is made       watched
//   watched                        runs, and is recorded                         recorded, if it can be replayed
//   recorded                       is replayed                                   as it is
//   recorded, and it is stale      runs as a first one does                      watched
//
// With JitOptions::first_call_makes off a new one is recorded as a watched one is.
#include "teeny/jit/jit.h"

#include <algorithm>
#include <cstdio>

#include "teeny/jit/recording.h"

namespace teeny {

Replayer::Replayer(JitOptions options) : options_(options) {
  if (options.recordings < 1) fail("Jit: room for ", options.recordings, " recordings; 1 or more");
}
Replayer::~Replayer() = default;
Replayer::Replayer(Replayer&& other) noexcept
    : options_(other.options_), entries_(std::move(other.entries_)), calls_(other.calls_), replays_(other.replays_),
      why_(std::move(other.why_)), moved_from_(std::exchange(other.moved_from_, true)) {}

/// The entry of calls like this one. Where there is no room, the one that was used least recently goes.
Replayer::Entry& Replayer::entry_of(const std::vector<int64_t>& key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (int64_t(entries_.size()) >= options_.recordings) {
      const auto by_use = [](const auto& a, const auto& b) { return a.second.last_call < b.second.last_call; };
      entries_.erase(std::ranges::min_element(entries_, by_use));
      if (debug::level() >= 1)
        std::fprintf(stderr,
                     "Jit: call %lld has shapes of its own, and the recording that was used least recently goes: "
                     "there is room for %lld (JitOptions::recordings)\n",
                     (long long)calls_, (long long)options_.recordings);
    }
    found = entries_.emplace(key, Entry()).first;
    found->second.watched = !options_.first_call_makes;
  }
  found->second.last_call = calls_;
  return found->second;
}

std::vector<Tensor> Replayer::operator()(std::span<const Tensor> given, const Call& call) {
  if (moved_from_) fail("Jit: called after it was moved from");
  if (context.recorder) fail("Jit: called inside the call of another Jit, which records it already");
  std::vector<int64_t> key;
  key.reserve(32);
  key = {Training::enabled(), GradMode::enabled()};
  std::vector<Tensor> unique, inputs;  // a tensor that is given twice is one input
  std::vector<size_t> number;
  for (size_t i = 0; i < given.size(); ++i) {
    const Tensor& x = given[i];
    if (!x.defined()) fail("Jit: input ", i, " is an undefined tensor");
    const auto same = std::ranges::find_if(unique, [&](const Tensor& other) { return other.same(x); });
    const size_t k = size_t(same - unique.begin());
    number.push_back(k);
    key.insert(key.end(), {int64_t(k), int64_t(x.dtype()), x.requires_grad(), x.shape().size()});
    key.insert(key.end(), x.shape().begin(), x.shape().end());
    if (k < unique.size()) continue;
    unique.push_back(x);
    const bool plain = x.lazy().views().is_contiguous() && x.lazy().node()->shape() == x.shape() &&
                       !has_no_memory(x.lazy().node()->op);
    inputs.push_back(plain ? x.detach() : x.detach().contiguous());
  }
  realize(inputs);  // and everything assigned before
  ++calls_;
  Entry& entry = entry_of(key);
  why_ = !entry.watched ? "no call before with these shapes, dtypes and modes" : "it is recorded";
  if (entry.recording) {
    why_ = entry.recording->stale_reason();
    if (why_.empty()) return ++replays_, entry.recording->replay(inputs, unique);
    entry.recording = nullptr, entry.watched = false;
  }
  // The first call makes what is made on first use: moments, initial values. The second one is recorded.
  const std::vector<Tensor> out = run(entry, unique, inputs, number, call);
  if (debug::level() >= 1)
    std::fprintf(stderr, "Jit: call %lld is not replayed: %s\n", (long long)calls_, why_.c_str());
  return out;
}

std::vector<Tensor> Replayer::run(Entry& entry, std::span<const Tensor> given, std::span<const Tensor> inputs,
                                  std::span<const size_t> number, const Call& call) {
  const auto [seed, counter] = Tensor::random_state();
  int64_t group = 0;
  bool done = false;
  std::unique_ptr<Recording> recording;
  try {
    struct Values {
      const LazyBuffer* given;
      LazyBuffer values;
      bool requires_grad;
    };
    std::vector<Values> all;  // looked at before anything is recorded
    for (size_t i = 0; i < given.size(); ++i)
      all.push_back({&given[i].lazy(), inputs[i].lazy(), given[i].requires_grad()});
    recording = std::make_unique<Recording>(entry.watched);
    std::vector<Tensor> out;
    std::vector<std::shared_ptr<Node>> nodes;
    {
      const AssignmentGroup together;
      group = context.group;
      std::vector<Tensor> placeholders, arguments;
      for (const Values& x : all) placeholders.push_back(recording->placeholder(x.given, x.values, x.requires_grad));
      for (const Tensor& x : placeholders) nodes.push_back(x.lazy().node());
      for (size_t k : number) arguments.push_back(placeholders[k]);
      {
        const std::vector<Tensor> returned = call(arguments);
        for (const Tensor& x : returned) (void)x.lazy();  // a result that no kernel reads or writes is noted, too
        recording->forget_tensors();
        for (const Tensor& x : returned) out.push_back(x.detach());
      }
      recording->assign_inputs(placeholders, given);
      arguments.clear();
      for (Tensor& x : placeholders) x = x.detach();  // the call's own handles go, the values stay
      recording->release_inputs();
      recording->check_nothing_else_lives();
    }
    // First what the program would compute when it reads the results, in the same kernels: which sums are computed
    // together decides on a GPU in which order they add up. Then what a replay must find in memory.
    realize(out);
    done = true;
    std::vector<Tensor> left = recording->gradients();
    for (const Tensor& x : recording->unrealized()) left.push_back(x);
    for (const Tensor& x : recording->survivors()) left.push_back(x);
    realize(left);
    recording->forget_kernels();
    if (std::exchange(entry.watched, true)) {
      if (const std::string unreplayable_reason = recording->finish(out, given); unreplayable_reason.empty())
        entry.recording = std::move(recording);
      else why_ = unreplayable_reason;
    }
    // An input that comes back is the input, not what stood in for it.
    for (Tensor& x : out)
      for (size_t i = 0; i < inputs.size(); ++i)
        if (x.lazy().node() == nodes[i]) x = Tensor({inputs[i].lazy().node(), x.lazy().views()});
    return out;
  } catch (...) {
    // What the call assigned is taken back, and what it drew is drawn again; unless it is computed, or still will be.
    const auto of_this_call = [&](const PendingAssignment& p) { return p.group == group; };
    if (done || std::ranges::any_of(context.pending, of_this_call)) throw;
    Tensor::set_random_state(seed, counter);
    if (recording) recording->take_back_gradients();
    throw;
  }
}

}  // namespace teeny
