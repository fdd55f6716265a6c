// Elements picked, placed and counted by the values of a tensor.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

// ---- Positions -----------------------------------------------------------------------------------------------------

/// Positions along an axis, counted from its front. Those that are known lie on the host, too, and are inside of it;
/// the others are looked at by the kernel that picks.
struct Positions {
  Tensor tensor;  ///< int64
  std::optional<std::vector<int64_t>> host = {};

  /// The first of them, where they are first, first + 1, ...: what they pick is a view.
  std::optional<int64_t> run() const {
    if (!host) return {};
    const int64_t first = host->empty() ? 0 : host->front();
    for (size_t k = 0; k < host->size(); ++k)
      if ((*host)[k] != first + int64_t(k)) return {};
    return first;
  }
};

const Tensor& index(const Call& call, int k) {
  if (!is_int(call.x(k).dtype())) fail("positions of ", call.x(k).dtype(), ", which are integers");
  return call.x(k);
}

int64_t from_the_front(int64_t i, int64_t n) {
  if (i < -n || i >= n) fail("position ", i, " of an axis of ", n);
  return i < 0 ? i + n : i;
}
Tensor from_the_front(const Tensor& index, int64_t n) {
  const Tensor i = index.cast(DType::Int64);
  return where((i < 0) & (i >= -n), i + n, i);
}

/// Input k as positions along an axis of n elements; negative ones count from its end.
Positions positions(const Call& call, int k, int64_t n) {
  const Tensor& x = index(call, k);
  if (!call.inputs[size_t(k)].known) return {from_the_front(x, n)};
  std::vector<int64_t> host = call.integers(k);
  bool same = x.dtype() == DType::Int64;
  for (int64_t& i : host) same = std::exchange(i, from_the_front(i, n)) == i && same;
  return {same ? x : Tensor::from(host, x.shape()), host};
}

Shape without_last(const Shape& sizes) { return {sizes.begin(), sizes.end() - 1}; }

/// Input k, tuples along its last axis, as positions in the rows that the axes [0, batch + tuple) of x make as one. The
/// first `batch` axes, which both have, say which tuple belongs to which.
Positions rows(const Call& call, int k, const Shape& sizes, int batch) {
  const Tensor& x = index(call, k);
  const int width = sizes.size() - batch;
  const Shape outer = without_last(x.shape());
  const int64_t batches = numel(Shape(sizes.begin(), sizes.begin() + batch));
  if (call.inputs[size_t(k)].known) {
    const std::vector<int64_t> tuples = call.integers(k);
    std::vector<int64_t> at(size_t(numel(outer)));
    for (size_t t = 0; t < at.size(); ++t) {
      at[t] = batch ? int64_t(t) / (int64_t(at.size()) / batches) : 0;
      for (int a = 0; a < width; ++a)
        at[t] = at[t] * sizes[batch + a] + from_the_front(tuples[t * size_t(width) + size_t(a)], sizes[batch + a]);
    }
    return {Tensor::from(at, outer), at};
  }
  Shape aligned(outer.begin(), outer.begin() + batch);
  while (aligned.size() < outer.size()) aligned.push_back(1);
  Tensor at = batch ? Tensor::arange(batches).reshape(aligned) : Tensor(int64_t(0)), outside(false);
  for (int a = 0; a < width; ++a) {
    const int64_t n = sizes[batch + a];
    const Tensor i = from_the_front(part(x, x.rank() - 1, a, a + 1).squeeze(-1), n);
    outside = outside | (i < 0) | (i >= n);
    at = at * n + i;
  }
  return {where(outside, -1, at)};  // what is outside of its own axis may be inside of the common one
}

/// How many axes the tuples of input k stand for. x has so many behind the first `batch` ones.
int tuple_size(const Call& call, int k, int batch) {
  const Shape& tuples = call.x(k).shape();
  const Shape& sizes = call.x().shape();
  if (tuples.empty() || batch < 0 || batch >= std::min(tuples.size(), sizes.size()))
    fail("positions of ", tuples, " in ", sizes, " with ", batch, " axes in common");
  for (int a = 0; a < batch; ++a)
    if (tuples[a] != sizes[a]) fail("positions of ", tuples, " in ", sizes, ", whose axes ", a, " are one");
  if (tuples.back() < 1 || tuples.back() > sizes.size() - batch)
    fail("positions of ", tuples.back(), " axes in ", sizes, " with ", batch, " axes in common");
  return int(tuples.back());
}

