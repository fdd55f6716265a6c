// Every mistake a user can make through tensor.h, once: it is refused at the call, before anything is computed, by a
// teeny::Error that names the operation, what it was given, and the rule.
#include <doctest/doctest.h>

#include "teeny/functional/functions.h"
#include "tests/check.h"
#include "tests/check_refused.h"

namespace teeny::test {
namespace {

/// `wrong` throws an Error that contains `message`. Its inputs: x (3, 4), y (5, 6) and w (2, 3, 4, 5) of floats, z (3)
/// of int64.
struct Refusal {
  std::string message;
  Expression wrong;
};

std::string answer(const Refusal& refusal) {
  const Tensor x = Tensor::zeros({3, 4}), y = Tensor::zeros({5, 6}), z = Tensor::arange(3),
               w = Tensor::zeros({2, 3, 4, 5});
  try {
    refusal.wrong(x, y, z, w);
  } catch (const Error& error) { return error.what(); } catch (const std::exception& error) {
    return text("(not a teeny::Error) ", error.what());
  }
  return "(nothing was thrown)";
}

void check(const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    const std::string got = answer(refusal);
    CHECK_MESSAGE(got.find(refusal.message) != got.npos, "wanted: " << refusal.message << "\n        got: " << got);
  }
}

Tensor five(const Tensor& like) { return Tensor::full(like.shape(), 5, DType::Int64); }
Tensor bytes() { return Tensor::of<uint8_t>({1, 2, 200}); }
Tensor large() { return Tensor::of<int64_t>({1, int64_t(1) << 32}); }
Tensor booleans() { return Tensor::full({3}, true); }

}  // namespace

TEST_CASE("errors: numbers beside integers, and integers handed out") {
  check({
      {"+: 300 does not fit uint8; cast the tensor to int64 first", FN(bytes() + 300)},
      {"-: -1 does not fit uint8", FN(-1 - bytes())},
      {"%: -3 does not fit uint8", FN(-3 % bytes())},
      {"maximum: -1 does not fit uint8", FN(bytes().maximum(-1))},
      {"minimum: 300 does not fit uint8", FN(bytes().minimum(300))},
      {"where: 256 does not fit uint8", FN(where(bytes() > 1, bytes(), 256))},
      {"*: 4294967296 does not fit int32", FN(bytes().cast(DType::Int32) * (int64_t(1) << 32))},
      {"18446744073709551615 does not fit int64", FN(bytes() + UINT64_MAX)},
      {"%: an integer divided by 0", FN(bytes() % 0)},
      {"floor_divide: an integer divided by 0", FN(floor_divide(bytes(), bytes() - 1))},
      {"fmod: an integer divided by 0", FN(bytes().fmod(bytes() - 1))},
      {"div: an integer divided by 0", FN(div(bytes(), bytes() - 1, Rounding::Trunc))},
      {"div: an integer divided by 0", FN(div(bytes(), bytes() - 1, Rounding::Floor))},
      {"div: an integer divided by 0", FN(div(bytes(), 0, Rounding::Trunc))},
      {"to_vector: int64 (2,) has an element that does not fit int32", FN((large().to_vector<int32_t>(), x))},
      {"item: int64 () has an element that does not fit int32", FN((large()[1].item<int32_t>(), x))},
      {"item: float32 (1,) has an element that does not fit uint8", FN((Tensor::of({300}).item<uint8_t>(), x))},
      {"item: float32 (1,) has an element that does not fit uint8", FN((Tensor::of({-1}).item<uint8_t>(), x))},
      {"item: float16 () has an element that does not fit int64",
       FN((Tensor::full({}, NAN, DType::Float16).item<int64_t>(), x))},
      {"to_vector: float32 (2,) has an element that does not fit int32",
       FN((Tensor::of({1, 1e10}).to_vector<int32_t>(), x))},
      {"linspace: 600 does not fit uint8", FN(Tensor::linspace(0, 600, 4, DType::UInt8))},
      {"arange: 400 does not fit uint8", FN(Tensor::arange(0, 600, 200, DType::UInt8))},
      {"arange: -5 does not fit uint8", FN(Tensor::arange(-5, 5, 1, DType::UInt8))},
      {"arange: 120000 does not fit float16", FN(Tensor::arange(0, 1.5e5, 6e4, DType::Float16))},
      {"from: a byte of a bool is neither 0 nor 1",
       FN(Tensor::from_bytes(std::as_bytes(std::span("\2", 1)), DType::Bool, {1}))},
      {"uniform: [5, 3) is no interval", FN(Tensor::uniform({2}, 5, 3))},
      {"normal: a standard deviation of -1", FN(Tensor::normal({2}, 0, -1))},
      {"normal: a standard deviation of nan", FN(Tensor::normal({2}, 0, -NAN))},
      {"hardtanh: [1, -1] is no interval", FN(x.hardtanh(1, -1))},
      {"celu: alpha is 0", FN(x.celu(0))},
  });
  CHECK((bytes() > -19).to_vector<int32_t>() == std::vector<int32_t>{1, 1, 1});
  CHECK((256 >= bytes()).to_vector<int32_t>() == std::vector<int32_t>{1, 1, 1});
  CHECK((bytes() != 257).to_vector<int32_t>() == std::vector<int32_t>{1, 1, 1});
  CHECK((bytes() / 256).to_vector<double>() == std::vector<double>{1 / 256.0, 2 / 256.0, 200 / 256.0});
  CHECK((large() / (int64_t(1) << 40)).to_vector<double>() == std::vector<double>{0x1p-40, 0x1p-8});
}

TEST_CASE("errors: an undefined tensor, in the name of what was called") {
  const Tensor none, rows = Tensor::ones({2, 3}), image = Tensor::ones({1, 2, 4, 4}), labels = Tensor::arange(2);
  for (const auto& [op, wrong] : std::vector<std::pair<std::string, std::function<Tensor()>>>{
           {"+", [&] { return none + rows; }},
           {"+", [&] { return none + 1; }},
           {"-", [&] { return rows - none; }},
           {"-", [&] { return 1 - none; }},
           {"<", [&] { return none < 1; }},
           {"<", [&] { return rows < none; }},
           {"neg", [&] { return -none; }},
           {"where", [&] { return where(rows > 0, none, rows); }},
           {"exp", [&] { return none.exp(); }},
           {"relu", [&] { return none.relu(); }},
           {"cast", [&] { return none.cast(DType::Int32); }},
           {"sum", [&] { return none.sum(); }},
           {"max", [&] { return none.max(0); }},
           {"softmax", [&] { return none.softmax(); }},
           {"reshape", [&] { return none.reshape({1}); }},
           {"permute", [&] { return none.permute({}); }},
           {"expand", [&] { return none.expand({1}); }},
           {"pad", [&] { return none.pad({}, {}); }},
           {"shrink", [&] { return none.shrink({}, {}); }},
           {"flatten", [&] { return none.flatten(); }},
           {"unsqueeze", [&] { return none.unsqueeze(0); }},
           {"matmul", [&] { return rows.matmul(none); }},
           {"linear", [&] { return rows.linear(none); }},
           {"einsum", [&] { return Tensor::einsum("i->i", {none}); }},
           {"cat",
            [&] {
              return Tensor::cat({rows, none});
            }},
           {"stack",
            [&] {
              return Tensor::stack({none, rows});
            }},
           {"index", [&] { return none[0]; }},
           {"index", [&] { return rows[{none}]; }},
           {"gather", [&] { return rows.gather(0, none); }},
           {"embedding", [&] { return rows.embedding(none); }},
           {"conv2d", [&] { return image.conv2d(none); }},
           {"max_pool2d", [&] { return none.max_pool2d(); }},
           {"layernorm", [&] { return none.layernorm(); }},
           {"cross_entropy", [&] { return none.cross_entropy(labels); }},
           {"cross_entropy", [&] { return rows.cross_entropy(none); }},
           {"mse_loss", [&] { return rows.mse_loss(none); }},
           {"scaled_dot_product_attention", [&] { return rows.scaled_dot_product_attention(none, rows); }},
           {"dropout", [&] { return none.dropout(0.5); }},
           {"item", [&] { return none.item(), none; }},
           {"to_vector", [&] { return none.to_vector(), none; }},
           {"assign", [&] { return Tensor(rows).assign(none); }},
           {"backward", [&] { return Tensor(none).backward(); }},
           {"realize", [&] { return none.realize(); }},
           {"requires_grad_", [&] { return Tensor(none).requires_grad_(false); }},
       })
    check_refused({{op + ": this tensor is undefined", wrong}});
}

