// Functions of one element, or of several in the same place; conversions; random elements.
#include <cmath>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

// ---- Operands ------------------------------------------------------------------------------------------------------

/// Input k; where it is a single number that is known, a constant, which a kernel does not read from memory.
Tensor operand(const Call& call, int k) {
  const Tensor& x = call.x(k);
  if (!call.inputs[size_t(k)].known || call.is_known() || x.numel() != 1) return x;
  const Scalar value = is_float(x.dtype()) ? Scalar(call.real(k)) : Scalar(call.integer(k));
  return Tensor::full(x.shape(), value, x.dtype());
}

/// The number that input k is, if it is one that is known.
std::optional<double> known_number(const Call& call, int k) {
  if (!call.inputs[size_t(k)].known || call.x(k).numel() != 1) return {};
  return call.real(k);
}

struct Operands {
  Tensor x, y;
};

/// Of a function of two. Before opset 7, the second one's axes are those of the first from `axis` on.
Operands operands(const Call& call) {
  const Tensor x = operand(call, 0), y = operand(call, 1);
  if (call.opset >= 7 || !call.has("axis") || y.rank() == 0) return {x, y};
  Shape shape = y.shape();
  for (int k = call.axis("axis", 0, x.rank()) + y.rank(); k < x.rank(); ++k) shape.push_back(1);
  return {x, y.reshape(shape)};
}

using Unary = Tensor (Tensor::*)() const;
using Binary = Tensor (*)(const Tensor&, const Tensor&);

Op unary(Unary method) {
  return [method](Call& call) { return (call.x().*method)(); };
}
Op binary(Binary f) {
  return [f](Call& call) {
    const auto [x, y] = operands(call);
    return f(x, y);
  };
}
Op compare(Binary f) {
  return [f](Call& call) {
    const auto [x, y] = operands(call);
    return f(ordered(x, call.type()), ordered(y, call.type()));
  };
}

/// All inputs, combined from the left to the right.
Tensor combined(const Call& call, Binary f) {
  Tensor all = ordered(operand(call, 0), call.type());
  for (int k = 1; k < call.count(); ++k) all = f(all, ordered(operand(call, k), call.type()));
  return ordered(all, call.type());
}
Tensor sum(const Call& call) {
  Tensor all = operand(call, 0);
  for (int k = 1; k < call.count(); ++k) all = all + operand(call, k);
  return all;
}

// ---- Activations with parameters -----------------------------------------------------------------------------------

/// max(0, min(1, alpha x + beta)).
Tensor hard_sigmoid(const Tensor& x, double alpha, double beta) { return (x * alpha + beta).maximum(0).minimum(1); }

/// The exact one by erf, as exporters write it out: where x is far below 0, `gelu_erf` is closer and takes longer.
Value gelu(const Call& call) {
  const std::string approximate = call.text("approximate", "none");
  if (approximate != "none" && approximate != "tanh") fail("approximate is \"", approximate, "\"; none or tanh");
  if (approximate == "tanh") return call.x().gelu();
  const Tensor x = to_accumulate_dtype(call.x());
  return (x * 0.5 * ((x * std::sqrt(0.5)).erf() + 1)).cast(call.x().dtype());
}

Tensor swish(const Tensor& x, double alpha) { return alpha == 1 ? x.silu() : x * (x * alpha).sigmoid(); }

Tensor prelu(const Call& call) {
  const Tensor &x = call.x(), &slope = call.x(1);
  if (call.opset >= 7 || slope.numel() == 1) return where(x < 0, x * slope, x);
  return where(x < 0, x * reshape_to_axis(slope, 1, x.rank()), x);  // one for each channel
}

Value shrink(const Call& call) {
  const Tensor& x = call.x();
  const double limit = call.real("lambd", 0.5), bias = call.real("bias", 0);
  return as_type(where(x < -limit, x + bias, where(x > limit, x - bias, 0)), call.type());
}

/// Bounds are attributes before opset 11, and inputs since.
Tensor clip(const Call& call) {
  const auto bound = [&](int k) {
    if (call.x(k).numel() != 1) fail("the bound ", k, " of ", call.x(k).shape(), " must be one number");
    return ordered(operand(call, k).reshape({}), call.type());
  };
  Tensor x = ordered(call.x(), call.type());
  if (call.has("min")) x = x.maximum(call.real("min", 0));
  if (call.has(1)) x = x.maximum(bound(1));
  if (call.has("max")) x = x.minimum(call.real("max", 0));
  if (call.has(2)) x = x.minimum(bound(2));
  return ordered(x, call.type());
}

// ---- Arithmetic ----------------------------------------------------------------------------------------------------

