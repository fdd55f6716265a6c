#include "tests/course/cuda/device.h"
#include "tinyops/cuda/row/row_plan.h"

namespace {

using namespace course;
using tinyops::Constant, tinyops::Input, tinyops::Load, tinyops::RowKernel;

/// y = op(a, b), op(a, constant), or op(a), as one kernel.
RowKernel single(std::variant<UnaryOp, BinaryOp> op, const Operand& y, const Operand& a, const Operand* b,
                 double constant = 0) {
  RowKernel k{.shape = y.view.shape, .inputs = {{.operand = a}}, .program = {{.op = Load{0}, .dtype = DType::Float32}}};
  tinyops::Instruction last{.op = UnaryOp::Neg, .dtype = DType::Float32, .args = {0, -1, -1}};
  if (const auto* binary = std::get_if<BinaryOp>(&op)) {
    if (b) k.inputs.push_back({.operand = *b}), k.program.push_back({.op = Load{1}, .dtype = DType::Float32});
    else k.program.push_back({.op = Constant{constant}, .dtype = DType::Float32});
    last.op = *binary, last.args[1] = 1;
  } else last.op = std::get<UnaryOp>(op);
  k.program.push_back(last);
  k.outputs = {{.operand = y, .value = int(k.program.size()) - 1}};
  return k;
}

gpu_emulator::Traffic run(const std::string& what, const RowKernel& k, const std::vector<float>& want) {
  const auto t = traffic_of(what, [&] {
    expect(tinyops::cuda::run_elementwise(k), what + ": this kernel was not taken for a single operation");
  });
  same(what +
           (k.inputs[0].operand == k.outputs[0].operand ? ": each element is done once" : "; nan: nobody wrote there"),
       from_device<float>(k.outputs[0].operand), {want.begin(), want.end()});
  return t;
}

}  // namespace

EXERCISE("31") {
  for (const int64_t n : {int64_t(7), int64_t(1024), int64_t(1025), int64_t(2048), int64_t(2050), pick(1, 6000)}) {
    const auto a = whole_numbers<float>(n, 0, 99), b = whole_numbers<float>(n, 0, 99);
    const Operand x = on_device({n}, a), z = on_device({n}, b);
    std::vector<float> sums, differences, products, negatives;
    for (size_t i = 0; i < a.size(); ++i) {
      sums.push_back(a[i] + b[i]), differences.push_back(a[i] - b[i]);
      products.push_back(a[i] * 3), negatives.push_back(-a[i]);
    }
    run(text("a + b of ", n, " numbers"), single(BinaryOp::Add, on_device<float>({n}), x, &z), sums);
    run(text("a - b of ", n, " numbers"), single(BinaryOp::Sub, on_device<float>({n}), x, &z), differences);
    run(text("3 * a of ", n, " numbers, without b"), single(BinaryOp::Mul, on_device<float>({n}), x, nullptr, 3),
        products);
    run(text("-a of ", n, " numbers, without b"), single(UnaryOp::Neg, on_device<float>({n}), x, nullptr), negatives);
    run(text("a = a + b of ", n, " numbers, in place"), single(BinaryOp::Add, x, x, &z), sums);
  }

  constexpr int64_t n = 4096;
  const auto a = whole_numbers<float>(n, 0, 9);
  const Operand x = on_device({n}, a);
  std::vector<float> twice;
  for (const float v : a) twice.push_back(v + v);
  const auto sum = run("a + a of 4096 numbers", single(BinaryOp::Add, on_device<float>({n}), x, &x), twice);
  few_sectors("a + a of 4096 numbers", sum, 3 * 4 * n);
  const auto product = run("2 * a of 4096 numbers", single(BinaryOp::Mul, on_device<float>({n}), x, nullptr, 2), twice);
  few_sectors("2 * a of 4096 numbers", product, 2 * 4 * n);
  report(text("a + a of 4096 numbers: ", sum.requests, " requests of warps; one number a lane, they would be 384"));
}