TEST_CASE("errors: a NaN has no sign") {
  check({
      {"uniform: [nan, 1) is no interval", FN(Tensor::uniform({2}, -NAN, 1))},
      {"dropout: probability nan is outside", FN(x.dropout(-NAN))},
      {"normal: a standard deviation of nan", FN(Tensor::normal({2}, 0, -NAN))},
      {"full_like: nan does not fit int64", FN(z.full_like(-NAN))},
  });
  CHECK(text(-NAN, ' ', -double(NAN), ' ', Scalar(-NAN), ' ', -INFINITY) == "nan nan nan -inf");
}

TEST_CASE("errors: in order, and writing") {
  check({
      {"cumsum: axis 2 is outside -2 <= axis < 2 of (3, 4)", FN(x.cumsum(2))},
      {"cumprod: axis -3 is outside", FN(x.cumprod(-3))},
      {"cummax: axis 1 of a tensor without axes", FN(Tensor(1.0).cummax(1).values)},
      {"topk: 2 of the 1 along axis -1 of ()", FN(Tensor(1.0).topk(2).values)},
      {"cummin: axis 5 is outside", FN(x.cummin(5).indices)},
      {"sort: axis 2 is outside", FN(x.sort(2).values)},
      {"argsort: axis 2 is outside", FN(x.argsort(2))},
      {"topk: 5 of the 4 along axis -1 of (3, 4)", FN(x.topk(5).values)},
      {"topk: -1 of the 4", FN(x.topk(-1).values)},
      {"topk: axis 3 is outside", FN(x.topk(1, 3).values)},
      {"randperm: of -1 elements", FN(Tensor::randperm(-1))},
      {"multinomial: weights are floats, not int64", FN(z.multinomial(1))},
      {"multinomial: weights of (2, 3, 4, 5); (n) or (rows, n)", FN(w.multinomial(1))},
      {"multinomial: 5 samples of 4 without replacement", FN(x.multinomial(5))},
      {"multinomial: 0 samples of 4", FN(x.multinomial(0, true))},
      {"scatter: the index is float32 and must be an integer", FN(x.scatter(0, x, x))},
      {"scatter: an index of (3, 5) does not fit (3, 4) along axis 0",
       FN(x.scatter(0, Tensor::zeros({3, 5}, DType::Int64), 1))},
      {"scatter: the source is int64 (3, 4) and must be float32 and at least as large as the index's (3, 4)",
       FN(x.scatter(0, x.cast(DType::Int64), x.cast(DType::Int64)))},
      {"scatter: the source is float32 (2, 4)", FN(x.scatter(0, x.cast(DType::Int64), Tensor::zeros({2, 4})))},
      {"set: (5, 6) and (4,) do not broadcast", FN(Tensor(x).set({0}, y))},
      {"set: 300 does not fit uint8", FN(z.cast(DType::UInt8).set({0}, 300))},
      {"scatter: 300 does not fit uint8", FN(z.cast(DType::UInt8).scatter(0, z, 300))},
      {"set: (3, 4) does not fit the part of (4,)", FN(Tensor(x).set({0}, x))},
      {"index: 3 is outside -3 <= index < 3 of axis 0 of (3, 4)", FN(Tensor(x).set({3}, 1))},
      {"set: (3, 1) and (5, 6) do not broadcast", FN(Tensor(y).set({booleans()}, 1))},
      {"set: a leaf that requires a gradient would lose it", FN(x.detach().contiguous().requires_grad_().set({0}, 1))},
      {"bitcast: bool to uint8: a bool is not made of bits", FN(booleans().bitcast(DType::UInt8))},
      {"bitcast: float32 to bool", FN(x.bitcast(DType::Bool))},
      {"bitcast: int64 to uint8: the last axis of () does not make whole numbers of 1 bytes",
       FN(Tensor::full({}, 1, DType::Int64).bitcast(DType::UInt8))},
      {"bitcast: uint8 to int64: the last axis of (3,) does not make whole numbers of 8 bytes",
       FN(z.cast(DType::UInt8).bitcast(DType::Int64))},
  });
}

TEST_CASE("errors: creation and numbers") {
  check({
      {"from: 12 bytes of float32 do not fill (2, 2)", FN(Tensor::from(std::vector<float>{1, 2, 3}, {2, 2}))},
      {"from: 5 bytes of float32 do not fill (1,)",
       FN(Tensor::from_bytes(std::vector<std::byte>(5), DType::Float32, {1}))},
      {"from: a size in (-1, 3) is negative", FN(Tensor::from(std::vector<float>{}, {-1, 3}))},
      {"Tensor::of: a list of (2,) beside one of (1,)", FN(Tensor::of({{1.f, 2.f}, {3.f}}))},
      {"Tensor::of: a list of () beside one of (1,)", FN(Tensor::of({1, {2}}))},
      {"zeros: a size in (2, -1) is negative", FN(Tensor::zeros({2, -1}))},
      {"zeros: (4294967296, 4294967296) is too large", FN(Tensor::zeros({1LL << 32, 1LL << 32}))},
      {"zeros: (2305843009213693952,) is too large", FN(Tensor::zeros({1LL << 61}))},
      {"unsqueeze: needs 17 axes for (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), and a tensor has at most 16",
       FN(Tensor::zeros(Dims::filled(16, 1)).unsqueeze(0))},
      {"arange: from 0 to 5 in steps of 0", FN(Tensor::arange(0, 5, 0))},
      {"arange: from 0 to inf in steps of 1", FN(Tensor::arange(0, INFINITY))},
      {"linspace: -1 steps", FN(Tensor::linspace(0, 1, -1))},
      {"eye: ", FN(Tensor::eye(-1))},
      {"rand: a size in (-2,) is negative", FN(Tensor::rand({-2}))},
      {"rand: makes floats, not int64", FN(Tensor::rand({2}, DType::Int64))},
      {"randn: makes floats, not bool", FN(Tensor::randn({2}, DType::Bool))},
      {"randint: no integer is in [3, 3)", FN(Tensor::randint(3, 3, {2}))},
      {"glorot_uniform: needs weights (out, in, ...), not (3,)", FN(Tensor::glorot_uniform({3}))},
      {"kaiming_uniform: needs weights", FN(Tensor::kaiming_uniform({}))},
      {"kaiming_normal: needs weights", FN(Tensor::kaiming_normal({2}))},
      {"+: this tensor is undefined", FN(Tensor() + x)},
      {"matmul: this tensor is undefined", FN(x.matmul(Tensor()))},
      {"shape: this tensor is undefined", FN((Tensor().shape(), x))},
      {"cat: this tensor is undefined", FN(Tensor::cat({x, Tensor()}))},
      {"size: axis 2 is outside -2 <= axis < 2 of (3, 4)", FN((x.size(2), x))},
      {"item: (3, 4) has 12 elements, not one", FN((x.item(), x))},
      {"item: (0,) has 0 elements, not one", FN((Tensor::zeros({0}).item(), x))},
      {"assign: (5, 6) to a tensor of (3, 4)", FN(Tensor(x).assign(y))},
  });
}

TEST_CASE("errors: in the name of the assigning operator") {
#define ASSIGNED(of, op, y)                                                \
  [](const Tensor& x, const Tensor& other, const Tensor&, const Tensor&) { \
    Tensor to = of;                                                        \
    (void)x, (void)other;                                                  \
    return to op y;                                                        \
  }
  check({
      {"+=: (3, 4) and (5, 6) do not broadcast", ASSIGNED(x, +=, other)},
      {"-=: (3, 4) and (5, 6) do not broadcast", ASSIGNED(x, -=, other)},
      {"*=: (3, 4) and (5, 6) do not broadcast", ASSIGNED(x, *=, other)},
      {"/=: (3, 4) and (5, 6) do not broadcast", ASSIGNED(x, /=, other)},
      {"+=: 300 does not fit uint8; cast the tensor to int64 first", ASSIGNED(bytes(), +=, 300)},
      {"-=: bools cannot be subtracted", ASSIGNED(booleans(), -=, booleans())},
      {"+=: the result has (3, 4) and does not fit into (4,)", ASSIGNED(x[0], +=, x)},
  });
#undef ASSIGNED
}

