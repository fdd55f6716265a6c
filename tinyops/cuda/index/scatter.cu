// Scatter, the adjoint of Gather: out[i, index[i]] op= source[i], in the order of i.
//
//   out   0 [ . . . . ] ◄─┐     A thread owns an element of the output and looks for what belongs to it: no atomics, and the
//         1 [ . . . . ]   │     same order of additions each time. Of the axes of i, those that move through `out` are
//         2 [ . . . . ] ◄─┴─    parallel: for one element there is one place on them. On the others the sources collide.
//     index 2 0 2   source
//
//   walk      a thread goes along all collisions, and takes those whose index is its own. All threads of a warp look at the
//             same index, or at neighbours. Costs destinations x collisions: with one collision, as in the gradient of a
//             cross-entropy, nothing is faster.
//
//   segments  collisions are sorted by their index, stably, so that all that belong to an element stand together:
//
//               index   2 0 2 1        sorted by place   1 3 0 2      a thread finds its segment by the begins of all, and
//                                      begins of 0 1 2   0 1 2  4     adds in order
//
//             Costs the sort, and then no more than to read the source and to write the output once.
#include <algorithm>

#include "tinyops/cuda/index/index.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256;

// Sorting is some ten launches, 30 us or so. A chip makes about 10^12 comparisons a second, and one thread 10^8.
#ifdef TINYOPS_ON_HOST  // so that small tests meet both ways
constexpr int64_t kFewCollisions = 3, kManyCollisions = 40;
constexpr double kManyComparisons = 1000;
#else
constexpr int64_t kFewCollisions = 32, kManyCollisions = 2048;
constexpr double kManyComparisons = 1 << 25;
#endif

// ---- The kernels ----------------------------------------------------------------------------------------------------

template <class T>
__global__ void fill(int64_t n, T value, Global<T> out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) out[i] = value;
}

/// The axes on which the index moves, and the colliding ones.
struct Indices {
  Axes axes;
  Strides index, position, key;
  int64_t count, size;  ///< `size`: what an index must be below
};

/// Reports each index that is outside. keys, unless it is null: (rows, collisions), the indices, `size` for those.
__global__ void check_indices(const __grid_constant__ Indices indices, Global<const uint8_t> index, DType index_dtype,
                              Global<int64_t> keys, Global<DeviceError> device_errors, int name) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= indices.count) return;
  const auto at = addresses(indices.axes, i, indices.index, indices.key);
  const int64_t picked = read_index(index, index_dtype, at[0]);
  const bool inside = is_inside(picked, indices.size);
  if (!inside) report_error(device_errors, name, picked, indices.size, indices.position.address(indices.axes, i));
  if (keys) keys[at[1]] = inside ? picked : indices.size;
}

/// The elements of the output, neighbours in memory next to each other: the parallel axes and the picked one.
struct Destinations {
  Axes axes;
  Strides out, start;     ///< the address, and the one without the picked axis
  Strides source, index;  ///< of the first collision
  Strides row, number;    ///< row of the keys, and place along the picked axis
  int64_t count;
};

/// The colliding axes, in the order of i.
struct Collisions {
  Axes axes;
  Strides out, source, index;
  int64_t count;
  int64_t pick, size;  ///< the stride and the size of the picked axis
};
static_assert(sizeof(Destinations) + sizeof(Collisions) < 2048);

template <class T, ReduceOp op>
__global__ void walk(const __grid_constant__ Destinations to, const __grid_constant__ Collisions from,
                     Global<const T> source, Global<const uint8_t> index, DType index_dtype, Global<T> out) {
  using W = Total<T, op>;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= to.count) return;
  const auto at = addresses(to.axes, i, to.out, to.start, to.source, to.index);
  W total = identity<W>(op);
  for (int64_t c = 0; c < from.count; ++c) {
    const auto move = addresses(from.axes, c, from.out, from.source, from.index);
    const int64_t picked = read_index(index, index_dtype, at[3] + move[2]);
    if (is_inside(picked, from.size) && at[1] + move[0] + picked * from.pick == at[0])
      total = combine<op>(total, W(source[at[2] + move[1]]));
  }
  out[at[0]] = T(total);
}

/// begins: (rows, size + 1), how many of the row's keys are below each number. keys, order: (rows, n).
__global__ void find_begins(int64_t count, int64_t size, int64_t n, Global<const int64_t> keys,
                            Global<const int64_t> order, Global<int64_t> begins) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t first = i / (size + 1) * n, number = i % (size + 1);
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[first + order[first + middle]] < number) low = middle + 1;
    else high = middle;
  }
  begins[i] = low;
}

