// Every operation of op.h's lists, on this binary's device, beside its definition in scalar_ops.h: element by element,
// for every dtype and every way in which an operand can lie in memory. The lists are gone through, so a new operation
// is tested from the moment it has its line.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "teeny/graph/lazy.h"
#include "teeny/tensor/tensor.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/device.h"

namespace teeny::test {
namespace {

using tinyops::apply, tinyops::Compute, tinyops::convert, tinyops::holds, tinyops::kCount, tinyops::Operand;

/// An element as it lies in memory.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

/// What operations treat specially: zeros, ones, halves, the ends of the dtype, what is near them, and what is not
/// finite.
template <class T>
std::vector<Compute<T>> special_values() {
  using C = Compute<T>;
  using L = std::numeric_limits<C>;
  if constexpr (std::is_same_v<T, bool>) return {false, true};
  else if constexpr (std::is_same_v<T, uint8_t>) return {0, 1, 2, 3, 7, 8, 9, 16, 100, 127, 128, 254, 255};
  else if constexpr (std::is_integral_v<T>)
    return {0,  1,  -1, 2,  -2, 3,     -3,   7,        -8,           31,       32,
            33, 63, 64, 65, 99, 46341, -100, L::max(), L::max() - 1, L::min(), L::min() + 1};
  else {
    std::vector<C> values;
    for (const C x : {C(0),       C(0.5),          C(1),     C(1.5),       C(2),    C(2.5),   C(0.1),
                      C(7),       C(88.5),         C(104),   C(710),       C(746),  C(1e3),   C(65504),
                      C(8388609), C(1e10),         C(1e-3),  C(6e-5),      C(6e-8), C(1e-20), C(1e-39),
                      L::min(),   L::denorm_min(), L::max(), L::infinity()})
      for (const C sign : {C(1), C(-1)}) values.push_back(C(T(sign * x)));
    values.push_back(L::quiet_NaN());
    return values;
  }
}

/// |got - want| in units of the last place of `want`.
template <class C>
double ulps(C got, C want) {
  return std::abs(double(got) - double(want)) /
         (double(std::nextafter(std::abs(want), INFINITY)) - double(std::abs(want)));
}

/// Most operations are exact, to the sign of a zero. A transcendental one on float or double may be off by 5 ulp of
/// what it is computed in: CUDA's manual gives 4 for powf (test_functions.cpp measures the CPU's). Of a 16-bit float
/// that may be the other neighbour after rounding.
template <class T>
bool same(Stored<T> got, Stored<T> want, unsigned traits) {
  using C = Compute<T>;
  if constexpr (std::is_integral_v<Stored<T>>) return got == want;
  else {
    const C g = C(got), w = C(want);
    if (std::isnan(w)) return std::isnan(g);
    if (g == w) return std::signbit(g) == std::signbit(w);
    if (!(traits & tinyops::Transcendental) || std::isinf(w)) return false;
    if constexpr (std::is_same_v<T, C>) return ulps(g, w) <= 5;
    else return std::abs(int(std::bit_cast<int16_t>(got)) - int(std::bit_cast<int16_t>(want))) <= 1;
  }
}

// ---- Operands
// ---------------------------------------------------------------------------------------------------------

/// Two axes: one element after the other; the same with zeros around it; backwards, with gaps, columns first; of stride
/// 0.
enum class Layout { Plain, Padded, Strided, Broadcast };
constexpr Layout kLayouts[] = {Layout::Plain, Layout::Padded, Layout::Strided, Layout::Broadcast};
constexpr const char* kLayoutNames[] = {"plain", "padded", "strided", "broadcast"};

template <class T>
struct Data {
  Operand operand;
  std::vector<Stored<T>> memory;

