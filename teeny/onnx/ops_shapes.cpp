// Constants, and operations whose results show elements in other places: most of them are views.
#include <algorithm>
#include <cmath>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

Shape shape_of(const std::vector<int64_t>& sizes) {
  for (int64_t size : sizes)
    if (size < 0) fail("a size of ", size, " is asked for");
  return {sizes.begin(), sizes.end()};
}

/// A list that the host made. Nobody has to read it back.
Value integers_known(std::vector<int64_t> values, const Shape& shape) {
  Value result(Tensor::from(values, shape), Type::Int64);
  result.known = std::make_shared<Known>(Known{.integers = std::move(values), .constant = false});
  return result;
}

// ---- Constants and counted numbers ---------------------------------------------------------------------------------

Value constant(Call& call) {
  if (call.has("value")) return call.results_say_if_known(), call.tensor("value");
  using enum Attribute::Kind;
  const Node& node = call.node;
  if (const auto* a = node.find("value_float", Float)) return Tensor::from(std::vector{a->f}, {});
  if (const auto* a = node.find("value_floats", Floats)) return Tensor::from(a->floats);
  if (const auto* a = node.find("value_int", Int)) return Tensor::from(std::vector{a->i}, {});
  if (const auto* a = node.find("value_ints", Ints)) return Tensor::from(a->ints);
  if (call.node.attributes.empty()) fail("it has no value");
  unsupported("a constant by the attribute ", call.node.attributes[0].name, "; there are dense numbers alone");
}

Value constant_of_shape(Call& call) {
  const Shape shape = shape_of(call.integers(0));
  if (!call.has("value")) return Tensor::zeros(shape);
  const Value value = call.tensor("value");
  const Tensor& x = value.tensor;
  if (x.numel() != 1) fail("the value of ", x.shape(), " must have one element");
  const Scalar fill = is_float(x.dtype()) ? Scalar(x.item<double>()) : Scalar(x.item<int64_t>());
  return {Tensor::full(shape, fill, x.dtype()), value.type};
}

