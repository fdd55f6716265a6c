// The meaning of every kernel, in plain loops: one element after the other, sums in double (or in 64-bit integers), no
// dependency. Slow on purpose; every other backend is tested against it.
//
// A value of the program is an Element: a double or an int64, whichever its dtype computes in.
#include <algorithm>
#include <bit>
#include <map>

#include "tinyops/device.h"
#include "tinyops/base/philox.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/reference/collective.h"
#include "tinyops/reference/recurrent.h"

namespace tinyops::reference {
namespace {

/// Calls `visit` with every index of `shape`, in row-major order.
template <class F>
void for_each_index(const Shape& shape, F&& visit) {
  Dims index = Dims::filled(shape.size(), 0);
  for (int64_t left = numel(shape); left > 0; --left) {
    visit(index);
    for (int a = shape.size() - 1; a >= 0 && ++index[a] == shape[a]; --a) index[a] = 0;
  }
}

Dims concat(const Dims& a, const Dims& b) {
  Dims result = a;
  for (int64_t value : b) result.push_back(value);
  return result;
}

/// One element of any dtype. Floats are kept as double, after rounding to what their dtype computes in.
/// With a float NaN its bits are kept as well, of which a double would change one.
struct Element {
  double real = 0;
  int64_t integer = 0;
};

template <class T>
Element to_element(T value) {
  if constexpr (std::is_same_v<T, float>) return {value, value != value ? std::bit_cast<int32_t>(value) : 0};
  else if constexpr (std::is_floating_point_v<T>) return {double(value), 0};
  else return {0, int64_t(value)};
}
template <class T>
T as(const Element& n) {
  if constexpr (std::is_same_v<T, float>)
    if (n.real != n.real && n.integer) return std::bit_cast<float>(int32_t(n.integer));
  if constexpr (std::is_floating_point_v<T>) return T(n.real);
  else return T(n.integer);
}

/// While `check` runs: the copies of the device's buffers.
thread_local std::map<const Buffer*, std::vector<std::byte>>* copies = nullptr;

/// The one place where memory is touched, so the one place where it is checked.
void* element(const Operand& operand, int64_t address) {
  const int64_t size = itemsize(operand.dtype);
  if (address < 0 || (address + 1) * size > int64_t(operand.buffer->bytes()))
    fail("reference: element ", address, " is outside a buffer of ", operand.buffer->bytes() / size);
  if (copies) return copies->at(operand.buffer.get()).data() + address * size;
  return static_cast<char*>(operand.buffer->data()) + address * size;
}

Element load(const Operand& from, const Dims& index) {
  if (!from.view.valid(index)) return {};
  return with_type(from.dtype, [&]<class T>(T) {
    return to_element(Compute<T>(*static_cast<const T*>(element(from, from.view.address.at(index)))));
  });
}

void store(const Operand& to, const Dims& index, const Element& value) {
  with_type(to.dtype, [&]<class T>(T) {
    *static_cast<T*>(element(to, to.view.address.at(index))) = T(as<Compute<T>>(value));
  });
}

// ---- The row kernel -------------------------------------------------------------------------------------------------

Element constant(const Scalar& value, DType dtype) {
  return with_compute(dtype, [&]<class T>(T) { return to_element(value.as<T>()); });
}

Element read(const Input& input, const Dims& index, DType dtype, const Element& sum) {
  if (input.kind == Input::Kind::Memory) return load(input.operand, index);
  if (input.kind == Input::Kind::Sum) return sum;
  if (!input.operand.view.valid(index)) return {};
  if (input.kind == Input::Kind::Constant) return constant(input.constant, dtype);
  return constant(input.operand.view.address.at(index), dtype);
}

/// Any operation on single elements; `from` is the dtype of the values it reads.
Element compute(const Instruction& step, DType from, const Element& x, const Element& y, const Element& z) {
  if (const auto* unary = std::get_if<UnaryOp>(&step.op); unary && *unary == UnaryOp::Bitcast)
    return with_type(from, [&]<class From>(From) {
      return with_type(step.dtype, [&]<class To>(To) { return to_element(same_bits<To, From>(as<Compute<From>>(x))); });
    });
  return with_compute(from, [&]<class T>(T) -> Element {
    if (std::holds_alternative<TernaryOp>(step.op)) return x.integer ? y : z;
    if (const auto* unary = std::get_if<UnaryOp>(&step.op)) {
      if (gives_bool(*unary)) return to_element(holds(*unary, as<T>(x)));
      if (*unary == UnaryOp::Cast)
        return with_type(step.dtype, [&]<class To>(To) { return to_element(cast_to<To>(as<T>(x))); });
      return to_element(apply(*unary, as<T>(x)));
    }
    const auto binary = std::get<BinaryOp>(step.op);
    if (gives_bool(binary)) return to_element(holds(binary, as<T>(x), as<T>(y)));
    return to_element(apply(binary, as<T>(x), as<T>(y)));
  });
}

/// A row's values: one for each inner element, or just one where the value belongs to the row.
using RowValue = std::vector<Element>;

Element reduce(ReduceOp op, DType dtype, const RowValue& value, int64_t inner) {
  return with_compute(dtype, [&]<class T>(T) {
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double, T>;
    Wide total = identity<Wide>(op);
    for (int64_t i = 0; i < inner; ++i)
      total = apply(tinyops::step(op), total, as<Wide>(value[value.size() == 1 ? 0 : size_t(i)]));
    return to_element(T(total));
  });
}

/// The row with this outer index. `sum`: what a contraction has for it. `values` are those of the row before: with
/// their memory, no row but the first can fail for want of it, and that one before anything is stored.
void run_row(const RowKernel& k, const Dims& row, const Element& sum, std::vector<RowValue>& values) {
  const int outer_rank = k.shape.size() - k.inner;
  const Shape inner(k.shape.begin() + outer_rank, k.shape.end());
  const int64_t width = numel(inner);
  const Dims row_start = Dims::filled(inner.size(), 0);

  values.resize(k.program.size());
  for (const Instruction& step : k.program) {
    RowValue& result = values[size_t(&step - k.program.data())];
    result.clear();
    if (const auto* reduction = std::get_if<Reduce>(&step.op)) {
      result.push_back(reduce(reduction->op, step.dtype, values[size_t(step.args[0])], width));
    } else {
      auto arg = [&](int a, size_t i) -> Element {
        if (step.args[size_t(a)] < 0) return {};
        const RowValue& value = values[size_t(step.args[size_t(a)])];
        return value[value.size() == 1 ? 0 : i];
      };
      // `where` computes in the dtype of its branches; everything else in that of its first argument.
      const bool where = std::holds_alternative<TernaryOp>(step.op);
      const int typed = where ? step.args[1] : step.args[0];
      const DType from = typed < 0 ? step.dtype : k.program[size_t(typed)].dtype;
      auto one = [&](const Dims& position, size_t i) {
        if (const auto* load = std::get_if<Load>(&step.op))
          return read(k.inputs[size_t(load->input)], concat(row, position), step.dtype, sum);
        if (const auto* value = std::get_if<Constant>(&step.op)) return constant(value->value, step.dtype);
        return compute(step, from, arg(0, i), arg(1, i), arg(2, i));
      };
      if (step.per_row) result.push_back(one(row_start, 0));
      else for_each_index(inner, [&](const Dims& position) { result.push_back(one(position, result.size())); });
    }
  }
  for (const Output& out : k.outputs) {
    const RowValue& value = values[size_t(out.value)];
    if (k.program[size_t(out.value)].per_row) store(out.operand, concat(row, row_start), value[0]);
    else {
      size_t i = 0;
      for_each_index(inner, [&](const Dims& position) { store(out.operand, concat(row, position), value[i++]); });
    }
  }
}

void run_kernel(const RowKernel& k) {
  const Shape outer(k.shape.begin(), k.shape.end() - k.inner);
  std::vector<RowValue> values;
  for_each_index(outer, [&](const Dims& row) { run_row(k, row, {}, values); });
}

// ---- The other kinds ------------------------------------------------------------------------------------------------

void run_kernel(const ContractKernel& k) {
  // [exercise 07
  const Shape summed(k.shape.end() - k.reduced, k.shape.end());
  std::vector<RowValue> values;
  for_each_index(k.epilogue.shape, [&](const Dims& i) {
    const Element sum = with_type(k.a.dtype, [&]<class Stored>(Stored) {
      using T = Compute<Stored>;
      using Wide = std::conditional_t<std::is_floating_point_v<T>, double, T>;
      Wide total = 0;
      for_each_index(summed, [&](const Dims& r) {
        const Dims at = concat(i, r);
        total = apply(BinaryOp::Add, total, apply(BinaryOp::Mul, as<Wide>(load(k.a, at)), as<Wide>(load(k.b, at))));
      });
      return to_element(T(Stored(T(total))));  // as if it had been stored, and read again
    });
    run_row(k.epilogue, i, sum, values);
  });
  // exercise 07]
}

/// index[i], checked against the size of the axis it picks from.
int64_t checked_index(const Operand& index, const Dims& at, int64_t size, const IndexOrigin& origin) {
  const int64_t i = load(index, at).integer;
  if (i < 0 || i >= size) fail_outside(origin, i, at, index.view.shape, size);
  return i;
}

void run_kernel(const GatherKernel& k) {
  for_each_index(k.out.view.shape, [&](const Dims& at) {
    const int64_t i = checked_index(k.index, at, k.table.view.shape.back(), k.origin);
    store(k.out, at, load(k.table, concat(at, {i})));
  });
}

void run_kernel(const ScatterKernel& k) {
  const int64_t size = int64_t(k.out.buffer->bytes()) / itemsize(k.out.dtype);
  const Operand all{k.out.buffer, k.out.dtype, View::contiguous({size})};
  with_compute(k.out.dtype, [&]<class T>(T) {
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double, T>;
    std::vector<Wide> totals(size_t(size), identity<Wide>(k.op));
    for_each_index(k.source.view.shape, [&](const Dims& at) {
      const Dims to = concat(at, {checked_index(k.index, at, k.out.view.shape.back(), k.origin)});
      if (!k.out.view.valid(to)) return;
      auto&& total = totals[size_t(k.out.view.address.at(to))];
      total = apply<Wide>(tinyops::step(k.op), total, as<Wide>(load(k.source, at)));
    });
    for (int64_t i = 0; i < size; ++i) store(all, {i}, to_element(T(totals[size_t(i)])));
  });
}

/// Calls `visit` with the index of every row along the last axis of `shape`, without that axis.
template <class F>
void for_each_row(const Shape& shape, F&& visit) {
  if (numel(shape) > 0) for_each_index(Shape(shape.begin(), shape.end() - 1), visit);
}

void run_kernel(const ScanKernel& k) {
  for_each_row(k.in.view.shape, [&](const Dims& row) {
    with_compute(k.out.dtype, [&]<class T>(T) {
      using Wide = std::conditional_t<std::is_floating_point_v<T>, double, T>;
      Wide total = identity<Wide>(k.op);
      for (int64_t i = 0; i < k.in.view.shape.back(); ++i) {
        total = apply(tinyops::step(k.op), total, as<Wide>(load(k.in, concat(row, {i}))));
        store(k.out, concat(row, {i}), to_element(T(total)));
      }
    });
  });
}

void run_kernel(const SortKernel& k) {
  const auto less = [&](const Element& x, const Element& y) {  // of two doubles or two integers: the other part is 0
    if (x.real != x.real || y.real != y.real) return x.real == x.real;
    return x.real != y.real ? x.real < y.real : x.integer < y.integer;
  };
  for_each_row(k.in.view.shape, [&](const Dims& row) {
    std::vector<std::pair<Element, int64_t>> elements;
    for (int64_t i = 0; i < k.in.view.shape.back(); ++i) elements.emplace_back(load(k.in, concat(row, {i})), i);
    std::ranges::stable_sort(elements, [&](const auto& x, const auto& y) {
      return k.descending ? less(y.first, x.first) : less(x.first, y.first);
    });
    for (int64_t i = 0; i < k.in.view.shape.back(); ++i)
      store(k.out, concat(row, {i}), {0, elements[size_t(i)].second});
  });
}

void run_kernel(const RandomKernel& k) {
  const bool wide = k.out.dtype == DType::Float64;
  const Operand flat{k.out.buffer, k.out.dtype, View::contiguous({k.out.view.numel()})};
  for (int64_t i = 0; i < k.out.view.numel(); ++i) {
    auto word = [&](int64_t n) { return philox(k.seed, k.counter + uint64_t(n)); };
    const double value = wide ? uniform_double(word(2 * i), word(2 * i + 1)) : double(uniform_float(word(i)));
    store(flat, {i}, to_element(value));
  }
}

void run_kernel(const RecurrentKernel& k) { run_recurrent(k, load, store); }
void run_kernel(const CollectiveKernel& k) { run_collective(k, copies, element); }

}  // namespace

void run(const Kernel& kernel) {
  std::visit([](const auto& k) { run_kernel(k); }, kernel);
}

void check(const Kernel& kernel) {
  std::map<const Buffer*, std::vector<std::byte>> all;
  for_each_operand(kernel, [&](const Operand& operand, bool) {
    std::vector<std::byte>& copy = all[operand.buffer.get()];
    if (!copy.empty() || operand.buffer->bytes() == 0) return;
    copy.resize(operand.buffer->bytes());
    tinyops::read(copy.data(), operand.buffer->data(), copy.size());
  });
  {
    struct InUse {
      ~InUse() { copies = nullptr; }
    } const in_use;
    copies = &all;
    reference::run(kernel);
  }
  for_each_operand(kernel, [&](const Operand& operand, bool written) {
    const std::vector<std::byte>& copy = all[operand.buffer.get()];
    if (written && !copy.empty()) tinyops::write(operand.buffer->data(), copy.data(), copy.size());
  });
}

}  // namespace tinyops::reference
