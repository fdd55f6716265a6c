#include "teeny/nn/state.h"

#include <map>
#include <set>

namespace teeny::nn {

std::vector<Tensor> parameters(const StateDict& dict) {
  std::vector<Tensor> found;
  std::set<const void*> seen;
  for (const auto& [name, tensor] : dict)
    if (tensor.requires_grad() && seen.insert(tensor.id()).second) found.push_back(tensor);
  return found;
}

void check_state_dict(const StateDict& into, const StateDict& from) {
  std::vector<std::string> problems;
  std::map<std::string_view, const Tensor*> given;
  for (const auto& [name, tensor] : from)
    if (!given.emplace(name, &tensor).second) problems.push_back(text("given twice: ", name));

  for (const auto& [name, wanted] : into) {
    const auto found = given.find(name);
    if (found == given.end()) {
      problems.push_back(text("missing: ", name, " ", wanted.shape(), " ", wanted.dtype()));
      continue;
    }
    const Tensor& tensor = *found->second;
    given.erase(found);
    if (!tensor.defined()) problems.push_back(text(name, ": the tensor given is undefined"));
    else if (tensor.shape() != wanted.shape())
      problems.push_back(text(name, ": shape ", wanted.shape(), " wanted, ", tensor.shape(), " given"));
    else if (tensor.dtype() != wanted.dtype())
      problems.push_back(text(name, ": dtype ", wanted.dtype(), " wanted, ", tensor.dtype(), " given"));
  }
  for (const auto& [name, tensor] : from)
    if (given.erase(name)) problems.push_back(text("unexpected: ", name));

  if (problems.empty()) return;
  std::string message = text("load_state_dict: ", problems.size(), problems.size() == 1 ? " problem" : " problems");
  for (const std::string& problem : problems) message += "\n  " + problem;
  fail(message);
}

void load_state_dict(const StateDict& into, const StateDict& from) {
  check_state_dict(into, from);
  std::map<std::string_view, Tensor> given(from.begin(), from.end());
  NoGrad guard;
  for (const auto& [name, tensor] : into) Tensor(tensor).assign(given[name].detach());
}

}  // namespace teeny::nn