  Data(const View& view, int64_t size) : memory(size_t(size), Stored<T>(0)) {
    operand = {std::make_shared<tinyops::Buffer>(memory.size() * sizeof(Stored<T>)), dtype_of<T>(), view};
  }
  void write() { tinyops::write(operand.buffer->data(), memory.data(), operand.buffer->bytes()); }
  void read() { tinyops::read(memory.data(), operand.buffer->data(), operand.buffer->bytes()); }
  /// Element `index` as the view shows it.
  Stored<T> seen(const Dims& index) const {
    return operand.view.valid(index) ? memory[size_t(operand.view.address.at(index))] : Stored<T>(0);
  }
};

/// (rows, columns) elements, of which (i, j) is f(i, j). Broadcast, they are f(i, 0) or, `along_rows`, f(0, j).
template <class T>
Data<T> lay_out(int64_t rows, int64_t columns, Layout layout, bool along_rows,
                const std::function<Compute<T>(int64_t, int64_t)>& f) {
  View view = View::contiguous({rows, columns});
  int64_t size = rows * columns;
  if (layout == Layout::Strided) view.address = {{-2, 2 * rows}, 2 * (rows - 1)}, size *= 2;
  if (layout == Layout::Broadcast) view.address = along_rows ? tinyops::Affine{{0, 1}, 0} : tinyops::Affine{{1, 0}, 0};
  Data<T> data(view, size);
  for (int64_t i = rows - 1; i >= 0; --i)  // the first last: it stays, where elements are one
    for (int64_t j = columns - 1; j >= 0; --j) data.memory[size_t(view.address.at({i, j}))] = Stored<T>(f(i, j));
  data.write();
  if (layout == Layout::Padded) data.operand.view = view.pad({1, 2}, {2, 1});
  return data;
}

using Op = decltype(tinyops::Instruction::op);

/// A program of one operation. Its operands have one shape; `constants` takes the place of those that are null.
template <class Out>
Data<Out> run_one(const Op& op, const std::vector<const Operand*>& operands, Scalar constant, DType from) {
  tinyops::RowKernel k;
  tinyops::Instruction instruction{op, dtype_of<Out>()};
  for (const Operand* operand : operands) {
    instruction.args[k.program.size()] = int(k.program.size());
    if (!operand) k.program.push_back({tinyops::Constant{constant}, from});
    else {
      k.program.push_back({tinyops::Load{int(k.inputs.size())}, operand->dtype});
      k.inputs.push_back({tinyops::Input::Kind::Memory, *operand});
      k.shape = operand->view.shape;
    }
  }
  const int value = int(k.program.size());
  k.program.push_back(instruction);
  Data<Out> out(View::contiguous(k.shape), numel(k.shape));
  k.outputs = {{out.operand, value}};
  tinyops::run(k);
  out.read();
  return out;
}

/// Compares all elements of `got` with `want(index)`, and returns the first that is not the same, in words.
template <class Out>
std::string first_difference(const Data<Out>& got, unsigned traits,
                             const std::function<Stored<Out>(const Dims&)>& want) {
  const Shape& shape = got.operand.view.shape;
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j)
      if (const Stored<Out> g = got.seen({i, j}), w = want({i, j}); !same<Out>(g, w, traits))
        return text("element (", i, ", ", j, ") is ", double(g), " and should be ", double(w));
  return "";
}

template <class T, class Op_>
unsigned traits_of(Op_ op) {
  return traits(op) & ~(std::is_integral_v<Stored<T>> ? unsigned(tinyops::Transcendental) : 0u);
}

template <class T>
Stored<T> defined(UnaryOp op, Stored<T> x) {
  return Stored<T>(T(apply(op, Compute<T>(T(x)))));
}
template <class T>
Stored<T> defined(BinaryOp op, Stored<T> x, Stored<T> y) {
  return Stored<T>(T(apply(op, Compute<T>(T(x)), Compute<T>(T(y)))));
}

template <class F>
void for_each_unary(F f) {
  for (int i = 0; i < kCount<UnaryOp>; ++i)
    if (UnaryOp(i) != UnaryOp::Cast && UnaryOp(i) != UnaryOp::Bitcast) f(UnaryOp(i));
}
template <class F>
void for_each_binary(F f) {
  for (int i = 0; i < kCount<BinaryOp>; ++i) f(BinaryOp(i));
}
template <class F>
void for_each_dtype(F f) {
  for (const DType dtype : kDTypes) with_type(dtype, f);
}

/// The special values, and some hundred between -20 and 20.
template <class T>
std::vector<Compute<T>> many_values() {
  std::vector<Compute<T>> values = special_values<T>();
  if constexpr (!std::is_integral_v<T>)
    for (int i = -200; i <= 200; ++i) values.push_back(Compute<T>(T(float(i) * 0.0987f)));
  return values;
}

/// f(op(x, constant)) and f(op(constant, x)): what is computed with one value for all.
template <class T, class Out>
std::string with_constants(BinaryOp op, const std::function<Stored<Out>(Stored<T>, Stored<T>)>& want) {
  const auto values = special_values<T>();
  const int64_t n = int64_t(values.size());
  const Data<T> x = lay_out<T>(1, n, Layout::Plain, false, [&](int64_t, int64_t j) { return values[size_t(j)]; });
  for (const Compute<T> c : values) {
    if constexpr (std::is_floating_point_v<Compute<T>>)
      if (!std::isfinite(c)) continue;
    const auto constant = Stored<T>(c);
    for (const bool first : {false, true}) {
      const std::vector<const Operand*> operands{first ? nullptr : &x.operand, first ? &x.operand : nullptr};
      const std::string different = first_difference<Out>(
          run_one<Out>(op, operands, c, dtype_of<T>()), traits_of<T>(op),
          [&](const Dims& at) { return first ? want(constant, x.seen(at)) : want(x.seen(at), constant); });
      if (!different.empty()) return text(first ? "constant first: " : "constant last: ", double(c), ": ", different);
    }
  }
  return "";
}

}  // namespace