Tensor select(const Tensor& x, int axis, const Positions& at) {
  if (const auto first = at.run()) return part(x, axis, *first, *first + at.tensor.numel());
  return x.index_select(axis, at.tensor.flatten());
}

/// Sizes `from` with `in_place` instead of the axes [first, last).
Shape replaced(const Shape& from, int first, int last, const Shape& in_place) {
  Shape to(from.begin(), from.begin() + first);
  for (int64_t size : in_place) to.push_back(size);
  for (int a = last; a < from.size(); ++a) to.push_back(from[a]);
  return to;
}

// ---- Gather --------------------------------------------------------------------------------------------------------

Value gather(Call& call) {
  const Tensor& x = call.x();
  const int axis = call.axis("axis", 0, x.rank());
  const Shape to = replaced(x.shape(), axis, axis + 1, call.x(1).shape());
  return moved(call, select(x, axis, positions(call, 1, x.size(axis))).reshape(to));
}

Value gather_elements(Call& call) {
  const Tensor& x = call.x();
  const int axis = call.axis("axis", 0, x.rank());
  return moved(call, x.gather(axis, positions(call, 1, x.size(axis)).tensor));
}

Value gather_nd(Call& call) {
  const Tensor& x = call.x();
  const int batch = int(std::clamp<int64_t>(call.integer("batch_dims", 0), -1, kMaxRank));
  const int picked = batch + tuple_size(call, 1, batch);
  const Shape sizes(x.shape().begin(), x.shape().begin() + picked), outer = without_last(call.x(1).shape());
  const Tensor flat = x.reshape(replaced(x.shape(), 0, picked, {numel(sizes)}));
  return moved(call, select(flat, 0, rows(call, 1, sizes, batch)).reshape(replaced(x.shape(), 0, picked, outer)));
}

// ---- Scatter -------------------------------------------------------------------------------------------------------

/// Nothing where elements that meet in a place replace each other. The sum of bools is their "or", the product "and".
std::optional<ScatterReduce> reduction(const Call& call) {
  const std::string name = call.text("reduction", "none");
  const bool bools = call.x().dtype() == DType::Bool;
  if (name == "none") return {};
  if (name == "add") return bools ? ScatterReduce::Amax : ScatterReduce::Sum;
  if (name == "mul") return bools ? ScatterReduce::Amin : ScatterReduce::Prod;
  if (name == "max") return ScatterReduce::Amax;
  if (name == "min") return ScatterReduce::Amin;
  unsupported("reduction ", name);
}

/// What combines elements takes numbers.
Tensor numbers(const Tensor& x) { return x.dtype() == DType::Bool ? x.cast(DType::UInt8) : x; }

Value scatter_elements(Call& call) {
  const Tensor &x = call.x(), &updates = call.x(2);
  const int axis = call.axis("axis", 0, x.rank());
  if (updates.shape() != call.x(1).shape())
    fail("updates of ", updates.shape(), " at positions of ", call.x(1).shape());
  const Tensor at = positions(call, 1, x.size(axis)).tensor;
  const auto how = reduction(call);
  if (!how) return moved(call, x.scatter(axis, at, updates));
  return numbers(x).scatter_reduce(axis, at, numbers(updates), *how).cast(x.dtype());
}

/// x (rows, n) with `updates` (count, n) in the rows `at`; of several for one row the last stays.
Tensor with_rows(const Tensor& x, const Positions& at, const Tensor& updates) {
  constexpr int64_t kMostOnHost = int64_t(1) << 24;
  const int64_t n = x.size(0), count = updates.size(0);
  if (count == 0) return x;
  if (const auto first = at.run()) {
    std::vector<Tensor> parts{part(x, 0, 0, *first), updates, part(x, 0, *first + count, n)};
    std::erase_if(parts, [](const Tensor& t) { return t.size(0) == 0; });
    return parts.size() == 1 ? updates : Tensor::cat(parts, 0);
  }
  Tensor from, is_new;  // for each row the update that becomes it, if there is one
  if (at.host && n <= kMostOnHost) {
    std::vector<int64_t> last(size_t(n), 0);
    std::vector<bool> found(size_t(n), false);
    for (size_t k = 0; k < at.host->size(); ++k)
      last[size_t((*at.host)[k])] = int64_t(k), found[size_t((*at.host)[k])] = true;
    from = Tensor::from(last), is_new = Tensor::from(found, {n, 1});
  } else {
    const Tensor last = Tensor::full({n}, -1).scatter(0, at.tensor.flatten(), Tensor::arange(count));
    from = last.maximum(0), is_new = last.unsqueeze(1) >= 0;
  }
  return where(is_new, updates.index_select(0, from), x);
}

