#include "teeny/dist/flatten.h"

#include <algorithm>

namespace teeny::dist {

int64_t numel(std::span<const Tensor> xs) {
  int64_t elements = 0;
  for (const Tensor& x : xs) elements += x.numel();
  return elements;
}

Tensor flatten(std::span<const Tensor> xs, int64_t begin, int64_t size) {
  std::vector<Tensor> parts;
  int64_t at = 0, missing = size;  // the elements before x, and those of the result that are not there yet
  for (const Tensor& x : xs) {
    if (x.dtype() != xs[0].dtype()) fail("dist: ", xs[0].dtype(), " beside ", x.dtype(), "; one dtype at a time");
    const int64_t from = std::max(begin - at, int64_t(0)), to = std::min(begin + size - at, x.numel());
    if (from < to) parts.push_back(x.flatten()[{slice(from, to)}]), missing -= to - from;
    at += x.numel();
  }
  if (missing > 0) parts.push_back(Tensor::zeros({missing}, xs[0].dtype()));
  return parts.empty() ? Tensor::zeros({0}, xs[0].dtype()) : Tensor::cat(parts);
}

std::vector<Tensor> unflatten(const Tensor& flat, std::span<const Tensor> like) {
  std::vector<Tensor> result;
  int64_t begin = 0;
  for (const Tensor& x : like) {
    result.push_back(flat[{slice(begin, begin + x.numel())}].reshape(x.shape()));
    begin += x.numel();
  }
  return result;
}

}  // namespace teeny::dist