template <class T, ReduceOp op>
__global__ void segments(const __grid_constant__ Destinations to, const __grid_constant__ Collisions from,
                         Global<const T> source, Global<const int64_t> order, Global<const int64_t> begins,
                         Global<T> out) {
  using W = Total<T, op>;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= to.count) return;
  const auto at = addresses(to.axes, i, to.out, to.source, to.row, to.number);
  const int64_t begin = at[2] * (from.size + 1) + at[3], first = at[2] * from.count;
  const int64_t end = begins[begin + 1];
  W total = identity<W>(op);
  const auto add = [&](T x) { total = combine<op>(total, W(x)); };
  const auto one = [&](int64_t j) -> T { return source[at[1] + from.source.address(from.axes, order[first + j])]; };
  int64_t j = begins[begin];
  for (; j + 4 <= end; j += 4) {  // in order, but four at a time on their way
    const T x[] = {one(j), one(j + 1), one(j + 2), one(j + 3)};
    add(x[0]), add(x[1]), add(x[2]), add(x[3]);
  }
  for (; j < end; ++j) add(one(j));
  out[at[0]] = T(total);
}

// ---- The host's side ------------------------------------------------------------------------------------------------

/// Whether no two elements of `view` share an address, axes that do not move it aside: each step is longer than all
/// shorter ones together reach.
bool is_distinct(const View& view) {
  std::vector<std::pair<int64_t, int64_t>> steps;
  for (int a = 0; a < view.rank(); ++a)
    if (view.shape[a] > 1 && (view.address.coef[a] != 0 || a + 1 == view.rank()))
      steps.emplace_back(std::abs(view.address.coef[a]), view.shape[a]);
  std::ranges::sort(steps);
  int64_t reach = 0;
  for (const auto& [step, size] : steps) {
    if (step <= reach) return false;
    reach += step * (size - 1);
  }
  return true;
}

/// One scatter of operands without guards, some elements to some.
class Scatter {
 public:
  explicit Scatter(const ScatterKernel& k)
      : k_(k),
        rank_(k.source.view.rank()),
        picked_(k.out.view.address.coef.back()),
        size_(k.out.view.shape.back()),
        elements_(int64_t(k.out.buffer->bytes()) / itemsize(k.out.dtype)),
        distinct_(is_distinct(k.out.view)) {}

  template <class T, ReduceOp op>
  void run() {
    const bool nothing = k_.source.view.numel() == 0;
    if (!nothing) find_axes();
    const double comparisons = double(to_.count) * double(from_.count);
    const bool sorts = distinct_ && to_.count > 0 && from_.count > kFewCollisions &&
                       (from_.count > kManyCollisions || comparisons > kManyComparisons);
    if (elements_ > to_.count)
      launch(k_.origin.op, fill<T>, grid_for(elements_, kThreads), elements_, T(identity<Compute<T>>(op)),
             memory_of<T>(k_.out));
    if (nothing) return;
    if (sorts) return by_segments<T, op>();
    check(nullptr);
    if (to_.count > 0)
      launch(k_.origin.op, walk<T, op>, grid_for(to_.count, kThreads), to_, from_, memory_of<const T>(k_.source),
             memory_of<const uint8_t>(k_.index), k_.index.dtype, memory_of<T>(k_.out));
  }

 private:
  template <class T, ReduceOp op>
  void by_segments() {
    const int64_t n = from_.count;
    Scratch keys(size_t(rows_ * n) * sizeof(int64_t)), order(size_t(rows_ * n) * sizeof(int64_t));
    Scratch begins(size_t(rows_ * (size_ + 1)) * sizeof(int64_t));
    check(keys.as<int64_t>());
    const View view = View::contiguous({rows_, n});
    run_kernel(SortKernel{false, {keys.buffer(), DType::Int64, view}, {order.buffer(), DType::Int64, view}});
    launch(k_.origin.op, find_begins, grid_for(rows_ * (size_ + 1), kThreads), rows_ * (size_ + 1), size_, n,
           keys.as<int64_t>(), order.as<int64_t>(), begins.as<int64_t>());
    launch(k_.origin.op, segments<T, op>, grid_for(to_.count, kThreads), to_, from_, memory_of<const T>(k_.source),
           order.as<int64_t>(), begins.as<int64_t>(), memory_of<T>(k_.out));
  }