Value scatter_nd(Call& call) {
  const Tensor &x = call.x(), &updates = call.x(2);
  const int picked = tuple_size(call, 1, 0);
  const Shape sizes(x.shape().begin(), x.shape().begin() + picked), outer = without_last(call.x(1).shape());
  const Shape expected = replaced(x.shape(), 0, picked, outer);
  if (updates.shape() != expected || updates.dtype() != x.dtype())
    fail("updates of ", updates.dtype(), ' ', updates.shape(), ", which must be ", x.dtype(), ' ', expected);
  const auto how = reduction(call);
  const Positions at = rows(call, 1, sizes, 0);
  const int64_t width = numel(Shape(x.shape().begin() + picked, x.shape().end()));
  const Tensor flat = x.reshape({numel(sizes), width}), source = updates.reshape({numel(outer), width});
  if (!how) return moved(call, with_rows(flat, at, source).reshape(x.shape()));
  const Tensor result = numbers(flat).index_reduce(0, at.tensor.flatten(), numbers(source), *how);
  return result.reshape(x.shape()).cast(x.dtype());
}

Value one_hot(Call& call) {
  const Tensor &x = call.x(), &values = call.x(2);
  const double depth = call.real(1);
  if (!(depth >= 0 && depth < 9e15)) fail("a depth of ", depth);
  if (values.shape() != Shape{2}) fail("values of ", values.shape(), "; what is off, and what is on");
  const int axis = call.axis("axis", -1, x.rank() + 1);
  Shape aligned = Dims::filled(x.rank() + 1, 1);
  aligned[axis] = int64_t(depth);
  const Tensor at = from_the_front(x, int64_t(depth)).unsqueeze(axis);
  const Tensor hot = at == Tensor::arange(int64_t(depth)).reshape(aligned);
  return {where(hot, values[1], values[0]), call.type(2)};
}

// ---- Order ---------------------------------------------------------------------------------------------------------

/// The same order, in int64: uint64 is held as its bits, which are negative from 2^63 on.
Tensor in_order(const Tensor& x, Type type) {
  return type == Type::UInt64 ? x ^ std::numeric_limits<int64_t>::min() : x;
}

Outputs top_k(Call& call) {
  const Tensor x = in_order(call.x(), call.type());
  const int axis = call.axis("axis", -1, x.rank());
  const int64_t k = call.has("k") ? call.integer("k", 0) : call.integer(1);
  const auto [values, places] = x.topk(k, axis, call.flag("largest", true));
  return {moved(call, in_order(values, call.type())), indices(places)};
}

/// Rows that are equal: where each first stands, which of them stands at each place, and how often.
struct Groups {
  std::vector<int64_t> first, inverse, counts;
};

/// Of x (n, width), in ascending order, NaN last, or in the order in which they come.
template <class T>
Groups groups_of(const std::vector<T>& x, int64_t n, int64_t width, bool sorted) {
  const auto compare = [&](int64_t a, int64_t b) {
    for (int64_t k = 0; k < width; ++k) {
      const T u = x[size_t(a * width + k)], v = x[size_t(b * width + k)];
      if (u < v || (u == u && v != v)) return -1;
      if (v < u || (v == v && u != u)) return 1;
    }
    return 0;
  };
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return compare(a, b) < 0; });
  std::vector<std::vector<int64_t>> groups;
  for (int64_t row : order)
    if (groups.empty() || compare(groups.back()[0], row) != 0) groups.push_back({row});
    else groups.back().push_back(row);
  if (!sorted) std::ranges::sort(groups, {}, [](const auto& group) { return group[0]; });
  Groups result{{}, std::vector<int64_t>(size_t(n)), {}};
  for (const auto& group : groups) {
    for (int64_t row : group) result.inverse[size_t(row)] = int64_t(result.first.size());
    result.first.push_back(group[0]);
    result.counts.push_back(int64_t(group.size()));
  }
  return result;
}