TEST_CASE("errors: gradients") {
  check({
      {"requires_grad_: only floats have gradients, this is int64", FN(Tensor(z).requires_grad_())},
      {"set_grad: float32 (5, 6) for a tensor of float32 (3, 4)", FN((Tensor(x).set_grad(y), x))},
      {"set_grad: int64 (3, 4) for a tensor of float32 (3, 4)", FN((Tensor(x).set_grad(five(x)), x))},
      {"backward: starts from one element, not from (3, 4)", FN((x * Tensor(x).requires_grad_()).backward())},
      {"backward: nothing here requires a gradient", FN(x.sum().backward())},
      {"backward: no gradients are recorded here: a NoGrad is alive",
       [](const Tensor& x, const Tensor&, const Tensor&, const Tensor&) {
         const NoGrad guard;
         return x.sum().backward();
       }},
      {"gradient: starts from one element, not from (3, 4)", FN(gradient(Tensor(x).requires_grad_() * 2, {x})[0])},
      {"gradient: nothing here requires a gradient", FN(gradient(x.sum(), {x})[0])},
  });
}

TEST_CASE("errors: movement") {
  check({
      {"reshape: (3, 4) has 12 elements, (5, 2) would have 10", FN(x.reshape({5, 2}))},
      {"reshape: (3, 4) to (5, -1): 12 elements do not divide by 5", FN(x.reshape({5, -1}))},
      {"reshape: (3, 4) to (-1, -1): a size is >= 0, or -1 once", FN(x.reshape({-1, -1}))},
      {"reshape: (3, 4) to (-2, 6)", FN(x.reshape({-2, 6}))},
      {"reshape: (0,) to (0, -1)", FN(Tensor::zeros({0}).reshape({0, -1}))},
      {"permute: (0,) does not name each axis of (3, 4) once", FN(x.permute({0}))},
      {"permute: (0, -2) does not name each axis of (3, 4) once", FN(x.permute({0, -2}))},
      {"permute: axis 2 is outside -2 <= axis < 2 of (3, 4)", FN(x.permute({0, 2}))},
      {"transpose: axis 2 is outside -2 <= axis < 2 of (3, 4)", FN(x.transpose(0, 2))},
      {"transpose: axis -2 is outside -1 <= axis < 1 of (3,)", FN(z.transpose())},
      {"flatten: from axis 1 to axis 0", FN(x.flatten(1, 0))},
      {"flatten: axis 2 is outside", FN(x.flatten(2))},
      {"unflatten: axis 1 of (3, 4) does not split into (3, 2)", FN(x.unflatten(1, {3, 2}))},
      {"unflatten: axis 1 of (3, 4) does not split into (-1, -1)", FN(x.unflatten(1, {-1, -1}))},
      {"squeeze: axis 3 is outside", FN(x.squeeze(3))},
      {"unsqueeze: axis 3 is outside -3 <= axis <= 2 of (3, 4)", FN(x.unsqueeze(3))},
      {"expand: (3, 4) to (3, 8): only axes of size 1 can grow", FN(x.expand({3, 8}))},
      {"expand: (3, 4) to (4,): fewer axes than before", FN(x.expand({4}))},
      {"expand: (3, 4) to (-1, 3, 4)", FN(x.expand({-1, 3, 4}))},
      {"repeat: (2,) names fewer axes than (3, 4)", FN(x.repeat({2}))},
      {"repeat: (2, -1): a count is negative", FN(x.repeat({2, -1}))},
      {"flip: axis 2 is outside", FN(x.flip(2))},
      {"view: (3, 4) has 12 elements, (5, 2) would have 10", FN(x.view({5, 2}))},
      {"view: (3, 4) to (-1, -1): a size is >= 0, or -1 once", FN(x.view({-1, -1}))},
      {"transpose: axis -2 of a tensor without axes", FN(Tensor(1.0).transpose())},
      {"movedim: axis 1 of a tensor without axes", FN(Tensor(1.0).movedim(0, 1))},
      {"softmax: axis 1 of a tensor without axes", FN(Tensor(1.0).softmax(1))},
      {"flatten: axis 1 of a tensor without axes", FN(Tensor(1.0).flatten(1))},
      {"cumsum: axis 1 of a tensor without axes", FN(Tensor(1.0).cumsum(1))},
      {"sort: axis 1 of a tensor without axes", FN(Tensor(1.0).sort(1).values)},
      {"gather: axis 1 of a tensor without axes", FN(Tensor(1.0).gather(1, Tensor(0)))},
      {"log_softmax: axis 1 of a tensor without axes", FN(Tensor(1.0).log_softmax(1))},
      {"dot: (3, 4) x (5, 6): inner sizes 4 and 5 differ", FN(x.dot(y))},
      {"diag: offset 2147483648 is more than 31 bits can count", FN(z.diag(1LL << 31))},
      {"ones: a size in (-1,) is negative", FN(Tensor::ones({-1}))},
      {"empty: a size in (-1,) is negative", FN(Tensor::empty({-1}))},
      {"full_like: 300 does not fit uint8", FN(bytes().full_like(300))},
      {"flip: axis 1 is named twice in (1, -1)", FN(x.flip({1, -1}))},
      {"pad: (1,) and (1,) must have an amount for each axis of (3, 4)", FN(x.pad({1}, {1}))},
      {"pad: (-2, 0) and (-2, 0) cut more than (3, 4) has", FN(x.pad({-2, 0}, {-2, 0}))},
      {"shrink: (0,) and (1,) must have a position for each axis of (3, 4)", FN(x.shrink({0}, {1}))},
      {"shrink: [0, 5) is not inside axis 1 of (3, 4)", FN(x.shrink({0, 0}, {3, 5}))},
      {"shrink: [2, 1) is not inside axis 0 of (3, 4)", FN(x.shrink({2, 0}, {1, 4}))},
      {"unfold: a window of 5 taps, 1 apart, is longer than axis 1 of (3, 4)", FN(x.unfold(1, 5, 1))},
      {"unfold: a window of 3 taps, 2 apart, is longer than axis 1 of (3, 4)", FN(x.unfold(1, 3, 1, 2))},
      {"unfold: size 2 must be at least 0, step 0 and dilation 1 at least 1", FN(x.unfold(1, 2, 0))},
      {"diagonal: axes 0 and -2 of (3, 4) are one", FN(x.diagonal(0, -2))},
      {"roll: axis 2 is outside", FN(x.roll(1, 2))},
      {"tril: (3,) has no two axes", FN(z.tril())},
      {"triu: (3,) has no two axes", FN(z.triu())},
      {"cat: nothing to put together", FN(Tensor::cat({}))},
      {"cat: (3, 4) and (5, 6) differ in more than axis 0", FN(Tensor::cat({x, y}))},
      {"cat: (3, 4) and (3,) differ in more than axis 0", FN(Tensor::cat({x, z}))},
      {"cat: axis 2 is outside", FN(Tensor::cat({x, x}, 2))},
      {"stack: nothing to put together", FN(Tensor::stack({}))},
      {"stack: (3, 4) and (5, 6) differ", FN(Tensor::stack({x, y}))},
      {"split: axis 0 of (3, 4) into parts of 0; 1 is the least", FN(x.split(0)[0])},
      {"split: axis 2 is outside", FN(x.split(1, 2)[0])},
      {"chunk: axis 0 of (3, 4) into 0 chunks; 1 is the least", FN(x.chunk(0)[0])},
      {"chunk: axis 2 is outside", FN(x.chunk(2, 2)[0])},
  });
}