Value shape(Call& call) {
  call.depends_on_shapes_alone();
  const Shape& sizes = call.x().shape();
  const int64_t rank = sizes.size();
  const auto position = [&](const char* name, int64_t otherwise) {
    const int64_t at = call.integer(name, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = position("start", 0), end = std::max(start, position("end", rank));
  return integers_known({sizes.begin() + start, sizes.begin() + end}, {end - start});
}

Value size(Call& call) {
  call.depends_on_shapes_alone();
  return integers_known({call.x().numel()}, {});
}

/// The number of elements is that of the type's own arithmetic: a float32 limit - start is rounded.
Value range(Call& call) {
  for (int k : {0, 1, 2})
    if (call.x(k).dtype() != call.x().dtype()) fail("from ", call.x().dtype(), " on in ", call.x(k).dtype());
  const DType dtype = call.x().dtype();
  if (!is_float(dtype)) {
    const int64_t start = call.integer(0), limit = call.integer(1), delta = call.integer(2);
    return moved(call, Tensor::arange(start, limit, delta, dtype));
  }
  const double start = call.real(0), limit = call.real(1), delta = call.real(2);
  const double distance = dtype == DType::Float64 ? limit - start : double(float(limit) - float(start));
  const double count = std::ceil(distance / delta);
  if (!(count < 9e15)) fail("from ", start, " to ", limit, " in steps of ", delta);  // NaN, too
  return (Tensor::arange(int64_t(std::max(0.0, count))).cast(DType::Float64) * delta + start).cast(dtype);
}

Value eye_like(Call& call) {
  call.depends_on_shapes_alone();
  if (call.x().rank() != 2) fail("needs a matrix, not ", call.x().shape());
  const int64_t rows = call.x().size(0), columns = call.x().size(1), k = call.integer("k", 0);
  const Tensor diagonal = Tensor::arange(rows).unsqueeze(1) + std::clamp(k, -rows, columns);
  return as_type(diagonal == Tensor::arange(columns), call.type("dtype", call.type()));
}

Value trilu(Call& call) {
  if (call.x().rank() < 2) fail("needs matrices, not ", call.x().shape());
  const int64_t rows = call.x().size(-2), columns = call.x().size(-1);
  const int64_t k = std::clamp(call.has(1) ? call.integer(1) : 0, -rows - 1, columns + 1);
  return moved(call, call.flag("upper", true) ? call.x().triu(k) : call.x().tril(k));
}

// ---- Other shapes --------------------------------------------------------------------------------------------------

Value reshape(Call& call) {
  const std::vector<int64_t> wanted = call.integers(1);
  const Shape& from = call.x().shape();
  Shape to(wanted.begin(), wanted.end());
  const bool zero_is_size = call.flag("allowzero");
  for (int a = 0; a < to.size(); ++a) {
    if (to[a] != 0 || zero_is_size) continue;
    if (a >= from.size()) fail(from, " to ", to, ": the 0 at ", a, " stands for a size that is not there");
    to[a] = from[a];
  }
  return moved(call, call.x().reshape(to));
}

Value flatten(Call& call) {
  const Shape& sizes = call.x().shape();
  const int64_t given = call.integer("axis", 1), axis = given < 0 ? given + sizes.size() : given;
  if (axis < 0 || axis > sizes.size()) fail("axis ", given, " of ", sizes);
  const int64_t rows = numel(Shape(sizes.begin(), sizes.begin() + axis));
  return moved(call, call.x().reshape({rows, numel(Shape(sizes.begin() + axis, sizes.end()))}));
}

/// The axes that are named, each once and counted from the front. Axes of a result of `rank` axes.
Dims axes_of(const Call& call, const std::vector<int64_t>& axes, int rank) {
  Dims result;
  for (int64_t given : axes) {
    const int axis = call.axis(given, rank);
    if (result.contains(axis)) fail("axis ", axis, " is named twice");
    result.push_back(axis);
  }
  return result;
}

Value squeeze(Call& call) {
  const Shape& sizes = call.x().shape();
  const auto given = call.integers("axes", 1);
  if (!given || given->empty()) return moved(call, call.x().squeeze());
  const Dims axes = axes_of(call, *given, sizes.size());
  for (int64_t axis : axes)
    if (sizes[int(axis)] != 1) fail("axis ", axis, " of ", sizes, " has more than one element, or none");
  return moved(call, axes.empty() ? call.x() : call.x().squeeze(axes));
}

Value unsqueeze(Call& call) {
  const auto given = call.integers("axes", 1);
  if (!given) fail("axes are missing");
  const int rank = call.x().rank() + int(given->size());
  const Dims axes = axes_of(call, *given, rank);
  Shape to;
  for (int a = 0, from = 0; a < rank; ++a) to.push_back(axes.contains(a) ? 1 : call.x().shape()[from++]);
  return moved(call, call.x().reshape(to));
}

Value transpose(Call& call) {
  Dims order = call.dims("perm");
  if (!call.has("perm"))
    for (int a = call.x().rank(); a-- > 0;) order.push_back(a);
  return moved(call, call.x().permute(order));
}

/// Both may grow: the input's axes of one element, and those that the shape asks for.
Value expand(Call& call) {
  const Shape wanted = shape_of(call.integers(1));
  return moved(call, call.x().expand(broadcast(call.x().shape(), wanted, "shape")));
}

Value tile(Call& call) {
  const std::vector<int64_t> times = call.integers(1);
  if (int64_t(times.size()) != call.x().rank()) fail(times.size(), " repeats for ", call.x().shape());
  return moved(call, call.x().repeat({times.begin(), times.end()}));
}

Value depth_to_space(Call& call) {
  const Tensor& x = call.x();
  const int64_t block = call.integer("blocksize", 0);
  if (x.rank() != 4 || block < 1 || x.size(1) % block || x.size(1) / block % block)
    fail("blocks of ", block, " from ", x.shape(), "; (N, C blocksize^2, H, W)");
  const int64_t n = x.size(0), c = x.size(1) / block / block, h = x.size(2), w = x.size(3);
  const std::string mode = call.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") unsupported("mode ", mode);
  const Tensor apart = mode == "DCR" ? x.reshape({n, block, block, c, h, w}).permute({0, 3, 4, 1, 5, 2})
                                     : x.reshape({n, c, block, block, h, w}).permute({0, 1, 4, 2, 5, 3});
  return moved(call, apart.reshape({n, c, h * block, w * block}));
}

Value space_to_depth(Call& call) {
  const Tensor& x = call.x();
  const int64_t block = call.integer("blocksize", 0);
  if (x.rank() != 4 || block < 1 || x.size(2) % block || x.size(3) % block)
    fail("blocks of ", block, " of ", x.shape(), "; (N, C, H blocksize, W blocksize)");
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2) / block, w = x.size(3) / block;
  const std::string mode = call.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") unsupported("mode ", mode);
  const Tensor apart = x.reshape({n, c, h, block, w, block});
  return moved(call, apart.permute(mode == "DCR" ? Dims{0, 3, 5, 1, 2, 4} : Dims{0, 1, 3, 5, 2, 4})
                         .reshape({n, c * block * block, h, w}));
}

// ---- Parts ---------------------------------------------------------------------------------------------------------

/// A part of an axis of n elements.
struct Taken {
  int64_t start, step, count;
};

/// Bounds count from either end and are cut to the axis; behind its last element no step down begins. An end that is
/// the largest integer is no bound, also on the way down, where it would leave nothing: files take it so.
Taken taken(int64_t start, int64_t end, int64_t step, int64_t n) {
  if (step == 0) fail("a step of 0");
  if (n == 0) return {0, 1, 0};
  if (step < 0 && (end == INT32_MAX || end == INT64_MAX)) end = INT64_MIN;
  step = std::clamp(step, -n, n);  // beyond that it takes one element, too
  start = std::clamp<int64_t>(start < 0 ? start + n : start, 0, step > 0 ? n : n - 1);
  end = std::clamp<int64_t>(end < 0 ? end + n : end, step > 0 ? 0 : -1, step > 0 ? n : n - 1);
  const int64_t distance = step > 0 ? end - start : start - end, by = std::abs(step);
  return {start, step, std::max<int64_t>(0, (distance + by - 1) / by)};
}

Value slice(Call& call) {
  const Tensor& x = call.x();
  const auto starts = call.integers("starts", 1), ends = call.integers("ends", 2);
  if (!starts || !ends) fail("starts or ends are missing");
  auto given = call.integers("axes", 3);
  if (!given) {
    given.emplace();
    for (size_t k = 0; k < starts->size(); ++k) given->push_back(int64_t(k));
  }
  const std::vector<int64_t> steps = call.has(4) ? call.integers(4) : std::vector<int64_t>(given->size(), 1);
  if (starts->size() != given->size() || ends->size() != given->size() || steps.size() != given->size())
    fail(starts->size(), " starts, ", ends->size(), " ends, ", given->size(), " axes and ", steps.size(), " steps");
  const Dims axes = axes_of(call, *given, x.rank());
  Dims begin = Dims::filled(x.rank(), 0), end = x.shape(), by = Dims::filled(x.rank(), 1), backwards;
  for (int k = 0; k < axes.size(); ++k) {
    const int axis = int(axes[k]);
    const auto [start, step, count] = taken((*starts)[size_t(k)], (*ends)[size_t(k)], steps[size_t(k)], x.size(axis));
    const int64_t last = start + (count - 1) * step;
    begin[axis] = count == 0 ? 0 : std::min(start, last);
    end[axis] = count == 0 ? 0 : std::max(start, last) + 1;
    by[axis] = count > 1 ? std::abs(step) : 1;
    if (step < 0 && count > 1) backwards.push_back(axis);
  }
  Tensor result = x.shrink(begin, end);
  if (!backwards.empty()) result = result.flip(backwards);
  for (int axis = 0; axis < x.rank(); ++axis)
    if (by[axis] > 1) result = result.unfold(axis, 1, by[axis]).squeeze(-1);
  return moved(call, result);
}

Outputs split(Call& call) {
  const Tensor& x = call.x();
  const int axis = call.axis("axis", 0, x.rank());
  const int64_t n = x.size(axis), parts = int64_t(call.node.outputs.size());
  auto sizes = call.integers("split", 1);
  if (!sizes) {
    if (parts == 0 || call.integer("num_outputs", parts) != parts) fail("it has ", parts, " outputs");
    if (call.opset < 18 && n % parts) fail(x.shape(), " does not split into ", parts, " equal parts along axis ", axis);
    const int64_t size = (n + parts - 1) / parts;
    sizes.emplace(size_t(parts), size);
    sizes->back() = n - (parts - 1) * size;
  }
  if (int64_t(sizes->size()) != parts) fail(sizes->size(), " sizes for ", parts, " outputs");
  Outputs results;
  int64_t begin = 0;
  for (int64_t size : *sizes) {
    if (size < 0 || size > n - begin) fail("axis ", axis, " of ", x.shape(), " does not split into such sizes");
    results.push_back(moved(call, part(x, axis, begin, begin + size)));
    begin += size;
  }
  if (begin != n) fail("the parts have ", begin, " of the ", n, " elements of axis ", axis, " of ", x.shape());
  return results;
}

Value concat(Call& call) {
  if (!call.has("axis")) fail("the attribute axis is missing");
  std::vector<Tensor> parts = call.tensors();
  const auto has_shape_0 = [](const Tensor& x) { return x.rank() == 1 && x.numel() == 0; };
  for (const Tensor& x : parts)
    if (x.dtype() != parts[0].dtype()) fail(parts[0].dtype(), " and ", x.dtype(), " in one tensor");
  // PyTorch leaves out tensors of the shape (0), whatever the others are, and so do files that come from it.
  if (!std::ranges::all_of(parts, has_shape_0)) std::erase_if(parts, has_shape_0);
  if (parts.empty()) fail("nothing to put together");
  const int axis = call.axis("axis", 0, parts[0].rank());
  return moved(call, parts.size() == 1 ? parts[0] : Tensor::cat(parts, axis));
}

// ---- Padding -------------------------------------------------------------------------------------------------------

constexpr int64_t kMostPad = int64_t(1) << 60;  // beyond that an axis overflows

/// The `amount` elements of the axis that are shown again in front of x, or behind it. Nothing where they are more than
/// one view: where they are reflected, or go round, a second time.
std::optional<Tensor> shown_again(const Tensor& x, int axis, int64_t amount, bool front, const std::string& mode) {
  const int64_t n = x.size(axis);
  if (mode == "edge") {
    Shape to = x.shape();
    to[axis] = amount;
    return (front ? part(x, axis, 0, 1) : part(x, axis, n - 1, n)).expand(to);
  }
  if (amount > (mode == "reflect" ? n - 1 : n)) return {};
  if (mode == "wrap") return front ? part(x, axis, n - amount, n) : part(x, axis, 0, amount);
  return (front ? part(x, axis, 1, amount + 1) : part(x, axis, n - 1 - amount, n - 1)).flip(axis);
}

/// reflect  3 2 1 [0 1 2 3] 2 1 0      edge  0 0 0 [0 1 2 3] 3 3 3      wrap  1 2 3 [0 1 2 3] 0 1 2
/// Negative amounts cut, and what they cut is not shown.
Tensor pad_with(const Tensor& whole, const Dims& before, const Dims& after, const std::string& mode) {
  Tensor x = whole;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t begin = std::min(std::max<int64_t>(0, -before[axis]), x.size(axis));
    x = part(x, axis, begin, std::max(begin, x.size(axis) - std::max<int64_t>(0, -after[axis])));
    const int64_t n = x.size(axis);
    const int64_t front = std::max<int64_t>(0, before[axis]), back = std::max<int64_t>(0, after[axis]);
    if (front == 0 && back == 0) continue;
    if (n == 0) fail("axis ", axis, " of ", x.shape(), " has nothing to show again");
    const auto in_front = shown_again(x, axis, front, true, mode), behind = shown_again(x, axis, back, false, mode);
    if (in_front && behind) {
      std::vector<Tensor> parts{*in_front, x, *behind};
      std::erase_if(parts, [&](const Tensor& t) { return t.size(axis) == 0; });
      x = Tensor::cat(parts, axis);
    } else {
      const Tensor i = Tensor::arange(-front, n + back);
      const Tensor reflected = n - 1 - (i % std::max<int64_t>(1, 2 * n - 2) - (n - 1)).abs();
      x = x.index_select(axis, mode == "wrap" ? i % n : reflected);
    }
  }
  return x;
}