TEST_CASE("ops: every operation has a meaning, and its traits are the meaning's") {
  for_each_unary([](UnaryOp op) {
    bool zero = true, defined = false;
    for_each_dtype([&]<class T>(T) {
      const Compute<T> nothing(0);
      zero &= gives_bool(op) ? !holds(op, nothing) : apply(op, nothing) == nothing;
      for (const Compute<T> x : special_values<T>())
        defined |= gives_bool(op) ? holds(op, x) : apply(op, x) != x && x == x;
    });
    CHECK_MESSAGE(zero == keeps_zero(op), text(op, " of 0 is ", zero ? "" : "not ", "0, and its traits say otherwise"));
    CHECK_MESSAGE(defined, text(op, " has no case in scalar_ops.h"));
  });
  for_each_binary([](BinaryOp op) {
    bool zero = true, defined = false;
    for_each_dtype([&]<class T>(T) {
      const Compute<T> nothing(0);
      zero &= gives_bool(op) ? !holds(op, nothing, nothing) : apply(op, nothing, nothing) == nothing;
      for (const Compute<T> x : special_values<T>())
        for (const Compute<T> y : special_values<T>())
          defined |= gives_bool(op) ? holds(op, x, y) : apply(op, x, y) != x && x == x && y == y;
    });
    CHECK_MESSAGE(zero == keeps_zero(op),
                  text(op, " of 0 and 0 is ", zero ? "" : "not ", "0, and its traits say otherwise"));
    CHECK_MESSAGE(defined, text(op, " has no case in scalar_ops.h"));
  });
}