/// The quotient of two uint64. That of half of x is right or one too small when it is doubled; and of a y from 2^63 on,
/// which is negative here, the quotient is 0 or 1. Warren, "Hacker's Delight", section 9-3.
Tensor unsigned_quotient(const Tensor& x, const Tensor& y) {
  const auto reaches_y = [&](const Tensor& t) {
    return (ordered(t, Type::UInt64) >= ordered(y, Type::UInt64)).cast(DType::Int64);
  };
  const Tensor low = div((x >> 1) & INT64_MAX, y, Rounding::Trunc) << 1;
  return where(y < 0, reaches_y(x), low + reaches_y(x - low * y));
}

/// Dividend and divisor. A division of integers looks whether the divisor is 0: one that is known becomes a constant.
Operands division(const Call& call) {
  const auto [x, y] = operands(call);
  const bool is_constant = !is_float(y.dtype()) && known_number(call, 1);
  return {x, is_constant ? Tensor::full(y.shape(), call.integer(1), y.dtype()) : y};
}

/// Integers are cut towards zero.
Tensor quotient(const Call& call) {
  const auto [x, y] = division(call);
  if (is_float(x.dtype())) return x / y;
  return call.type() == Type::UInt64 ? unsigned_quotient(x, y) : div(x, y, Rounding::Trunc);
}

Tensor remainder(const Call& call) {
  const auto [x, y] = division(call);
  if (call.type() == Type::UInt64) return x - unsigned_quotient(x, y) * y;
  return call.flag("fmod") ? x.fmod(y) : x % y;
}

/// In the type of the base. Powers of known exponents are products and roots, as exporters expect.
Tensor power(const Call& call) {
  const auto [x, y] = operands(call);
  const double exponent = y.rank() <= x.rank() ? known_number(call, 1).value_or(NAN) : NAN;
  if (exponent == 1) return x;
  if (exponent == 2) return x.square();
  if (exponent == 3) return x.square() * x;
  if (is_float(x.dtype()) && exponent == 0.5) return x.sqrt();
  if (is_float(x.dtype()) && exponent == -1) return x.reciprocal();
  if (is_float(x.dtype()) || !is_float(y.dtype())) return x.pow(y.cast(x.dtype()));
  return x.cast(DType::Float64).pow(y.cast(DType::Float64)).cast(x.dtype());
}

/// What is shifted by as many bits as there are, or more, is 0, or -1 of a negative one to the right.
Tensor bit_shift(const Call& call) {
  const auto [x, y] = operands(call);
  const std::string direction = call.text("direction", "");
  if (direction == "LEFT") return x << y;
  if (direction != "RIGHT") fail("direction is \"", direction, "\", and must be LEFT or RIGHT");
  if (call.type() != Type::UInt64) return x >> y;
  return where(y == 0, x, ((x >> 1) & INT64_MAX) >> (y - 1));  // no copies of the first bit
}

Tensor is_inf(const Call& call) {
  const bool negative = call.flag("detect_negative", true), positive = call.flag("detect_positive", true);
  const Tensor& x = call.x();
  if (negative && positive) return x.isinf();
  if (!negative && !positive) return Tensor::zeros(x.shape(), DType::Bool);
  return x == (negative ? -INFINITY : INFINITY);
}

// ---- Conversions ---------------------------------------------------------------------------------------------------

Type target(const Call& call) {
  if (!call.has("to")) fail("the attribute to is missing, a type");
  return call.type("to", Type::Undefined);
}

/// uint64 is held as the bits of an int64: of floats, what lies beyond that goes a way of its own.
Value converted(const Tensor& x, Type from, Type to) {
  const DType dtype = dtype_of(to);
  if (from == Type::UInt64 && is_float(dtype))
    return {where(x < 0, (((x >> 1) & INT64_MAX) | (x & 1)).cast(dtype) * 2, x.cast(dtype)), to};
  if (to == Type::UInt64 && is_float(x.dtype()))
    return {where(x >= 0x1p63, (x.cast(DType::Float64) - 0x1p63).cast(dtype) ^ INT64_MIN, x.cast(dtype)), to};
  return as_type(x, to);
}