Value pad(Call& call) {
  const Tensor& x = call.x();
  const auto amounts = call.integers("pads", 1);
  if (!amounts) fail("pads are missing");
  Dims axes;
  if (call.has(3)) axes = axes_of(call, call.integers(3), x.rank());
  else axes = teeny::range(0, x.rank());
  if (int64_t(amounts->size()) != 2 * axes.size())
    fail(amounts->size(), " pads for ", axes.size(), " axes; one for the beginning and one for the end of each");
  Dims before = Dims::filled(x.rank(), 0), after = before;
  for (int k = 0; k < axes.size(); ++k) {
    before[int(axes[k])] = (*amounts)[size_t(k)];
    after[int(axes[k])] = (*amounts)[size_t(axes.size() + k)];
  }
  for (int64_t amount : *amounts)
    if (amount < -kMostPad || amount > kMostPad) fail("pads of ", before, " and ", after);
  const std::string mode = call.text("mode", "constant");
  if (mode == "reflect" || mode == "edge" || mode == "wrap") return moved(call, pad_with(x, before, after, mode));
  if (mode != "constant") unsupported("mode ", mode);
  if (is_float(x.dtype())) {
    const double value = call.has(2) ? call.real(2) : call.real("value", 0);
    return moved(call, x.pad(before, after, value));
  }
  return moved(call, x.pad(before, after, call.has(2) ? Scalar(call.integer(2)) : Scalar(call.real("value", 0))));
}

