// How a tensor looks to a person.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "teeny/tensor/tensor.h"
#include "tinyops/base/decimal.h"

namespace teeny {
namespace {

constexpr int64_t kSummarised = 1000;  ///< more elements than this, and the middle is left out
constexpr int64_t kEdge = 3;           ///< what is shown of an axis at either end then

/// One number, in the shortest of fixed and scientific notation that four digits allow.
std::string number(double value, DType dtype) {
  if (dtype == DType::Bool) return value != 0 ? "true" : "false";
  if (!is_float(dtype)) return tinyops::decimal(value, 0);
  const bool scientific = value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e5);
  return tinyops::decimal(value, 4, scientific ? std::chars_format::scientific : std::chars_format::fixed);
}

class Printer {
 public:
  explicit Printer(const Tensor& x)
      : shape_(x.shape()), strides_(row_major(x.shape())), edges_(x.numel() > kSummarised) {
    const auto show = [&](const auto& values, const auto& text_of) {
      visit(0, 0, [&](int64_t at) {
        const std::string& text = texts_[at] = text_of(values[size_t(at)]);
        width_ = std::max(width_, text.size());
      });
    };
    if (x.dtype() == DType::Int64)  // a double would lose the last digits
      show(x.to_vector<int64_t>(), [](int64_t value) { return std::to_string(value); });
    else show(x.to_vector<double>(), [&](double value) { return number(value, x.dtype()); });
  }

  void print(std::ostream& out, int axis, int64_t at) const {
    if (axis == shape_.size()) {
      const std::string& text = texts_.at(at);
      out << std::string(shape_.empty() ? 0 : width_ - text.size(), ' ') << text;
      return;
    }
    const bool last = axis == shape_.size() - 1;
    out << '[';
    for (int64_t i = 0; i < shape_[axis]; ++i) {
      if (i) out << (last ? ", " : ",\n" + std::string(size_t(axis) + 1, ' '));
      if (skips(axis, i)) {
        out << "...";
        i = shape_[axis] - kEdge - 1;
      } else print(out, axis + 1, at + i * strides_[axis]);
    }
    out << ']';
  }

 private:
  bool skips(int axis, int64_t i) const { return edges_ && shape_[axis] > 2 * kEdge && i == kEdge; }

  template <class F>
  void visit(int axis, int64_t at, const F& f) const {
    if (axis == shape_.size()) return f(at);
    for (int64_t i = 0; i < shape_[axis]; ++i) {
      if (skips(axis, i)) i = shape_[axis] - kEdge;
      visit(axis + 1, at + i * strides_[axis], f);
    }
  }

  Shape shape_;
  Dims strides_;
  bool edges_;
  std::map<int64_t, std::string> texts_;  ///< of the elements that are shown
  size_t width_ = 0;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  if (!x.defined()) return out << "Tensor(undefined)";
  out << "Tensor" << x.shape() << ' ' << x.dtype() << '\n';
  Printer(x).print(out, 0, 0);
  return out;
}

}  // namespace teeny