TEST_CASE("ops: unary") {
  for_each_dtype([]<class T>(T) {
    const auto values = many_values<T>();
    const int64_t columns = 13, rows = (int64_t(values.size()) + columns - 1) / columns;
    for (const Layout layout : kLayouts) {
      const bool broadcast = layout == Layout::Broadcast;
      const Data<T> x = lay_out<T>(
          broadcast ? int64_t(values.size()) : rows, broadcast ? 3 : columns, layout, false,
          [&](int64_t i, int64_t j) { return values[size_t(broadcast ? i : i * columns + j) % values.size()]; });
      for_each_unary([&](UnaryOp op) {
        std::string different;
        if (gives_bool(op))
          different = first_difference<bool>(run_one<bool>(op, {&x.operand}, 0, x.operand.dtype), 0,
                                             [&](const Dims& at) { return holds(op, Compute<T>(T(x.seen(at)))); });
        else
          different = first_difference<T>(run_one<T>(op, {&x.operand}, 0, x.operand.dtype), traits_of<T>(op),
                                          [&](const Dims& at) { return defined<T>(op, x.seen(at)); });
        CHECK_MESSAGE(different.empty(), text(op, ' ', dtype_of<T>(), ' ', kLayoutNames[int(layout)], ": ", different));
      });
    }
  });
}

TEST_CASE("ops: casts, and bits read as another dtype") {
  for_each_dtype([]<class From>(From) {
    const auto values = special_values<From>();
    const int64_t n = int64_t(values.size());
    for (const Layout layout : kLayouts) {
      const Data<From> x = lay_out<From>(n, 3, layout, false,
                                         [&](int64_t i, int64_t j) { return values[size_t(i + j) % values.size()]; });
      for_each_dtype([&]<class To>(To) {
        const auto check = [&](UnaryOp op, const std::function<Stored<To>(Stored<From>)>& want) {
          const std::string different = first_difference<To>(run_one<To>(op, {&x.operand}, 0, x.operand.dtype), 0,
                                                             [&](const Dims& at) { return want(x.seen(at)); });
          CHECK_MESSAGE(different.empty(), text(op, ' ', dtype_of<From>(), " to ", dtype_of<To>(), ' ',
                                                kLayoutNames[int(layout)], ": ", different));
        };
        if constexpr (!std::is_same_v<From, To>)
          check(UnaryOp::Cast,
                [](Stored<From> v) { return Stored<To>(To(convert<Compute<To>>(Compute<From>(From(v))))); });
        if constexpr (sizeof(From) == sizeof(To) && !std::is_same_v<From, bool> && !std::is_same_v<To, bool>)
          check(UnaryOp::Bitcast, [](Stored<From> v) { return std::bit_cast<To>(v); });
      });
    }
  });
}

TEST_CASE("ops: binary") {
  for_each_dtype([]<class T>(T) {
    const auto values = special_values<T>();
    const int64_t n = int64_t(values.size());
    const auto row = [&](int64_t i, int64_t) { return values[size_t(i)]; };
    const auto column = [&](int64_t, int64_t j) { return values[size_t(j)]; };
    for (const auto& [first, second] : {std::pair{Layout::Plain, Layout::Plain},
                                        {Layout::Padded, Layout::Padded},
                                        {Layout::Strided, Layout::Plain},
                                        {Layout::Broadcast, Layout::Strided},
                                        {Layout::Broadcast, Layout::Broadcast}}) {
      const Data<T> x = lay_out<T>(n, n, first, false, row), y = lay_out<T>(n, n, second, true, column);
      for_each_binary([&](BinaryOp op) {
        std::string different;
        if (gives_bool(op))
          different = first_difference<bool>(
              run_one<bool>(op, {&x.operand, &y.operand}, 0, x.operand.dtype), 0,
              [&](const Dims& at) { return holds(op, Compute<T>(T(x.seen(at))), Compute<T>(T(y.seen(at)))); });
        else
          different =
              first_difference<T>(run_one<T>(op, {&x.operand, &y.operand}, 0, x.operand.dtype), traits_of<T>(op),
                                  [&](const Dims& at) { return defined<T>(op, x.seen(at), y.seen(at)); });
        CHECK_MESSAGE(different.empty(), text(op, ' ', dtype_of<T>(), ' ', kLayoutNames[int(first)], ", ",
                                              kLayoutNames[int(second)], ": ", different));
      });
    }
    for_each_binary([&](BinaryOp op) {
      const std::string different =
          gives_bool(op) ? with_constants<T, bool>(
                               op, [&](auto a, auto b) { return holds(op, Compute<T>(T(a)), Compute<T>(T(b))); })
                         : with_constants<T, T>(op, [&](auto a, auto b) { return defined<T>(op, a, b); });
      CHECK_MESSAGE(different.empty(), text(op, ' ', dtype_of<T>(), ", ", different));
    });
  });
}

