#include <set>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::DType, teeny::Shape, teeny::Tensor;
using Numbers = std::vector<double>;

/// A float32 tensor of random integers, in memory.
Tensor memory(const Shape& shape) {
  std::vector<float> values;
  for (int64_t i = 0; i < teeny::numel(shape); ++i) values.push_back(float(pick(-9, 9)));
  return Tensor::from(values, shape).realize();
}
const tinyops::Buffer* buffer_of(const Tensor& x) { return x.lazy().node()->buffer.get(); }

/// What is wrong with where a kernel writes, whatever it computes; empty where nothing is.
std::string mistake(const tinyops::Kernel& kernel) {
  const auto* product = std::get_if<tinyops::ContractKernel>(&kernel);
  const tinyops::RowKernel& rows = product ? product->epilogue : std::get<tinyops::RowKernel>(kernel);
  std::set<const tinyops::Buffer*> written;
  for (const tinyops::Output& output : rows.outputs) {
    const tinyops::Operand& to = output.operand;
    const auto over = [&](const tinyops::Operand& x) { return x.buffer == to.buffer; };
    if (!written.insert(to.buffer.get()).second) return "two results are written to the same memory";
    if (product && (over(product->a) || over(product->b)))
      return "the result is written over a factor of a contraction, which is read many times";
    const auto* load = std::get_if<tinyops::Load>(&rows.program[size_t(output.value)].op);
    const bool is_sum = load && rows.inputs[size_t(load->input)].kind == tinyops::Input::Kind::Sum;
    for (const tinyops::Input& input : rows.inputs) {
      if (!over(input.operand)) continue;
      if (is_sum) return "the sums of a contraction are written over what goes on with them reads";
      if (input.operand.dtype != to.dtype)
        return text("the result is ", to.dtype, ", and is written over an input of ", input.operand.dtype);
      if (!(input.operand.view == to.view))
        return text("the result is written over an input that is read out of step: through ", input.operand.view,
                    ", and written through ", to.view);
    }
  }
  return "";
}

/// Schedules and computes `targets`. Some result is to be written over `input`, or none.
void results(const std::string& what, const Tensors& targets, const tinyops::Buffer* input, bool in_place,
             const std::string& otherwise, const std::vector<Numbers>& want) {
  trying(what + " ..");
  {
    std::vector<teeny::LazyBuffer> lazy;
    for (const Tensor& x : targets) lazy.push_back(x.lazy());
    bool over = false;
    for (const teeny::Step& step : teeny::schedule_fused(lazy)) {
      const std::string wrong = mistake(step.kernel);
      expect(wrong.empty(), text(what, ": ", wrong, "\n    in the kernel ", teeny::debug::label(step.kernel)));
      for (const teeny::Step::Result& result : step.results) over |= result.buffer.get() == input;
    }
    expect(over == in_place, what + ": " + otherwise);
  }
  teeny::realize(targets);
  for (size_t k = 0; k < targets.size(); ++k) same(what, targets[k], want[k], 1e-5);
}

}  // namespace

