#include "teeny/nn/state.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "teeny/tensor/function.h"

namespace teeny::nn {

std::vector<Tensor> parameters(const StateDict& dict) {
  std::vector<Tensor> found;
  std::set<const void*> seen;
  for (const auto& [name, tensor] : dict)
    if (tensor.lazy("parameters");
        tensor.requires_grad() && seen.insert(teeny::detail::TensorAccess::id(tensor)).second)
      found.push_back(tensor);
  return found;
}

namespace detail {

std::string next_name(const std::string& owner, std::string_view& names) {
  std::string_view name = names.substr(0, names.find(','));
  names.remove_prefix(std::min(names.size(), name.size() + 1));
  name.remove_prefix(name.find_first_not_of(' '));
  name = name.substr(0, name.find_last_not_of(" _") + 1);
  return owner.empty() ? std::string(name) : owner + "." + std::string(name);
}

void check_listed(const StateDict& own, const StateDict& dict, std::string_view names) {
  for (const auto& [name, x] : own) {
    if (!x.is_leaf() || !x.requires_grad()) continue;
    if (std::none_of(dict.begin(), dict.end(), [&x = x](const auto& entry) { return entry.second.same(x); }))
      fail("TEENY_STATE(", names, ") forgets a member with a parameter of ", x.shape(), ' ', x.dtype(),
           ": it would be neither trained nor saved; list it, or give it no gradient");
  }
}

}  // namespace detail

namespace {
/// How many letters must be put in, taken out or changed. Levenshtein, 1966; a row of the table at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t(0));
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t change = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}
}  // namespace

Tensor find(const StateDict& dict, std::string_view name) {
  std::multimap<size_t, std::string_view> nearest;
  for (const auto& [key, tensor] : dict) {
    if (key == name) return tensor;
    nearest.emplace(edit_distance(key, name), key);
    if (nearest.size() > 3) nearest.erase(std::prev(nearest.end()));
  }
  std::string message = text("find: no \"", name, "\" among ", dict.size(), " tensors");
  for (const char* before = "; near it: "; const auto& [distance, key] : nearest)
    message += text(std::exchange(before, ", "), key);
  fail(message);
}

StateDict under(const StateDict& dict, std::string_view prefix) {
  StateDict part;
  for (const auto& [name, tensor] : dict)
    if (name.starts_with(prefix) && name.size() > prefix.size() && name[prefix.size()] == '.')
      part.emplace_back(name.substr(prefix.size() + 1), tensor);
  return part;
}

void check_state_dict(const StateDict& into, const StateDict& from) {
  std::vector<std::string> problems;
  std::map<std::string_view, const Tensor*> given;
  for (const auto& [name, tensor] : from)
    if (!given.emplace(name, &tensor).second) problems.push_back(text("given twice: ", name));

  for (const auto& [name, wanted] : into) {
    wanted.lazy("load_state_dict");
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
  constexpr size_t kMost = 8;
  for (size_t i = 0; i < std::min(problems.size(), kMost); ++i) message += "\n  " + problems[i];
  if (problems.size() > kMost) message += text("\n  and ", problems.size() - kMost, " more");
  fail(message);
}

void load_state_dict(const StateDict& into, const StateDict& from) {
  check_state_dict(into, from);
  std::map<std::string_view, Tensor> given(from.begin(), from.end());
  NoGrad guard;
  const AssignmentGroup together;
  for (const auto& [name, tensor] : into) Tensor(tensor).assign(given[name].detach());
}

}  // namespace teeny::nn
