// Elementwise functions that a first reading can leave out: remainders, bits, tests, transcendental functions.
#include <numbers>

#include "teeny/functional/functional.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// An operation of the same meaning.
#define TEENY_SAVE_AS(name, onnx_name) \
  ops[name] = [](SavedCall& call) -> Names { return call.node(onnx_name, call.broadcast()); }

Name with(SavedCall& call, const char* op, Name x, Scalar y) {
  return call.node(op, {x, call.scalar(y, call.dtype())});
}

/// C's remainder; of integers ONNX has Python's, too.
Names remainder(SavedCall& call) { return call.node("Mod", call.broadcast(), {{"fmod", 1}}); }

Names python_remainder(SavedCall& call) {
  const std::vector<Name> operands = call.broadcast();
  if (!is_float(call.dtype())) return call.node("Mod", operands);
  const Name zero = call.scalar(0, call.dtype()), r = call.node("Mod", operands, {{"fmod", 1}});
  const Name other_side = call.node("Xor", {call.node("Less", {r, zero}), call.node("Less", {operands[1], zero})});
  const Name turned = call.node("And", {call.node("Not", {call.node("Equal", {r, zero})}), other_side});
  return call.node("Where", {turned, call.node("Add", {r, operands[1]}), r});
}

/// Of bools and of integers they are two operations.
template <int kWhich>
Names bitwise(SavedCall& call) {
  constexpr const char *kBools[] = {"And", "Or", "Xor"}, *kIntegers[] = {"BitwiseAnd", "BitwiseOr", "BitwiseXor"};
  return call.node((call.dtype() == DType::Bool ? kBools : kIntegers)[kWhich], call.broadcast());
}

/// BitShift is for unsigned integers; others are multiplied, and divided with what is left over taken off before.
Names shift(SavedCall& call) {
  const bool left = call.op() == "<<";
  const DType type = call.dtype();
  if (type == DType::UInt8) return call.node("BitShift", call.broadcast(), {{"direction", left ? "LEFT" : "RIGHT"}});
  if (!call.is_constant(1)) call.refuse("BitShift is for unsigned integers, and the shift is no constant");
  const Tensor by = call.constant(1).cast(DType::Int64);
  const int64_t most = 8 * itemsize(type) - 2;
  if (by.numel() && (by.min().item<int64_t>() < 0 || by.max().item<int64_t>() > most))
    call.refuse(text("BitShift is for unsigned integers, and a shift is not in [0, ", most, "]"));
  const Tensor power = (Tensor::ones({}, DType::Int64) << by).cast(type);
  const Name factor = call.constant(power), x = call.broadcast()[0];
  if (left) return call.node("Mul", {x, factor});
  return call.node("Div", {call.node("Sub", {x, call.node("Mod", {x, factor})}), factor});
}

Names copysign(SavedCall& call) {
  const std::vector<Name> operands = call.broadcast();
  const Name zero = call.scalar(0, call.dtype()), y = operands[1], size = call.node("Abs", {operands[0]});
  const Name below = call.node("Less", {call.node("Reciprocal", {y}), zero});  // -inf, where y is -0
  const Name turned = call.node("Or", {call.node("Less", {y, zero}), below});
  return call.node("Where", {turned, call.node("Neg", {size}), size});
}

/// Integers are whole already.
template <int kWhich>
Names whole(SavedCall& call) {
  constexpr const char* kNames[] = {"Floor", "Ceil", "Round"};
  return is_float(call.dtype()) ? call.node(kNames[kWhich], {call.x()}) : call.x();
}

/// log(1 + x) where 1 + x is rounded: x / ((1 + x) - 1) of it, which is x itself where nothing of it is left.
Names log1p(SavedCall& call) {
  const Name x = call.x(), sum = with(call, "Add", x, 1), left = with(call, "Sub", sum, 1);
  const Name log = call.node("Log", {sum}), corrected = call.node("Mul", {log, call.node("Div", {x, left})});
  const Name rounded = call.node("Where", {with(call, "Equal", left, 0), x, corrected});
  return call.node("Where", {call.node("Equal", {left, x}), log, rounded});
}

Names binary_cross_entropy(SavedCall& call) {
  const DType type = call.dtype();
  const Name p = call.x(0), t = call.x(1), one = call.scalar(1, type), floor = call.scalar(-100, type);
  const auto term = [&](Name chance, Name share) {
    return call.node("Mul", {share, call.node("Max", {call.node("Log", {chance}), floor})});
  };
  const Name other = term(call.node("Sub", {one, p}), call.node("Sub", {one, t}));
  return call.node("Neg", {call.node("Add", {term(p, t), other})});
}

}  // namespace