TEST_CASE("ops: where") {
  for_each_dtype([]<class T>(T) {
    const auto values = special_values<T>();
    const int64_t n = int64_t(values.size());
    for (const Layout layout : kLayouts) {
      const Data<bool> condition =
          lay_out<bool>(n, 5, layout, false, [](int64_t i, int64_t j) { return (i + j) % 3 == 0; });
      const Data<T> x = lay_out<T>(n, 5, layout, false, [&](int64_t i, int64_t) { return values[size_t(i)]; });
      const Data<T> y =
          lay_out<T>(n, 5, layout, true, [&](int64_t, int64_t j) { return values[size_t(j) % values.size()]; });
      const std::string different = first_difference<T>(
          run_one<T>(TernaryOp::Where, {&condition.operand, &x.operand, &y.operand}, 0, x.operand.dtype), 0,
          [&](const Dims& at) { return condition.seen(at) ? x.seen(at) : y.seen(at); });
      CHECK_MESSAGE(different.empty(), text("Where ", dtype_of<T>(), ' ', kLayoutNames[int(layout)], ": ", different));
    }
  });
}

TEST_CASE("ops: reductions and scans") {  // of values whose sums and products are exact, in whatever order
  for_each_dtype([]<class T>(T) {
    using C = Compute<T>;
    using Wide = std::conditional_t<std::is_floating_point_v<C>, double, C>;
    for (int i = 0; i < kCount<ReduceOp>; ++i)
      for (const Layout layout : {Layout::Plain, Layout::Padded, Layout::Strided})
        for (const int64_t width : {1, 2, 7, 33, 300}) {
          const ReduceOp op = ReduceOp(i);
          constexpr int64_t rows = 5;
          const Data<T> x = lay_out<T>(rows, width, layout, false, [&](int64_t r, int64_t j) {
            if constexpr (std::is_floating_point_v<C>) {
              if (r == 3 && j == width / 2) return std::numeric_limits<C>::quiet_NaN();
              if (r == 2 && j == width / 2) return -std::numeric_limits<C>::infinity();
            }
            return C(op == ReduceOp::Prod ? (j % 5 == 0 ? 2 : j % 5 == 3 ? -1 : 1) : (r + 7 * j) % 10 - 4);
          });
          const Shape& shape = x.operand.view.shape;
          Data<T> out(View::contiguous({shape[0], 1}), shape[0]), running(View::contiguous(shape), numel(shape));
          tinyops::RowKernel k{
              shape, 1, {{tinyops::Input::Kind::Memory, x.operand}}, {{tinyops::Load{0}, dtype_of<T>()}}, {}};
          k.program.push_back({tinyops::Reduce{op}, dtype_of<T>(), {0, -1, -1}, true});
          k.outputs = {{out.operand, 1}};
          k.outputs[0].operand.view = out.operand.view.expand(shape);
          tinyops::run(k);
          tinyops::run(tinyops::ScanKernel{op, x.operand, running.operand});
          out.read(), running.read();
          const auto total = [&](int64_t r, int64_t count) {
            Wide sum = tinyops::identity<Wide>(op);
            for (int64_t j = 0; j < count; ++j) sum = apply(step(op), sum, Wide(T(x.seen({r, j}))));
            return Stored<T>(T(C(sum)));
          };
          const std::string what = text(op, ' ', dtype_of<T>(), ' ', kLayoutNames[int(layout)], ' ', width, ": ");
          // A zero's sign is that of no order in particular.
          CHECK(what + first_difference<T>(out, 0, [&](const Dims& at) { return total(at[0], shape[1]); }) == what);
          CHECK(what + first_difference<T>(running, 0, [&](const Dims& at) { return total(at[0], at[1] + 1); }) ==
                what);
        }
  });
}