TEST_CASE("errors: indexing") {
  check({
      {"index: 3 entries for (3, 4), which has 2 axes; at most one for each", FN(x[{0, 0, 0}])},
      {"index: 3 is outside -3 <= index < 3 of axis 0 of (3, 4)", FN(x[3])},
      {"index: -5 is outside -4 <= index < 4 of axis 1 of (3, 4)", FN(x[{slice(), -5}])},
      {"index: a slice with step 0", FN(x[{slice(0, 2, 0)}])},
      {"index: more than one ellipsis", FN(x[{ellipsis, ellipsis}])},
      {"index: 1 entry for (), which has 0 axes", FN(x.sum()[0])},
      {"gather: the index is float32 and must be an integer", FN(x.gather(0, x))},
      {"gather: an index of (3,) does not fit (3, 4) along axis 0", FN(x.gather(0, z))},
      {"gather: an index of (2, 5) does not fit (3, 4) along axis 0",
       FN(x.gather(0, Tensor::zeros({2, 5}, DType::Int64)))},
      {"gather: axis 2 is outside", FN(x.gather(2, z))},
      {"scatter_add: the index is float32 and must be an integer", FN(x.scatter_add(0, x, x))},
      {"scatter_add: the source is int64 (3, 4) and must be float32",
       FN(x.scatter_add(0, x.cast(DType::Int64), x.cast(DType::Int64)))},
      {"scatter_add: the source is float32 (2, 4) and must be float32 and at least as large as the index's (3, 4)",
       FN(x.scatter_add(0, x.cast(DType::Int64), Tensor::zeros({2, 4})))},
      {"index_select: the index is int64 (3, 4) and must be integers along one axis",
       FN(x.index_select(0, x.cast(DType::Int64)))},
      {"index_select: the index is float32 (3,) and must be integers along one axis",
       FN(x.index_select(0, z.cast(DType::Float32)))},
      {"index_select: axis 2 is outside", FN(x.index_select(2, z))},
      {"embedding: the weight has shape (2, 3, 4, 5) and must be (rows, width)", FN(w.embedding(z))},
      {"embedding: the index is float32 and must be integers", FN(x.embedding(y))},
      {"one_hot: 3 classes of float32; needs integers", FN(x.one_hot(3))},
      {"one_hot: -1 classes of int64", FN(z.one_hot(-1))},
  });
}

TEST_CASE("errors: an index outside its axis is met when the result is read") {
  const auto at = [](int64_t index) { return Tensor::of<int64_t>({0, index}); };
  for (int64_t outside : {3, -1, 1000000}) {
    const Tensor x = Tensor::ones({3, 3}), index = at(outside);
    const Tensor results[] = {x.gather(1, index.unsqueeze(0)),
                              x.index_select(1, index),
                              x.embedding(index),
                              x.scatter_add(1, index.unsqueeze(0), Tensor::ones({1, 2})),
                              x[{slice(0, 2)}].cross_entropy(index),
                              x[{slice(0, 2)}].nll_loss(index)};
    for (const Tensor& result : results) {
      std::string got = "(nothing was thrown)";
      try {
        result.realize();
      } catch (const Error& error) { got = error.what(); }
      CHECK_MESSAGE(got.find(text(outside)) != got.npos, "index " << outside << ", got: " << got);
    }
  }
}

TEST_CASE("errors: elementwise") {
  check({
      {"+: (3, 4) and (5, 6) do not broadcast: sizes 4 and 6", FN(x + y)},
      {"-: (3, 4) and (5, 6) do not broadcast", FN(x - y)},
      {"*: (3, 4) and (3,) do not broadcast: sizes 4 and 3", FN(x * z)},
      {"/: (3, 4) and (5, 6) do not broadcast", FN(x / y)},
      {"floor_divide: (3, 4) and (5, 6) do not broadcast", FN(floor_divide(x, y))},
      {"%: (3, 4) and (5, 6) do not broadcast", FN(x % y)},
      {"fmod: (3, 4) and (5, 6) do not broadcast", FN(x.fmod(y))},
      {"pow: (3, 4) and (5, 6) do not broadcast", FN(x.pow(y))},
      {"maximum: (3, 4) and (5, 6) do not broadcast", FN(x.maximum(y))},
      {"minimum: (3, 4) and (5, 6) do not broadcast", FN(x.minimum(y))},
      {"lerp: (3, 4) and (5, 6) do not broadcast", FN(x.lerp(y, 0.5))},
      {"<: (3, 4) and (5, 6) do not broadcast", FN(x < y)},
      {"!=: (3, 4) and (5, 6) do not broadcast", FN(x != y)},
      {"where: (3, 4) and (5, 6) do not broadcast", FN(where(x, x, y))},
      {"where: (5, 6) and (3, 4) do not broadcast", FN(where(y, x, x))},
      {"masked_fill: (3,) and (3, 4) do not broadcast", FN(x.masked_fill(booleans(), 0))},
      {"masked_fill: the mask is int64 and must be bool", FN(x.masked_fill(z, 0))},
      {"clamp: needs a lower bound, an upper bound, or both", FN(x.clamp({}))},
      {"neg: a bool has no negative", FN(-booleans())},
      {"-: bools cannot be subtracted", FN(booleans() - booleans())},
      {"pow: not defined on bools", FN(booleans().pow(booleans()))},
      {"fmod: not defined on bools", FN(booleans().fmod(booleans()))},
      {"%: not defined on bools", FN(booleans() % booleans())},
      {"floor_divide: not defined on bools", FN(floor_divide(booleans(), booleans()))},
      {"&: not defined on float32", FN(x & x)},
      {"|: not defined on float32", FN(x | 1)},
      {"^: not defined on float32", FN(x ^ z.unsqueeze(-1))},
      {"<<: not defined on float32", FN(x << 1)},
      {">>: not defined on bool", FN(booleans() >> booleans())},
  });
}

TEST_CASE("errors: elementwise, of a type or number that has no answer") {
  check({
      {"abs: not defined on bools", FN(booleans().abs())},
      {"relu: not defined on bools", FN(booleans().relu())},
      {"floor: not defined on bools", FN(booleans().floor())},
      {"ceil: not defined on bools", FN(booleans().ceil())},
      {"round: not defined on bools", FN(booleans().round())},
      {"trunc: not defined on bools", FN(booleans().trunc())},
      {"-: bools cannot be subtracted", FN(1 - booleans())},
      {"-: bools cannot be subtracted", FN(booleans() - z)},
      {"-: bools cannot be subtracted", FN(x - (x > 0))},
      {"<<: not defined on bool", FN(booleans() << booleans())},
      {"^: not defined on float16", FN(z ^ x.cast(DType::Float16).sum())},
      {"pow: int64 to the power -1 would be fractions", FN(z.pow(-1))},
      {"pow: uint8 to the power -2 would be fractions", FN(z.cast(DType::UInt8).pow(-2))},
      {"lerp: (3, 4) and (5, 6) do not broadcast", FN(x.lerp(x, y))},
      {"lerp: (3, 4) and (5, 6) do not broadcast", FN(x.lerp(y, x))},
      {"full: 300 does not fit uint8", FN(Tensor::full({2}, 300, DType::UInt8))},
      {"full_like: -1 does not fit uint8", FN(z.cast(DType::UInt8).full_like(-1))},
      {"full: 2147483648 does not fit int32", FN(Tensor::full({2}, 1LL << 31, DType::Int32))},
      {"full_like: nan does not fit int64", FN(z.full_like(NAN))},
      {"full: 100000 does not fit float16", FN(Tensor::full({}, 1e5, DType::Float16))},
      {"full_like: 1e+300 does not fit float32", FN(x.full_like(1e300))},
      {"masked_fill: 1e+10 does not fit float16", FN(x.cast(DType::Float16).masked_fill(x > 0, 1e10))},
      {"masked_fill: 256 does not fit uint8", FN(z.cast(DType::UInt8).masked_fill(z > 0, 256))},
      {"pad: 300 does not fit uint8", FN(z.cast(DType::UInt8).pad({1}, {1}, 300))},
      {"clamp: 300 does not fit uint8", FN(z.cast(DType::UInt8).clamp(300))},
      {"clamp: -1 does not fit uint8", FN(z.cast(DType::UInt8).clamp({}, -1))},
      {"arange: counts, and bools do not", FN(Tensor::arange(0, 2, 1, DType::Bool))},
      {"linspace: counts, and bools do not", FN(Tensor::linspace(0, 1, 2, DType::Bool))},
  });
}