/// As much of the middle as there is; what is odd is cut, or added, at the end.
Value center_crop_pad(Call& call) {
  const Tensor& x = call.x();
  const Shape sizes = shape_of(call.integers(1));
  const Dims axes =
      call.has("axes") ? axes_of(call, call.node.find("axes", Attribute::Kind::Ints)->ints, x.rank()) : teeny::range(0, x.rank());
  if (sizes.size() != axes.size()) fail(sizes.size(), " sizes for ", axes.size(), " axes");
  Dims before = Dims::filled(x.rank(), 0), after = before;
  for (int k = 0; k < axes.size(); ++k) {
    const int axis = int(axes[k]);
    const int64_t growth = sizes[k] - x.size(axis);
    before[axis] = growth / 2;
    after[axis] = growth - growth / 2;
  }
  return moved(call, x.pad(before, after));
}

// ---- Sequences -----------------------------------------------------------------------------------------------------

/// `index`, one for each element of the axes `batch` and `time`, as one for each element of `shape`.
Tensor along(const Tensor& index, const Shape& shape, int batch, int time) {
  Shape aligned = Dims::filled(shape.size(), 1);
  aligned[batch] = shape[batch], aligned[time] = index.size(1);
  Shape to = shape;
  to[time] = index.size(1);
  return (batch < time ? index : index.t()).reshape(aligned).expand(to);
}

