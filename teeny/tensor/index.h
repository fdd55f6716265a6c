#pragma once
// What may stand in the brackets of x[{0, slice(1, 3), ellipsis, none, t}].
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

namespace teeny {

class Tensor;

/// `slice(1, 5)`, `slice({}, {}, -1)`: a range of an axis, as in Python's `1:5` and `::-1`.
struct Slice {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};
inline Slice slice(std::optional<int64_t> start = {}, std::optional<int64_t> stop = {}, int64_t step = 1) {
  return {start, stop, step};
}
inline constexpr struct Ellipsis {
} ellipsis;  ///< as many whole axes as are left
inline constexpr struct NewAxis {
} none;  ///< a new axis of size 1

/// One entry of an index: a position, a range, or a tensor of positions. Negative positions count from the end.
class Index {
 public:
  Index(std::integral auto position) : entry_(int64_t(position)) {}
  Index(Slice range) : entry_(range) {}
  Index(Ellipsis rest) : entry_(rest) {}
  Index(NewAxis axis) : entry_(axis) {}
  Index(const Tensor& positions);

  /// The entry, if it is a T: int64_t, Slice, Ellipsis or NewAxis.
  template <class T>
  const T* get() const {
    return std::get_if<T>(&entry_);
  }
  /// The entry, if it is a tensor.
  const Tensor* tensor() const {
    const auto* positions = get<std::shared_ptr<const Tensor>>();
    return positions ? positions->get() : nullptr;
  }

 private:
  std::variant<int64_t, Slice, Ellipsis, NewAxis, std::shared_ptr<const Tensor>> entry_;
};

}  // namespace teeny