// ---- Through the graph
// --------------------------------------------------------------------------------------------------

// f(0) may not be 0: what is padded after f reads as 0, what is padded before f as f(0), and both in one kernel with
// more.
TEST_CASE("ops: padding before and after, in a graph") {
  for_each_dtype([]<class T>(T) {
    const auto values = special_values<T>();
    const int64_t n = int64_t(values.size());
    const Data<T> x = lay_out<T>(1, n, Layout::Plain, false, [&](int64_t, int64_t j) { return values[size_t(j)]; });
    const Data<T> y =
        lay_out<T>(1, n, Layout::Plain, false, [&](int64_t, int64_t j) { return values[size_t(j * 7 % n)]; });
    const LazyBuffer a = LazyBuffer::source(x.operand.buffer, dtype_of<T>(), {n});
    const LazyBuffer b = LazyBuffer::source(y.operand.buffer, dtype_of<T>(), {n});

    const auto check = [&]<class Out>(Out, auto op, const LazyBuffer& result, bool after, auto want) {
      const std::vector<std::byte> bytes = Tensor(result).to_bytes();
      const auto* got = reinterpret_cast<const Stored<Out>*>(bytes.data());
      for (int64_t i = -2; i < n + 3; ++i) {
        const bool inside = i >= 0 && i < n;
        const Stored<Out> expected = inside || !after ? want(inside ? i : -1) : Stored<Out>(0);
        const bool is_padding = !inside && after;  // Neg's may be -0
        CHECK_MESSAGE(
            (is_padding ? Compute<Out>(Out(got[i + 2])) == 0 : same<Out>(got[i + 2], expected, traits_of<Out>(op))),
            text(op, ' ', dtype_of<T>(), after ? ", then padded: " : " of what is padded: ", "element ", i, " is ",
                 double(got[i + 2]), " and should be ", double(expected)));
      }
    };
    const auto padded = [](const LazyBuffer& z) { return z.pad({2}, {3}); };
    for_each_unary([&](UnaryOp op) {
      for (const bool after : {false, true}) {
        const LazyBuffer result = after ? padded(a.unary(op)) : padded(a).unary(op);
        const auto at = [&](int64_t i) { return i < 0 ? Stored<T>(0) : x.memory[size_t(i)]; };
        if (gives_bool(op))
          check(bool{}, op, result, after, [&](int64_t i) { return holds(op, Compute<T>(T(at(i)))); });
        else check(T{}, op, result, after, [&](int64_t i) { return defined<T>(op, at(i)); });
      }
    });
    for_each_binary([&](BinaryOp op) {
      for (const bool after : {false, true}) {
        const LazyBuffer result = after ? padded(a.binary(op, b)) : padded(a).binary(op, padded(b));
        const auto first = [&](int64_t i) { return i < 0 ? Stored<T>(0) : x.memory[size_t(i)]; };
        const auto second = [&](int64_t i) { return i < 0 ? Stored<T>(0) : y.memory[size_t(i)]; };
        if (gives_bool(op))
          check(bool{}, op, result, after,
                [&](int64_t i) { return holds(op, Compute<T>(T(first(i))), Compute<T>(T(second(i)))); });
        else check(T{}, op, result, after, [&](int64_t i) { return defined<T>(op, first(i), second(i)); });
      }
    });
  });
}

}  // namespace teeny::test