Outputs unique(Call& call) {
  call.look(0, 64);
  const bool flat = !call.has("axis");
  const Tensor x = flat ? call.x().flatten() : call.x();
  const int axis = flat ? 0 : call.axis("axis", 0, x.rank());
  const int64_t n = x.size(axis), width = numel(x.shape()) / std::max<int64_t>(n, 1);
  const Tensor compared = in_order(x.detach().movedim(axis, 0), call.type());
  const bool sorted = call.flag("sorted", true);
  const Groups groups = is_float(x.dtype()) ? groups_of(compared.to_vector<double>(), n, width, sorted)
                                            : groups_of(compared.to_vector<int64_t>(), n, width, sorted);
  return {moved(call, x.index_select(axis, Tensor::from(groups.first))), Tensor::from(groups.first),
          Tensor::from(groups.inverse), Tensor::from(groups.counts)};
}

// ---- What the values say -------------------------------------------------------------------------------------------

Value non_zero(Call& call) {
  call.look(0, std::max(1, call.x().rank()) * int64_t(sizeof(int64_t)));
  return indices(call.x().nonzero().t());
}

Value compress(Call& call) {
  const Tensor x = call.has("axis") ? call.x() : call.x().flatten();
  const int axis = call.axis("axis", 0, x.rank());
  if (call.x(1).rank() != 1) fail("a condition of ", call.x(1).shape());
  const std::vector<int64_t> condition = call.integers(1);
  std::vector<int64_t> kept;
  for (int64_t k = 0; k < std::min(int64_t(condition.size()), x.size(axis)); ++k)
    if (condition[size_t(k)]) kept.push_back(k);
  return moved(call, x.index_select(axis, Tensor::from(kept)));
}

struct Box {
  float x0, y0, x1, y1;
  float area() const { return (x1 - x0) * (y1 - y0); }
};

float intersection_over_union(const Box& a, const Box& b) {
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (!(width > 0 && height > 0)) return 0;
  const float both = width * height;
  return both / (a.area() + b.area() - both);
}

/// Of boxes (batch, n, 4) with scores (batch, classes, n): those that overlap none with a better score that is taken.
Value non_max_suppression(Call& call) {
  const Shape &boxes = call.x().shape(), &scores = call.x(1).shape();
  if (boxes.size() != 3 || scores.size() != 3 || boxes[2] != 4 || boxes[0] != scores[0] || boxes[1] != scores[2])
    fail("boxes of ", boxes, " with scores of ", scores, "; (batch, n, 4) and (batch, classes, n)");
  const int64_t most = call.has(2) ? std::max<int64_t>(0, call.integer(2)) : 0;
  const auto overlap = call.has(3) ? float(call.real(3)) : 0.0f;
  const bool any_score = !call.has(4);
  const auto least = any_score ? 0.0f : float(call.real(4));
  const bool centers = call.flag("center_point_box");
  call.look(0), call.look(1);
  const std::vector<float> corners = call.x().to_vector<float>(), score = call.x(1).to_vector<float>();

  const auto n = size_t(boxes[1]);
  std::vector<int64_t> result;
  std::vector<Box> all(n);
  std::vector<size_t> candidates, taken;
  for (int64_t batch = 0; batch < boxes[0]; ++batch) {
    for (size_t i = 0; i < n; ++i) {
      const float* c = &corners[(size_t(batch) * n + i) * 4];
      if (centers) all[i] = {c[0] - c[2] / 2, c[1] - c[3] / 2, c[0] + c[2] / 2, c[1] + c[3] / 2};
      else all[i] = {std::min(c[1], c[3]), std::min(c[0], c[2]), std::max(c[1], c[3]), std::max(c[0], c[2])};
    }
    for (int64_t kind = 0; kind < scores[1]; ++kind) {
      const float* of_class = score.data() + size_t(batch * scores[1] + kind) * n;
      candidates.clear(), taken.clear();
      for (size_t i = 0; i < n; ++i)
        if (any_score ? of_class[i] == of_class[i] : of_class[i] > least) candidates.push_back(i);
      std::ranges::stable_sort(candidates, [&](size_t a, size_t b) { return of_class[a] > of_class[b]; });
      for (size_t i : candidates) {
        if (int64_t(taken.size()) >= most) break;
        const auto covers = [&](size_t k) { return intersection_over_union(all[i], all[k]) > overlap; };
        if (std::ranges::any_of(taken, covers)) continue;
        taken.push_back(i);
        for (int64_t position : {batch, kind, int64_t(i)}) result.push_back(position);
      }
    }
  }
  return Tensor::from(result, {int64_t(result.size()) / 3, 3});
}