/// The same bits read as another type, by way of an integer. Those of the 16-bit floats are the upper half of a float32
/// that is a bfloat16.
Value bit_cast(const Call& call) {
  const Type from = call.type(), to = target(call);
  if (stored_size(from) != stored_size(to))
    fail(name_of(from), " to ", name_of(to), ": elements of ", stored_size(from), " and ", stored_size(to), " bytes");
  const auto integer = [](Type type) { return stored_size(type) == 8 ? DType::Int64 : DType::Int32; };
  const auto is_half = [](Type type) { return type == Type::Float16 || type == Type::BFloat16; };
  const Tensor& x = call.x();
  const Tensor bits = is_half(from) ? x.bitcast(DType::BFloat16).cast(DType::Float32).bitcast(DType::Int32) >> 16
                      : is_float(x.dtype()) ? x.bitcast(integer(from))
                                            : x;
  if (!is_float(dtype_of(to))) return as_type(bits, to);
  const Tensor wide = bits.cast(integer(to));
  if (!is_half(to)) return {wide.bitcast(dtype_of(to)), to};
  return {(wide << 16).bitcast(DType::Float32).cast(DType::BFloat16).bitcast(dtype_of(to)), to};
}

// ---- Random elements: of teeny's stream, whatever `seed` the file has ----------------------------------------------

/// Before opset 12, only what is not said to be a test drops; since then, only what is said to be a training.
Outputs dropout(Call& call) {
  const Tensor& x = call.x();
  const bool training = call.opset < 7    ? !call.flag("is_test")
                        : call.opset < 12 ? false
                                          : call.has(2) && call.integer(2) != 0;
  const double p = !training ? 0 : call.has(1) ? call.real(1) : call.real("ratio", 0.5);
  if (!(p >= 0 && p < 1)) fail("the ratio is ", p, ", and must be in [0, 1)");
  if (p == 0) return {call.inputs[0], Tensor::full(x.shape(), 1, call.opset < 10 ? x.dtype() : DType::Bool)};
  call.is_random();
  const Tensor kept = Tensor::rand(x.shape()) >= p;
  return {where(kept, x / (1 - p), 0), call.opset < 10 ? kept.cast(x.dtype()) : kept};
}

Shape shape_of(const Call& call) {
  if (call.has(0)) return call.x().shape();
  if (!call.has("shape")) fail("the attribute shape is missing");
  return call.dims("shape");
}
/// `dtype`, or that of an input of floats, or float32.
Type random_type(const Call& call) {
  const bool like = call.has(0) && is_float(call.x().dtype());
  return call.type("dtype", like ? call.type() : Type::Float32);
}
Outputs random_normal(Call& call) {
  call.is_random();
  const Tensor x = Tensor::randn(shape_of(call));
  return as_type(x * call.real("scale", 1) + call.real("mean", 0), random_type(call));
}
Outputs random_uniform(Call& call) {
  call.is_random();
  return as_type(Tensor::uniform(shape_of(call), call.real("low", 0), call.real("high", 1)), random_type(call));
}
Outputs bernoulli(Call& call) {
  call.is_random();
  return as_type(Tensor::rand(call.x().shape(), call.x().dtype()) < call.x(), call.type("dtype", call.type()));
}
Outputs multinomial(Call& call) {  // of log-probabilities (batch, classes)
  call.is_random();
  const Tensor drawn = call.x().softmax(-1).multinomial(call.integer("sample_size", 1), true);
  return as_type(drawn, call.type("dtype", Type::Int32));
}

}  // namespace