TEST_CASE("errors: grids, borders, parts") {
  check({
      {"meshgrid: indexing is \"ij\" or \"xy\", not \"yx\"", FN(Tensor::meshgrid({z, z}, "yx")[0])},
      {"meshgrid: (3, 4) has more than one axis", FN(Tensor::meshgrid({z, x})[0])},
      {"meshgrid: of nothing", FN(Tensor::meshgrid({})[0])},
      {"pad: (1,) and (1,) must have an amount for each axis of (3, 4)", FN(x.pad({1}, {1}, PadMode::Reflect))},
      {"pad: 4 on axis 1 of (3, 4): a reflection must be shorter than the axis",
       FN(x.pad({0, 4}, {0, 0}, PadMode::Reflect))},
      {"pad: 5 on axis 1 of (3, 4): a circle goes round once, and 4 are kept",
       FN(x.pad({0, 0}, {0, 5}, PadMode::Circular))},
      {"pad: 3 on axis 1 of (3, 4): a circle goes round once, and 2 are kept",
       FN(x.pad({0, -2}, {0, 3}, PadMode::Circular))},
      {"pad: (0, -3) and (0, -2) cut more than (3, 4) has", FN(x.pad({0, -3}, {0, -2}, PadMode::Replicate))},
      {"pad: axis 0 of (0, 2) has nothing to repeat",
       FN(Tensor::zeros({0, 2}).pad({1, 0}, {0, 0}, PadMode::Replicate))},
      {"roll: (1,) has not one shift for each axis of (0, 1)", FN(x.roll({1}, {0, 1}))},
      {"roll: axis 2 is outside", FN(x.roll({1, 1}, {0, 2}))},
      {"split: axis 1 of (3, 4) into (1, 2)", FN(x.split({1, 2}, 1)[0])},
      {"split: axis 1 of (3, 4) into (1, 4)", FN(x.split({1, 4}, 1)[0])},
      {"split: axis 0 of (3, 4) into (4, -1)", FN(x.split({4, -1})[0])},
      {"split: axis 2 is outside", FN(x.split({1, 2}, 2)[0])},
  });
}

TEST_CASE("errors: a tensor in x[{...}] that points outside is met when the result is read") {
  const Tensor x = Tensor::ones({3, 4, 5}), zero = Tensor::of<int64_t>({0, 0});
  const auto check_message = [](const Tensor& result, const std::string& part) {
    std::string got = "(nothing was thrown)";
    try {
      result.realize();
    } catch (const Error& error) { got = error.what(); }
    CHECK_MESSAGE(got.find(part) != got.npos, "wanted: " << part << "\n        got: " << got);
  };
  for (int64_t outside : {5, -6, 1000000}) {
    const Tensor index = Tensor::of<int64_t>({0, outside});
    check_message(x[{index}], text("index ", outside));
    check_message(x[{ellipsis, index}], text("index ", outside));
    check_message(x[{slice(), slice(), index[1]}], text("index ", outside));
    // Of two, (0, 5) would be (1, 0) if nobody looked.
    check_message(x[{zero, slice(), index}], "index -1");
    check_message(x[{index, zero}], "index -1");
    check_message(x[{zero, index, zero}], "index -1");
  }
  check_message(Tensor::zeros({0, 2})[{zero}], "index 0");
}

TEST_CASE("errors: indexing by tensors") {
  check({
      {"index: a mask of (4,) for (3, 4) from axis 0 on", FN(x[{x[0] > 0}])},
      {"index: 3 entries for (3, 4), which has 2 axes; at most one for each", FN(x[{x > 0, 1}])},
      {"index: a tensor of float32; only int32 and int64 say positions, and bools which to take", FN(x[{x}])},
      {"index: a tensor of uint8; only int32 and int64 say positions, and bools which to take",
       FN(x[{z.cast(DType::UInt8)}])},
      {"index: 3 entries for (3, 4), which has 2 axes; at most one for each", FN(x[{z, z, z}])},
      {"index: 1 entry for (), which has 0 axes", FN(x.sum()[{z}])},
      {"index: (3,) and (2,) do not broadcast", FN(x[{z, Tensor::arange(2)}])},
      {"index: more than one ellipsis", FN(x[{ellipsis, z, ellipsis}])},
      {"index: 4 is outside -4 <= index < 4 of axis 1 of (3, 4)", FN(x[{z, 4}])},
  });
}

TEST_CASE("errors: reductions") {
  check({
      {"sum: axis 2 is outside -2 <= axis < 2 of (3, 4)", FN(x.sum(2))},
      {"sum: axis 0 is named twice in (0, -2)", FN(x.sum({0, -2}))},
      {"sum: axis 0 is named twice in (0, -1)", FN(Tensor(1).sum({0, -1}))},
      {"mean: axis 0 is named twice in (0, 0)", FN(Tensor(1).mean({0, 0}))},
      {"flip: axis 0 is named twice in (-1, 0)", FN(Tensor(1).flip({-1, 0}))},
      {"squeeze: axis 0 is named twice in (0, 0)", FN(Tensor(1).squeeze({0, 0}))},
      {"mean: axis 2 is outside", FN(x.mean(2))},
      {"prod: axis -3 is outside", FN(x.prod(-3))},
      {"max: axis 2 is outside", FN(x.max(2))},
      {"min: axis 2 is outside", FN(x.min(2))},
      {"argmax: axis 2 is outside", FN(x.argmax(2))},
      {"argmin: axis 2 is outside", FN(x.argmin(2))},
      {"any: axis 2 is outside", FN(x.any(2))},
      {"all: axis 2 is outside", FN(x.all(2))},
      {"var: axis 2 is outside", FN(x.var(2))},
      {"std: axis 2 is outside", FN(x.std(2))},
      {"softmax: axis 2 is outside", FN(x.softmax(2))},
      {"log_softmax: axis 2 is outside", FN(x.log_softmax(2))},
      {"logsumexp: axis 2 is outside", FN(x.logsumexp(2))},
      {"max: axis 0 of (0, 2) is empty", FN(Tensor::zeros({0, 2}).max(0))},
      {"min: axis 0 of (0, 2) is empty", FN(Tensor::zeros({0, 2}).min())},
      {"argmax: axis 0 of (0, 2) is empty", FN(Tensor::zeros({0, 2}).argmax(0))},
      {"argmin: axis 0 of (0,) is empty", FN(Tensor::zeros({0}).argmin())},
      {"softmax: axis 1 of a tensor without axes", FN(x.sum().softmax(1))},
  });
}