/// How often each of the n-grams of a pool occurs in a row, also with up to `max_skip_count` elements left out between
/// two that follow each other.
Value tf_idf_vectorizer(Call& call) {
  const auto list = [&](const char* name) {
    const Attribute* a = call.node.find(name, Attribute::Kind::Ints);
    return a ? a->ints : std::vector<int64_t>();
  };
  if (call.has("pool_strings")) unsupported("a pool of strings");
  const std::vector<int64_t> pool = list("pool_int64s"), starts = list("ngram_counts"), columns = list("ngram_indexes");
  const Attribute* weights = call.node.find("weights", Attribute::Kind::Floats);
  const std::string mode = call.text("mode", "TF");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") unsupported("mode ", mode);
  const int64_t shortest = call.integer("min_gram_length", 1), longest = call.integer("max_gram_length", 1);
  const int64_t skipped = std::max<int64_t>(0, call.integer("max_skip_count", 0));

  std::map<std::vector<int64_t>, size_t> grams;  // -> which one it is
  size_t count = 0;
  for (size_t length = 1; length <= starts.size(); ++length) {
    const int64_t begin = starts[length - 1], end = length < starts.size() ? starts[length] : int64_t(pool.size());
    if (begin < 0 || begin > end || end > int64_t(pool.size())) fail("ngram_counts are no positions in the pool");
    for (int64_t at = begin; at + int64_t(length) <= end; at += int64_t(length), ++count)
      if (int64_t(length) >= shortest && int64_t(length) <= longest)
        grams.emplace(std::vector<int64_t>(pool.begin() + at, pool.begin() + at + int64_t(length)), count);
  }
  if (columns.size() < count || columns.empty() || *std::ranges::min_element(columns) < 0)
    fail(columns.size(), " ngram_indexes for ", count, " n-grams; each has one, from 0 on");
  if (weights && weights->floats.size() < count) fail(weights->floats.size(), " weights for ", count, " n-grams");

  if (call.x().rank() > 2) fail("rows of ", call.x().shape(), "; (n) or (rows, n)");
  const bool one = call.x().rank() < 2;
  const int64_t n = call.x().rank() == 0 ? 1 : call.x().size(-1), rows = one ? 1 : call.x().size(0);
  const int64_t width = std::min(*std::ranges::max_element(columns), INT64_MAX - 1) + 1;
  const Shape to = one ? Shape{width} : Shape{rows, width};
  call.look(0);
  if (rows > 0 && width > call.max_bytes() / 4 / rows)
    fail("a result of ", to, " is too large (ModelOptions::max_bytes)");
  const std::vector<int64_t> x = call.integers(0);
  std::vector<float> result(size_t(rows * width));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t length = std::max<int64_t>(1, shortest); length <= std::min(longest, int64_t(starts.size())); ++length)
      for (int64_t step = 1; step - 1 <= (length == 1 ? 0 : skipped); ++step) {
        if (length > 1 && step > (n - 1) / (length - 1)) break;
        for (int64_t begin = 0; begin + (length - 1) * step < n; ++begin) {
          std::vector<int64_t> gram;
          for (int64_t k = 0; k < length; ++k) gram.push_back(x[size_t(row * n + begin + k * step)]);
          const auto found = grams.find(gram);
          if (found == grams.end()) continue;
          float& cell = result[size_t(row * width + columns[found->second])];
          const float weight = weights && mode != "TF" ? weights->floats[found->second] : 1.0f;
          cell = mode == "IDF" ? weight : cell + weight;
        }
      }
  return Tensor::from(result, to);
}

}  // namespace

void add_indexing(Ops& ops) {
  ops["Gather"] = gather;
  ops["GatherElements"] = gather_elements;
  ops["GatherND"] = gather_nd;
  ops["Scatter"] = scatter_elements;
  ops["ScatterElements"] = scatter_elements;
  ops["ScatterND"] = scatter_nd;
  ops["OneHot"] = one_hot;

  ops["TopK"] = top_k;
  ops["Unique"] = unique;
  ops["NonZero"] = non_zero;
  ops["Compress"] = compress;
  ops["NonMaxSuppression"] = non_max_suppression;
  ops["TfIdfVectorizer"] = tf_idf_vectorizer;
}

}  // namespace teeny::onnx
