#include "teeny/jit/run_program.h"

namespace teeny {

namespace {

Tensor tensor_of(const Array& x) { return Tensor(LazyBuffer::source(x.buffer, x.dtype, x.shape)); }

/// Whether the elements are all that its memory holds, in row-major order.
bool is_plain(const Tensor& x) {
  const LazyBuffer& data = x.lazy();
  return data.views().is_contiguous() && data.node()->shape() == data.shape() && !has_no_memory(data.node()->op);
}

}  // namespace

std::vector<Tensor> run(Program& program, std::span<const Tensor> inputs) {
  std::vector<Tensor> plain;
  for (const Tensor& x : inputs) plain.push_back(is_plain(x) ? x : x.detach().contiguous());
  realize(plain);
  std::vector<Array> arrays;
  for (const Tensor& x : plain) arrays.push_back({x.dtype(), x.shape(), x.lazy().node()->buffer});
  std::vector<Tensor> outputs;
  for (const Array& y : program(arrays)) outputs.push_back(tensor_of(y));
  return outputs;
}

std::vector<std::pair<std::string, Tensor>> state_dict(const Program& program) {
  std::vector<std::pair<std::string, Tensor>> state;
  for (const auto& [name, x] : program.state()) state.emplace_back(name, tensor_of(x));
  return state;
}

}  // namespace teeny