Value reverse_sequence(Call& call) {
  const Tensor& x = call.x();
  const int64_t batch = call.integer("batch_axis", 1), time = call.integer("time_axis", 0);
  if (x.rank() < 2 || std::min(batch, time) != 0 || std::max(batch, time) != 1)
    fail("batch_axis ", batch, " and time_axis ", time, " of ", x.shape(), "; one is 0 and the other 1");
  if (call.x(1).shape() != Shape{x.size(batch)}) fail("lengths of ", call.x(1).shape(), " for ", x.size(batch));
  const Tensor length = call.x(1).cast(DType::Int64).unsqueeze(1), t = Tensor::arange(x.size(time));
  const Tensor from = where(t < length, length - 1 - t, t);
  return moved(call, x.gather(time, along(from, x.shape(), int(batch), int(time))));
}

/// A window of `past`, at another place for each sample, becomes `update`. What is outside of the window, or wraps
/// around, is found by looking at each place of `past` from the window's beginning: no element has to be scattered.
Value tensor_scatter(Call& call) {
  const Tensor &past = call.x(), &update = call.x(1);
  const int time = call.axis("axis", -2, past.rank());
  const std::string mode = call.text("mode", "linear");
  if (mode != "linear" && mode != "circular") unsupported("mode ", mode);
  Shape expected = past.shape();
  if (update.rank() == past.rank()) expected[time] = update.size(time);
  if (time == 0 || update.shape() != expected || update.size(time) > past.size(time) || update.dtype() != past.dtype())
    fail(update.dtype(), ' ', update.shape(), " into ", past.dtype(), ' ', past.shape(), " along axis ", time);
  const int64_t n = past.size(time), width = update.size(time);
  if (!call.has(2)) return moved(call, Tensor::cat({update, part(past, time, width, n)}, time));
  if (call.x(2).shape() != Shape{past.size(0)}) fail("write_indices of ", call.x(2).shape(), " for ", past.shape());
  if (width == 0) return moved(call, past);
  const Tensor begin = call.x(2).cast(DType::Int64).unsqueeze(1);
  Tensor i = Tensor::arange(n) - begin;
  if (mode == "circular") i = i % n;
  const Tensor inside = (i >= 0) & (i < width);
  // A window that reaches out of `past` is an index that does not exist.
  const Tensor valid = mode == "circular" ? Tensor(true) : (begin >= 0) & (begin <= n - width);
  const Tensor from = where(valid, i.clamp(0, width - 1), width);
  const Tensor shown = update.gather(time, along(from, past.shape(), 0, time));
  return moved(call, where(along(inside, past.shape(), 0, time), shown, past));
}

}  // namespace

void add_shapes(Ops& ops) {
  ops["Identity"] = [](Call& call) { return call.x(), call.inputs[0]; };
  ops["Constant"] = constant;
  ops["ConstantOfShape"] = constant_of_shape;
  ops["Shape"] = shape;
  ops["Size"] = size;
  ops["Range"] = range;
  ops["EyeLike"] = eye_like;
  ops["Trilu"] = trilu;

  ops["Reshape"] = reshape;
  ops["Flatten"] = flatten;
  ops["Squeeze"] = squeeze;
  ops["Unsqueeze"] = unsqueeze;
  ops["Transpose"] = transpose;
  ops["Expand"] = expand;
  ops["Tile"] = tile;
  ops["DepthToSpace"] = depth_to_space;
  ops["SpaceToDepth"] = space_to_depth;

  ops["Slice"] = slice;
  ops["Split"] = split;
  ops["Concat"] = concat;
  ops["Pad"] = pad;
  ops["CenterCropPad"] = center_crop_pad;

  ops["ReverseSequence"] = reverse_sequence;
  ops["TensorScatter"] = tensor_scatter;
}

}  // namespace teeny::onnx
