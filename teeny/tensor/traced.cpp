#include "teeny/tensor/traced.h"

namespace teeny {

void mark_traced(std::span<Tensor* const> results, TracedCall call) {
  call.results = results.size();
  const auto shared = std::make_shared<const TracedCall>(std::move(call));
  for (size_t i = 0; i < results.size(); ++i) {
    // A tensor of its own: the call may have returned one of its arguments.
    Tensor marked(results[i]->lazy());
    auto rule = std::make_shared<Traced>();
    for (const Tensor& x : shared->arguments)
      if (x.defined()) rule->inputs.push_back(x);
    rule->call = shared, rule->result = i;
    detail::TensorAccess::set_rule(marked, std::move(rule));
    *results[i] = std::move(marked);
  }
}

}  // namespace teeny