EXERCISE("13") {
  const teeny::NoGrad guard;
  {
    constexpr int64_t kSize = 1 << 18;
    Tensor p = Tensor::full({kSize}, 1.0).contiguous().realize(), g = Tensor::full({kSize}, 0.5).contiguous().realize();
    tinyops::reset_peak();
    for (int i = 0; i < 3; ++i) p.assign(p - 0.1 * g).realize();
    const double buffers = double(tinyops::memory_use().peak) / (kSize * 4);
    expect(buffers < 2.5,
           text("p.assign(p - 0.1 * g) holds ", buffers, " tensors of p's size at its peak; p and g are 2"));
    same("p - 0.1 * g, three times, for p = 1 and g = 0.5", p, Numbers(kSize, 0.85), 1e-5);
  }

  constexpr int64_t n = 64;
  const auto at = [](const Numbers& x, int64_t i, int64_t j) { return x[size_t(n * i + j)]; };
  const auto each = [](auto f) {
    Numbers result;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) result.push_back(f(i, j));
    return result;
  };
  const Tensor w = memory({n, n});
  const Numbers ws = w.to_vector<double>();
  // In each of these h dies: the targets are the last that hold it.
  const auto with = [&](const Shape& shape, auto f) {
    Tensor h = memory(shape);
    f(h, buffer_of(h), h.to_vector<double>());
  };

  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor kept = h, y = h + w;
    h = Tensor();
    results("h + w, and somebody else holds h", {y}, at_h, false, "it is written over h",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) + at(ws, i, j); })});
    same("h, which somebody else holds", kept, hs);
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h * 2, z = h.matmul(w);
    h = Tensor();
    results("h * 2, and then a product of h", {y, z}, at_h, false,
            "h * 2 is written over h, which a later kernel reads",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) * 2; }), each([&](int64_t i, int64_t j) {
               double sum = 0;
               for (int64_t k = 0; k < n; ++k) sum += at(hs, i, k) * at(ws, k, j);
               return sum;
             })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h + 1, z = h * w;
    h = Tensor();
    results("h + 1 and h * w, of one kernel", {y, z}, at_h, true, "neither of them takes over the memory of h",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) + 1; }),
             each([&](int64_t i, int64_t j) { return at(hs, i, j) * at(ws, i, j); })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h + h.t();
    h = Tensor();
    results("h + h.t()", {y}, at_h, false, "it is written over h",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) + at(hs, j, i); })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h.matmul(w).relu();
    h = Tensor();
    results("h.matmul(w).relu()", {y}, at_h, false, "it is written over h", {each([&](int64_t i, int64_t j) {
              double sum = 0;
              for (int64_t k = 0; k < n; ++k) sum += at(hs, i, k) * at(ws, k, j);
              return std::max(sum, 0.0);
            })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = w.matmul(w) + h;
    h = Tensor();
    results("w.matmul(w) + h", {y}, at_h, true, "it takes new memory, and h dies in its kernel",
            {each([&](int64_t i, int64_t j) {
              double sum = at(hs, i, j);
              for (int64_t k = 0; k < n; ++k) sum += at(ws, i, k) * at(ws, k, j);
              return sum;
            })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = w.matmul(w), z = y + h;
    h = Tensor();
    const Numbers products = each([&](int64_t i, int64_t j) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) sum += at(ws, i, k) * at(ws, k, j);
      return sum;
    });
    results("w.matmul(w), and h plus that", {y, z}, at_h, true, "none takes over the memory of h",
            {products, each([&](int64_t i, int64_t j) { return at(products, i, j) + at(hs, i, j); })});
  });
  with({n}, [&](Tensor& h, auto*, const Numbers& hs) {
    h = h.cast(DType::Int64).realize();
    const auto* at_h = buffer_of(h);
    const Tensor y = Tensor::arange(n) + h;
    h = Tensor();
    Numbers want = hs;
    for (size_t i = 0; i < n; ++i) want[i] += double(i);
    results("Tensor::arange(64) + h", {y}, at_h, true, "it takes new memory, and h dies in its kernel", {want});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = (h + 1).cast(DType::Float64);
    h = Tensor();
    results("h + 1 as float64", {y}, at_h, false, "8 bytes an element are written over 4",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) + 1; })});
  });

  // Rows.
  const auto row_sums = [&](const Numbers& x) {
    Numbers sums(n, 0);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) sums[size_t(i)] += at(x, i, j);
    return sums;
  };
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h.sum(1);
    h = Tensor();
    results("the row sums of h", {y}, at_h, false, "they are written over h", {row_sums(hs)});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h + h.sum(1, true);
    h = Tensor();
    const Numbers sums = row_sums(hs);
    results("h plus its row sums", {y}, at_h, false, "it is written over h, whose rows are walked twice",
            {each([&](int64_t i, int64_t j) { return at(hs, i, j) + sums[size_t(i)]; })});
  });
  with({n, n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h + w, z = y.sum(1);
    h = Tensor();
    const Numbers both = each([&](int64_t i, int64_t j) { return at(hs, i, j) + at(ws, i, j); });
    results("h + w, and its row sums", {y, z}, at_h, false,
            "h + w is written over h, and the elements of a row that is reduced may be read again",
            {both, row_sums(both)});
  });
  const Numbers sums = row_sums(ws);
  with({n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h - w.sum(1);
    h = Tensor();
    Numbers want = hs;
    for (size_t i = 0; i < n; ++i) want[i] -= sums[i];
    results("h - w.sum(1), for h of (64,)", {y}, at_h, true, "it takes new memory, and h dies in its kernel", {want});
  });
  with({n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor s = w.sum(1), y = h - s, z = h * s;
    h = Tensor();
    Numbers less = hs, times = hs;
    for (size_t i = 0; i < n; ++i) less[i] -= sums[i], times[i] *= sums[i];
    results("h - w.sum(1) and h * w.sum(1), for h of (64,)", {y, z}, at_h, false,
            "one is written over h, maybe before the row is over, and the other reads h", {less, times});
  });
  with({n}, [&](Tensor& h, auto* at_h, const Numbers& hs) {
    const Tensor y = h - w.sum(1), z = w * h.reshape({n, 1});
    h = Tensor();
    Numbers want = hs;
    for (size_t i = 0; i < n; ++i) want[i] -= sums[i];
    results("h - w.sum(1), for h of (64,), and w * h", {y, z}, at_h, false,
            "h - w.sum(1) is written over h, which each element of the row reads",
            {want, each([&](int64_t i, int64_t j) { return at(ws, i, j) * hs[size_t(i)]; })});
  });
}