TEST_CASE("errors: products") {
  check({
      {"matmul: (3, 4) x (5, 6): inner sizes 4 and 5 differ", FN(x.matmul(y))},
      {"matmul: (3, 4) x (3,): inner sizes 4 and 3 differ", FN(x.matmul(z))},
      {"matmul: () x (3, 4): both need at least one axis", FN(x.sum().matmul(x))},
      {"matmul: (2,) and (3,) do not broadcast", FN(Tensor::zeros({2, 3, 4}).matmul(Tensor::zeros({3, 4, 2})))},
      {"matmul: not defined on bools", FN(booleans().matmul(booleans()))},
      {"linear: an input of (3, 4) does not fit a weight of (5, 6)", FN(x.linear(y))},
      {"linear: a bias of (3,) does not fit a weight of (5, 4)", FN(x.linear(Tensor::zeros({5, 4}), z))},
      {"conv2d: an image of (3, 4) does not fit a weight of (2, 3, 4, 5)", FN(x.conv2d(w))},
      {"conv2d: an image of (3, 4) does not fit a weight of (5, 6)", FN(x.conv2d(y))},
      {"conv2d: 3 channels of (2, 3, 4, 5) in 1 groups do not fit a weight of (2, 2, 1, 1)",
       FN(w.conv2d(Tensor::zeros({2, 2, 1, 1})))},
      {"conv2d: 3 channels of (2, 3, 4, 5) in 3 groups do not fit a weight of (2, 1, 1, 1)",
       FN(w.conv2d(Tensor::zeros({2, 1, 1, 1}), {}, {.groups = 3}))},
      {"conv2d: 3 channels of (2, 3, 4, 5) in 0 groups", FN(w.conv2d(w, {}, {.groups = 0}))},
      {"conv2d: a bias of (3,) does not fit a weight of (2, 3, 4, 5)", FN(w.conv2d(w, z))},
      {"conv2d: a kernel of (1, 3, 5, 5), dilation (1, 1), is larger than the padded image (2, 3, 4, 5), padding (0, "
       "0)",
       FN(w.conv2d(Tensor::zeros({1, 3, 5, 5})))},
      {"conv2d: a kernel of (1, 3, 3, 3), dilation (2, 2), is larger",
       FN(w.conv2d(Tensor::zeros({1, 3, 3, 3}), {}, {.dilation = 2}))},
      {"conv2d: stride (0,) must be at least 1", FN(w.conv2d(w, {}, {.stride = 0}))},
      {"conv2d: stride (1, 2, 3) must have one size, or 2", FN(w.conv2d(w, {}, {.stride = {1, 2, 3}}))},
      {"conv2d: padding (-1,) must be at least 0", FN(w.conv2d(w, {}, {.padding = -1}))},
      {"conv2d: dilation (0,) must be at least 1", FN(w.conv2d(w, {}, {.dilation = 0}))},
      {"max_pool2d: an input of (3,) must have 2 spatial axes behind (N, C) or (C)", FN(z.max_pool2d())},
      {"max_pool2d: not defined on bools", FN(w.cast(DType::Bool).max_pool2d())},
      {"max_pool2d: a window of (5, 5), dilation (1, 1), is larger than (2, 3, 4, 5)", FN(w.max_pool2d(5))},
      {"max_pool2d: padding (2, 2) and (2, 2) is more than half the window (3, 3)",
       FN(w.max_pool2d(3, {.padding = 2}))},
      {"max_pool2d: window (0,) must be at least 1", FN(w.max_pool2d(0))},
      {"avg_pool2d: stride (0,) must be at least 1", FN(w.avg_pool2d(2, {.stride = 0}))},
      {"avg_pool2d: stride (1, 1, 1) must have one size, or 2", FN(w.avg_pool2d(2, {.stride = Sizes{1, 1, 1}}))},
      {"avg_pool2d: a window of (5, 5), dilation (1, 1), is larger than (2, 3, 4, 5)", FN(w.avg_pool2d(5))},
      {"scaled_dot_product_attention: queries (3, 4) do not fit keys (5, 6)", FN(x.scaled_dot_product_attention(y, y))},
      {"scaled_dot_product_attention: keys (3, 4) do not fit values (5, 6)", FN(x.scaled_dot_product_attention(x, y))},
  });
}

TEST_CASE("errors: windows and einsum") {
  check({
      {"conv1d: an image of (2, 3, 4, 5) does not fit a weight of (2, 3, 4, 5): (N, C, ..) * (O, C/groups, ..) with 1 "
       "spatial axes",
       FN(w.conv1d(w))},
      {"conv3d: an image of (2, 3, 4, 5) does not fit", FN(w.conv3d(w))},
      {"conv1d: 3 channels of (2, 3, 20) in 2 groups do not fit a weight of (2, 1, 1)",
       FN(w.flatten(2).conv1d(Tensor::zeros({2, 1, 1}), {}, {.groups = 2}))},
      {"conv3d: a kernel of (1, 3, 1, 1, 3), dilation (1, 1, 1), is larger",
       FN(w.unsqueeze(-1).conv3d(Tensor::zeros({1, 3, 1, 1, 3})))},
      {"conv2d: a kernel of (1, 3, 0, 1)", FN(w.conv2d(Tensor::zeros({1, 3, 0, 1})))},
      {"conv2d: a kernel of (2, 3, 4, 5), dilation (1, 1), is larger than the padded image (1, 3, 0, 9)",
       FN(Tensor::zeros({1, 3, 0, 9}).conv2d(w))},
      {"conv2d: padding_end (-1,) must be at least 0", FN(w.conv2d(w, {}, {.padding_end = -1}))},
      {"conv2d: padding_end (1, 1, 1) must have one size, or 2", FN(w.conv2d(w, {}, {.padding_end = Sizes{1, 1, 1}}))},
      {"conv2d: stride (1, 2147483648) is more than 31 bits", FN(w.conv2d(w, {}, {.stride = {1, 1LL << 31}}))},
      {"conv2d: not defined on bools", FN(w.cast(DType::Bool).conv2d(w.cast(DType::Bool)))},
      {"conv_transpose2d: an image of (3, 4) does not fit a weight of (2, 3, 4, 5)", FN(x.conv_transpose2d(w))},
      {"conv_transpose1d: an image of (2, 3, 4, 5) does not fit", FN(w.conv_transpose1d(w))},
      {"conv_transpose3d: an image of (2, 3, 4, 5) does not fit", FN(w.conv_transpose3d(w))},
      {"conv_transpose2d: 3 channels of (2, 3, 4, 5) in 1 groups do not fit a weight of (2, 3, 4, 5)",
       FN(w.conv_transpose2d(w))},
      {"conv_transpose2d: 3 channels of (2, 3, 4, 5) in 2 groups do not fit",
       FN(w.conv_transpose2d(Tensor::zeros({3, 1, 1, 1}), {}, {.groups = 2}))},
      {"conv_transpose2d: 3 channels of (2, 3, 4, 5) in 0 groups",
       FN(w.conv_transpose2d(w.transpose(0, 1), {}, {.groups = 0}))},
      {"conv_transpose2d: a bias of (3,) does not fit a weight of (3, 2, 4, 5) in 1 groups",
       FN(w.conv_transpose2d(w.transpose(0, 1), z))},
      {"conv_transpose2d: output_padding (1, 0) must be smaller than stride (1, 1) or dilation (1, 1)",
       FN(w.conv_transpose2d(w.transpose(0, 1), {}, {.output_padding = {1, 0}}))},
      {"conv_transpose2d: output_padding (2, 2) must be smaller than stride (2, 2) or dilation (1, 1)",
       FN(w.conv_transpose2d(w.transpose(0, 1), {}, {.stride = 2, .output_padding = 2}))},
      {"conv_transpose2d: output_padding (-1,) must be at least 0",
       FN(w.conv_transpose2d(w.transpose(0, 1), {}, {.output_padding = -1}))},
      {"conv_transpose2d: an image of (2, 3, 4, 5), a weight of (3, 2, 1, 1), padding (2, 2): nothing is left along "
       "axis 2",
       FN(w.conv_transpose2d(Tensor::zeros({3, 2, 1, 1}), {}, {.padding = 2}))},
      {"conv_transpose2d: an image of (1, 3, 0, 2)",
       FN(Tensor::zeros({1, 3, 0, 2}).conv_transpose2d(w.transpose(0, 1)))},
      {"conv_transpose2d: stride (0,) must be at least 1",
       FN(w.conv_transpose2d(w.transpose(0, 1), {}, {.stride = 0}))},
      {"conv_transpose2d: not defined on bools",
       FN(w.cast(DType::Bool).conv_transpose2d(w.transpose(0, 1).cast(DType::Bool)))},
      {"max_pool1d: an input of (2, 3, 4, 5) must have 1 spatial axes behind (N, C) or (C)", FN(w.max_pool1d(2))},
      {"max_pool3d: an input of (3, 4) must have 3 spatial axes", FN(x.max_pool3d(2))},
      {"avg_pool1d: an input of (3,) must have 1 spatial axes", FN(z.cast(DType::Float32).avg_pool1d(2))},
      {"avg_pool3d: window (2, 2) must have one size, or 3", FN(w.avg_pool3d({2, 2}))},
      {"avg_pool2d: needs floats, not int64", FN(w.cast(DType::Int64).avg_pool2d())},
      {"avg_pool2d: dilation (2, 2) must be 1", FN(w.avg_pool2d(2, {.dilation = 2}))},
      {"avg_pool2d: a window of (6, 6), dilation (1, 1), is larger than (2, 3, 4, 5)",
       FN(w.avg_pool2d(6, {.stride = 1, .ceil_mode = true}))},
      {"max_pool2d: a window of (2, 2), dilation (1, 1), is larger than (1, 0, 4)",
       FN(Tensor::zeros({1, 0, 4}).max_pool2d(2, {.padding = 1}))},
      {"max_pool2d: window (2147483648,) is more than 31 bits", FN(w.max_pool2d(1LL << 31))},
      {"interpolate: an input of (3, 4) must have one to three spatial axes behind (N, C)", FN(x.interpolate(2))},
      {"interpolate: size (2, 2, 2) must have one size, or 2", FN(w.interpolate({2, 2, 2}))},
      {"interpolate: size (0,) must be at least 1", FN(w.interpolate(0))},
      {"interpolate: axis 3 of (1, 1, 2, 0) is empty", FN(Tensor::zeros({1, 1, 2, 0}).interpolate(2))},
      {"interpolate: cubic needs (N, C, H, W), not (2, 3, 20)",
       FN(w.flatten(2).interpolate(2, {.mode = Interpolation::Cubic}))},
      {"interpolate: align_corners is for linear and cubic", FN(w.interpolate(2, {.align_corners = true}))},
      {"interpolate: a weighted sum needs floats or uint8, not int64",
       FN(w.cast(DType::Int64).interpolate(2, {.mode = Interpolation::Linear}))},
      {"einsum: \"ij,jk\" names 2 operands, and 1 were given", FN(Tensor::einsum("ij,jk", {x}))},
      {"einsum: \"\" names 1 operands, and 0 were given", FN(Tensor::einsum("", std::span<const Tensor>()))},
      {"einsum: '1' in \"i1\" is no letter", FN(Tensor::einsum("i1", {x}))},
      {"einsum: '.' in \"i.j\" is no letter, nor part of one \"...\"", FN(Tensor::einsum("i.j", {x}))},
      {"einsum: '.' in \"......\"", FN(Tensor::einsum("......", {x}))},
      {"einsum: '-' in \"ij->ji\"", FN(Tensor::einsum("ij->ij->ji", {x}))},
      {"einsum: \"ijk\" names 3 axes of operand 0, which is (3, 4)", FN(Tensor::einsum("ijk", {x}))},
      {"einsum: \"i\" names 1 axes of operand 0, which is (3, 4)", FN(Tensor::einsum("i", {x}))},
      {"einsum: \"i...jk\" names 3 axes of operand 0", FN(Tensor::einsum("i...jk", {x}))},
      {"einsum: \"ij,jk\": j has size 4, and 5 in operand 1", FN(Tensor::einsum("ij,jk", {x, y}))},
      {"einsum: \"...,...\": ... has size 3, and 5 in operand 1", FN(Tensor::einsum("...,...", {x, y}))},
      {"einsum: i names axes of sizes 3 and 4 of one operand", FN(Tensor::einsum("ii", {x}))},
      {"einsum: \"ij->ik\": k of the result occurs in no operand", FN(Tensor::einsum("ij->ik", {x}))},
      {"einsum: \"ij->ii\": i is twice in the result", FN(Tensor::einsum("ij->ii", {x}))},
      {"einsum: bools are not added", FN(Tensor::einsum("i,i", {booleans(), booleans()}))},
      {"scaled_dot_product_attention: the mask is int64 and must be bool or floats",
       FN(x.scaled_dot_product_attention(x, x, z))},
      {"scaled_dot_product_attention: (3, 4) and (3, 3) do not broadcast", FN(x.scaled_dot_product_attention(x, x, x))},
      {"scaled_dot_product_attention: a mask of (2, 3, 3) is larger than the scores (3, 3)",
       FN(x.scaled_dot_product_attention(x, x, Tensor::zeros({2, 3, 3})))},
      {"scaled_dot_product_attention: queries (3, 4) do not fit keys (5, 6)",
       FN(x.scaled_dot_product_attention(y, y, x))},
  });
}