void add_save_math(SaveOps& ops) {
  ops["floor"] = whole<0>;
  ops["ceil"] = whole<1>;
  ops["round"] = whole<2>;
  TEENY_SAVE_AS("abs", "Abs");
  TEENY_SAVE_AS("Sign", "Sign");
  TEENY_SAVE_AS("isnan", "IsNaN");
  ops["Pow"] = [](SavedCall& call) -> Names {
    if (call.dtype() != DType::UInt8) return call.node("Pow", call.broadcast());
    const Name power = call.node("Pow", {call.x(0, DType::Int32), call.x(1, DType::Int32)});  // none of 8 bits
    return call.cast(power, DType::UInt8);
  };
  TEENY_SAVE_AS("integer_quotient", "Div");
  TEENY_SAVE_AS("Tan", "Tan");
  TEENY_SAVE_AS("Asin", "Asin");
  TEENY_SAVE_AS("Acos", "Acos");
  TEENY_SAVE_AS("Atan", "Atan");
  TEENY_SAVE_AS("Sinh", "Sinh");
  TEENY_SAVE_AS("Cosh", "Cosh");
  TEENY_SAVE_AS("Asinh", "Asinh");
  TEENY_SAVE_AS("Acosh", "Acosh");
  TEENY_SAVE_AS("Atanh", "Atanh");
  TEENY_SAVE_AS("Erf", "Erf");
  ops["Fmod"] = remainder;
  ops["%"] = python_remainder;
  ops["&"] = bitwise<0>;
  ops["|"] = bitwise<1>;
  ops["^"] = bitwise<2>;
  ops["<<"] = ops[">>"] = shift;
  ops["CopySign"] = copysign;
  ops["logical_not"] = [](SavedCall& call) -> Names {
    return call.dtype() == DType::Bool ? call.node("Not", {call.x()}) : with(call, "Equal", call.x(), 0);
  };
  ops["Relu"] = [](SavedCall& call) -> Names {  // which is for signed numbers
    return call.dtype() == DType::UInt8 ? call.x() : call.node("Relu", {call.x()});
  };
  ops["Neg"] = [](SavedCall& call) -> Names {
    if (call.dtype() != DType::UInt8) return call.node("Neg", {call.x()});
    return call.node("Sub", {call.scalar(0, DType::UInt8), call.x()});
  };
  ops["BinaryCrossEntropy"] = binary_cross_entropy;
  ops["bitcast"] = [](SavedCall& call) -> Names { call.refuse("BitCast is from opset 26 on"); };
  ops["StepFunction"] = [](SavedCall& call) -> Names { return call.x(2); };
  ops["require"] = [](SavedCall& call) -> Names { return call.x(); };
  ops["trunc"] = [](SavedCall& call) -> Names {
    const Name x = call.x();
    if (!is_float(call.dtype())) return x;
    return call.node("Where", {with(call, "Less", x, 0), call.node("Ceil", {x}), call.node("Floor", {x})});
  };
  ops["isinf"] = [](SavedCall& call) -> Names {  // of 16 bits from opset 20 on
    const bool narrow = itemsize(call.dtype()) == 2 && call.opset() < 20;
    return call.node("IsInf", {narrow ? call.x(0, DType::Float32) : call.x()});
  };
  ops["Exp2"] = [](SavedCall& call) -> Names { return call.node("Pow", {call.scalar(2, call.dtype()), call.x()}); };
  // Both keep the digits of a small x.
  ops["Expm1"] = [](SavedCall& call) -> Names {  // tanh(x / 2) (e^x + 1)
    const Name half = call.node("Tanh", {with(call, "Mul", call.x(), 0.5)});
    return call.node("Mul", {half, with(call, "Add", call.node("Exp", {call.x()}), 1)});
  };
  ops["Log1p"] = log1p;
  ops["Log2"] = [](SavedCall& call) -> Names {
    return with(call, "Mul", call.node("Log", {call.x()}), 1 / std::numbers::ln2);
  };
  ops["Log10"] = [](SavedCall& call) -> Names {
    return with(call, "Mul", call.node("Log", {call.x()}), 1 / std::numbers::ln10);
  };
  ops["Erfc"] = [](SavedCall& call) -> Names {
    return call.node("Sub", {call.scalar(1, call.dtype()), call.node("Erf", {call.x()})});
  };
}

#undef TEENY_SAVE_AS

}  // namespace teeny::onnx
