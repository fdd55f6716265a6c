// When each kernel runs. Kernels come in the order in which a walk from the targets finds them: it goes down to the
// first parameter's gradient before it meets the others, which all come last, and what they read waits for them. So:
//
//  5. A kernel that stores little beside the temporaries that it reads comes as soon as these are there; not those that
//     address memory themselves, among them the collectives, whose order all ranks share.
//
//   found    x ──► h ──► y ──► gy ──► gh ──► dw of x, h │ dw of h, y      both gradients of h and y wait
//   runs     x ──► h ──► y ──► gy ──► gh ──► dw of h, y │ dw of x, h
#include <algorithm>

#include "teeny/schedule/plan.h"

namespace teeny {

/// For fewer bytes than this a kernel is not moved, nor divided.
constexpr int64_t kWorthFreeing = 1 << 18;

bool Plan::frees_more(const PlannedKernel& kernel, int64_t stored) const {
  int64_t bytes = 0;
  for (auto read = kernel.inputs.begin(); read != kernel.inputs.end(); ++read) {
    const bool again = std::any_of(kernel.inputs.begin(), read, [&](const auto& r) { return r.node == read->node; });
    const bool own = std::ranges::count(kernel.group.members, read->node) > 0;
    const NodeInfo& i = info(*read->node);
    if (!again && !own && i.group >= 0 && !i.node->realized() && !i.needed_later) bytes += bytes_of(*read->node);
  }
  return bytes > std::max(2 * stored, kWorthFreeing);
}

void order_kernels(Plan& plan) {
  const size_t count = plan.kernels.size();
  std::vector<std::vector<int>> readers(count);
  std::vector<int> waits_for(count, 0), order, place(count, -1);
  std::vector<bool> shrinks(count);
  for (size_t k = 0; k < count; ++k) {
    const PlannedKernel& kernel = plan.kernels[k];
    for (const FusedInput& read : kernel.inputs)
      if (const int from = plan.info(*read.node).group; from >= 0 && from != int(k)) {
        readers[size_t(from)].push_back(int(k));
        ++waits_for[k];
      }
    int64_t stored = 0;
    for (const Node* member : kernel.group.members) stored += bytes_of(*member);
    shrinks[k] = kernel.open && plan.frees_more(kernel, stored);
  }
  for (size_t k = 0; k < count; ++k) {
    if (place[k] >= 0) continue;
    const auto add = [&](int number) { place[size_t(number)] = int(order.size()), order.push_back(number); };
    size_t next = order.size();
    for (add(int(k)); next < order.size(); ++next)
      for (const int reader : readers[size_t(order[next])])
        if (--waits_for[size_t(reader)] == 0 && shrinks[size_t(reader)]) add(reader);
  }
  std::vector<PlannedKernel> kernels;
  for (const int number : order) kernels.push_back(std::move(plan.kernels[size_t(number)]));
  plan.kernels = std::move(kernels);
  for (NodeInfo& i : plan.nodes) {
    if (i.group >= 0) i.group = place[size_t(i.group)];
    i.last_reader = -1;
  }
  for (size_t k = 0; k < count; ++k)
    for (const FusedInput& read : plan.kernels[k].inputs)
      if (NodeInfo& from = plan.info(*read.node); from.is_leaf() && from.group != int(k)) from.last_reader = int(k);
}

}  // namespace teeny