TEST_CASE("errors: training") {
  check({
      {"dropout: probability 1.5 is outside [0, 1]", FN(x.dropout(1.5))},
      {"dropout: probability nan is outside [0, 1]", FN(x.dropout(NAN))},
      {"layernorm: the last 3 axes of (3, 4); from 1 to all of them", FN(x.layernorm(3))},
      {"layernorm: the last 0 axes of (3, 4)", FN(x.layernorm(0))},
      {"batchnorm: x of (3,) must be (N, C, ...)", FN(z.batchnorm({}, {}, z, z))},
      {"batchnorm: a mean of (5, 6) for x of (3, 4)", FN(x.batchnorm({}, {}, y, z))},
      {"batchnorm: a variance of (3,) for x of (3, 4)", FN(x.batchnorm({}, {}, x[0], z))},
      {"batchnorm: a weight of (3,) for x of (3, 4)", FN(x.batchnorm(z, {}, x[0], x[0]))},
      {"batchnorm: a bias of (3,) for x of (3, 4)", FN(x.batchnorm({}, z, x[0], x[0]))},
  });
}

TEST_CASE("errors: names from PyTorch") {
  check({
      {"~: needs integers or bools, not float32", FN(~x)},
      {"atan2: (3, 4) and (5, 6) do not broadcast", FN(x.atan2(y))},
      {"logaddexp: (3, 4) and (5, 6) do not broadcast", FN(x.logaddexp(y))},
      {"isclose: (3, 4) and (5, 6) do not broadcast", FN(x.isclose(y))},
      {"glu: axis 0 of (3, 4) has no two halves", FN(x.glu(0))},
      {"glu: axis 2 is outside", FN(x.glu(2))},
      {"bernoulli: needs floats, not int64", FN(z.bernoulli())},
      {"norm: needs floats, not int64", FN(z.norm())},
      {"norm: of order nan for (3, 4); a number, or INFINITY", FN(x.norm(NAN))},
      {"norm: axis 1 of (2, 0) is empty, and nothing has no norm of order -1", FN(Tensor::zeros({2, 0}).norm(-1, 1))},
      {"norm: axis 0 of (0,) is empty, and nothing has no norm of order -0.5", FN(Tensor::zeros({0}).norm(-0.5))},
      {"norm: axis 0 of (0,) is empty, and nothing has no norm of order inf", FN(Tensor::zeros({0}).norm(INFINITY))},
      {"norm: axis 2 is outside", FN(x.norm(2, 2))},
      {"normalize: needs floats, not int64", FN(z.normalize())},
      {"cosine_similarity: needs floats, not int64", FN(z.cosine_similarity(z))},
      {"cosine_similarity: (3, 4) and (5, 6) do not broadcast", FN(x.cosine_similarity(y))},
      {"cosine_similarity: axis 1 is outside", FN(x[0].cosine_similarity(x[0]))},
      {"outer: (3, 4) and (3,): both need one axis", FN(x.outer(z))},
      {"adaptive_avg_pool2d: an image of (3, 4)", FN(x.adaptive_avg_pool2d(2))},
      {"adaptive_avg_pool2d: an image of (2, 3, 0, 5)",
       FN(w.shrink({0, 0, 0, 0}, {2, 3, 0, 5}).adaptive_avg_pool2d(2))},
      {"adaptive_avg_pool2d: needs floats, not int64", FN(w.cast(DType::Int64).adaptive_avg_pool2d(2))},
      {"adaptive_avg_pool2d: size (-1,) must be at least 0", FN(w.adaptive_avg_pool2d(-1))},
      {"adaptive_avg_pool2d: size", FN(w.adaptive_avg_pool2d({1, 2, 3}))},
      {"huber_loss: (3, 4) and (5, 6) differ", FN(x.huber_loss(y))},
      {"huber_loss: delta 0 is not above 0", FN(x.huber_loss(x, 0))},
      {"movedim: axis 2 is outside", FN(x.movedim(0, 2))},
      {"unbind: axis 2 is outside", FN(x.unbind(2)[0])},
      {"unbind: axis 0 of a tensor without axes", FN(Tensor(1.0).unbind()[0])},
      {"expand_as: (3, 4) to (5, 6)", FN(x.expand_as(y))},
      {"repeat_interleave: -1 times; 0 is the least", FN(x.repeat_interleave(-1))},
      {"repeat_interleave: axis 2 is outside", FN(x.repeat_interleave(2, 2))},
      {"index_add: the index is float32 (4,) and must be integers along one axis", FN(x.index_add(0, x[0], x))},
      {"index_add: the source is float32 (5, 6) and must be float32 (3, 4)", FN(x.index_add(0, z, y))},
      {"index_add: the source is int64 (3, 4) and must be float32", FN(x.index_add(0, z, x.cast(DType::Int64)))},
      {"sum: axis 1 of a tensor without axes", FN(Tensor(1.0).sum(1))},
      {"argmax: axis 1 of a tensor without axes", FN(Tensor(1.0).argmax(1))},
      {"squeeze: axis -2 of a tensor without axes", FN(Tensor(1.0).squeeze(-2))},
      {"size: axis 0 of a tensor without axes", FN((Tensor(1.0).size(0), x))},
      {"or it is a grad() that no backward has reached", FN(x.grad() * 2)},
  });
}

