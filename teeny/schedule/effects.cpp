#include "teeny/schedule/effects.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "teeny/schedule/assignments.h"
#include "teeny/schedule/parts.h"

namespace teeny {

using tinyops::CollectiveKernel;

Effects::Effects() : nodes_(std::exchange(context.effects, {})) {
  for (const std::shared_ptr<Node>& node : nodes_)
    tinyops::ranks::expect(std::get<CollectiveKernel>(*std::get<node::Special>(node->op).kernel));
  run_long_histories();
}

std::vector<LazyBuffer> Effects::before(std::span<const LazyBuffer> targets) const {
  std::vector<LazyBuffer> result;
  result.reserve(nodes_.size() + targets.size());
  for (const std::shared_ptr<Node>& node : nodes_) result.emplace_back(node);
  result.insert(result.end(), targets.begin(), targets.end());
  return result;
}

void Effects::run_long_histories() const {
  const auto last =
      std::find_if(nodes_.rbegin(), nodes_.rend(), [](const auto& node) { return node->depth >= kLongHistory; });
  for (auto node = nodes_.begin(); node != last.base(); ++node) {
    const LazyBuffer effect(*node);
    compute_in_parts({&effect, 1}, [](std::span<const LazyBuffer> part) { run_assignments(schedule(part)); });
    run_assignments(schedule({&effect, 1}));
  }
}

std::vector<Step> overlapped(std::vector<Step> steps) {
  const auto is_collective = [](const Step& step) { return std::holds_alternative<CollectiveKernel>(step.kernel); };
  if (!context.execution.overlap || std::ranges::none_of(steps, is_collective)) return steps;
  std::vector<Step> result;
  std::deque<Step> running;  // the ends of those that have started
  size_t started = 0;        // how many have, with those that are finished
  // The last one that reads a buffer, or writes to it, counted from 1.
  std::unordered_map<const tinyops::Buffer*, size_t> reads, writes;
  const auto finish_until = [&](size_t number) {
    for (; started - running.size() < number; running.pop_front()) result.push_back(std::move(running.front()));
  };
  for (Step& step : steps) {
    size_t needed = 0;
    tinyops::for_each_operand(step.kernel, [&](const tinyops::Operand& x, bool written) {
      const auto number_in = [&](const auto& numbers) {
        const auto found = numbers.find(x.buffer.get());
        return found == numbers.end() ? 0 : found->second;
      };
      needed = std::max({needed, number_in(writes), written ? number_in(reads) : 0});
    });
    finish_until(needed);
    if (!is_collective(step)) {
      result.push_back(std::move(step));
      continue;
    }
    auto& collective = std::get<CollectiveKernel>(step.kernel);
    reads[collective.in.buffer.get()] = writes[collective.out.buffer.get()] = ++started;
    collective.phase = CollectiveKernel::Phase::Start;
    result.push_back({step.kernel, {}});
    collective.phase = CollectiveKernel::Phase::Finish;
    running.push_back(std::move(step));
  }
  finish_until(started);
  return result;
}

}  // namespace teeny
