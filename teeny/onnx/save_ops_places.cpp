// Elements that are looked up, sent to places, cut out, repeated.
#include "teeny/functional/functional.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// ONNX's indices are int32 and int64.
Name index_of(SavedCall& call, int k) { return call.dtype(k) == DType::Int32 ? call.x(k) : call.x(k, DType::Int64); }
/// A tensor of one value.
Name filled(SavedCall& call, Scalar value, DType type, const Ints& shape) {
  return call.node("Expand", {call.scalar(value, type), call.integers(shape)});
}
Name scattered(SavedCall& call, Name x, Name index, Name source, const char* reduction = nullptr) {
  NodeAttributes attributes{{"axis", call.integer("axis")}};
  if (reduction) attributes.emplace_back("reduction", reduction);
  return call.node("ScatterElements", {x, index, source}, attributes);
}

Names scatter_sum(SavedCall& call) {
  const DType type = call.result_dtype(), wide = type == DType::Bool ? DType::Int32 : type;
  const Name sum =
      scattered(call, filled(call, 0, wide, call.result_shape()), index_of(call, 0), call.x(1, wide), "add");
  return wide == type ? sum : call.cast(sum, type);
}

/// What leaves the others what they are.
Scalar neutral(ScatterReduce how, DType type) {
  const bool largest = how == ScatterReduce::Amax;
  if (how == ScatterReduce::Prod) return 1;
  if (how == ScatterReduce::Sum || how == ScatterReduce::Mean) return 0;
  if (is_float(type)) return largest ? -INFINITY : INFINITY;
  return with_type(type, [&](auto zero) -> Scalar {
    using T = decltype(zero);
    if constexpr (std::integral<T>) return largest ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
    else return 0;
  });
}

/// Without `include_self` an element that a source reaches starts from the neutral one, which is sent there before.
Names scatter_reduce(SavedCall& call) {
  const auto how = ScatterReduce(call.integer("how"));
  const bool with_self = call.flag("include_self"), mean = how == ScatterReduce::Mean;
  const DType type = call.result_dtype();
  const DType wide = is_float(type) ? promote(type, DType::Float32) : type == DType::Bool ? DType::Int32 : type;
  const Name index = index_of(call, 1), source = call.x(2, wide);
  const Ints sent = call.shape(1);
  const auto base = [&](Name x, DType of) {
    return with_self ? x : scattered(call, x, index, filled(call, neutral(how, of), of, sent));
  };
  constexpr const char* kReductions[] = {"add", "mul", "add", "max", "min"};
  Name result = scattered(call, base(call.x(0, wide), wide), index, source, kReductions[int(how)]);
  if (mean) {  // an element that no source reaches counts as one
    const Name ones = filled(call, 1, wide, call.result_shape());
    const Name count = scattered(call, base(ones, wide), index, filled(call, 1, wide, sent), "add");
    if (!is_float(type)) result = call.node("Sub", {result, call.node("Mod", {result, count})});  // rounded down
    result = call.node("Div", {result, count});
  }
  return wide == type ? result : call.cast(result, type);
}

/// A slice with a step, from either end.
Names slice(SavedCall& call) {
  const int64_t axis = call.integer("axis"), step = call.integer("step");
  const Int n = call.shape()[size_t(axis)];
  Int start = call.ints("start")[0], stop = call.ints("stop")[0];
  if (step > 0 && stop == n) stop = INT64_MAX;
  if (step < 0 && start == n - 1) start = -1;
  if (step < 0 && stop == Int(-1)) stop = INT64_MIN;
  return call.node("Slice", {call.x(), call.integers(Ints{start}, "begin"), call.integers(Ints{stop}, "end"),
                             call.integers(Dims{axis}), call.integers(Dims{step}, "steps")});
}

Names split(SavedCall& call) {
  const size_t axis = size_t(call.integer("axis"));
  const int parts = call.results();
  if (parts == 1) return call.x();
  // Sizes of parts that are not used are what the attributes say.
  const Int n = call.shape()[axis];
  Ints sizes;
  if (call.has("sizes")) sizes = call.ints("sizes");
  else {
    const Int size = call.ints("size")[0];
    Int left = n;
    for (int part = 0; part + 1 < parts; ++part) sizes.push_back(size), left = left - size;
    sizes.push_back(left);
  }
  bool equal = true, all = true;
  for (const Int& size : sizes) equal &= size == sizes[0];
  for (int part = 0; part < parts; ++part) all &= call.wants(part);
  if (all && equal) return call.nodes("Split", {call.x()}, {{"axis", axis}, {"num_outputs", parts}}, parts);
  if (all) return call.nodes("Split", {call.x(), call.integers(sizes)}, {{"axis", axis}}, parts);
  std::vector<Name> made(static_cast<size_t>(parts));  // a Split would make parts that nobody needs
  Int begin = 0;
  for (int part = 0; part < parts; ++part) {
    const Int end = begin + sizes[size_t(part)];
    if (call.wants(part)) made[size_t(part)] = call.slice(call.x(), {begin}, {end}, {int64_t(axis)});
    begin = end;
  }
  return made;
}

/// Where two axes are walked together: the letter of both is the last of the result.
Names diagonal(SavedCall& call) {
  const int a = int(call.integer("a")), b = int(call.integer("b"));
  std::string from, rest;
  for (int axis = 0; axis < call.rank(); ++axis) {
    from += axis == a || axis == b ? 'z' : char('a' + axis);
    if (axis != a && axis != b) rest += char('a' + axis);
  }
  const DType type = call.dtype(), wide = dtype_of_einsum(type);
  const Name x = call.node("Einsum", {call.x(0, wide)}, {{"equation", from + "->" + rest + "z"}});
  return wide == type ? x : call.cast(x, type);
}

Names repeat(SavedCall& call) {
  const Ints times = call.ints("times");
  const Name x = call.unsqueeze(call.x(), range(0, int(times.size()) - call.rank()));
  return call.node("Tile", {x, call.integers(times, "repeats")});
}

template <bool kUpper>
Names triangle(SavedCall& call) {
  const int64_t diagonal = call.integer("diagonal");
  return call.node("Trilu", {call.x(), diagonal ? call.scalar(diagonal, DType::Int64) : Name()}, {{"upper", kUpper}});
}

}  // namespace

void add_save_places(SaveOps& ops) {
  ops["gathered"] = [](SavedCall& call) -> Names {
    return call.node("GatherElements", {call.x(), index_of(call, 1)}, {{"axis", call.integer("axis")}});
  };
  ops["index"] = [](SavedCall& call) -> Names {  // counts from the end where the index is negative, as Gather
    return call.node("Gather", {call.x(), index_of(call, 1)}, {{"axis", call.integer("axis")}});
  };
  ops["scatter"] = [](SavedCall& call) -> Names { return scattered(call, call.x(), index_of(call, 1), call.x(2)); };
  ops["scatter_sum"] = scatter_sum;
  ops["scatter_reduce"] = scatter_reduce;
  ops["slice"] = slice;
  ops["split"] = split;
  ops["diagonal"] = diagonal;
  ops["repeat"] = repeat;
  ops["tril"] = triangle<false>;
  ops["triu"] = triangle<true>;
  ops["pad_mode"] = [](SavedCall& call) -> Names {
    Ints amounts = call.ints("before");
    for (const Int& after : call.ints("after")) amounts.push_back(after);
    return call.node("Pad", {call.x(), call.integers(amounts, "pads")},
                     {{"mode", call.flag("reflect") ? "reflect" : "edge"}});
  };
}

}  // namespace teeny::onnx
