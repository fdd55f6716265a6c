#include "teeny/dist/layers.h"

#include <map>

#include "teeny/graph/context.h"
#include "teeny/schedule/schedule.h"

namespace teeny::dist {

namespace {
void check_divides(const char* layer, int64_t size, const char* what, const Group& among) {
  if (size % among.world() != 0) fail(layer, ": ", size, ' ', what, " have no ", among.world(), " equal parts");
}
/// This rank's part of a parameter, as a parameter.
Tensor part_of(const Tensor& whole, int axis, const Group& among) {
  if (!whole.defined()) return {};
  return shard(whole.detach(), axis, among).contiguous().detach().requires_grad_();
}
}  // namespace

ColumnLinear::ColumnLinear(int64_t in, int64_t out, nn::LayerOptions layer, const Group& among) : among(among) {
  check_divides("ColumnLinear", out, "outputs", among);
  const nn::Linear whole(in, out, layer);
  weight = part_of(whole.weight, 0, among), bias = part_of(whole.bias, 0, among);
}
Tensor ColumnLinear::operator()(const Tensor& x) const {
  return nn::detail::called("ColumnLinear", *this, x, [&] { return sum_gradients(x, among).linear(weight, bias); });
}

RowLinear::RowLinear(int64_t in, int64_t out, nn::LayerOptions layer, const Group& among) : among(among) {
  check_divides("RowLinear", in, "inputs", among);
  const nn::Linear whole(in, out, layer);
  weight = part_of(whole.weight, 1, among), bias = whole.bias;
}
Tensor RowLinear::operator()(const Tensor& x) const {
  return nn::detail::called("RowLinear", *this, x, [&] {
    const Tensor y = all_reduce(x.linear(weight), among);
    return bias.defined() ? y + bias : y;
  });
}

namespace {
/// The axis along which `part` is one of the ranks' parts of `whole`; -1 where it is none.
int cut_axis(const Tensor& part, const Tensor& whole, const Group& among) {
  if (!part.defined() || !whole.defined()) return -1;  // load_state_dict says so
  for (int axis = 0; axis < part.rank() && part.rank() == whole.rank(); ++axis) {
    Shape grown = part.shape();
    grown[axis] *= among.world();
    if (part.shape() != whole.shape() && grown == whole.shape()) return axis;
  }
  return -1;
}
/// Loads what `change(axis, tensor)` makes of each tensor of `from` that is cut.
template <class Change>
void load_changed(const nn::StateDict& into, const nn::StateDict& from, bool into_parts, const Group& among,
                  Change change) {
  const NoGrad guard;
  const std::map<std::string, Tensor> wanted(into.begin(), into.end());
  nn::StateDict changed = from;
  for (auto& [name, x] : changed) {
    const auto y = wanted.find(name);
    if (y == wanted.end()) continue;  // load_state_dict says so
    const int axis = into_parts ? cut_axis(y->second, x, among) : cut_axis(x, y->second, among);
    if (axis >= 0) x = change(x.detach(), axis);
  }
  nn::load_state_dict(into, changed);
}
}  // namespace

void gather_parts(const nn::StateDict& into, const nn::StateDict& parts, const Group& among) {
  load_changed(into, parts, false, among,
               [&](const Tensor& x, int axis) { return all_gather(x.transpose(0, axis), among).transpose(0, axis); });
  std::vector<Tensor> all;
  for (const auto& [name, x] : into) all.push_back(x);
  realize(all);  // on all ranks: only one of them may look at it
}

void load_parts(const nn::StateDict& into, const nn::StateDict& whole, const Group& among) {
  load_changed(into, whole, true, among, [&](const Tensor& x, int axis) { return shard(x, axis, among); });
}

}  // namespace teeny::dist
