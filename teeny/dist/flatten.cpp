#include "teeny/dist/flatten.h"

namespace teeny::dist {

Tensor flatten(std::span<const Tensor> xs, int64_t multiple) {
  std::vector<Tensor> flat;
  int64_t elements = 0;
  for (const Tensor& x : xs) {
    if (x.dtype() != xs[0].dtype()) fail("dist: ", xs[0].dtype(), " beside ", x.dtype(), "; one dtype at a time");
    flat.push_back(x.flatten()), elements += x.numel();
  }
  if (elements % multiple != 0) flat.push_back(Tensor::zeros({multiple - elements % multiple}, xs[0].dtype()));
  return Tensor::cat(flat);
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