void add_elementwise(Ops& ops) {
  ops["Abs"] = [](Call& call) { return call.type() == Type::UInt64 ? call.x() : call.x().abs(); };
  ops["Acos"] = unary(&Tensor::acos);
  ops["Acosh"] = unary(&Tensor::acosh);
  ops["Asin"] = unary(&Tensor::asin);
  ops["Asinh"] = unary(&Tensor::asinh);
  ops["Atan"] = unary(&Tensor::atan);
  ops["Atanh"] = unary(&Tensor::atanh);
  ops["BitwiseNot"] = unary(&Tensor::operator~);
  ops["Ceil"] = unary(&Tensor::ceil);
  ops["Cos"] = unary(&Tensor::cos);
  ops["Cosh"] = unary(&Tensor::cosh);
  ops["Erf"] = unary(&Tensor::erf);
  ops["Exp"] = unary(&Tensor::exp);
  ops["Floor"] = unary(&Tensor::floor);
  ops["IsInf"] = is_inf;
  ops["IsNaN"] = unary(&Tensor::isnan);
  ops["Log"] = unary(&Tensor::log);
  ops["Neg"] = unary(&Tensor::neg);
  ops["Not"] = unary(&Tensor::logical_not);
  ops["Reciprocal"] = unary(&Tensor::reciprocal);
  ops["Round"] = unary(&Tensor::round);
  ops["Sigmoid"] = unary(&Tensor::sigmoid);
  ops["Sign"] = [](Call& call) {
    return call.type() == Type::UInt64 ? (call.x() != 0).cast(DType::Int64) : call.x().sign();
  };
  ops["Sin"] = unary(&Tensor::sin);
  ops["Sinh"] = unary(&Tensor::sinh);
  ops["Sqrt"] = unary(&Tensor::sqrt);
  ops["Tan"] = unary(&Tensor::tan);
  ops["Tanh"] = unary(&Tensor::tanh);

  ops["Celu"] = [](Call& call) { return call.x().celu(call.real("alpha", 1)); };
  ops["Clip"] = clip;
  ops["Elu"] = [](Call& call) { return call.x().elu(call.real("alpha", 1)); };
  ops["Gelu"] = gelu;
  ops["HardSigmoid"] = [](Call& call) {
    return hard_sigmoid(call.x(), call.real("alpha", 0.2f), call.real("beta", 0.5));
  };
  ops["HardSwish"] = [](Call& call) { return call.x() * hard_sigmoid(call.x(), 1.0 / 6, 0.5); };
  ops["LeakyRelu"] = [](Call& call) { return call.x().leaky_relu(call.real("alpha", 0.01f)); };
  ops["Mish"] = unary(&Tensor::mish);
  ops["PRelu"] = prelu;
  ops["Relu"] = unary(&Tensor::relu);
  ops["Selu"] = [](Call& call) {
    return call.x().elu(call.real("alpha", 1.67326319f)) * call.real("gamma", 1.05070102f);
  };
  ops["Shrink"] = shrink;
  ops["Softplus"] = [](Call& call) { return call.x().softplus(); };
  ops["Softsign"] = unary(&Tensor::softsign);
  ops["SwiGLU"] = [](Call& call) {
    if (call.x().shape() != call.x(1).shape()) fail(call.x().shape(), " and ", call.x(1).shape(), " must be alike");
    return swish(call.x(), call.real("alpha", 1)) * call.x(1);
  };
  ops["Swish"] = [](Call& call) { return swish(call.x(), call.real("alpha", 1)); };
  ops["ThresholdedRelu"] = [](Call& call) { return where(call.x() > call.real("alpha", 1), call.x(), 0); };

  ops["Add"] = binary([](const Tensor& x, const Tensor& y) { return x + y; });
  ops["Sub"] = binary([](const Tensor& x, const Tensor& y) { return x - y; });
  ops["Mul"] = binary([](const Tensor& x, const Tensor& y) { return x * y; });
  ops["Div"] = quotient;
  ops["Mod"] = remainder;
  ops["Pow"] = power;
  ops["BitShift"] = bit_shift;
  ops["And"] = ops["BitwiseAnd"] = binary([](const Tensor& x, const Tensor& y) { return x & y; });
  ops["Or"] = ops["BitwiseOr"] = binary([](const Tensor& x, const Tensor& y) { return x | y; });
  ops["Xor"] = ops["BitwiseXor"] = binary([](const Tensor& x, const Tensor& y) { return x ^ y; });
  ops["Equal"] = binary([](const Tensor& x, const Tensor& y) { return x == y; });
  ops["Greater"] = compare([](const Tensor& x, const Tensor& y) { return x > y; });
  ops["GreaterOrEqual"] = compare([](const Tensor& x, const Tensor& y) { return x >= y; });
  ops["Less"] = compare([](const Tensor& x, const Tensor& y) { return x < y; });
  ops["LessOrEqual"] = compare([](const Tensor& x, const Tensor& y) { return x <= y; });

  ops["Max"] = [](Call& call) { return combined(call, [](const Tensor& x, const Tensor& y) { return x.maximum(y); }); };
  ops["Min"] = [](Call& call) { return combined(call, [](const Tensor& x, const Tensor& y) { return x.minimum(y); }); };
  ops["Sum"] = sum;
  ops["Mean"] = [](Call& call) { return sum(call) / double(call.count()); };
  ops["Where"] = [](Call& call) { return Value(where(call.x(), operand(call, 1), operand(call, 2)), call.type(1)); };

  ops["Cast"] = [](Call& call) { return converted(call.x(), call.type(), target(call)); };
  ops["CastLike"] = [](Call& call) { return converted(call.x(), call.type(), call.type(1)); };
  ops["BitCast"] = bit_cast;
  ops["Identity"] = [](Call& call) { return call.x(), call.inputs[0]; };

  ops["Dropout"] = dropout;
  ops["RandomNormal"] = ops["RandomNormalLike"] = random_normal;
  ops["RandomUniform"] = ops["RandomUniformLike"] = random_uniform;
  ops["Bernoulli"] = bernoulli;
  ops["Multinomial"] = multinomial;
}

}  // namespace teeny::onnx
