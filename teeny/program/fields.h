#pragma once
// For this room alone: what each struct is in the file, as one list that the Writer (write.cpp) and the Reader
// (read.cpp) both walk. `f(key, member)` is an entry of the JSON object; `f.optional` one that is left out where it is
// the default, and so is an operand's shape where it is that of the kernel.
#include <array>
#include <concepts>
#include <string_view>
#include <type_traits>

#include "teeny/program/contents.h"

namespace teeny::program {

using tinyops::DType, tinyops::Dims, tinyops::Shape, tinyops::BufferRef, tinyops::fail, tinyops::text;

constexpr size_t kMaxText = 32 << 20;  ///< bytes of the JSON; what is made of it is some twenty times as large

/// A port of the file: it says which slot it is.
template <class P>
struct PortInSlot {
  P& port;
  std::conditional_t<std::is_const_v<P>, const int, int>& slot;
};

constexpr std::string_view kReduce = "Reduce ", kRow = "row";  ///< in an instruction

constexpr std::array<std::string_view, 4> kCells{"Tanh", "Relu", "Gru", "Lstm"};
constexpr std::string_view name(tinyops::RecurrentCell cell) { return kCells[size_t(cell)]; }
using tinyops::name;

/// What a RowKernel has besides its shape.
template <class F, class Rows>
void row_fields(F& f, Rows& k) {
  f("inputs", k.inputs), f("program", k.program), f("outputs", k.outputs);
}

template <class F, class T>
void fields(F& f, T& x) {
  using X = std::remove_const_t<T>;
  if constexpr (requires { x.port; }) {
    f("name", x.port.name), f("dtype", x.port.dtype), f.shape("shape", x.port.shape), f("slot", x.slot);
  } else if constexpr (std::same_as<X, Call::Update>) {
    f.state("state", x.state), f("slot", x.slot);
  } else if constexpr (std::same_as<X, Call::Draw>) {
    f("kernel", x.kernel), f("words_before", x.words_before);
  } else if constexpr (std::same_as<X, tinyops::Guard>) {
    f("coef", x.position.coef), f.optional("offset", x.position.offset, int64_t(0)), f("size", x.size);
  } else if constexpr (std::same_as<X, tinyops::Output>) {
    f.operand(x.operand), f("value", x.value);
  } else if constexpr (std::same_as<X, tinyops::RowKernel>) {
    f.kernel_shape(x.shape), f("inner", x.inner), row_fields(f, x);
  } else if constexpr (std::same_as<X, tinyops::ContractKernel>) {
    f.kernel_shape(x.shape), f("reduced", x.reduced), f("a", x.a), f("b", x.b), f.epilogue(x);
  } else {
    f.kernel_shape(x.out.view.shape);
    if constexpr (requires { x.op; }) f("op", x.op);
    if constexpr (requires { x.descending; }) f("descending", x.descending);
    if constexpr (requires { x.cell; }) f("cell", x.cell), f("forward", x.forward);
    // A stream of random words, also where the program's own stands in.
    if constexpr (requires { x.seed; }) f("seed", x.seed), f("counter", x.counter);
    if constexpr (requires { x.table; }) f("table", x.table);
    if constexpr (requires { x.source; }) f("source", x.source);
    if constexpr (requires { x.index; }) f("index", x.index);
    if constexpr (requires { x.in; }) f("in", x.in);
    if constexpr (requires { x.weight; }) f("weight", x.weight), f("first", x.first);
    f("out", x.out);
    if constexpr (requires { x.origin; }) f("origin", x.origin);
  }
}

}  // namespace teeny::program