namespace {
/// An index of zeros, and a 9 at one element.
Tensor one_wrong(const Shape& shape, int64_t element) {
  return where(Tensor::arange(numel(shape)) == element, Tensor(9), Tensor(0)).reshape(shape);
}
}  // namespace

TEST_CASE("errors: an index out of range is reported under what was called, at its position in the user's index") {
  check({
      {"embedding: index 9 at position (1,) is outside 0 <= index < 3", FN(x.embedding(one_wrong({2}, 1)).realize())},
      {"embedding: index 9 at position (1, 2) is", FN(x.embedding(one_wrong({2, 3}, 5)).realize())},
      {"index_select: index 9 at position (1,) is", FN(x.index_select(1, one_wrong({3}, 1)).realize())},
      {"index_select: index 9 at position () is", FN(x.index_select(1, one_wrong({}, 0)).realize())},
      {"index: index 9 at position (1, 0) is", FN(x[one_wrong({2, 2}, 2)].realize())},
      {"index: index 9 at position (1, 0) is", FN(w[{slice(), slice(), one_wrong({2, 2}, 2)}].realize())},
      {"index: index -1 at position (1,) is", FN(x[{one_wrong({2}, 1), one_wrong({2}, 1)}].realize())},
      {"index: index 9 at position () is", FN(x[one_wrong({}, 0)].realize())},
      {"index: index 9 at position (1,) is", FN(Tensor(x).set({one_wrong({3}, 1)}, 1).realize())},
      {"gather: index 9 at position (2, 1) is", FN(x.gather(0, one_wrong({3, 4}, 9)).realize())},
      {"gather: index 9 at position () is", FN(Tensor(1.0).gather(0, one_wrong({}, 0)).realize())},
      {"cross_entropy: index 9 at position (2,) is outside 0 <= index < 4",
       FN(x.cross_entropy(one_wrong({3}, 2)).realize())},
      {"cross_entropy: index 9 at position (1, 3, 2) is", FN(w.cross_entropy(one_wrong({2, 4, 5}, 37)).realize())},
      {"cross_entropy: index 9 at position (1, 3, 2) is",
       FN(w.cross_entropy(one_wrong({2, 4, 5}, 37), Tensor::ones({3})).realize())},
      {"nll_loss: index 9 at position (2,) is", FN(x.nll_loss(one_wrong({3}, 2)).realize())},
      {"nll_loss: index 9 at position () is", FN(x[0].nll_loss(one_wrong({}, 0)).realize())},
      {"scatter_add: index 9 at position (2, 1) is", FN(x.scatter_add(0, one_wrong({3, 4}, 9), x).realize())},
      {"scatter: index 9 at position (2, 1) is", FN(x.scatter(0, one_wrong({3, 4}, 9), x).realize())},
      {"scatter_reduce: index 9 at position (2, 1) is",
       FN(x.scatter_reduce(0, one_wrong({3, 4}, 9), x, ScatterReduce::Amax).realize())},
      {"index_add: index 9 at position (2,) is", FN(x.index_add(0, one_wrong({3}, 2), x).realize())},
      {"index_reduce: index 9 at position (3,) is",
       FN(x.index_reduce(1, one_wrong({4}, 3), x, ScatterReduce::Prod).realize())},
      {"max_unpool2d: index 9 at position (0, 0, 1, 0) is",
       FN(max_unpool2d(w[{slice(0, 1), slice(0, 1), slice(0, 2), slice(0, 1)}], one_wrong({1, 1, 2, 1}, 1)).realize())},
  });
}

TEST_CASE("errors: losses") {
  check({
      {"cross_entropy: logits of () have no axis of classes; (C), (N, C) or (N, C, ..)", FN(x.sum().cross_entropy(z))},
      {"cross_entropy: (3, 4) needs a class for each of (3,), not (5,)", FN(x.cross_entropy(Tensor::arange(5)))},
      {"cross_entropy: (2, 3, 4, 5) needs a class for each of (2, 4, 5), not (3,)", FN(w.cross_entropy(z))},
      {"cross_entropy: (3, 4) and the probabilities (5, 6) differ", FN(x.cross_entropy(y))},
      {"cross_entropy: labels are integers, and this target is float32; cast(DType::Int64) it",
       FN(x.cross_entropy(Tensor::zeros({3})))},
      {"cross_entropy: label_smoothing 2 is outside [0, 1]", FN(x.cross_entropy(z, {.label_smoothing = 2}))},
      {"cross_entropy: label_smoothing nan is outside [0, 1]", FN(x.cross_entropy(z, {.label_smoothing = NAN}))},
      {"cross_entropy: ignore_index 1 needs classes, not probabilities", FN(x.cross_entropy(x, {.ignore_index = 1}))},
      {"cross_entropy: the target is bool; classes are integers, probabilities floats",
       FN(x.cross_entropy(booleans()))},
      {"cross_entropy: the weight is int64 (3,) and must be float32 (4,), one number a class",
       FN(x.cross_entropy(z, z))},
      {"cross_entropy: the weight is float32 (3, 4) and must be float32 (4,)", FN(x.cross_entropy(z, x))},
      {"cross_entropy: the weight is float64 (4,) and must be float32 (4,)",
       FN(x.cross_entropy(z, x[0].cast(DType::Float64)))},
      {"nll_loss: log-probabilities of () have no axis of classes", FN(x.sum().nll_loss(z))},
      {"nll_loss: (3, 4) needs a class for each of (3,), not (5,)", FN(x.nll_loss(Tensor::arange(5)))},
      {"nll_loss: the weight is float32 (6,) and must be float32 (4,)", FN(x.nll_loss(z, y[0]))},
      {"binary_cross_entropy: (3, 4) and (5, 6) differ", FN(x.binary_cross_entropy(y))},
      {"binary_cross_entropy: (5, 6) and (3, 4) do not broadcast", FN(x.binary_cross_entropy(x, y))},
      {"binary_cross_entropy: a weight of (2, 3, 4) has more than the (3, 4) it is for",
       FN(x.binary_cross_entropy(x, Tensor::ones({2, 3, 4})))},
      {"binary_cross_entropy_with_logits: (3, 4) and (5, 6) differ", FN(x.binary_cross_entropy_with_logits(y))},
      {"binary_cross_entropy_with_logits: (5, 6) and (3, 4) do not broadcast",
       FN(x.binary_cross_entropy_with_logits(x, y, {}))},
      {"binary_cross_entropy_with_logits: (5, 6) and (3, 4) do not broadcast",
       FN(x.binary_cross_entropy_with_logits(x, {}, y))},
      {"mse_loss: (3, 4) and (5, 6) differ", FN(x.mse_loss(y))},
      {"l1_loss: (3, 4) and (5, 6) differ", FN(x.l1_loss(y))},
      {"smooth_l1_loss: (3, 4) and (5, 6) differ", FN(x.smooth_l1_loss(y))},
      {"smooth_l1_loss: beta -1 is negative", FN(x.smooth_l1_loss(x, -1))},
      {"kl_div: (3, 4) and (5, 6) differ", FN(x.kl_div(y))},
      {"binary_cross_entropy: a probability is NaN, or outside [0, 1]; of logits: binary_cross_entropy_with_logits",
       FN((x + 1.5).binary_cross_entropy(x).realize())},
      {"binary_cross_entropy: a probability is NaN", FN((x - 0.1).binary_cross_entropy(x, Reduction::None).realize())},
      {"binary_cross_entropy: a probability is NaN", FN((x + NAN).binary_cross_entropy(x).realize())},
      {"binary_cross_entropy: a probability is NaN",
       [](const Tensor& x, const Tensor&, const Tensor&, const Tensor&) {
         const Tensor p = (x + 2).contiguous().requires_grad_();
         return gradient(p.binary_cross_entropy(x), {p})[0].realize();
       }},
      {"binary_cross_entropy: a target is NaN, or outside [0, 1]", FN(x.binary_cross_entropy(x - 1).realize())},
      {"binary_cross_entropy: a target is NaN", FN(x.binary_cross_entropy(x + NAN).realize())},
  });
}

}  // namespace teeny::test