  void find_axes() {
    const Affine &to = k_.out.view.address, &source = k_.source.view.address, &index = k_.index.view.address;
    MergedAxes collisions, destinations;
    collisions.coefs.resize(3), destinations.coefs.resize(6);
    struct Axis {
      int number;  ///< in i, or the rank for the picked axis
      int64_t size, row;
    };
    std::vector<Axis> parallel;
    if (distinct_ && size_ > 0) parallel.push_back({rank_, size_, 0});
    rows_ = 1;
    for (int a = rank_ - 1; a >= 0; --a)
      if (is_parallel(a)) {
        parallel.push_back({a, shape()[a], index.coef[a] ? rows_ : 0});
        if (index.coef[a]) rows_ *= shape()[a];
      }
    for (int a = 0; a < rank_; ++a)
      if (!is_parallel(a)) collisions.add_axis(shape()[a], {to.coef[a], source.coef[a], index.coef[a]});
    std::ranges::stable_sort(parallel, [&](const Axis& a, const Axis& b) {
      return std::abs(to.coef[a.number]) > std::abs(to.coef[b.number]);
    });
    for (const auto& [a, size, row] : parallel) {
      if (a == rank_) destinations.add_axis(size, {picked_, 0, 0, 0, 0, 1});
      else destinations.add_axis(size, {to.coef[a], to.coef[a], source.coef[a], index.coef[a], row, 0});
    }
    if (!distinct_) destinations.add_axis(elements_, {1, 0, 0, 0, 0, 0});  // every element looks at all sources
    destinations.merge(), collisions.merge();
    to_ = {destinations.axes(), destinations.strides(0, distinct_ ? to.offset : 0), destinations.strides(1, to.offset),
           destinations.strides(2, source.offset), destinations.strides(3, index.offset), destinations.strides(4),
           destinations.strides(5), size_ > 0 || !distinct_ ? numel(destinations.shape) : 0};
    from_ = {collisions.axes(),
             collisions.strides(0),
             collisions.strides(1),
             collisions.strides(2),
             numel(collisions.shape),
             picked_,
             size_};
  }

  /// Reports indices that are outside; and, if asked to, collects all of them as rows of keys.
  void check(int64_t* keys) {
    const Affine& index = k_.index.view.address;
    const Affine position = position_of(k_.index.view);
    std::vector<int64_t> key(size_t(rank_), 0);
    int64_t step = 1;
    for (const bool parallel : {false, true})  // the collisions are the inner axes of the keys
      for (int a = rank_ - 1; a >= 0; --a)
        if (is_parallel(a) == parallel && (index.coef[a] || !parallel)) key[size_t(a)] = step, step *= shape()[a];
    MergedAxes space;
    space.coefs.resize(3);
    for (int a = 0; a < rank_; ++a)
      if (index.coef[a] || (keys && !is_parallel(a)))
        space.add_axis(shape()[a], {index.coef[a], position.coef[a], key[size_t(a)]});
    space.merge();
    const Indices indices{
        space.axes(), space.strides(0, index.offset), space.strides(1), space.strides(2), numel(space.shape), size_};
    launch(k_.origin.op, check_indices, grid_for(indices.count, kThreads), indices, memory_of<const uint8_t>(k_.index),
           k_.index.dtype, keys, device_errors(), number_of_origin(k_.origin, shape()));
  }

  const Shape& shape() const { return k_.source.view.shape; }
  bool is_parallel(int a) const { return distinct_ && k_.out.view.address.coef[a] != 0; }

  const ScatterKernel& k_;
  int rank_;
  int64_t picked_, size_, elements_;
  bool distinct_;
  int64_t rows_ = 1;  ///< of keys: places on the parallel axes on which the index moves
  Destinations to_ = {};
  Collisions from_ = {};
};

}  // namespace

void run_kernel(const ScatterKernel& k) {
  check_index_dtype(k.index.dtype, k.origin.op);
  const ScatterKernel plain{k.op, without_guards(k.source), without_guards(k.index), k.out, k.origin};
  with_type(k.out.dtype, [&]<class T>(T) {
    with_op(k.op, [&](auto op) { Scatter(plain).run<T, decltype(op)::value>(); });
  });
  if (!is_recording()) throw_device_error();
}

}  // namespace tinyops::cuda
