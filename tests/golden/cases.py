"""What teeny is compared with: PyTorch expressions, one case a line.

    case("sum_axis/int", "x.sum(1)", i64(2, 3))

name        The part before the slash names a line of C++ in tests/test_golden_<section>.cpp, which computes the same in
            teeny; what follows the slash distinguishes cases that run the same line on other inputs.
expression  PyTorch, in x, y, z and w: the inputs in order. put(x, i, y) is a copy of x after x[i] = y.
inputs      f32(2, 3) is a (2, 3) tensor of float32, uniform in [-2, 2) in steps of 1/64; f32(2, 3, low=0, high=1) in
            another range; given([1, nan], "float16") has these values. The seed is the case's name and the letter.
grad        Whether the gradients of the floating-point inputs are compared; False where PyTorch has none, or has one
            that is an accident of its formula (at inf and NaN).

After a change: `python tests/golden/generate.py`.
"""
from math import inf, nan

SECTIONS = {}


class Input:
    def __init__(self, dtype, shape=None, low=None, high=None, values=None):
        self.dtype, self.shape, self.low, self.high, self.values = dtype, shape, low, high, values


def maker(dtype, low, high):
    return lambda *shape, low=low, high=high: Input(dtype, shape, low, high)


f32, f64, f16, bf16 = (maker(d, -2, 2) for d in ("float32", "float64", "float16", "bfloat16"))
i32, i64, u8, b1 = maker("int32", -5, 6), maker("int64", -5, 6), maker("uint8", 0, 11), maker("bool", 0, 2)
DTYPES = {"bool": b1, "uint8": u8, "int32": i32, "int64": i64, "float16": f16, "bfloat16": bf16, "float32": f32,
          "float64": f64}


def given(values, dtype="float32"):
    return Input(dtype, values=values)


def section(name):
    global cases
    cases = SECTIONS.setdefault(name, [])


def case(name, expression, *inputs, grad=True):
    cases.append((name, expression, inputs, grad))


# ---- Creation -------------------------------------------------------------------------------------------------------
section("creation")
case("full_float", "torch.full((2, 3), 0.5)")
case("full_int", "torch.full((2, 3), 7)")
case("full_bool", "torch.full((2,), True)")
case("full_half", "torch.full((2,), 3, dtype=torch.float16)")
case("full_scalar", "torch.full((), 2.5)")
case("zeros", "torch.zeros(2, 0, 3)")
case("ones_int", "torch.ones(2, 2, dtype=torch.int32)")
case("arange", "torch.arange(5)")
case("arange_none", "torch.arange(0)")
case("arange_step", "torch.arange(2, 12, 3)")
case("arange_down", "torch.arange(5, -4, -2)")
case("arange_fraction", "torch.arange(0.5, 2, 0.25)")
case("arange_float", "torch.arange(0., 5.)")
case("linspace", "torch.linspace(-1, 2, 7)")
case("linspace_down", "torch.linspace(3, -3, 4)")
case("linspace_one", "torch.linspace(2, 5, 1)")
case("linspace_none", "torch.linspace(2, 5, 0)")
case("eye", "torch.eye(3)")
case("eye_wide", "torch.eye(2, 4)")
case("eye_tall_int", "torch.eye(4, 2, dtype=torch.int64)")

# A dtype that is asked for; x is there to name it.
for dtype, make in DTYPES.items():
    case("full_dtype/" + dtype, "torch.full((2, 3), 1.5, dtype=x.dtype)", make())
    case("full_like/" + dtype, "torch.full_like(x, 3)", make(2, 3))
    case("zeros_like/" + dtype, "torch.zeros_like(x)", make(2, 0))
    case("ones_like/" + dtype, "torch.ones_like(x)", make(2))
    case("zeros_dtype/" + dtype, "torch.zeros(3, dtype=x.dtype)", make())
    case("ones_dtype/" + dtype, "torch.ones(2, 2, dtype=x.dtype)", make())
    case("eye_dtype/" + dtype, "torch.eye(2, 3, dtype=x.dtype)", make())
    if dtype != "bool":
        case("arange_dtype/" + dtype, "torch.arange(0, 6, 2, dtype=x.dtype)", make())
        case("linspace_dtype/" + dtype, "torch.linspace(0, 5, 4, dtype=x.dtype)", make())
case("full_infinite/f16", "torch.full((2,), -inf, dtype=x.dtype)", f16())
case("full_largest/i32", "torch.full((2,), 2**31 - 1, dtype=x.dtype)", i32())
case("full_largest/i64", "torch.full((2,), 2**31 - 1, dtype=x.dtype)", i64())
case("rand_like", "torch.zeros_like(torch.rand_like(x))", f16(2, 3))
case("randn_like", "torch.zeros_like(torch.randn_like(x))", f64(0, 3))
case("empty_none", "torch.empty(0, 3)")
case("empty_like", "torch.zeros_like(x)", i32(2, 3))
case("arange_big", "torch.arange(300)")
case("arange_far", "torch.arange(10, 11, 0.3)")
case("eye_none", "torch.eye(0, 2)")
case("tri", "torch.ones(3, 4).tril().bool()")
case("tri_above", "torch.ones(3, 4).tril(1).bool()")
case("tri_below", "torch.ones(4, 3).tril(-2).bool()")

# ---- Elementwise, of one tensor -------------------------------------------------------------------------------------
section("unary")
SPECIAL = [nan, inf, -inf, 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 30.0, -30.0, 100.0, -100.0]
EXTREMES = [-300.0, -100.0, -88.0, -20.0, 20.0, 88.0, 100.0, 300.0]
# Where a formula meets the ends of its domain, and of its type's range: values, and gradients.
ENDS = [nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 1e-40, -1e-40, 1e-30, 3.4028235e38, -3.4028235e38, 1e20, -1e20]
KINKS = [-7.0, -6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 7.0]


def unary(name, expression, low=-2, high=2, kinks=False, ints=False, bools=False, extremes=False, nan_has_slope=True):
    """One function over the floating-point types, and where PyTorch has it over integers and bools."""
    case(name + "/empty", expression, f32(0, 3))
    if extremes:
        case(name + "/extremes", expression, given(EXTREMES))
        case(name + "/extremes_f64", expression, given([10 * v for v in EXTREMES], "float64"))
    case(name, expression, f32(3, 4, low=low, high=high))
    case(name + "/f64", expression, f64(5, low=low, high=high))
    case(name + "/f16", expression, f16(6, low=low, high=high))
    case(name + "/bf16", expression, bf16(6, low=low, high=high))
    case(name + "/special", expression, given(SPECIAL), grad=False)
    case(name + "/ends", expression, given(ENDS if nan_has_slope else ENDS[1:]))
    for dtype in ("float64", "float16", "bfloat16"):
        case(f"{name}/special_{dtype}", expression, given(SPECIAL, dtype), grad=False)
    if kinks:
        case(name + "/kinks", expression, given(KINKS))
    if ints:
        case(name + "/i32", expression, i32(6, low=max(-5, low)))
        case(name + "/i64", expression, i64(6, low=max(-5, low)))
        case(name + "/u8", expression, u8(6, low=max(0, low)))
    if bools:
        case(name + "/bool", expression, b1(4))


unary("neg", "-x", ints=True)
unary("reciprocal", "x.reciprocal()", low=0.5, ints=True, bools=True)
unary("square", "x.square()", ints=True)
unary("sqrt", "x.sqrt()", low=0.5, ints=True, bools=True)
unary("rsqrt", "x.rsqrt()", low=0.5, ints=True, bools=True)
unary("abs", "x.abs()", kinks=True, ints=True)
unary("sign", "x.sign()", kinks=True, ints=True, bools=True)
unary("exp", "x.exp()", ints=True, bools=True)
unary("exp2", "x.exp2()", ints=True, bools=True)
unary("expm1", "x.expm1()", ints=True, bools=True, extremes=True)
unary("log10", "x.log10()", low=0.5, ints=True, bools=True)
unary("erfc", "x.erfc()", ints=True, bools=True, extremes=True)
unary("log", "x.log()", low=0.5, ints=True, bools=True)
unary("log2", "x.log2()", low=0.5, ints=True, bools=True)
unary("log1p", "x.log1p()", low=-0.5, ints=True, bools=True)
unary("sin", "x.sin()", ints=True, bools=True)
unary("cos", "x.cos()", ints=True, bools=True)
unary("tan", "x.tan()", low=-1, high=1, ints=True, bools=True)
unary("sinh", "x.sinh()", ints=True, bools=True)
unary("cosh", "x.cosh()", ints=True, bools=True)
unary("tanh", "x.tanh()", ints=True, bools=True, extremes=True)
unary("erf", "x.erf()", ints=True, bools=True, extremes=True)
unary("asin", "x.asin()", low=-0.9, high=0.9, ints=True, bools=True)
unary("acos", "x.acos()", low=-0.9, high=0.9, ints=True, bools=True)
unary("atan", "x.atan()", kinks=True, ints=True, bools=True, extremes=True)
unary("asinh", "x.asinh()", kinks=True, ints=True, bools=True)
unary("acosh", "x.acosh()", low=1.25, high=4, ints=True, bools=True)
unary("atanh", "x.atanh()", low=-0.9, high=0.9, ints=True, bools=True)
unary("sigmoid", "x.sigmoid()", ints=True, bools=True, extremes=True)
unary("floor", "x.floor()", kinks=True, ints=True)
unary("ceil", "x.ceil()", kinks=True, ints=True)
unary("round", "x.round()", kinks=True, ints=True)
unary("trunc", "x.trunc()", kinks=True, ints=True)
unary("isnan", "x.isnan()", ints=True, bools=True)
unary("isinf", "x.isinf()", ints=True, bools=True)
unary("isfinite", "x.isfinite()", ints=True, bools=True)
unary("logical_not", "x.logical_not()", kinks=True, ints=True, bools=True)
unary("relu", "x.relu()", kinks=True, ints=True, extremes=True)
unary("relu6", "F.relu6(x)", kinks=True, extremes=True)
unary("logsigmoid", "F.logsigmoid(x)", extremes=True)
unary("silu", "F.silu(x)", extremes=True)
unary("mish", "F.mish(x)", extremes=True)
unary("gelu", "F.gelu(x, approximate='tanh')", extremes=True)
unary("gelu_erf", "x * 0.5 * (1 + (x / 2**0.5).erf())", extremes=True)  # F.gelu(inf) is NaN or inf, depending on the tensor's size
unary("quick_gelu", "x * (x * 1.702).sigmoid()", extremes=True)
unary("hardswish", "F.hardswish(x)", kinks=True, extremes=True, nan_has_slope=False)  # PyTorch hands the gradient on
unary("hardsigmoid", "F.relu6(x + 3) / 6", kinks=True, extremes=True)  # F.hardsigmoid multiplies by a float32 1/6, in float64 too
unary("softsign", "F.softsign(x)", kinks=True, extremes=True)
unary("selu", "F.selu(x)", kinks=True, extremes=True)
unary("leaky_relu", "F.leaky_relu(x)", kinks=True, extremes=True)
unary("leaky_relu_slope", "F.leaky_relu(x, 0.3)", kinks=True)
unary("elu", "F.elu(x)", kinks=True, extremes=True)
unary("elu_alpha", "F.elu(x, 0.7)", kinks=True)
unary("celu", "F.celu(x)", kinks=True, extremes=True)
unary("celu_alpha", "F.celu(x, 0.5)", kinks=True)  # 1 / alpha is a float32 in PyTorch: let it be exact
unary("softplus", "F.softplus(x)", extremes=True)
unary("softplus_beta", "F.softplus(x, 3)")
unary("hardtanh", "F.hardtanh(x)", kinks=True, extremes=True)
unary("hardtanh_range", "F.hardtanh(x, -0.5, 3)", kinks=True)
unary("clamp", "x.clamp(-0.5, 1)", kinks=True)
unary("clamp_low", "x.clamp(min=1)", kinks=True, ints=True, bools=True)
unary("clamp_high", "x.clamp(max=1)", kinks=True, ints=True, bools=True)
for start in ("uint8", "int32", "int64"):
    values = given([0, 1, 2, 100, 200], start)
    case("clamp/" + start, "x.clamp(-0.5, 1)", values)
    if start != "uint8":  # where PyTorch's -1 becomes 255
        case("hardtanh/" + start, "F.hardtanh(x)", values)
    case("clamp_beyond/" + start, "x.clamp(-1, 300)", values)
case("clamp_wide", "x.clamp(-(2**40), 2**40)", given([-(2**31), 0, 2**31 - 1], "int32"))

# Near 0 the ratio shows how many digits are right, and far away nothing may overflow on the way.
SMALL = [1e-30, 1e-12, 1e-8, -1e-7, 3e-6, -2e-4, 1e-3, 0.02, -0.3]
for name in ("log1p", "asin", "atan", "asinh", "atanh", "sinh", "tanh", "sin", "tan", "erf", "expm1"):
    case(f"{name}_ratio/f32", f"x.{name}() / x", given(SMALL), grad=False)
    case(f"{name}_ratio/f64", f"x.{name}() / x", given(SMALL, "float64"), grad=False)
for name in ("asinh", "atanh", "log1p", "sinh"):
    case(name + "/small", f"x.{name}()", given(SMALL + [0.0]))
for name in ("asin", "acos"):
    case(name + "/near_1", f"x.{name}()", given([0.999, -0.999, 1.0, -1.0, 1.5]))
case("acosh/near_1", "x.acosh()", given([1.0000001, 1.00001, 1.001, 1.1]), grad=False)
case("acosh/far", "x.acosh()", given([1e3, 1e10, 1e18, 1e30]))
case("asinh/far", "x.asinh()", given([-1e3, 1e10, 1e18, -1e18]))
case("asinh/farther", "x.asinh()", given([1e30, -1e30, 1e38]))
case("asinh/far_f64", "x.asinh()", given([1e3, -1e10, 1e100], "float64"))
case("atanh/near_1", "x.atanh()", given([0.999, -0.999, 0.99999, -0.99999, 1.0, -1.0]), grad=False)

# Integers wrap to their width; the lowest has no positive counterpart.
WRAPS = {"uint8": [0, 1, 2, 100, 128, 200, 255],
         "int32": [-(2**31), -(2**31) + 1, -70000, -1, 0, 1, 70000, 2**31 - 1],
         "int64": [-(2**63), -(2**63) + 1, -(2**32) - 5, -1, 0, 1, 2**32 + 5, 2**63 - 1]}
for dtype, values in WRAPS.items():
    for name in ("neg", "abs", "square", "sign"):
        case(f"{name}/{dtype}_wrap", f"x.{name}()", given(values, dtype))

# 1 / -0 is -inf: this shows the sign of a zero, which == does not.
for name in ("neg", "abs", "floor", "ceil", "round", "trunc", "sqrt", "sin", "tanh"):
    case("signed_zero_" + name, f"1 / x.{name}()", given([0.0, -0.0]), grad=False)

# A fraction is cut towards zero; integers wrap. What PyTorch leaves undefined (a float outside the integer's range) is
# not asked for.
for to in DTYPES:
    for start in DTYPES:
        values = {"bool": [False, True], "uint8": [0, 1, 200]}.get(start, [0, 1, 100, -1, -100])
        if start in ("int32", "int64"):
            values = values + [300, -129, 70000]
        if DTYPES[start] in (f16, bf16, f32, f64):
            values = [0, 0.3, 1.5, 100.25] + ([-1.7, -0.5] if to != "uint8" else [])
        case(f"cast_{to}/{start}", f"x.to(torch.{to})", given(values, start))
case("cast_int32/wrap", "x.to(torch.int32)", given([2**31, -(2**31) - 1, 2**40 + 5], "int64"))
case("cast_bool/special", "x.to(torch.bool)", given(SPECIAL), grad=False)
case("cast_float16/range", "x.to(torch.float16)", given([65504.0, 65519.0, 65520.0, 1e-7, 3e-8, 2e-8, 6.1e-5]))
case("cast_bfloat16/range", "x.to(torch.bfloat16)", given([3.4e38, 1.00390625, 1.01171875, 1e-40, -nan]), grad=False)

# ---- Elementwise, of two tensors ------------------------------------------------------------------------------------
section("binary")
GRID = [nan, inf, -inf, 0.0, -0.0, 1.0, -2.5, 3.0]
INTS = [-7, -3, -2, -1, 0, 1, 2, 3, 7]


def column(values, dtype="float32"):
    return given([[v] for v in values], dtype)


def binary(name, expression, low=-2, floats=True, ints=True, zero=True, bools=False, grad=True):
    """One operation on equal and broadcast shapes, on all pairs of special values, and on integers."""
    if floats:
        case(name, expression, f32(3, 4), f32(3, 4, low=low), grad=grad)
        case(name + "/f64", expression, f64(5), f64(5, low=low), grad=grad)
        case(name + "/f16", expression, f16(5), f16(5, low=low), grad=grad)
        case(name + "/bf16", expression, bf16(5), bf16(5, low=low), grad=grad)
        case(name + "/row", expression, f32(3, 4), f32(4, low=low), grad=grad)
        case(name + "/column", expression, f32(3, 1), f32(1, 4, low=low), grad=grad)
        case(name + "/longer", expression, f32(3), f32(2, 1, 3, low=low), grad=grad)
        case(name + "/number", expression, f32(2, 3), f32(low=low), grad=grad)
        case(name + "/numbers", expression, f32(), f32(low=low), grad=grad)
        case(name + "/empty", expression, f32(0, 3), f32(1, 3, low=low), grad=grad)
        case(name + "/special", expression, column(GRID), given(GRID), grad=False)
    if ints:
        divisors = [v for v in INTS if v or zero]
        for dtype in ("int32", "int64"):
            case(f"{name}/{dtype}", expression, column(INTS, dtype), given(divisors, dtype))
        case(name + "/uint8", expression, column([0, 1, 7, 200, 255], "uint8"), given([1, 2, 7, 100, 255], "uint8"))
    if bools:
        case(name + "/bool", expression, column([False, True], "bool"), given([False, True], "bool"))


binary("add", "x + y", bools=True)
binary("sub", "x - y")
binary("mul", "x * y", bools=True)
binary("div", "x / y", low=0.5, bools=True)
binary("floor_divide", "x // y", low=0.5, zero=False, grad=False)
binary("remainder", "x % y", low=0.5, zero=False)
binary("fmod", "x.fmod(y)", low=0.5, zero=False)
binary("maximum", "x.maximum(y)", bools=True)
binary("minimum", "x.minimum(y)", bools=True)
binary("less", "x < y", bools=True)
binary("less_equal", "x <= y", bools=True)
binary("greater", "x > y", bools=True)
binary("greater_equal", "x >= y", bools=True)
binary("equal", "x == y", bools=True)
binary("not_equal", "x != y", bools=True)
binary("and", "x & y", floats=False, bools=True)
binary("or", "x | y", floats=False, bools=True)
binary("xor", "x ^ y", floats=False, bools=True)
case("shift_left/int32", "x << y", column([-7, -1, 0, 1, 5], "int32"), given([0, 1, 5, 20], "int32"))
case("shift_left/int64", "x << y", column([-7, -1, 0, 1, 5], "int64"), given([0, 1, 5, 40], "int64"))
case("shift_left/uint8", "x << y", column([0, 1, 5, 200], "uint8"), given([0, 1, 5, 7], "uint8"))
case("shift_right/int32", "x >> y", column([-70, -1, 0, 1, 500], "int32"), given([0, 1, 5, 31], "int32"))
case("shift_right/int64", "x >> y", column([-70, -1, 0, 1, 500], "int64"), given([0, 1, 5, 63], "int64"))
case("shift_right/uint8", "x >> y", column([0, 1, 5, 200], "uint8"), given([0, 1, 5, 7], "uint8"))
case("maximum/ties", "x.maximum(y)", given([1.0, 2.0, 3.0]), given([1.0, 3.0, 3.0]))
case("minimum/ties", "x.minimum(y)", given([1.0, 2.0, 3.0]), given([1.0, 3.0, 3.0]))
case("floor_divide/rounding", "x // y", given([1.0, -1.0, 6.0]), given([0.1, 0.1, 0.2]), grad=False)
case("floor_divide/zero", "x // y", given([1.0, -1.0, 0.0]), given([0.0, 0.0, 0.0]), grad=False)

# Integers wrap to their width. (The lowest integer divided by -1 stops PyTorch's process.)
for dtype, values in WRAPS.items():
    for name, expression in {"add": "x + y", "sub": "x - y", "mul": "x * y", "maximum": "x.maximum(y)", "less": "x < y",
                             "equal": "x == y", "and": "x & y", "xor": "x ^ y"}.items():
        case(f"{name}/{dtype}_wrap", expression, column(values, dtype), given(values, dtype))
    divisors = given([v for v in values if v not in (0, -1)], dtype)
    case(f"floor_divide/{dtype}_wrap", "x // y", column(values, dtype), divisors)
    case(f"remainder/{dtype}_wrap", "x % y", column(values, dtype), divisors)
    case(f"fmod/{dtype}_wrap", "x.fmod(y)", column(values, dtype), divisors)
    case(f"pow/{dtype}_wrap", "x.pow(y)", column(values, dtype), given([0, 1, 2, 3, 7, 40], dtype))
    bits = {"uint8": 8, "int32": 32, "int64": 64}[dtype]
    beyond = given([1, bits - 1, bits, bits + 1, 200], dtype)
    case(f"shift_left/{dtype}_beyond", "x << y", column(values, dtype), beyond)
    case(f"shift_right/{dtype}_beyond", "x >> y", column(values, dtype), beyond)
    if dtype != "uint8":  # where PyTorch's 300 becomes 44
        case(f"plus_300/{dtype}", "x + 300", given(values, dtype))
        case(f"below_300/{dtype}", "x < 300", given(values, dtype))
case("shift_left/negative", "x << y", given([5, -5], "int32"), given([-1, -1], "int32"))
case("shift_right/negative", "x >> y", given([5, -5], "int32"), given([-1, -1], "int32"))
case("div/int64_zero", "x / y", given([-1, 0, 1], "int64"), given([0, 0, 0], "int64"))
case("div/bool_zero", "x / y", given([False, True], "bool"), given([False, False], "bool"))

# A 16-bit float is rounded where it is stored: what does not fit is infinite, what is too small is 0.
LIMITS = {"float16": [6e-8, -1e-4, 1.0, -300.0, 65504.0], "bfloat16": [1e-39, -1e-20, 1.0, -1e30, 3e38]}
for dtype, values in LIMITS.items():
    for name, expression in {"add": "x + y", "sub": "x - y", "mul": "x * y", "div": "x / y"}.items():
        case(f"{name}/{dtype}_limits", expression, column(values, dtype), given(values, dtype), grad=False)

POWERS = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]
case("pow", "x.pow(y)", f32(3, 4, low=0.25), f32(3, 4))
case("pow/f64", "x.pow(y)", f64(5, low=0.25), f64(5))
case("pow/f16", "x.pow(y)", f16(5, low=0.25), f16(5))
case("pow/broadcast", "x.pow(y)", f32(3, 1, low=0.25), f32(2))
case("pow/signs", "x.pow(y)", column(POWERS), given(POWERS))
case("pow/zero", "x.pow(y)", given([0.0, 0.0, 0.0, 0.0, -0.0, 2.0]), given([0.0, 0.5, 1.0, 2.0, 3.0, 0.0]))
case("pow/special", "x.pow(y)", column(GRID), given(GRID), grad=False)
case("pow/int64", "x.pow(y)", column([-3, -2, -1, 0, 1, 2, 7], "int64"), given([-2, -1, 0, 1, 2, 5, 30], "int64"))
case("pow/int32", "x.pow(y)", column([-3, 1, 2, 7], "int32"), given([0, 1, 5, 30], "int32"))
case("pow/uint8", "x.pow(y)", column([0, 1, 2, 7], "uint8"), given([0, 1, 5, 9], "uint8"))
case("pow_0", "x**0", given(POWERS))
case("pow_1", "x**1", given(POWERS))
case("pow_2", "x**2", given(POWERS))
case("pow_3", "x**3", given(POWERS))
case("pow_half", "x**0.5", given(POWERS[3:]))
case("pow_third", "x**0.3", given(GRID + POWERS), grad=False)
case("pow_minus_1", "x**-1", given(POWERS))
case("pow_minus_2", "x**-2.0", given(POWERS))

# Numbers of the program text take the tensor's type, unless they are fractions and it holds integers.
for dtype, make in DTYPES.items():
    case("plus_2/" + dtype, "x + 2", make(3))
    case("plus_half/" + dtype, "x + 0.5", make(3))
    case("half_times/" + dtype, "0.5 * x", make(3))
    case("divided_by_2/" + dtype, "x / 2", make(3))
    case("below_half/" + dtype, "x < 0.5", make(4))
    case("equals_1/" + dtype, "x == 1", make(4))
    if dtype != "bool":
        case("2_minus/" + dtype, "2 - x", make(3))
        case("remainder_3/" + dtype, "x % 3", make(4))
        if dtype != "uint8":
            case("minus_3_remainder/" + dtype, "-3 % x", make(4, low=1), grad=False)
        case("maximum_1/" + dtype, "x.maximum(torch.ones((), dtype=x.dtype))", make(4))
        case("minimum_1/" + dtype, "x.minimum(torch.ones((), dtype=x.dtype))", make(4))
case("1_over/f32", "1 / x", given([0.0, -0.0, 2.0, -4.0, inf]))
case("1_over/i64", "1 / x", given([0, 2, -4], "int64"))
case("over_0/f32", "x / 0", given([0.0, -0.0, 2.0, -4.0, nan]))
case("over_0/i32", "x / 0", given([0, 2, -4], "int32"))
case("7_and", "7 & x", i32(5))
case("or_true", "x | True", b1(3))
case("xor_3", "x ^ 3", u8(4))
case("1_shifted", "1 << x", i64(4, low=0))
case("shifted_1", "x >> 1", i32(4))

# Two dtypes meet: every pair, both ways round, but where one side has no such operation.
for first, make in DTYPES.items():
    for second, other in DTYPES.items():
        pair = first + "+" + second
        bits = not {first, second} & {"float16", "bfloat16", "float32", "float64"}
        case("add/" + pair, "x + y", make(3), other(3))
        case("mul/" + pair, "x * y", make(3), other(3))
        case("div/" + pair, "x / y", make(3), other(3, low=1))
        case("maximum/" + pair, "x.maximum(y)", make(3), other(3))
        case("minimum/" + pair, "x.minimum(y)", make(3), other(3))
        case("where/" + pair, "torch.where(x, y, z)", b1(4), make(4), other(4))
        for name, sign in {"less": "<", "less_equal": "<=", "greater": ">", "equal": "==", "not_equal": "!="}.items():
            case(f"{name}/{pair}", f"x {sign} y", make(3), other(3))
        if bits:
            for name, sign in {"and": "&", "or": "|", "xor": "^"}.items():
                case(f"{name}/{pair}", f"x {sign} y", make(3), other(3))
        if "bool" not in (first, second):
            case("sub/" + pair, "x - y", make(3), other(3))
        if (first, second) == ("bool", "bool"):
            continue
        case("floor_divide/" + pair, "x // y", make(4), other(4, low=1), grad=False)
        case("remainder/" + pair, "x % y", make(4), other(4, low=1))
        case("fmod/" + pair, "x.fmod(y)", make(4), other(4, low=1))
        case("pow/" + pair, "x.pow(y)", make(4, low=1), other(4, low=1), grad=False)  # of a 16-bit result's accuracy
        if bits:
            case("shift_left/" + pair, "x << y", make(3), other(3, low=0))
            case("shift_right/" + pair, "x >> y", make(3), other(3, low=0))


# A tensor without axes widens nothing of its own kind: it is a scalar, with gradients.
case("add/f16+f32_number", "x + y", f16(3), f32())
case("add/f32_number+f16", "x + y", f32(), f16(3))
case("add/f32+f64_number", "x + y", f32(2, 2), f64())
case("add/bf16+f16_number", "x + y", bf16(3), f16())
case("add/i32+i64_number", "x + y", i32(3), i64())
case("add/i32+f64_number", "x + y", i32(3), f64())
case("add/bool+u8_number", "x + y", b1(3), u8())
case("add/f16_number+f32_number", "x + y", f16(), f32())
case("div/i32:i64_number", "x / y", i32(3), i64(low=1))
case("maximum/f16,f32_number", "x.maximum(y)", f16(3), f32())
case("pow/f16,f32_number", "x.pow(y)", f16(3, low=0.5), f32(), grad=False)  # of y a float32, but of float16 accuracy
case("where/f16?f32_number", "torch.where(x, y, z)", b1(3), f16(3), f32())

for dtype, make in DTYPES.items():
    case("number_equals/" + dtype, "x == y", make(4), make())
    case("masked_fill_2/" + dtype, "x.masked_fill(y, 2)", make(4), b1(4))
    case("masked_fill_fraction/" + dtype, "x.masked_fill(y, 1.5)", make(4), b1(4))
    case("where_2/" + dtype, "torch.where(x, y, 2)", b1(4), make(4))
    case("where_right_fraction/" + dtype, "torch.where(x, y, 0.5)", b1(4), make(4))
    case("2_to_the/" + dtype, "2**x", make(4, low=0), grad=False)
    if dtype != "bool":
        case("pow_2/" + dtype, "x**2", make(4))
        case("pow_half/" + dtype, "x**0.5", make(4, low=1))

case("where", "torch.where(x, y, z)", b1(3, 4), f32(3, 4), f32(3, 4))
case("where/broadcast", "torch.where(x, y, z)", b1(3, 1), f32(4), f32(2, 1, 1))
case("where_permuted", "torch.where(x > 0, y, z).permute(1, 0)", f32(3, 4), f32(3, 4), f32(3, 4))
case("where/nan", "torch.where(x, y, z)", given([True, False], "bool"), given([1.0, nan]), given([inf, 2.0]))
case("where_right", "torch.where(x, y, -1)", b1(3, 4), f32(3, 4))
case("where_right/int", "torch.where(x, y, -1)", b1(4), i32(4))
case("where_right_fraction", "torch.where(x, y, 0.5)", b1(4), i32(4))
case("where_left", "torch.where(x, 0.5, y)", b1(3, 1), f32(4))
case("where_left/f16", "torch.where(x, 0.5, y)", b1(4), f16(4))
case("masked_fill", "x.masked_fill(y, -inf)", f32(3, 4), b1(3, 4))
case("masked_fill/row", "x.masked_fill(y, -inf)", f32(3, 4), b1(4))
case("lerp", "x.lerp(y, 0.25)", f32(3, 4), f32(3, 4))
case("lerp/f64", "x.lerp(y, 0.25)", f64(3), f64(3))
case("lerp_weights", "x.lerp(y, z)", f32(3, 4), f32(3, 4), f32(3, 4))
case("lerp_weights/f64", "x.lerp(y, z)", f64(3), f64(3), f64(3))
case("lerp_weights/f16", "x.lerp(y, z)", f16(5), f16(5), f16(5, low=0, high=1))
case("lerp_weights/broadcast", "x.lerp(y, z)", f32(3, 1), f32(4), f32(2, 1, 1))
case("lerp_weights/number", "x.lerp(y, z)", f32(3), f32(3), f32())
case("infinite_below", "torch.where(x < 0, -inf, x)", f32(3, 4))
case("nan_at", "(x - x).div(x - x) + y", given([1.0, 2.0]), given([1.0, inf]), grad=False)
case("in_place", "((x + y) * y - x) / y", f32(3, 4), f32(4, low=1))
case("reused", "(lambda t: t * t.exp() + t / (t * t + 1))(x * y)", f32(3, 4), f32(4))
case("many", "((x + y) * x - y / 2).exp().sin() + (x < y).to(x.dtype) * y", f32(3, 4), f32(4))
case("twice", "x * x + x", f32(3, 4))

# ---- Movement -------------------------------------------------------------------------------------------------------
section("movement")
X = f32(2, 3, 4)
case("reshape", "x.reshape(4, 6)", X)
case("reshape_rest", "x.reshape(3, -1)", X)
case("reshape_none", "x.reshape(())", f32(1, 1))
case("reshape_empty", "x.reshape(0, 5)", f32(3, 0))
case("reshape_permuted", "x.permute(2, 0, 1).reshape(2, 12)", X)
case("permute", "x.permute(2, 0, 1)", X)
case("permute_negative", "x.permute(0, -1, -2)", X)
case("permute_none", "x.permute(())", f32())
case("transpose", "x.transpose(-2, -1)", X)
case("transpose_axes", "x.transpose(0, -1)", X)
case("t", "x.t()", f32(2, 3))
case("flatten", "x.flatten()", X)
case("flatten/number", "x.flatten()", f32())
case("flatten_from", "x.flatten(1)", X)
case("flatten_to", "x.flatten(0, -2)", X)
case("unflatten", "x.unflatten(1, (2, 3))", f32(2, 6))
case("unflatten_rest", "x.unflatten(-1, (-1, 2))", f32(2, 6))
case("squeeze", "x.squeeze()", f32(1, 3, 1))
case("squeeze_axis", "x.squeeze(-1)", f32(1, 3, 1))
case("squeeze_axis/nothing", "x.squeeze(-1)", f32(1, 3))
case("unsqueeze", "x.unsqueeze(1)", f32(2, 3))
case("unsqueeze_last", "x.unsqueeze(-1)", f32(2, 3))
case("expand", "x.expand(2, 3, 4)", f32(3, 1))
case("expand_keep", "x.expand(2, -1, 4)", f32(3, 1))
case("expand_number", "x.expand(2, 2)", f32())
case("expand_empty", "x.expand(0, 3)", f32(1, 3))
case("repeat", "x.repeat(2, 3)", f32(2, 3))
case("repeat_new", "x.repeat(2, 1, 2)", f32(2, 3))
case("repeat_zero", "x.repeat(0, 2)", f32(2, 3))
case("flip", "x.flip(0, 2)", X)
case("flip/int", "x.flip(0, 2)", i32(2, 1, 3))
case("flip_axis", "x.flip(-1)", X)
case("pad", "F.pad(x, (1, 2, 3, 0))", f32(2, 3))
case("pad_value", "F.pad(x, (1, 0, 0, 2), value=7)", f32(2, 3))
case("pad_infinite", "F.pad(x, (1, 1), value=-inf)", f32(3))
case("pad_negative", "F.pad(x, (-1, 2, 1, -1))", f32(3, 4))
case("pad_negative_value", "F.pad(x, (-1, 2, 1, -1), value=0.5)", f32(3, 4))
case("pad_exp", "F.pad(x, (1, 1)).exp()", f32(3))
case("pad_divide", "1 / F.pad(x, (1, 1))", f32(3, low=1), grad=False)
case("pad_twice", "F.pad(F.pad(x, (1, 1)).cos(), (2, 0))", f32(3))

# The borders that repeat elements of the inside. PyTorch pads the last axes of (N, C, ..) alone: two stand in front.
for mode in ("reflect", "replicate", "circular"):
    pads = {mode: "(2, 3)", mode + "_sides": "(0, 1, 2, 0)", mode + "_cut": "(-1, 2, 1, -1)", mode + "_most": "(3, 3)"}
    for name, amounts in pads.items():
        shape = (3, 4) if amounts.count(",") == 3 else (4,)
        case("pad_" + name, f"F.pad(x[None, None], {amounts}, mode='{mode}')[0, 0]", f32(*shape))
        case(f"pad_{name}/f16", f"F.pad(x[None, None], {amounts}, mode='{mode}')[0, 0]", f16(*shape))
        case(f"pad_{name}/i64", f"F.pad(x[None, None], {amounts}, mode='{mode}')[0, 0]", i64(*shape))
case("pad_replicate/one", "F.pad(x[None, None], (2, 3), mode='replicate')[0, 0]", f32(1))
case("pad_circular/bool", "F.pad(x[None, None], (2, 3), mode='circular')[0, 0]", b1(4))
case("pad_reflect_far_cut", "F.pad(x[None, None], (-2, 3), mode='reflect')[0, 0]", f32(4))
case("pad_replicate_far_cut", "F.pad(x[None, None], (3, -3), mode='replicate')[0, 0]", f32(4))

case("shrink", "x[1:2, 0:2, 1:4]", X)
case("shrink_empty", "x[1:1, 0:2]", f32(2, 3))
case("unfold", "x.unfold(1, 3, 2)", f32(2, 7))
case("unfold_overlap", "x.unfold(-1, 3, 1)", f32(2, 5))
case("unfold_gaps", "x.unfold(0, 2, 3)", f32(8, 2))
case("unfold_dilated", "x.unfold(1, 5, 2)[..., ::2]", f32(2, 9))
case("unfold_twice", "x.unfold(0, 2, 1).unfold(1, 3, 2)", f32(4, 5))
case("diagonal", "x.diagonal()", f32(3, 3))
case("diagonal_axes", "x.diagonal(0, 0, 2)", f32(3, 2, 3))
case("roll", "x.roll(1, 0)", f32(3, 4))
case("roll_back", "x.roll(-2, 1)", f32(3, 4))
case("roll_around", "x.roll(5, 1)", f32(3, 4))
case("roll/empty", "x.roll(1, 0)", f32(0, 3))
case("roll_flat", "x.roll(2)", f32(2, 3))
case("roll_axes", "x.roll((1, -2), (0, 1))", f32(3, 4))
case("diagonal/wide", "x.diagonal()", f32(2, 4))
case("diagonal/tall", "x.diagonal()", f32(4, 2))
case("diagonal/batch", "x.diagonal()", f32(2, 3, 2))
case("diagonal_above", "x.diagonal(1)", f32(3, 4))
case("diagonal_below", "x.diagonal(-2)", f32(3, 4))
case("diagonal_below/outside", "x.diagonal(-2)", f32(1, 4))
case("detach", "x.detach() * x", f32(2, 3))
case("contiguous", "x.t().contiguous()", f32(2, 3))
case("tril", "x.tril()", f32(3, 4))
case("tril/batch", "x.tril()", f32(2, 3, 3))
case("tril/nan", "x.tril()", given([[1.0, nan], [inf, 2.0]]))
case("tril_below", "x.tril(-1)", f32(3, 4))
case("triu", "x.triu()", f32(4, 3))
case("triu_above", "x.triu(2)", f32(3, 4))

case("cat", "torch.cat([x, y])", f32(2, 3), f32(1, 3))
case("cat/empty", "torch.cat([x, y])", f32(0, 3), f32(2, 3))
case("cat_axis", "torch.cat([x, y, x], -1)", f32(2, 3), f32(2, 1))
case("cat_views", "torch.cat([x.t(), x.flip(0).t()], 1)", f32(2, 3))
case("cat_nested", "torch.cat([torch.cat([x, y]).exp(), x * 2])", f32(2, 2), f32(1, 2))
case("stack", "torch.stack([x, y])", f32(2, 3), f32(2, 3))
case("stack_last", "torch.stack([x, y], -1)", f32(2, 3), f32(2, 3))
case("stack/numbers", "torch.stack([x, y])", f32(), f32())
case("split_first", "x.split(2)[0]", f32(5, 2))
case("split_last", "x.split(2)[2]", f32(5, 2))
case("split/empty", "torch.tensor(len(x.split(2)))", f32(0, 3))
case("split_sizes", "torch.cat(x.split([1, 3, 0, 2])[::-1])", f32(6, 2))
case("split_sizes_axis", "x.split([3, 1], -1)[1]", f32(2, 4))
case("split_axis", "torch.cat([x.split(2, -1)[1], x.split(2, -1)[0]], 1)", f32(2, 4))
case("chunk", "x.chunk(3)[1]", f32(7, 2))
case("chunk_last", "x.chunk(3, 1)[2]", f32(2, 7))
case("chunk_few", "torch.tensor(len(x.chunk(4)))", f32(5))

case("meshgrid", "torch.cat(torch.meshgrid(x, y, indexing='ij'), 1)", f32(3), f32(2))
case("meshgrid/number", "torch.cat(torch.meshgrid(x, y, indexing='ij'), 1)", f32(3), f32())
case("meshgrid/empty", "torch.cat(torch.meshgrid(x, y, indexing='ij'), 1)", f32(3), f32(0))
case("meshgrid_xy", "torch.cat(torch.meshgrid(x, y, indexing='xy'), 1)", f32(3), f32(2))
case("meshgrid_three", "torch.stack(torch.meshgrid(x, y, z, indexing='xy'))", f32(3), f32(2), f32(2))
case("meshgrid_one", "torch.meshgrid(x, indexing='xy')[0]", i64(3))

# Every type through everything that moves, and nothing of it, too.
MOVES = {
    "permute": ("x.permute(2, 0, 1)", (2, 3, 2)), "reshape": ("x.reshape(4, 6)", (2, 12)),
    "expand": ("x.expand(2, 3, 4)", (3, 1)), "repeat": ("x.repeat(2, 3)", (2, 2)), "flip": ("x.flip(0, 2)", (2, 1, 3)),
    "pad": ("F.pad(x, (1, 2, 3, 0))", (1, 2)), "pad_value": ("F.pad(x, (1, 0, 0, 2), value=7)", (2, 2)),
    "pad_fraction": ("F.pad(x, (1, 1), value=2.5)", (2,)), "unfold_overlap": ("x.unfold(-1, 3, 1)", (2, 4)),
    "diagonal": ("x.diagonal()", (3, 3)), "roll": ("x.roll(1, 0)", (3, 2)), "tril": ("x.tril()", (3, 3)),
    "triu": ("x.triu()", (2, 3)), "chunk": ("x.chunk(3)[1]", (5,)), "contiguous": ("x.t().contiguous()", (2, 3))}
NOTHING = {
    "reshape_rest": ("x.reshape(3, -1)", (3, 0)), "permute": ("x.permute(2, 0, 1)", (2, 0, 3)),
    "flip": ("x.flip(0, 2)", (2, 0, 3)), "repeat": ("x.repeat(2, 3)", (0, 2)), "pad": ("F.pad(x, (1, 2, 3, 0))", (0, 2)),
    "pad_value": ("F.pad(x, (1, 0, 0, 2), value=7)", (2, 0)), "tril": ("x.tril()", (0, 3)),
    "transpose": ("x.transpose(-2, -1)", (0, 3)), "flatten": ("x.flatten()", (2, 0)), "squeeze": ("x.squeeze()", (1, 0, 1)),
    "unflatten_none": ("x.unflatten(0, (0, 3))", (0,)), "diagonal": ("x.diagonal()", (0, 3)), "chunk": ("x.chunk(3)[1]", (0,))}
for name, (expression, shape) in NOTHING.items():
    case(f"{name}/nothing", expression, f32(*shape))
for dtype, make in DTYPES.items():
    for name, (expression, shape) in MOVES.items():
        case(f"{name}/{dtype}", expression, make(*shape))
    case("stack_last/" + dtype, "torch.stack([x, y], -1)", make(3), make(3))
    for second, other in DTYPES.items():
        case(f"cat/{dtype}+{second}", "torch.cat([x, y])", make(2), other(1))

# ---- Indexing -------------------------------------------------------------------------------------------------------
section("indexing")
# Slices as in Python. PyTorch has no negative step, so these are written with a flip.
case("index", "x[1]", X)
case("index_negative", "x[-1]", X)
case("index_all", "x[1, 2, 3]", X)
case("index_columns", "x[:, 1]", X)
case("slice", "x[1:3]", f32(5, 2))
case("slice_open", "x[2:, :-1]", f32(5, 3))
case("slice_step", "x[::2, 1::3]", f32(5, 5))
case("slice_negative", "x[-3:-1]", f32(5))
case("slice_beyond", "x[-9:2, 3:99]", f32(5, 5))
case("slice_empty", "x[4:2]", f32(5, 2))
case("slice_past_end", "x[7:]", f32(5, 2))
case("slice_reverse", "x.flip(0)", f32(5, 2))
case("slice_reverse_step", "x[[3, 1]]", f32(5, 2))
case("slice_reverse_open", "x[[3, 2, 1, 0]]", f32(5))
case("slice_reverse_far", "x[[4, 1]]", f32(5))
case("index_ellipsis", "x[..., 0]", X)
case("index_ellipsis_middle", "x[0, ..., 1:3]", X)
case("index_new_axis", "x[None, :, None, 1]", X)
case("index_mixed", "x[1:, None, ..., -1]", X)
case("index_bools", "x[1, ::2]", b1(2, 5))

# Tensors pick. Numbers select first, tensors that are neighbours stay in their place, others come to the front.
ONE = {"list": given([0, 2, -1, 0], "int64"), "i32": given([1, 0], "int32"), "number": given(-1, "int64"),
       "grid": given([[0, 1, -2], [2, 0, 0]], "int64"), "none": given([], "int64")}
for name, index in ONE.items():
    case("at/" + name, "x[y]", f32(3, 4), index)
    case("at_column/" + name, "x[:, y]", f32(2, 3, 2), index)
    case("at_last/" + name, "x[..., y]", f32(2, 3), index)
    case("at_slice/" + name, "x[1::2, y, :].flip(-1)", f32(4, 3, 2), index)
    case("at_number_first/" + name, "x[0, :, y]", f32(2, 2, 3), index)
    case("at_number_last/" + name, "x[:, y, -1]", f32(2, 3, 2), index)
    case("at_new_axis/" + name, "x[None, y, None]", f32(3, 2), index)
COLUMN = given([[0], [-1]], "int64")
TWO = {"lists": (given([0, 1, -1], "int64"), given([2, 0, 1], "int64")), "outer": (COLUMN, given([0, 2, 1], "int64")),
       "i32": (given([1, 0], "int32"), given([[0, 0]], "int64")), "none": (given([], "int64"), given([0], "int64")),
       "number": (given(1, "int64"), given([0, -1], "int64")), "numbers": (given(1, "int64"), given(-1, "int64"))}
for name, pair in TWO.items():
    case("at_neighbours/" + name, "x[:, y, z]", f32(2, 3, 3), *pair)
    case("at_front/" + name, "x[y, z]", f32(2, 3, 2), *pair)
    case("at_apart/" + name, "x[y, :, z]", f32(2, 2, 3), *pair)
    case("at_apart_ellipsis/" + name, "x[0:2, y, ..., z]", f32(3, 2, 2, 3), *pair)
    case("at_number_between/" + name, "x[y, 1, z]", f32(2, 2, 3), *pair)
    case("at_new_axis_between/" + name, "x[y, None, z]", f32(2, 3), *pair)
    case("at_everything/" + name, "x[1, ::2, y, None, ..., z]", f32(2, 3, 2, 2, 3), *pair)
    case("at_view/" + name, "x.transpose(0, 2)[y, :, z]", f32(3, 2, 2), *pair)
case("at_three", "x[y, z, w]", f32(2, 3, 2), COLUMN, given([0, 2], "int64"), given([1, 1], "int64"))
case("at_three/number", "x[y, z, w]", f32(2, 3, 2), COLUMN, given(-1, "int64"), given([1, 1], "int64"))
case("at_middle", "x[:, y, z, w, :]", f32(2, 2, 3, 2, 2), COLUMN, given([0, 2], "int64"), given([1, 1], "int64"))
case("at_gaps", "x[y, :, z, :, w]", f32(2, 2, 3, 2, 2), COLUMN, given([0, 2], "int64"), given([1, 1], "int64"))
case("at_numbers_between", "x[y, 1, z, 0, w]", f32(2, 2, 3, 2, 2), COLUMN, given([0, 2], "int64"), given([1, 1], "int64"))
case("at_numbers_around", "x[1, y, None, z, 1]", f32(2, 2, 3, 2), COLUMN, given([0, 2], "int64"))
case("at_new_axes_around", "x[None, y, 1, z, None]", f32(2, 2, 3), COLUMN, given([0, 2], "int64"))
case("at_after_ellipsis", "x[..., 1, y, None]", f32(2, 2, 3), COLUMN)
case("at_among_slices", "x[1, :, 1:4:2, y, 0:2]", f32(2, 2, 5, 2, 3), COLUMN)
case("at_one", "x[y]", f32(3), given([[[[2]]]], "int64"))
case("at_twice", "x[y][:, y]", f32(3, 3), given([2, 0, 2], "int64"))

case("gather", "x.gather(0, y)", f32(4, 3), given([[0, 3, 1], [0, 0, 2]], "int64"))
case("gather/int", "x.gather(0, y)", i32(4, 2), given([[0, 3], [1, 1]], "int64"))
case("gather_last", "x.gather(-1, y)", f32(2, 3), given([[2, 2, 0, 1], [0, 1, 1, 1]], "int64"))
case("gather_middle", "x.gather(1, y)", f32(2, 3, 2), given([[[2, 0]], [[1, 1]]], "int64"))
case("gather_middle/fewer", "x.gather(1, y)", f32(4, 3), given([[2], [0]], "int64"))
case("scatter_add", "x.scatter_add(0, y, z)", f32(4, 3), given([[0, 3, 1], [0, 0, 2]], "int64"), f32(2, 3))
case("scatter_add/int", "x.scatter_add(0, y, z)", i64(4, 2), given([[0, 3], [0, 0]], "int64"), i64(2, 2))
case("scatter_add/larger_source", "x.scatter_add(0, y, z)", f32(4, 3), given([[0, 3], [0, 0]], "int64"), f32(2, 3), grad=False)
case("scatter_add_last", "x.scatter_add(-1, y, z)", f32(2, 3), given([[2, 2, 0, 2], [0, 1, 1, 1]], "int64"), f32(2, 4))
case("index_select", "x.index_select(0, y)", f32(4, 3), given([3, 0, 0], "int64"))
case("index_select/i32", "x.index_select(0, y)", f32(4, 3), given([3, 0, 0], "int32"))
case("index_select/none", "x.index_select(0, y)", f32(4, 3), given([], "int64"))
case("index_select_last", "x.index_select(-1, y)", f32(2, 3), given([1, 1, 2, 0], "int64"))
case("embedding", "F.embedding(y, x)", f32(5, 3), given([[4, 0], [0, 2]], "int64"))
case("embedding/one", "F.embedding(y, x)", f32(5, 3), given(3, "int64"))
case("one_hot", "F.one_hot(x, 4)", given([[0, 3], [1, 1]], "int64"))
case("picked_views", "x.t().flip(0).index_select(1, y)", f32(3, 2), given([2, 0, 0], "int64"))
for dtype, make in DTYPES.items():
    case("at/" + dtype, "x[y]", make(3, 2), given([2, -3, 2], "int64"))
    case("at_apart/" + dtype, "x[y, :, z]", make(2, 2, 3), *TWO["outer"])
    case("gather/" + dtype, "x.gather(0, y)", make(4, 2), given([[0, 3], [1, 1]], "int64"))
    case("gather/i32_" + dtype, "x.gather(0, y)", make(4, 2), given([[0, 3], [1, 1]], "int32"))
    case("index_select/" + dtype, "x.index_select(0, y)", make(3, 2), given([2, 0, 2], "int32"))
    case("slice_reverse/" + dtype, "x.flip(0)", make(3, 2))
    case("slice_step/" + dtype, "x[::2, 1::3]", make(3, 5))
    if dtype != "bool":
        case("scatter_add/" + dtype, "x.scatter_add(0, y, z)", make(4, 2), given([[0, 3], [0, 0]], "int64"), make(2, 2))
for dtype in ("uint8", "int32", "int64"):
    case("one_hot/" + dtype, "F.one_hot(x.long(), 4)", given([[0, 3], [1, 1]], dtype))
case("slice/beyond_end", "x[1:3]", f32(1, 2))
case("slice_step/long", "x[::2, 1::3]", f32(1, 2))
case("slice_empty/nothing", "x[4:2]", f32(0, 2))
case("slice_reverse/nothing", "x.flip(0)", f32(0, 2))
case("gather/nothing", "x.gather(0, y)", f32(4, 3), Input("int64", (0, 3), 0, 1))
case("index_select_last/nothing", "x.index_select(-1, y)", f32(0, 3), given([1, 2], "int64"))
case("scatter_add/nothing", "x.scatter_add(0, y, z)", f32(4, 3), Input("int64", (0, 3), 0, 1), f32(0, 3))

# ---- Reductions -----------------------------------------------------------------------------------------------------
section("reductions")


def reduction(name, torch_name=None, makers=(f32, f64, f16, bf16), several=True):
    """One reduction over all axes, one, several, and with its axes kept."""
    call = f"x.{torch_name or name}"
    for make in makers:
        case(f"{name}/{make(1).dtype}", f"{call}()", make(2, 3))
        case(f"{name}_axis/{make(1).dtype}", f"{call}(1)", make(2, 3))
    make = makers[0]
    case(f"{name}/number", f"{call}()", make())
    case(f"{name}_axis/middle", f"{call}(1)", make(2, 3, 4))
    case(f"{name}_axis/no_rows", f"{call}(1)", make(0, 3))
    if name in ("sum", "prod", "any", "all", "mean"):
        case(f"{name}_axis/empty_rows", f"{call}(1)", make(2, 0, 3))
    case(f"{name}_last", f"{call}(-1)", make(2, 3, 4))
    case(f"{name}_last/one", f"{call}(-1)", make(2, 1))
    case(f"{name}_keep", f"{call}(1, keepdim=True)", make(2, 3, 2))
    if several:
        case(f"{name}_axes", f"{call}((0, 2))", make(2, 3, 4))
        case(f"{name}_axes_keep", f"{call}((0, -1), keepdim=True)", make(2, 3, 4))


NUMBERS = (f32, f64, f16, bf16, i32, i64, u8)
TIES = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -0.0, -1.0]]
NANS = [[1.0, nan, 3.0], [nan, nan, 2.0], [inf, -inf, 0.0]]
reduction("sum", makers=NUMBERS + (b1,))
reduction("mean")
reduction("prod", makers=NUMBERS + (b1,), several=False)
reduction("max", "amax", makers=NUMBERS + (b1,))
reduction("min", "amin", makers=NUMBERS + (b1,))
reduction("argmax", makers=NUMBERS, several=False)
reduction("argmin", makers=NUMBERS, several=False)
reduction("any", makers=(f32, i64, b1))
reduction("all", makers=(f32, i64, b1))
reduction("var")
reduction("std")
for name in ("sum", "prod", "any", "all"):
    case(name + "/empty", f"x.{name}()", f32(0))
for name in ("sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all"):
    call = {"max": "amax", "min": "amin"}.get(name, name)
    case(name + "_axis/nan", f"x.{call}(1)", given(NANS), grad=False)
for name in ("max", "min"):
    case(name + "_axis/ties", f"x.a{name}(1)", given(TIES))
    case(f"arg{name}_axis/ties", f"x.arg{name}(1)", given(TIES))
    case(f"arg{name}/ties", f"x.arg{name}()", given(TIES))
    case(name + "/ties", f"x.{name}()", given([3.0, 1.0, 3.0, 1.0]))
case("sum/cancel", "x.sum()", given([1e8, 1.0, -1e8, 0.5], "float64"))
case("sum/uint8_wide", "x.sum()", given([200, 100], "uint8"))
case("mean/empty", "x.mean()", f32(0), grad=False)
case("prod_axis/one_zero", "x.prod(1)", given([[1.0, 0.0, 3.0], [2.0, 4.0, 0.5]]))
case("prod_axis/two_zeros", "x.prod(1)", given([[1.0, 0.0, 0.0], [0.0, 4.0, 0.5]]))
case("prod_two_axes", "x.prod(2).prod(0)", f32(2, 3, 2))
case("var_population", "x.var(1, correction=0)", f32(3, 4))
case("var_correction_2", "x.var((0, 1), correction=2)", f32(3, 4))
case("var/far", "x.var()", given([10000.0, 10001.0, 10002.0]))
case("std_population", "x.std(1, correction=0)", f32(3, 4))
case("std_population/f16_large", "x.std(1, correction=0)", given([[-300.0, 300.0], [6e4, 0.0]], "float16"))
case("std_population/constant", "x.std(1, correction=0)", given([[2.0, 2.0], [1.0, 3.0]]))
for name in ("softmax", "log_softmax"):
    case(name, f"x.{name}(-1)", f32(3, 4))
    case(name + "/f64", f"x.{name}(-1)", f64(3, 4))
    case(name + "/f16", f"x.{name}(-1)", f16(3, 4))
    case(name + "/bf16", f"x.{name}(-1)", bf16(3, 4))
    case(name + "/large", f"x.{name}(-1)", given([[1e4, 1e4, -1e4], [-1e30, 0.0, 1.0]]))
    case(name + "/masked", f"x.{name}(-1)", given([[0.0, -inf, 1.0], [-inf, -inf, -inf], [inf, 0.0, 1.0], [nan, 0.0, 1.0]]),
         grad=False)
    case(name + "/empty", f"x.{name}(-1)", f32(0, 3))
    case(name + "_axis", f"x.{name}(1)", f32(2, 3, 4))
    case(name + "_first", f"x.{name}(0)", f32(2, 3))
case("logsumexp", "x.logsumexp((0, 1))", f32(3, 4))
case("logsumexp_axis", "x.logsumexp(1)", f32(3, 4))
case("logsumexp_axis/f64", "x.logsumexp(1)", f64(3, 4))
case("logsumexp_axis/large", "x.logsumexp(1)", given([[1e4, 1e4], [-1e4, -1e4]]), grad=False)  # PyTorch's is off by 2e-4
case("logsumexp_axis/infinite", "x.logsumexp(1)", given([[-inf, -inf], [inf, 0.0], [-inf, 1.0], [nan, 0.0]]), grad=False)
case("logsumexp_keep", "x.logsumexp((0, 2), keepdim=True)", f32(2, 3, 2))
case("sum_of_sums", "(x - x.mean(1, keepdim=True)).square().sum(0)", f32(3, 4))

# Sums that a 16-bit float could not hold.
for make in (f16, bf16):
    case(f"softmax_of_many/{make(1).dtype}", "x.expand(70000).softmax(0)[:3]", make(1, low=1), grad=False)
    case(f"mean_of_many/{make(1).dtype}", "x.expand(100000).mean()", make(1, low=1), grad=False)
    case(f"var_of_many/{make(1).dtype}", "x.repeat(50000).var()", make(2, low=1), grad=False)

# ---- Products: matmul, convolution, pooling, attention --------------------------------------------------------------
section("products")
case("matmul", "x @ y", f32(3, 4), f32(4, 5))
case("matmul/f64", "x @ y", f64(3, 4), f64(4, 5))
case("matmul/f16", "x @ y", f16(3, 4), f16(4, 5))
case("matmul/bf16", "x @ y", bf16(3, 4), bf16(4, 5))
case("matmul/i32", "x @ y", i32(2, 3), i32(3, 2))
case("matmul/i64", "x @ y", i64(2, 3), i64(3, 2))
case("matmul/u8", "x @ y", u8(2, 3), u8(3, 2))
case("matmul/vectors", "x @ y", f32(4), f32(4))
case("matmul/vector_matrix", "x @ y", f32(4), f32(4, 3))
case("matmul/matrix_vector", "x @ y", f32(3, 4), f32(4))
case("matmul/vector_batch", "x @ y", f32(4), f32(2, 4, 3))
case("matmul/batch_vector", "x @ y", f32(2, 3, 4), f32(4))
case("matmul/batches", "x @ y", f32(2, 3, 4), f32(2, 4, 2))
case("matmul/batch_matrix", "x @ y", f32(2, 3, 4), f32(4, 2))
case("matmul/matrix_batch", "x @ y", f32(3, 4), f32(2, 4, 2))
case("matmul/four", "x @ y", f32(2, 3, 2, 4), f32(2, 3, 4, 2))
case("matmul/four_broadcast", "x @ y", f32(2, 1, 2, 4), f32(3, 4, 2))
case("matmul/one", "x @ y", f32(1, 1), f32(1, 1))
case("matmul/outer", "x @ y", f32(3, 1), f32(1, 4))
case("matmul/no_rows", "x @ y", f32(0, 3), f32(3, 2))
case("matmul/no_inner", "x @ y", f32(2, 0), f32(0, 3))
case("matmul/nan", "x @ y", given([[1.0, nan], [inf, 0.0]]), given([[0.0, 1.0], [1.0, 0.0]]), grad=False)
case("matmul/wide", "x @ y", f32(2, 70), f32(70, 3))
case("matmul_transposed", "x.t() @ y.t()", f32(4, 3), f32(5, 4))
case("matmul_self", "x @ x", f32(3, 3))
case("matmul_chain", "(x @ y).relu() @ y.t() + x", f32(3, 4), f32(4, 2))
case("dot", "x.dot(y)", f32(5), f32(5))
case("linear", "F.linear(x, y, z)", f32(3, 4), f32(5, 4), f32(5))
case("linear/no_bias", "F.linear(x, y)", f32(3, 4), f32(5, 4))
case("linear/vector", "F.linear(x, y, z)", f32(4), f32(5, 4), f32(5))
case("linear/batches", "F.linear(x, y, z)", f32(2, 2, 4), f32(3, 4), f32(3))
case("linear/f64", "F.linear(x, y, z)", f64(3, 4), f64(5, 4), f64(5))

case("matmul/big", "x @ y", f32(64, 64), f32(64, 64))
case("matmul/four_ones", "x @ y", f32(1, 3, 2, 4), f32(2, 1, 4, 3))
case("matmul/no_columns", "x @ y", f32(2, 3), f32(3, 0))
case("matmul/no_batch", "x @ y", f32(0, 2, 3), f32(3, 2))
case("matmul/three_by_one", "x @ y", f32(2, 3, 4), f32(4))
case("matmul_three", "x @ y @ z", f32(3, 4), f32(4, 5), f32(5, 2))
case("matmul/1x2x3", "x @ y", f32(1, 2), f32(2, 3))
case("matmul/2x1x5", "x @ y", f32(2, 1), f32(1, 5))
case("matmul/7x8x9", "x @ y", f32(7, 8), f32(8, 9))
case("matmul/8x8x8", "x @ y", f32(8, 8), f32(8, 8))
case("matmul/9x17x5", "x @ y", f32(9, 17), f32(17, 5))
case("matmul/16x16x16", "x @ y", f32(16, 16), f32(16, 16))
case("matmul/17x3x33", "x @ y", f32(17, 3), f32(3, 33))
case("matmul/48x5x8", "x @ y", f32(48, 5), f32(5, 8))
case("matmul/49x2x9", "x @ y", f32(49, 2), f32(2, 9))

case("einsum_identity", "torch.einsum('ij->ij', x)", f32(2, 3))
case("einsum_transpose", "torch.einsum('ij->ji', x)", f32(2, 3))
case("einsum_transpose/bool", "torch.einsum('ij->ji', x)", b1(2, 3))
case("einsum_permute", "torch.einsum('abcd->cadb', x)", f32(2, 3, 2, 4))
case("einsum_implicit_transpose", "torch.einsum('ba', x)", f32(2, 3))
case("einsum_capitals_first", "torch.einsum('bA', x)", f32(2, 3))
case("einsum_sum", "torch.einsum('ij->', x)", f32(2, 3))
case("einsum_sum/u8", "torch.einsum('ij->', x)", u8(20, 20))
case("einsum_sum/bool", "torch.einsum('ij->', x)", b1(2, 3))
case("einsum_sum/i32", "torch.einsum('ij->', x)", i32(2, 3))
case("einsum_sum_column", "torch.einsum('ij->j', x)", f32(2, 3))
case("einsum_sum_row", "torch.einsum('ij->i', x)", f32(2, 3))
case("einsum_trace", "torch.einsum('ii', x)", f32(3, 3))
case("einsum_diagonal", "torch.einsum('ii->i', x)", f32(3, 3))
case("einsum_diagonal_twice", "torch.einsum('ijij->ji', x)", f32(2, 3, 2, 3))
case("einsum_diagonal_three", "torch.einsum('iii->i', x)", f32(3, 3, 3))
case("einsum_diagonal_batches", "torch.einsum('bii->bi', x)", f32(2, 3, 3))
case("einsum_matvec", "torch.einsum('ik,k->i', x, y)", f32(2, 3), f32(3))
case("einsum_matmul", "torch.einsum('ik,kj->ij', x, y)", f32(2, 3), f32(3, 4))
case("einsum_matmul/f64", "torch.einsum('ik,kj->ij', x, y)", f64(2, 3), f64(3, 4))
case("einsum_matmul/f16", "torch.einsum('ik,kj->ij', x, y)", f16(2, 3), f16(3, 4))
case("einsum_matmul/bf16", "torch.einsum('ik,kj->ij', x, y)", bf16(2, 3), bf16(3, 4))
case("einsum_matmul/i64", "torch.einsum('ik,kj->ij', x, y)", i64(2, 3), i64(3, 4))
case("einsum_matmul/u8", "torch.einsum('ik,kj->ij', x, y)", u8(2, 3), u8(3, 4))
case("einsum_matmul/no_inner", "torch.einsum('ik,kj->ij', x, y)", f32(2, 0), f32(0, 3))
case("einsum_matmul/repeated", "torch.einsum('ik,kj->ij', x, y)", f32(2, 3), f32(1, 4))
case("einsum_matmul_implicit", "torch.einsum('ik,kj', x, y)", f32(2, 3), f32(3, 4))
case("einsum_matmul_transposed", "torch.einsum('ki,jk->ji', x, y)", f32(3, 2), f32(4, 3))
case("einsum_dot", "torch.einsum('i,i->', x, y)", f32(5), f32(5))
case("einsum_dot/i32", "torch.einsum('i,i->', x, y)", i32(5), i32(5))
case("einsum_dot_matrices", "torch.einsum('ij,ij->', x, y)", f32(2, 3), f32(2, 3))
case("einsum_hadamard", "torch.einsum('ij,ij->ij', x, y)", f32(2, 3), f32(2, 3))
case("einsum_hadamard/repeated", "torch.einsum('ij,ij->ij', x, y)", f32(2, 3), f32(1, 3))
case("einsum_hadamard/bool", "torch.einsum('ij,ij->ij', x, y)", b1(2, 3), b1(2, 3))
case("einsum_outer", "torch.einsum('i,j->ij', x, y)", f32(3), f32(4))
case("einsum_lone_letters", "torch.einsum('ij,kl->ik', x, y)", f32(2, 3), f32(4, 2))
case("einsum_lone_letters/bool", "torch.einsum('ij,kl->ik', x, y)", b1(2, 3), b1(4, 2))
case("einsum_lone_letters/i32", "torch.einsum('ij,kl->ik', x, y)", i32(2, 3), i32(4, 2))
case("einsum_lone_letters/u8", "torch.einsum('ij,kl->ik', x, y)", u8(2, 30), u8(4, 30))
case("einsum_batched_matmul", "torch.einsum('bij,bjk->bik', x, y)", f32(2, 3, 4), f32(2, 4, 2))
case("einsum_heads", "torch.einsum('bqhd,bkhd->bhqk', x, y)", f32(2, 3, 2, 4), f32(2, 5, 2, 4))
case("einsum_contraction", "torch.einsum('pqrs,tuqvr->pstuv', x, y)", f32(2, 3, 2, 3), f32(2, 2, 3, 2, 2))
case("einsum_bilinear", "torch.einsum('ik,jkl,il->ij', x, y, z)", f32(2, 3), f32(4, 3, 2), f32(2, 2))
case("einsum_chain", "torch.einsum('ij,jk,kl->il', x, y, z)", f32(2, 3), f32(3, 4), f32(4, 2))
case("einsum_four", "torch.einsum('a,b,ab,c->bc', x, y, z, w)", f32(2), f32(3), f32(2, 3), f32(2))
case("einsum_trace_of_product", "torch.einsum('ij,ji', x, y)", f32(2, 3), f32(3, 2))
case("einsum_diagonal_of_product", "torch.einsum('ii,ij->j', x, y)", f32(3, 3), f32(3, 2))
case("einsum_same_twice", "torch.einsum('ij,kj->ik', x, x)", f32(3, 4))
case("einsum_scalars", "torch.einsum(',', x, y)", f32(), f32())
case("einsum_scalar_times", "torch.einsum(',ij->ji', x, y)", f32(), f32(2, 3))
case("einsum_spaces", "torch.einsum(' i k , k j -> i j ', x, y)", f32(2, 3), f32(3, 4))
case("einsum_dots", "torch.einsum('...ij,...jk->...ik', x, y)", f32(2, 3, 4), f32(2, 4, 2))
case("einsum_dots/broadcast", "torch.einsum('...ij,...jk->...ik', x, y)", f32(2, 1, 2, 3), f32(4, 3, 2))
case("einsum_dots/none", "torch.einsum('...ij,...jk->...ik', x, y)", f32(2, 3), f32(3, 2))
case("einsum_dots_implicit", "torch.einsum('...ij,...jk', x, y)", f32(2, 2, 3), f32(5, 1, 3, 2))
case("einsum_dots_first", "torch.einsum('...i->i...', x)", f32(2, 3, 4))
case("einsum_dots_middle", "torch.einsum('i...j->j...i', x)", f32(2, 3, 2, 4))
case("einsum_dots_last", "torch.einsum('i...,i...->...', x, y)", f32(3, 2), f32(3, 2))
case("einsum_dots_summed", "torch.einsum('i...->i', x)", f32(2, 3, 2))
case("einsum_dots_diagonal", "torch.einsum('...ii->...i', x)", f32(2, 3, 3))
case("einsum_dots_only_result", "torch.einsum('ij->...ji', x)", f32(2, 3))

Q, K, V = f32(2, 3, 4), f32(2, 5, 4), f32(2, 5, 2)
case("attention", "F.scaled_dot_product_attention(x, y, z)", Q, K, V)
case("attention/f16_large", "F.scaled_dot_product_attention(x, y, z)", given([[[60.0] * 64] * 2], "float16"),
     given([[[60.0] * 64, [59.0] * 64]], "float16"), f16(1, 2, 3))
case("attention/heads", "F.scaled_dot_product_attention(x, y, z)", f32(1, 2, 3, 4), f32(1, 2, 3, 4), f32(1, 2, 3, 4))
case("attention/f64", "F.scaled_dot_product_attention(x, y, z)", f64(2, 3, 4), f64(2, 3, 4), f64(2, 3, 4))
case("attention_causal", "F.scaled_dot_product_attention(x, y, z, is_causal=True)", f32(2, 4, 3), f32(2, 4, 3), f32(2, 4, 3))
case("attention_causal/longer", "F.scaled_dot_product_attention(x, y, z, is_causal=True)", Q, K, V)

M, A = b1(3, 5), f32(3, 5)
case("attention_mask", "F.scaled_dot_product_attention(x, y, z, w)", Q, K, V, M)
case("attention_mask/f64", "F.scaled_dot_product_attention(x, y, z, w)", f64(2, 3, 4), f64(2, 5, 4), f64(2, 5, 2), M)
case("attention_mask/f16", "F.scaled_dot_product_attention(x, y, z, w)", f16(2, 3, 4), f16(2, 5, 4), f16(2, 5, 2), M)
case("attention_mask/bf16", "F.scaled_dot_product_attention(x, y, z, w)", bf16(2, 3, 4), bf16(2, 5, 4), bf16(2, 5, 2), M)
case("attention_mask/batch", "F.scaled_dot_product_attention(x, y, z, w)", Q, K, V, b1(2, 3, 5))
case("attention_mask/keys", "F.scaled_dot_product_attention(x, y, z, w)", Q, K, V, given([True, False, True, True, False], "bool"))
case("attention_mask/blind", "F.scaled_dot_product_attention(x, y, z, w)", f32(2, 4), f32(3, 4), f32(3, 2), given([[True, False, True], [False] * 3], "bool"))
case("attention_mask/heads", "F.scaled_dot_product_attention(x, y, z, w)", f32(2, 2, 3, 4), f32(2, 2, 5, 4), f32(2, 2, 5, 2), b1(2, 1, 3, 5))
case("attention_mask/added", "F.scaled_dot_product_attention(x, y, z, w)", Q, K, V, A)
case("attention_mask/added_f64", "F.scaled_dot_product_attention(x, y, z, w)", f64(2, 3, 4), f64(2, 5, 4), f64(2, 5, 2), f64(3, 5))
case("attention_mask/added_keys", "F.scaled_dot_product_attention(x, y, z, w)", Q, K, V, f32(2, 1, 5))
case("attention_mask/added_blind", "F.scaled_dot_product_attention(x, y, z, w)", f32(2, 4), f32(3, 4), f32(3, 2), given([[0.5, -inf, 1.0], [-inf] * 3]))

# ---- Windows: convolution, pooling, interpolation -------------------------------------------------------------------
section("windows")
case("conv2d", "F.conv2d(x, y, z)", f32(2, 3, 5, 4), f32(4, 3, 3, 2), f32(4))
case("conv2d/no_bias", "F.conv2d(x, y)", f32(2, 3, 5, 4), f32(2, 3, 2, 3))
case("conv2d/f64", "F.conv2d(x, y, z)", f64(1, 2, 4, 4), f64(2, 2, 3, 3), f64(2))
case("conv2d/f16", "F.conv2d(x, y, z)", f16(1, 2, 4, 4), f16(2, 2, 2, 2), f16(2))
case("conv2d/bf16", "F.conv2d(x, y, z)", bf16(1, 2, 4, 4), bf16(2, 2, 2, 2), bf16(2))
case("conv2d/one_by_one", "F.conv2d(x, y, z)", f32(2, 3, 3, 2), f32(4, 3, 1, 1), f32(4))
case("conv2d/whole", "F.conv2d(x, y, z)", f32(2, 2, 3, 4), f32(3, 2, 3, 4), f32(3))
case("conv2d/tall", "F.conv2d(x, y, z)", f32(1, 1, 6, 2), f32(2, 1, 5, 1), f32(2))
case("conv2d/no_images", "F.conv2d(x, y, z)", f32(0, 2, 4, 4), f32(3, 2, 3, 3), f32(3))
case("conv2d_stride", "F.conv2d(x, y, z, stride=2)", f32(2, 2, 6, 5), f32(3, 2, 3, 3), f32(3))
case("conv2d_stride/one_by_one", "F.conv2d(x, y, z, stride=2)", f32(2, 2, 5, 4), f32(3, 2, 1, 1), f32(3))
case("conv2d_stride/even", "F.conv2d(x, y, z, stride=2)", f32(1, 2, 7, 6), f32(2, 2, 2, 4), f32(2))
case("conv2d_strides", "F.conv2d(x, y, z, stride=(2, 3))", f32(1, 2, 7, 8), f32(2, 2, 3, 2), f32(2))
case("conv2d_padding", "F.conv2d(x, y, z, padding=1)", f32(2, 2, 4, 3), f32(3, 2, 3, 3), f32(3))
case("conv2d_padding/wide", "F.conv2d(x, y, z, padding=1)", f32(1, 2, 2, 2), f32(2, 2, 1, 4), f32(2))
case("conv2d_paddings", "F.conv2d(x, y, z, padding=(2, 1))", f32(1, 2, 3, 4), f32(2, 2, 3, 2), f32(2))
case("conv2d_dilation", "F.conv2d(x, y, z, dilation=2)", f32(1, 2, 6, 7), f32(2, 2, 2, 3), f32(2))
case("conv2d_dilations", "F.conv2d(x, y, z, dilation=(1, 3))", f32(1, 2, 4, 8), f32(2, 2, 3, 2), f32(2))
case("conv2d_groups", "F.conv2d(x, y, z, groups=2)", f32(2, 4, 4, 3), f32(6, 2, 2, 2), f32(6))
case("conv2d_depthwise", "F.conv2d(x, y, z, padding=1, groups=3)", f32(2, 3, 4, 4), f32(3, 1, 3, 3), f32(3))
case("conv2d_multiplier", "F.conv2d(x, y, z, padding=1, groups=3)", f32(1, 3, 3, 3), f32(6, 1, 2, 2), f32(6))
case("conv2d_stride_padding", "F.conv2d(x, y, z, stride=2, padding=1)", f32(2, 2, 5, 6), f32(3, 2, 3, 3), f32(3))
case("conv2d_everything", "F.conv2d(x, y, z, (2, 1), (1, 2), (2, 1), 2)", f32(2, 4, 7, 5), f32(4, 2, 3, 2), f32(4))
case("conv2d_everything/f64", "F.conv2d(x, y, z, (2, 1), (1, 2), (2, 1), 2)", f64(2, 4, 7, 5), f64(4, 2, 3, 2), f64(4))
case("conv1d", "F.conv1d(x, y, z)", f32(2, 3, 6), f32(4, 3, 3), f32(4))
case("conv1d_options", "F.conv1d(x, y, z, 2, 3, 2)", f32(2, 2, 7), f32(3, 2, 3), f32(3))
case("conv3d", "F.conv3d(x, y, z)", f32(1, 2, 3, 4, 3), f32(2, 2, 2, 2, 3), f32(2))
case("conv3d_options", "F.conv3d(x, y, z, 2, 1, (1, 1, 2), 2)", f32(1, 2, 3, 4, 3), f32(2, 1, 2, 3, 2), f32(2))
case("conv2d/i64", "F.conv2d(x, y, z)", i64(1, 2, 4, 4), i64(2, 2, 2, 2), i64(2))
case("conv2d/i32", "F.conv2d(x, y)", i32(1, 2, 4, 4), i32(2, 2, 2, 2))
case("conv2d/u8", "F.conv2d(x, y)", u8(1, 2, 4, 4), u8(2, 2, 2, 2))
case("conv2d/large_batch", "F.conv2d(x, y)", f32(16, 3, 4, 4), f32(4, 3, 3, 3))
case("conv2d/large_in", "F.conv2d(x, y)", f32(2, 32, 3, 3), f32(2, 32, 3, 3))
case("conv2d/large_out", "F.conv2d(x, y)", f32(2, 2, 3, 3), f32(40, 2, 2, 2))
case("conv2d/big", "F.conv2d(x, y, z)", f32(2, 6, 9, 9), f32(7, 6, 5, 5), f32(7))
case("conv2d/m4", "F.conv2d(x, y)", f32(1, 4, 6, 6), f32(4, 4, 3, 3))
# An empty sum for each of the three outputs. (PyTorch's own conv2d has no output channels here.)
case("conv2d/no_input_channels", "torch.zeros(2, 3, 2, 2) + z.reshape(3, 1, 1) + x.sum() + y.sum()", f32(2, 0, 3, 3), f32(3, 0, 2, 2), f32(3))
case("conv2d/combo_1x3", "F.conv2d(x, y)", f32(1, 3, 4, 5), f32(2, 3, 1, 3))
case("conv2d/combo_3x1", "F.conv2d(x, y)", f32(2, 1, 5, 4), f32(3, 1, 3, 1))
case("conv2d/combo_2x5", "F.conv2d(x, y)", f32(3, 3, 5, 6), f32(3, 3, 2, 5))
case("conv2d_channels_last", "F.conv2d(x.permute(0, 3, 1, 2), y.permute(3, 2, 0, 1)).permute(0, 2, 3, 1)", f32(2, 5, 4, 3), f32(3, 2, 3, 2))
case("conv2d_nested", "F.conv2d(F.conv2d(x, y).relu(), z).relu()", f32(1, 8, 5, 5), f32(4, 8, 3, 3), f32(4, 4, 3, 3))
case("conv2d_twice_biased", "F.conv2d(F.conv2d(x, y, z).relu(), y, z)", f32(1, 4, 4, 4), f32(4, 4, 1, 1), f32(4))
case("conv2d_groups/one_each", "F.conv2d(x, y, z, groups=2)", f32(1, 2, 1, 1), f32(2, 1, 1, 1), f32(2))
case("conv2d_groups/medium", "F.conv2d(x, y, groups=2)", f32(2, 8, 3, 3), f32(16, 4, 2, 2))
case("conv2d_groups/f16", "F.conv2d(x, y, z, groups=2)", f16(1, 4, 3, 3), f16(2, 2, 2, 2), f16(2))
case("conv2d_depthwise/multiplied", "F.conv2d(x, y, z, padding=1, groups=3)", f32(1, 3, 4, 3), f32(9, 1, 3, 2), f32(9))
case("conv2d_fancy", "F.conv2d(x, y, z, stride=2, padding=3, dilation=2, groups=3)", f32(2, 3, 7, 8), f32(6, 1, 3, 3), f32(6))
case("conv2d_fancy/f64", "F.conv2d(x, y, z, stride=2, padding=3, dilation=2, groups=3)", f64(1, 3, 5, 8), f64(3, 1, 3, 3), f64(3))
case("conv2d_stride_gap", "F.conv2d(x, y, stride=4)", f32(1, 2, 9, 10), f32(2, 2, 2, 3))
case("conv2d_stride_beyond_image", "F.conv2d(x, y, stride=7)", f32(1, 2, 4, 5), f32(2, 2, 2, 3))
case("conv2d_stride_huge", "F.conv2d(x, y, stride=10**6, padding=1)", f32(1, 2, 4, 5), f32(2, 2, 2, 3))
case("conv2d_cut", "F.conv2d(F.pad(x, (-1, -2, -1, 1)), y)", f32(1, 2, 6, 8), f32(2, 2, 3, 3))
case("conv2d_asymmetric", "F.conv2d(F.pad(x, (1, 2, 0, 3)), y, z)", f32(1, 2, 4, 5), f32(3, 2, 3, 3), f32(3))
case("conv2d_asymmetric/f64", "F.conv2d(F.pad(x, (1, 2, 0, 3)), y, z)", f64(1, 2, 4, 5), f64(3, 2, 3, 3), f64(3))
case("conv2d_asymmetric_front", "F.conv2d(F.pad(x, (2, 0, 2, 0)), y)", f32(1, 2, 4, 5), f32(2, 2, 3, 2))
case("conv2d_asymmetric_everything", "F.conv2d(F.pad(x, (1, 4, 3, 0)), y, z, 3, 0, 2, 2)", f32(2, 4, 7, 6), f32(4, 2, 3, 2), f32(4))
case("conv2d_padding_add", "F.conv2d(F.pad(x, (1, 1, 1, 1)), y, padding=1)", f32(1, 2, 3, 3), f32(2, 2, 3, 3))
case("conv2d_padding_beyond_kernel", "F.conv2d(x, y, stride=2, padding=(3, 4))", f32(1, 2, 3, 3), f32(2, 2, 2, 1))
case("conv1d/one", "F.conv1d(x, y)", f32(1, 1, 5), f32(1, 1, 1))
case("conv1d/batch", "F.conv1d(x, y)", f32(5, 1, 7), f32(3, 1, 2))
case("conv1d/f64", "F.conv1d(x, y, z)", f64(2, 3, 6), f64(4, 3, 3), f64(4))
case("conv1d/bf16", "F.conv1d(x, y, z)", bf16(2, 3, 6), bf16(4, 3, 3), bf16(4))
case("conv1d_stride", "F.conv1d(x, y, stride=2)", f32(2, 3, 9), f32(2, 3, 4))
case("conv1d_padding", "F.conv1d(x, y, padding=2)", f32(1, 3, 4), f32(2, 3, 3))
case("conv1d_dilation", "F.conv1d(x, y, dilation=3)", f32(1, 2, 9), f32(2, 2, 3))
case("conv1d_groups", "F.conv1d(x, y, groups=3)", f32(2, 6, 5), f32(3, 2, 3))
case("conv1d_asymmetric", "F.conv1d(F.pad(x, (2, 1)), y, stride=2)", f32(1, 2, 5), f32(3, 2, 3))
case("conv3d/batch", "F.conv3d(x, y)", f32(2, 1, 3, 3, 3), f32(2, 1, 2, 2, 2))
case("conv3d/f64", "F.conv3d(x, y, z)", f64(1, 2, 3, 4, 3), f64(2, 2, 2, 2, 3), f64(2))
case("conv3d_padding", "F.conv3d(x, y, padding=(1, 0, 2))", f32(1, 2, 2, 3, 2), f32(2, 2, 2, 2, 3))
case("conv3d_dilation", "F.conv3d(x, y, dilation=(2, 1, 2))", f32(1, 1, 4, 3, 5), f32(2, 1, 2, 2, 2))
case("conv3d_groups", "F.conv3d(x, y, groups=2)", f32(1, 4, 2, 3, 3), f32(2, 2, 2, 2, 2))
case("conv2d_chain", "F.conv2d(F.conv2d(x, y, padding=1).relu(), y, stride=2)", f32(1, 2, 5, 5), f32(2, 2, 3, 3))

case("conv_transpose2d", "F.conv_transpose2d(x, y, z)", f32(2, 4, 3, 4), f32(4, 3, 3, 2), f32(3))
case("conv_transpose2d/no_bias", "F.conv_transpose2d(x, y)", f32(2, 2, 3, 3), f32(2, 3, 2, 3))
case("conv_transpose2d/one_by_one", "F.conv_transpose2d(x, y, z)", f32(2, 2, 3, 3), f32(2, 3, 1, 1), f32(3))
case("conv_transpose2d/no_images", "F.conv_transpose2d(x, y)", f32(0, 2, 3, 3), f32(2, 3, 2, 3))
case("conv_transpose2d/f64", "F.conv_transpose2d(x, y, z)", f64(2, 4, 3, 4), f64(4, 3, 3, 2), f64(3))
case("conv_transpose2d/f16", "F.conv_transpose2d(x, y, z)", f16(1, 2, 3, 3), f16(2, 2, 2, 2), f16(2))
case("conv_transpose2d/bf16", "F.conv_transpose2d(x, y, z)", bf16(1, 2, 3, 3), bf16(2, 2, 2, 2), bf16(2))
case("conv_transpose2d/i64", "F.conv_transpose2d(x, y)", i64(1, 2, 3, 3), i64(2, 2, 2, 2))
case("conv_transpose2d_stride", "F.conv_transpose2d(x, y, z, stride=2)", f32(2, 2, 3, 3), f32(2, 3, 3, 3), f32(3))
case("conv_transpose2d_stride/gaps", "F.conv_transpose2d(x, y, z, stride=2)", f32(1, 2, 3, 2), f32(2, 2, 1, 1), f32(2))
case("conv_transpose2d_strides", "F.conv_transpose2d(x, y, stride=(2, 4))", f32(1, 2, 3, 2), f32(2, 2, 4, 3))
case("conv_transpose2d_padding", "F.conv_transpose2d(x, y, z, padding=1)", f32(2, 2, 4, 3), f32(2, 3, 3, 3), f32(3))
case("conv_transpose2d_padding_stride", "F.conv_transpose2d(x, y, z, stride=(2, 3), padding=(2, 1))", f32(1, 2, 4, 3), f32(2, 3, 3, 4), f32(3))
case("conv_transpose2d_dilation", "F.conv_transpose2d(x, y, dilation=(2, 3))", f32(1, 2, 3, 4), f32(2, 3, 3, 2))
case("conv_transpose2d_dilation_stride", "F.conv_transpose2d(x, y, stride=2, dilation=3)", f32(1, 2, 3, 3), f32(2, 2, 2, 3))
case("conv_transpose2d_output_padding", "F.conv_transpose2d(x, y, z, stride=3, output_padding=(2, 1))", f32(1, 2, 3, 2), f32(2, 3, 2, 3), f32(3))
case("conv_transpose2d_output_padding_dilation", "F.conv_transpose2d(x, y, dilation=3, output_padding=(2, 1))", f32(1, 2, 3, 2), f32(2, 3, 2, 3))
case("conv_transpose2d_output_padding_alone", "F.conv_transpose2d(x, y, z, 1, 4, 8, 1, 9)", f32(1, 1, 1, 1), f32(1, 1, 1, 1), f32(1))
case("conv_transpose2d_groups", "F.conv_transpose2d(x, y, z, groups=2)", f32(2, 4, 3, 3), f32(4, 3, 3, 3), f32(6))
case("conv_transpose2d_depthwise", "F.conv_transpose2d(x, y, z, groups=3, padding=1)", f32(1, 3, 4, 3), f32(3, 1, 3, 3), f32(3))
case("conv_transpose2d_everything", "F.conv_transpose2d(x, y, z, (2, 3), (1, 2), (1, 0), 2, (2, 1))", f32(2, 4, 3, 4), f32(4, 3, 3, 3), f32(6))
case("conv_transpose2d_everything/f64", "F.conv_transpose2d(x, y, z, (2, 3), (1, 2), (1, 0), 2, (2, 1))", f64(2, 4, 3, 4), f64(4, 3, 3, 3), f64(6))
case("conv_transpose1d", "F.conv_transpose1d(x, y, z)", f32(2, 3, 5), f32(3, 2, 3), f32(2))
case("conv_transpose1d_options", "F.conv_transpose1d(x, y, z, 3, 2, 1, 2, 2)", f32(2, 4, 5), f32(4, 2, 3), f32(4))
case("conv_transpose3d", "F.conv_transpose3d(x, y, z)", f32(1, 2, 2, 3, 2), f32(2, 3, 2, 2, 3), f32(3))
case("conv_transpose3d_options", "F.conv_transpose3d(x, y, z, 2, (1, 0, 1), (1, 0, 1), 2, (1, 2, 1))", f32(1, 2, 2, 2, 3), f32(2, 1, 2, 2, 3), f32(2))
case("autoencoder", "F.conv_transpose2d(F.conv2d(x, y, stride=2).relu(), y, stride=2, output_padding=1)", f32(1, 2, 6, 6), f32(3, 2, 3, 3))

case("max_pool2d", "F.max_pool2d(x, 2)", f32(2, 2, 4, 6))
case("max_pool2d/rest", "F.max_pool2d(x, 2)", f32(1, 2, 5, 3))
case("max_pool2d/f64", "F.max_pool2d(x, 2)", f64(1, 1, 4, 4))
case("max_pool2d/f16", "F.max_pool2d(x, 2)", f16(1, 1, 4, 4))
case("max_pool2d/bf16", "F.max_pool2d(x, 2)", bf16(1, 1, 4, 4))
case("max_pool2d/ties", "F.max_pool2d(x, 2)", given([[[[1.0, 1, 2, 3], [1, 1, 3, 3], [0, 5, 4, 4], [5, 5, 4, 4]]]]))
case("max_pool2d_windows", "F.max_pool2d(x, (3, 2))", f32(1, 2, 6, 5))
case("max_pool2d_overlap", "F.max_pool2d(x, 3, 1)", f32(1, 2, 5, 4))
case("max_pool2d_overlap/ties", "F.max_pool2d(x, 3, 1)", given([[[[1.0, 1, 1, 1], [1, 2, 2, 1], [1, 2, 2, 1], [0, 0, 0, 0]]]]))
case("max_pool2d_gaps", "F.max_pool2d(x, 2, 3)", f32(1, 2, 7, 8))
case("max_pool2d_padding", "F.max_pool2d(x, 3, 2, 1)", f32(1, 2, 5, 6))
case("max_pool2d_padding/negative", "F.max_pool2d(x, 3, 2, 1)", f32(1, 1, 4, 4, low=-3, high=-1))
case("max_pool2d_dilation", "F.max_pool2d(x, 2, 1, 0, 2)", f32(1, 2, 5, 4))
case("max_pool2d_everything", "F.max_pool2d(x, (3, 2), (1, 2), (1, 0), (2, 1))", f32(2, 1, 6, 6))
case("avg_pool2d", "F.avg_pool2d(x, 2)", f32(2, 2, 4, 6))
case("avg_pool2d/rest", "F.avg_pool2d(x, 2)", f32(1, 2, 5, 3))
case("avg_pool2d/f64", "F.avg_pool2d(x, 2)", f64(1, 1, 4, 4))
case("avg_pool2d/f16", "F.avg_pool2d(x, 2)", f16(1, 1, 4, 4))
case("avg_pool2d/bf16", "F.avg_pool2d(x, 2)", bf16(1, 1, 4, 4))
case("avg_pool2d_windows", "F.avg_pool2d(x, (3, 2))", f32(1, 2, 6, 5))
case("avg_pool2d_overlap", "F.avg_pool2d(x, 3, 1)", f32(1, 2, 5, 4))
case("avg_pool2d_gaps", "F.avg_pool2d(x, 2, 3)", f32(1, 2, 7, 8))
case("avg_pool2d_padding", "F.avg_pool2d(x, (3, 2), (2, 1), 1)", f32(1, 2, 5, 4))

case("max_pool2d/image", "F.max_pool2d(x, 2)", f32(2, 4, 4))
case("max_pool2d/no_images", "F.max_pool2d(x, 2)", f32(0, 2, 4, 4))
case("max_pool2d/i64", "F.max_pool2d(x, 2)", i64(1, 2, 4, 5))
case("max_pool2d/u8", "F.max_pool2d(x, 2)", u8(1, 2, 4, 4))
case("max_pool2d/nan", "F.max_pool2d(x, 2)", given([[[1.0, nan, 2, 3, nan, 1], [nan, 5, 6, nan, 0, inf]]]))
case("max_pool2d_padding/f16", "F.max_pool2d(x, 3, 2, 1)", f16(1, 2, 4, 5))
case("max_pool2d_padding/i32", "F.max_pool2d(x, 3, 2, 1)", i32(1, 2, 4, 5))
case("max_pool2d_padding/u8", "F.max_pool2d(x, 3, 2, 1)", u8(1, 2, 4, 5))
case("max_pool2d_padding/image", "F.max_pool2d(x, 3, 2, 1)", f32(2, 4, 5))
case("max_pool2d_overlap/nan", "F.max_pool2d(x, 3, 1)", given([[[1.0, 2, nan, 4], [1, nan, 2, 1], [0, 1, 2, nan], [0, 0, 0, 0]]]))
case("max_pool2d_dilation_stride", "F.max_pool2d(x, (3, 2), 3, 0, (2, 3))", f32(1, 2, 9, 8))
case("max_pool2d_ceil", "F.max_pool2d(x, 2, ceil_mode=True)", f32(1, 2, 5, 7))
case("max_pool2d_ceil/even", "F.max_pool2d(x, 2, ceil_mode=True)", f32(1, 2, 4, 6))
case("max_pool2d_ceil/i64", "F.max_pool2d(x, 2, ceil_mode=True)", i64(1, 2, 5, 3))
case("max_pool2d_ceil_gaps", "F.max_pool2d(x, 1, 3, ceil_mode=True)", f32(1, 2, 5, 6))
case("max_pool2d_ceil_padding", "F.max_pool2d(x, 3, 2, 1, ceil_mode=True)", f32(1, 2, 6, 5))
case("max_pool2d_ceil_padding/rest", "F.max_pool2d(x, 3, 2, 1, ceil_mode=True)", f32(1, 2, 4, 8))
case("max_pool2d_ceil_large", "F.max_pool2d(x, 3, 2, ceil_mode=True)", f32(1, 2, 2, 4))
case("max_pool2d_ceil_dilation", "F.max_pool2d(x, 2, 3, 1, 2, ceil_mode=True)", f32(1, 2, 7, 8))
case("max_pool1d", "F.max_pool1d(x, 3, 2)", f32(2, 3, 8))
case("max_pool1d/row", "F.max_pool1d(x, 3, 2)", f32(3, 7))
case("max_pool1d/f64", "F.max_pool1d(x, 3, 2)", f64(2, 3, 8))
case("max_pool1d/nan", "F.max_pool1d(x, 3, 2)", given([[1.0, nan, 2, nan, nan, 3, 1]]))
case("max_pool1d_padding/infinite", "F.max_pool1d(x, 4, 3, 2, ceil_mode=True)", given([[-inf] * 4 + [1.0, -inf]]))
case("max_pool1d_padding", "F.max_pool1d(x, 4, 3, 2, ceil_mode=True)", f32(2, 3, 9))
case("max_pool3d", "F.max_pool3d(x, 2)", f32(1, 2, 4, 3, 4))
case("max_pool3d/image", "F.max_pool3d(x, 2)", f32(2, 4, 3, 4))
case("max_pool3d/i64", "F.max_pool3d(x, 2)", i64(1, 2, 2, 2, 4))
case("max_pool3d_everything", "F.max_pool3d(x, (2, 3, 2), (1, 2, 3), (1, 1, 0), (2, 1, 2), ceil_mode=True)", f32(1, 1, 4, 5, 6))
case("avg_pool2d/image", "F.avg_pool2d(x, 2)", f32(2, 4, 4))
case("avg_pool2d/no_images", "F.avg_pool2d(x, 2)", f32(0, 2, 4, 4))
case("avg_pool2d_whole", "F.avg_pool2d(x, (4, 3))", f32(2, 2, 4, 3))
case("avg_pool2d_padding/image", "F.avg_pool2d(x, (3, 2), (2, 1), 1)", f32(2, 5, 4))
case("avg_pool2d_uncounted", "F.avg_pool2d(x, (3, 2), (2, 1), 1, count_include_pad=False)", f32(1, 2, 5, 4))
case("avg_pool2d_uncounted/f16", "F.avg_pool2d(x, (3, 2), (2, 1), 1, count_include_pad=False)", f16(1, 2, 5, 4))
case("avg_pool2d_uncounted/f16_large", "F.avg_pool2d(x, (3, 2), (2, 1), 1, count_include_pad=False)",
     given([[[[6e4, 6e4], [6e4, 5e4]]]], "float16"))
case("avg_pool2d_uncounted/f64", "F.avg_pool2d(x, (3, 2), (2, 1), 1, count_include_pad=False)", f64(1, 2, 5, 4))
case("avg_pool2d_ceil", "F.avg_pool2d(x, 2, ceil_mode=True)", f32(1, 2, 5, 7))
case("avg_pool2d_ceil/even", "F.avg_pool2d(x, 2, ceil_mode=True)", f32(1, 2, 4, 6))
case("avg_pool2d_ceil/f64", "F.avg_pool2d(x, 2, ceil_mode=True)", f64(1, 2, 5, 3))
case("avg_pool2d_ceil_padding", "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)", f32(1, 2, 6, 5))
case("avg_pool2d_ceil_padding/rest", "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)", f32(1, 2, 4, 8))
case("avg_pool2d_ceil_uncounted", "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)", f32(1, 2, 6, 5))
case("avg_pool2d_ceil_uncounted/image", "F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)", f32(2, 4, 8))
case("avg_pool2d_ceil_large", "F.avg_pool2d(x, 3, 2, ceil_mode=True)", f32(1, 2, 2, 4))
case("avg_pool2d_stride_huge", "F.avg_pool2d(x, 2, 10**6)", f32(1, 2, 4, 5))
case("avg_pool1d", "F.avg_pool1d(x, 3, 2)", f32(2, 3, 8))
case("avg_pool1d/row", "F.avg_pool1d(x, 3, 2)", f32(3, 7))
case("avg_pool1d_padding", "F.avg_pool1d(x, 4, 3, 2, True, False)", f32(2, 3, 9))
case("avg_pool3d", "F.avg_pool3d(x, 2)", f32(1, 2, 4, 3, 4))
case("avg_pool3d/image", "F.avg_pool3d(x, 2)", f32(2, 4, 3, 4))
case("avg_pool3d_everything", "F.avg_pool3d(x, (2, 3, 2), (1, 2, 3), (1, 1, 0), True, False)", f32(1, 1, 3, 5, 6))
case("avg_pool3d_counted", "F.avg_pool3d(x, (2, 3, 2), (1, 2, 3), (1, 1, 0), True, True)", f32(1, 1, 3, 4, 6))
case("avg_pool_global", "F.adaptive_avg_pool2d(x, 1)", f32(2, 3, 4, 5))

case("interpolate_nearest1d", "F.interpolate(x, 7)", f32(2, 2, 3))
case("interpolate_nearest1d/down", "F.interpolate(x, 7)", f32(1, 2, 10))
case("interpolate_nearest1d/same", "F.interpolate(x, 7)", f32(1, 1, 7))
case("interpolate_nearest1d/f64", "F.interpolate(x, 7)", f64(1, 2, 3))
case("interpolate_nearest2d", "F.interpolate(x, (5, 3))", f32(2, 2, 3, 4))
case("interpolate_nearest2d/one", "F.interpolate(x, (5, 3))", f32(1, 1, 1, 1))
case("interpolate_nearest2d/no_images", "F.interpolate(x, (5, 3))", f32(0, 1, 2, 2))
case("interpolate_nearest2d/f16", "F.interpolate(x, (5, 3))", f16(1, 1, 3, 4))
case("interpolate_nearest2d/bf16", "F.interpolate(x, (5, 3))", bf16(1, 1, 3, 4))
case("interpolate_nearest2d/u8", "F.interpolate(x, (5, 3))", u8(1, 2, 4, 2))
case("interpolate_nearest3d", "F.interpolate(x, (3, 2, 5))", f32(1, 2, 2, 3, 3))
case("interpolate_nearest_rounding", "F.interpolate(x, 82)", f32(1, 1, 2))
# PyTorch's backward rounds places to float32 even here, and so disagrees with its own forward.
case("interpolate_nearest_rounding/f64", "F.interpolate(x, 82)", f64(1, 1, 2), grad=False)
case("interpolate_linear", "F.interpolate(x, 7, mode='linear')", f32(2, 2, 3))
case("interpolate_linear/down", "F.interpolate(x, 7, mode='linear')", f32(1, 2, 10))
case("interpolate_linear/f64", "F.interpolate(x, 7, mode='linear')", f64(1, 2, 3))
case("interpolate_linear/one", "F.interpolate(x, 7, mode='linear')", f32(1, 2, 1))
case("interpolate_linear_to_one", "F.interpolate(x, 1, mode='linear')", f32(2, 2, 4))
case("interpolate_bilinear", "F.interpolate(x, (5, 3), mode='bilinear')", f32(2, 2, 3, 4))
case("interpolate_bilinear/up", "F.interpolate(x, (5, 3), mode='bilinear')", f32(1, 2, 2, 2))
case("interpolate_bilinear/down", "F.interpolate(x, (5, 3), mode='bilinear')", f32(1, 1, 9, 8))
case("interpolate_bilinear/f16", "F.interpolate(x, (5, 3), mode='bilinear')", f16(1, 1, 3, 4))
case("interpolate_bilinear/bf16", "F.interpolate(x, (5, 3), mode='bilinear')", bf16(1, 1, 3, 4))
case("interpolate_trilinear", "F.interpolate(x, (3, 2, 5), mode='trilinear')", f32(1, 2, 2, 3, 3))
case("interpolate_cubic", "F.interpolate(x, (5, 3), mode='bicubic')", f32(2, 2, 3, 4))
case("interpolate_cubic/up", "F.interpolate(x, (5, 3), mode='bicubic')", f32(1, 2, 2, 2))
case("interpolate_cubic/down", "F.interpolate(x, (5, 3), mode='bicubic')", f32(1, 1, 9, 8))
case("interpolate_cubic/f64", "F.interpolate(x, (5, 3), mode='bicubic')", f64(1, 1, 3, 4))
case("interpolate_cubic/f16", "F.interpolate(x, (5, 3), mode='bicubic')", f16(1, 1, 3, 4))
case("interpolate_linear_corners", "F.interpolate(x, 7, mode='linear', align_corners=True)", f32(2, 2, 3))
case("interpolate_linear_corners/down", "F.interpolate(x, 7, mode='linear', align_corners=True)", f32(1, 2, 10))
case("interpolate_linear_corners/f64", "F.interpolate(x, 7, mode='linear', align_corners=True)", f64(1, 2, 3))
case("interpolate_linear_corners/one", "F.interpolate(x, 7, mode='linear', align_corners=True)", f32(1, 2, 1))
case("interpolate_linear_to_one_corners", "F.interpolate(x, 1, mode='linear', align_corners=True)", f32(2, 2, 4))
case("interpolate_bilinear_corners", "F.interpolate(x, (5, 3), mode='bilinear', align_corners=True)", f32(2, 2, 3, 4))
case("interpolate_bilinear_corners/up", "F.interpolate(x, (5, 3), mode='bilinear', align_corners=True)", f32(1, 2, 2, 2))
case("interpolate_bilinear_corners/down", "F.interpolate(x, (5, 3), mode='bilinear', align_corners=True)", f32(1, 1, 9, 8))
case("interpolate_bilinear_corners/f16", "F.interpolate(x, (5, 3), mode='bilinear', align_corners=True)", f16(1, 1, 3, 4))
case("interpolate_bilinear_corners/bf16", "F.interpolate(x, (5, 3), mode='bilinear', align_corners=True)", bf16(1, 1, 3, 4))
case("interpolate_trilinear_corners", "F.interpolate(x, (3, 2, 5), mode='trilinear', align_corners=True)", f32(1, 2, 2, 3, 3))
case("interpolate_cubic_corners", "F.interpolate(x, (5, 3), mode='bicubic', align_corners=True)", f32(2, 2, 3, 4))
case("interpolate_cubic_corners/up", "F.interpolate(x, (5, 3), mode='bicubic', align_corners=True)", f32(1, 2, 2, 2))
case("interpolate_cubic_corners/down", "F.interpolate(x, (5, 3), mode='bicubic', align_corners=True)", f32(1, 1, 9, 8))
case("interpolate_cubic_corners/f64", "F.interpolate(x, (5, 3), mode='bicubic', align_corners=True)", f64(1, 1, 3, 4))
case("interpolate_cubic_corners/f16", "F.interpolate(x, (5, 3), mode='bicubic', align_corners=True)", f16(1, 1, 3, 4))

# ---- Training: normalisation and losses -----------------------------------------------------------------------------
section("training")
case("layernorm", "F.layer_norm(x, x.shape[-1:])", f32(3, 4))
case("layernorm/f64", "F.layer_norm(x, x.shape[-1:])", f64(3, 4))
case("layernorm/f16", "F.layer_norm(x, x.shape[-1:])", f16(3, 4))
case("layernorm/f16_large", "F.layer_norm(x, x.shape[-1:])", given([[-300.0, 300.0], [1000.0, 900.0]], "float16"))
case("layernorm/bf16", "F.layer_norm(x, x.shape[-1:])", bf16(3, 4))
case("layernorm/constant", "F.layer_norm(x, x.shape[-1:])", given([[2.0, 2.0, 2.0], [0.0, 0.0, 1.0]]))
case("layernorm_axes", "F.layer_norm(x, x.shape[-2:])", f32(2, 3, 4))
case("layernorm_eps", "F.layer_norm(x, x.shape[-1:], eps=0.1)", f32(3, 4))
BATCHNORM = "F.batch_norm(x, z[0].detach(), z[1].detach().exp(), y[0], y[1])"
case("batchnorm", BATCHNORM, f32(2, 3, 4, 2), f32(2, 3), f32(2, 3))
case("batchnorm/f64", BATCHNORM, f64(2, 3, 4), f64(2, 3), f64(2, 3))
case("batchnorm/matrix", BATCHNORM, f32(5, 3), f32(2, 3), f32(2, 3))
case("batchnorm/volume", BATCHNORM, f32(2, 3, 2, 2, 2), f32(2, 3), f32(2, 3))
case("batchnorm/f16", BATCHNORM, f16(2, 3, 4), f16(2, 3), f16(2, 3))
case("batchnorm/f16_large", BATCHNORM, given([[-300.0, 6e4], [300.0, 1.0]], "float16"), f16(2, 2), given([[3.0, 6e4], [8.0, 11.0]], "float16"))
case("batchnorm/bf16", BATCHNORM, bf16(2, 3, 4), bf16(2, 3), bf16(2, 3))
case("batchnorm_plain", "F.batch_norm(x, y[0].detach(), y[1].detach().exp(), eps=0.1)", f32(2, 3, 4), f32(2, 3))
case("softmax_of_a_number", "x.softmax(-1)", f32())
case("log_softmax_of_a_number", "x.log_softmax(0)", f32())

# Losses of classes: every option with every other, and with every reduction.
CLASSES = given([2, 0, 3], "int64")
PLACES = given([[2, 0], [1, 1], [0, 2]], "int64")
MANY = given([[[2, 0, 1]] * 2] * 2, "int64")
P = {"low": 1 / 64, "high": 1}
FLOATS = {"f32": f32, "f64": f64, "f16": f16, "bf16": bf16}
REDUCTIONS = {"": "'mean'", "_none": "'none'", "_sum": "'sum'"}


def class_loss(name, expression):
    """Logits (N, C), (C) and (N, C, d1, ...), weights (C), and every floating-point type."""
    for dtype, make in FLOATS.items():
        case(f"{name}/{dtype}", expression, make(3, 4), CLASSES, make(4, **P))
    case(name + "/one", expression, f32(4), given(2, "int64"), f32(4, **P))
    case(name + "/places", expression, f32(3, 3, 2), PLACES, f32(3, **P))
    case(name + "/volume", expression, f32(2, 3, 2, 3), MANY, f32(3, **P))
    case(name + "/int32", expression.replace("y,", "y.long(),"), f32(3, 4), given([2, 0, 3], "int32"), f32(4, **P))


for suffix, reduction in REDUCTIONS.items():
    R = f"reduction={reduction})"
    class_loss("cross_entropy" + suffix, "F.cross_entropy(x, y, " + R)
    class_loss("cross_entropy_smooth" + suffix, "F.cross_entropy(x, y, label_smoothing=0.1, " + R)
    class_loss("cross_entropy_ignore" + suffix, "F.cross_entropy(x, y, ignore_index=0, " + R)
    class_loss("cross_entropy_ignore_smooth" + suffix,
               "F.cross_entropy(x, y, ignore_index=2, label_smoothing=0.2, " + R)
    class_loss("cross_entropy_weight" + suffix, "F.cross_entropy(x, y, z.detach(), " + R)
    class_loss("cross_entropy_weight_smooth" + suffix, "F.cross_entropy(x, y, z.detach(), label_smoothing=0.1, " + R)
    class_loss("cross_entropy_weight_ignore" + suffix, "F.cross_entropy(x, y, z.detach(), ignore_index=0, " + R)
    class_loss("cross_entropy_weight_ignore_smooth" + suffix,
               "F.cross_entropy(x, y, z.detach(), ignore_index=2, label_smoothing=0.2, " + R)
    class_loss("nll_loss" + suffix, "F.nll_loss(x, y, " + R)
    class_loss("nll_loss_ignore" + suffix, "F.nll_loss(x, y, ignore_index=0, " + R)
    class_loss("nll_loss_weight" + suffix, "F.nll_loss(x, y, z.detach(), " + R)
    class_loss("nll_loss_weight_ignore" + suffix, "F.nll_loss(x, y, z.detach(), ignore_index=0, " + R)
    for dtype, make in FLOATS.items():  # probabilities instead of classes
        case(f"cross_entropy{suffix}/chances_{dtype}", "F.cross_entropy(x, y, " + R, make(3, 4), make(3, 4, **P))
    case(f"cross_entropy{suffix}/chances_one", "F.cross_entropy(x, y, " + R, f32(4), f32(4, **P))
    case(f"cross_entropy{suffix}/chances_places", "F.cross_entropy(x, y, " + R, f32(2, 3, 2), f32(2, 3, 2, **P))
    case(f"cross_entropy_smooth{suffix}/chances", "F.cross_entropy(x, y, label_smoothing=0.1, " + R,
         f32(3, 4), f32(3, 4, **P))
    case(f"cross_entropy_weight{suffix}/chances", "F.cross_entropy(x, y, z.detach(), " + R,
         f32(2, 3, 2), f32(2, 3, 2, **P), f32(3, **P))
    case(f"cross_entropy_weight_smooth{suffix}/chances", "F.cross_entropy(x, y, z.detach(), label_smoothing=0.1, " + R,
         f32(3, 4), f32(3, 4, **P), f32(4, **P))
case("cross_entropy_batchmean", "F.cross_entropy(x, y, reduction='sum') / 3", f32(3, 3, 2), PLACES)
case("cross_entropy/large", "F.cross_entropy(x, y)", given([[1e4, 0.0], [0.0, 1e4]]), given([0, 0], "int64"))
case("cross_entropy_ignore/all", "F.cross_entropy(x, y, ignore_index=0)", f32(2, 3), given([0, 0], "int64"), grad=False)
case("cross_entropy_ignore_outside", "F.cross_entropy(x, y, ignore_index=-1)", f32(3, 4), given([2, -1, -1], "int64"))


def distance(name, expression, low=-2, high=2, target=P):
    """A loss of two tensors of equal shape."""
    for suffix, reduction in REDUCTIONS.items():
        for dtype, make in FLOATS.items():
            case(f"{name}{suffix}/{dtype}", f"{expression}, reduction={reduction})", make(3, 4, low=low, high=high),
                 make(3, 4, **target))
        case(f"{name}{suffix}/number", f"{expression}, reduction={reduction})", f32(low=low, high=high), f32(**target))


WIDE = {"low": -2, "high": 2}
distance("mse_loss", "F.mse_loss(x, y", target=WIDE)
distance("l1_loss", "F.l1_loss(x, y", target=WIDE)
distance("smooth_l1_loss", "F.smooth_l1_loss(x, y", target=WIDE)
distance("smooth_l1_loss_beta", "F.smooth_l1_loss(x, y, beta=0.5", target=WIDE)
distance("smooth_l1_loss_0", "F.smooth_l1_loss(x, y, beta=0", target=WIDE)
distance("kl_div", "F.kl_div(x, y", low=-4, high=0)
distance("kl_div_log", "F.kl_div(x, y, log_target=True", low=-4, high=0, target={"low": -4, "high": 0})
distance("binary_cross_entropy", "F.binary_cross_entropy(x, y", low=1 / 64, high=1)
distance("bce_with_logits", "F.binary_cross_entropy_with_logits(x, y")
case("l1_loss/equal", "F.l1_loss(x, y)", given([1.0, 2.0, 3.0]), given([1.0, 3.0, 2.0]))
case("smooth_l1_loss/corner", "F.smooth_l1_loss(x, y)", given([1.0, 2.0, 3.0, 0.5]), given([1.0, 3.0, 2.0, 2.5]))
case("kl_div/never", "F.kl_div(x, y)", given([-1.0, -2.0, -3.0]), given([0.0, 0.5, 1.0]), grad=False)
case("kl_div/impossible", "F.kl_div(x, y.detach(), reduction='sum')", given([-inf, -1.0]), given([0.0, 0.5]), grad=False)
case("kl_div_batchmean", "F.kl_div(x, y, reduction='batchmean')", f32(3, 4, low=-4, high=0), f32(3, 4, **P))
case("kl_div_log_batchmean", "F.kl_div(x, y, log_target=True, reduction='batchmean')", f32(3, 4, low=-4, high=0),
     f32(3, 4, low=-4, high=0))
case("binary_cross_entropy/certain", "F.binary_cross_entropy(x, y)", given([0.0, 1.0, 0.0, 1.0]),
     given([0.0, 1.0, 1.0, 0.0]), grad=False)
case("binary_cross_entropy_wrong", "F.binary_cross_entropy(x, y.detach())", given([0.0, 1.0, 0.0, 1.0, 1e-30, 0.5]),
     given([0.0, 1.0, 1.0, 0.0, 1.0, 1.0]))
case("bce_with_logits/large", "F.binary_cross_entropy_with_logits(x, y)", given([1e4, -1e4, 0.0]),
     given([0.0, 1.0, 0.5]))
for suffix, reduction in REDUCTIONS.items():
    R = f"reduction={reduction})"
    case("binary_cross_entropy_weight" + suffix, "F.binary_cross_entropy(x, y, z.detach(), " + R,
         f32(3, 4, **P), f32(3, 4, **P), f32(4, **P))
    case("bce_with_logits_weight" + suffix, "F.binary_cross_entropy_with_logits(x, y, z.detach(), " + R,
         f32(3, 4), f32(3, 4, **P), f32(3, 1, **P))
    case("bce_with_logits_pos_weight" + suffix, "F.binary_cross_entropy_with_logits(x, y, pos_weight=z.detach(), " + R,
         f32(3, 4), f32(3, 4, **P), f32(4, low=0, high=4))
    case("bce_with_logits_both" + suffix, "F.binary_cross_entropy_with_logits(x, y, z.detach(), pos_weight=w.detach(), " + R,
         f64(3, 4), f64(3, 4, **P), f64(4, **P), f64(4, low=0, high=4))
case("network", "F.cross_entropy(F.linear(F.max_pool2d(F.conv2d(x, y).relu(), 2).flatten(1), z), w)",
     f32(2, 1, 6, 6), f32(2, 1, 3, 3), f32(3, 8), given([2, 0], "int64"))

# ---- Along one axis, in order ---------------------------------------------------------------------------------------
section("scan_sort")


def along(name, expression, makers, grad=True):
    """One function along an axis, over several types; expression has {} where the axis goes."""
    for make in makers:
        case(f"{name}/{make(1).dtype}", expression.format(0), make(7), grad=grad)
    make = makers[0]
    case(f"{name}/one", expression.format(0), make(1), grad=grad)
    case(f"{name}/none", expression.format(0), make(0), grad=grad)
    case(f"{name}/rows", expression.format(0), make(5, 3), grad=grad)
    case(f"{name}_last", expression.format(-1), make(2, 3, 5), grad=grad)
    case(f"{name}_last/no_rows", expression.format(-1), make(0, 3), grad=grad)
    case(f"{name}_middle", expression.format(1), make(2, 6, 3), grad=grad)


INTS, FLOATS = (i32, i64, u8), (f32, f64, f16, bf16)
NANS = [[1.0, nan, 3.0, 2.0], [inf, 2.0, -inf, inf], [0.0, -0.0, 0.0, -1.0]]
EQUALS = [[2.0, 1.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [-1.0, -1.0, -1.0, -1.0]]
along("cumsum", "x.cumsum({})", FLOATS + INTS + (b1,))
case("cumsum_last/nan", "x.cumsum(-1)", given(NANS), grad=False)
case("cumsum_view", "x.t().flip(0).cumsum(1)", f32(4, 3))
case("cumsum_padded", "F.pad(x, (2, 1)).cumsum(0)", f32(3, 2))
along("cumprod", "x.cumprod({})", FLOATS + INTS + (b1,))
case("cumprod_last/zero", "x.cumprod(-1)", given([[2.0, 0.0, 3.0, 0.5], [0.0, 2.0, 0.0, 3.0], [1.0, 2.0, 3.0, 0.0]]))
case("cumprod_last/nan", "x.cumprod(-1)", given(NANS), grad=False)
for which in ("max", "min"):
    along(f"cum{which}", f"x.cum{which}({{}}).values", FLOATS + INTS + (b1,))
    along(f"cum{which}_indices", f"x.cum{which}({{}}).indices", (f32, i32), grad=False)
    case(f"cum{which}_last/nan", f"x.cum{which}(-1).values", given(NANS), grad=False)
    case(f"cum{which}_last/equals", f"x.cum{which}(-1).values", given(EQUALS))
    case(f"cum{which}_indices_last/nan", f"x.cum{which}(-1).indices", given(NANS))
    case(f"cum{which}_indices_last/equals", f"x.cum{which}(-1).indices", given(EQUALS))
for name, call in (("sort", "x.sort(dim={}, stable=True)"), ("sort_down", "x.sort(dim={}, stable=True, descending=True)")):
    along(name, call + ".values", FLOATS + INTS + (b1,))
    along(name + "_indices", call + ".indices", FLOATS + INTS + (b1,), grad=False)
    for which in ("values", "indices"):
        tail = "_indices" if which == "indices" else ""
        case(f"{name}{tail}_last/nan", f"{call.format(-1)}.{which}", given(NANS), grad=False)
        case(f"{name}{tail}_last/equals", f"{call.format(-1)}.{which}", given(EQUALS), grad=False)
        case(f"{name}{tail}_last/extremes", f"{call.format(-1)}.{which}", given([[2**63 - 1, -2**63, 0, -1, 1]], "int64"))
        case(f"{name}{tail}_last/long", f"{call.format(-1)}.{which}", f32(2, 300), grad=False)
        case(f"{name}{tail}_last/long_int", f"{call.format(-1)}.{which}", i64(2, 300))
case("sort_view", "x.t().flip(0).sort(stable=True).values", f32(4, 3))
case("argsort", "x.argsort(stable=True)", f32(3, 5))
case("argsort_down", "x.argsort(dim=0, stable=True, descending=True)", i32(5, 2))
case("topk", "x.topk(2).values", f32(3, 5))
case("topk/int", "x.topk(2).values", i64(3, 5))
case("topk_indices", "x.topk(2).indices", f32(3, 5))
case("topk_smallest", "x.topk(3, 0, largest=False).values", f32(5, 2))
case("topk_all", "x.topk(4).values", f32(4))
case("topk_none", "x.topk(0).values", f32(4))

# ---- Writing into a part --------------------------------------------------------------------------------------------
section("setitem")
AT = given([[0, 3, 1], [1, 0, 2]], "int64")
case("scatter", "x.scatter(0, y, z)", f32(4, 3), AT, f32(2, 3))
for make in (f64, f16, bf16, i32, i64, u8, b1):
    case(f"scatter/{make(1).dtype}", "x.scatter(0, y, z)", make(4, 3), AT, make(2, 3))
case("scatter/larger_source", "x.scatter(0, y, z)", f32(4, 3), AT, f32(3, 5), grad=False)  # PyTorch has no gradient here
case("scatter/none", "x.scatter(0, y, z)", f32(4, 3), given([[], []], "int64"), f32(2, 3), grad=False)
case("scatter_last", "x.scatter(-1, y, z)", f32(2, 3), given([[2], [0]], "int64"), f32(2, 1))
case("scatter_number", "x.scatter(1, y, 7)", f32(2, 4), given([[2, 0], [0, 0]], "int64"))
case("set_row", "put(x, 1, y)", f32(3, 4), f32(4))
for make in (f64, f16, bf16, i32, i64, u8, b1):
    case(f"set_row/{make(1).dtype}", "put(x, 1, y)", make(3, 4), make(4))
case("set_row/other_type", "put(x, 1, y)", i32(3, 4), f32(4))
case("set_column", "put(x, (slice(None), -1), y)", f32(3, 4), f32(3))
case("set_number", "put(x, (slice(1, 3), 2), 5)", f32(4, 3))
case("set_number/int", "put(x, (slice(1, 3), 2), 5)", i64(4, 3))
case("set_broadcast", "put(x, slice(0, 2), y)", f32(3, 2, 2), f32(2, 1))
case("set_step", "put(x, (..., slice(None, None, 2)), y)", f32(2, 5), f32(2, 3))
case("set_reverse", "put(x, slice(0, 3), y.flip(0))", f32(4, 2), f32(3, 2))
case("set_all", "put(x, slice(None), y)", f32(3, 2), f32(3, 2))
case("set_none", "put(x, slice(3, 1), y)", f32(3, 2), f32(1, 2))
case("set_new_axis", "put(x, (None, 1), y)", f32(3, 2), f32(1, 2))
case("set_shifted", "put(x, slice(1, None), x[:-1] * 2)", f32(4, 2))
case("set_doubled", "put(x, slice(1, 3), x[1:3] * 2)", f32(4, 2))
case("set_twice", "put(put(x, 0, y), (slice(None), 0), y)", f32(3, 3), f32(3))
case("set_rows", "put(x, y, z)", f32(4, 3), given([2, 0], "int64"), f32(2, 3))
case("set_rows/negative", "put(x, y, z)", f32(4, 3), given([-1, 0], "int64"), f32(2, 3))
case("set_points", "put(x, (y, z), w)", f32(4, 3), given([2, 0, 1], "int64"), given([1, 1, 0], "int64"), f32(3))
case("set_rows_part", "put(x, (slice(1, None), y), z)", f32(4, 3), given([2, 0], "int64"), f32(3, 2))
case("set_mask", "put(x, y, 9)", f32(2, 3), b1(2, 3))
case("set_mask/rows", "put(x, y, 9)", f32(3, 2), given([True, False, True], "bool"))
for make in (i32, u8):
    case(f"set_mask/{make(1).dtype}", "put(x, y, 9)", make(2, 3), b1(2, 3))

BITS = {"f16": f16, "bf16": bf16, "f32": f32, "f64": f64, "i32": i32, "i64": i64, "u8": u8}
NAMES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "u8": "uint8"}
for a, make in BITS.items():
    for b, name in NAMES.items():
        case(f"bitcast_{b}/{a}", f"x.view(torch.{name})", make(2, 8), grad=False)
case("bitcast_i32/special", "x.view(torch.int32)", given([inf, -inf, -0.0, 1e-40]), grad=False)
case("bitcast_u8/halves", "x.view(torch.uint8)", given([inf, -inf, -0.0, 6e-8], "float16"), grad=False)

# ---- Names and calls that a program from PyTorch brings along -------------------------------------------------------
section("pytorch_calls")
case("of_column", "torch.tensor([[1.], [2.]])")
case("of_one", "torch.tensor([[5.]])")
case("of_deep", "torch.tensor([[[1, 2], [3, 4]]])")
case("of_none", "torch.zeros(2, 0)")
case("index_tensor", "x[y]", X, given([1, 0, -1], "int64"))
case("index_slice", "x[1:]", X)
case("index_ellipsis", "x[...]", X)
case("index_new", "x[None]", X)
case("index_size", "x[:, 2]", X)
for make in (b1, u8, i32, i64):
    case(f"not/{make(1).dtype}", "~x", make(5))
for make in (b1, f32, i64):
    case(f"logical_not/{make(1).dtype}", "x.logical_not()", make(5))
for make in (f32, f64, f16, i32, u8):
    case(f"floor_divide_3/{make(1).dtype}", "x // 3", make(6), grad=False)
    case(f"fmod_2/{make(1).dtype}", "x.fmod(2)", make(6))
case("where_ints", "torch.where(x, 1, 0)", b1(2, 3))
case("where_floats", "torch.where(x, 0.5, -1.)", b1(2, 3))
case("where_bool_int", "torch.where(x, True, 2)", b1(2, 3))

unary("nan_to_num", "x.nan_to_num()", ints=True)
unary("nan_to_num_given", "x.nan_to_num(1, 2, -3)")
SIGNS = [-inf, -2.0, -0.0, 0.0, 1.0, inf, nan]
GRID = ([a for a in SIGNS for _ in SIGNS], SIGNS * len(SIGNS))
for make in (f32, f64, f16, bf16):
    dtype = make(1).dtype
    case(f"atan2/{dtype}", "x.atan2(y)", make(40), make(40))
    case(f"atan2/special_{dtype}", "x.atan2(y)", given(GRID[0], dtype), given(GRID[1], dtype), grad=False)
    case(f"glu/{dtype}", "F.glu(x)", make(2, 6))
    if make in (f32, f64):
        case(f"logaddexp/{dtype}", "x.logaddexp(y)", make(12), make(12))
        case(f"logaddexp/special_{dtype}", "x.logaddexp(y)", given(GRID[0], dtype), given(GRID[1], dtype), grad=False)
case("atan2/steps", "x.atan2(y)", given([1.0, -1.0, 0.0, 0.0, 2.0, -2.0]), given([1.0, -1.0, 2.0, -2.0, 0.0, 0.0]))
case("atan2/origin", "x.atan2(y)", given([0.0, 1.0]), given([0.0, 1.0]))
case("atan2/broadcast", "x.atan2(y)", f32(3, 1), f32(4))
case("atan2/ints", "x.atan2(y)", i64(6), i64(6))
case("logaddexp/equal", "x.logaddexp(y)", given([1.0, -100.0, 90.0]), given([1.0, -100.0, -90.0]))
case("logaddexp/broadcast", "x.logaddexp(y)", f32(3, 1), f32(4))
CLOSE = [1.0, 1.0 + 1e-5, 1.0 + 1e-4, inf, nan, 0.0, 1e-9]
case("isclose", "torch.isclose(x, y)", given(CLOSE), given([1.0, 1.0, 1.0, inf, nan, 1e-9, 1e-7]))
case("isclose/infinite", "torch.isclose(x, y)", given([inf, 1.0, -inf]), given([-inf, inf, -inf]))
case("isclose/f64", "torch.isclose(x, y)", given(CLOSE, "float64"), given([1.0] * 7, "float64"))
case("isclose/ints", "torch.isclose(x, y)", i64(8), i64(8))
case("isclose/bools", "torch.isclose(x, y)", b1(8), b1(8))
case("isclose_nan", "torch.isclose(x, y, equal_nan=True)", given(CLOSE), given(CLOSE))
case("isclose_wide", "torch.isclose(x, y, rtol=0.5, atol=0.25)", f32(20), f32(20))
case("allclose", "torch.tensor(torch.allclose(x, x + 1e-7))", f32(5, low=0.5))
case("allclose_not", "torch.tensor(torch.allclose(x, x + 1e-3))", f32(5, low=0.5))
case("glu/none", "F.glu(x)", f32(3, 0))
case("glu_axis", "F.glu(x, 0)", f32(4, 3))
case("clone", "x.clone()", f32(2, 3))
case("bernoulli", "torch.bernoulli(x)", given([0.0, 1.0, 1.0, 0.0]), grad=False)
case("bernoulli/f16", "torch.bernoulli(x)", given([0.0, 1.0], "float16"), grad=False)

case("movedim", "x.movedim(0, 2)", f32(2, 3, 4))
case("movedim_back", "x.movedim(-1, 0)", f32(2, 3, 4))
case("unbind", "torch.stack(x.unbind(1)[::-1])", f32(2, 3))
case("expand_as", "x.expand_as(y)", f32(3, 1), f32(2, 3, 4))
case("repeat_interleave", "x.repeat_interleave(2)", f32(2, 3))
case("repeat_interleave/number", "x.repeat_interleave(2)", f32())
case("repeat_interleave_axis", "x.repeat_interleave(3, 0)", f32(2, 2))
case("repeat_interleave_none", "x.repeat_interleave(0, -1)", f32(2, 2))
case("index_add", "x.index_add(1, y, z)", f32(2, 3), given([2, 0, 2, 1], "int64"), f32(2, 4))
case("index_add/i32", "x.index_add(1, y, z)", i32(2, 3), given([2, 0], "int32"), i32(2, 2))
case("outer", "x.outer(y)", f32(3), f32(4))
case("outer/mixed", "x.outer(y)", i32(3), f32(2))
case("outer/bools", "x.outer(y)", b1(3), b1(2))

ORDERS = {"0": 0, "1": 1, "2": 2, "3": 3, "half": 0.5, "minus_1": -1, "inf": inf, "minus_inf": -inf}
for name, p in ORDERS.items():
    case("norm_" + name, f"x.norm(p={p}, dim=1)", f32(3, 4))
    case(f"norm_{name}/f64", f"x.norm(p={p}, dim=1)", f64(2, 3))
    if p in (1, 2, 3):
        case(f"norm_{name}/zero", f"x.norm(p={p}, dim=1)", given([[0.0, 0.0], [0.0, 2.0]]))
case("norm", "x.norm()", f32(2, 3))
case("norm/f16", "x.norm()", given([200.0, 300.0, -100.0], "float16"))
case("norm/bf16", "x.norm()", bf16(2, 3))
case("norm/number", "x.norm()", f32())
case("norm/none", "x.norm()", f32(0))
case("norm_keep", "x.norm(dim=(0, 2), keepdim=True)", f32(2, 3, 2))
case("normalize", "F.normalize(x)", f32(3, 4))
case("normalize/zero", "F.normalize(x)", given([[0.0, 0.0], [3.0, 4.0]]), grad=False)
case("normalize_1", "F.normalize(x, p=1, dim=0)", f32(3, 4))
case("cosine_similarity", "F.cosine_similarity(x, y)", f32(3, 4), f32(3, 4))
case("cosine_similarity/broadcast", "F.cosine_similarity(x, y)", f32(2, 3), f32(1, 3))
case("cosine_similarity/f64", "F.cosine_similarity(x, y)", f64(3, 4), f64(3, 4))
case("cosine_similarity_last", "F.cosine_similarity(x, y, dim=-1)", f32(2, 3, 4), f32(4))
for size in ((4, 6), (5, 7), (3, 2), (2, 9)):
    case(f"adaptive_avg_pool2d/{size[0]}x{size[1]}", "F.adaptive_avg_pool2d(x, (2, 3))", f32(2, 2, *size))
case("adaptive_avg_pool2d/image", "F.adaptive_avg_pool2d(x, (2, 3))", f32(2, 5, 4))
for make in (f64, f16, bf16):
    case(f"adaptive_avg_pool2d/{make(1).dtype}", "F.adaptive_avg_pool2d(x, (2, 3))", make(1, 2, 5, 5))
case("adaptive_avg_pool2d/nan", "F.adaptive_avg_pool2d(x, (2, 3))", given([[[1.0, 2.0, 3.0, 4.0, nan]] * 2]), grad=False)
case("adaptive_avg_pool2d_larger", "F.adaptive_avg_pool2d(x, (5, 4))", f32(1, 2, 3, 3))
case("adaptive_avg_pool2d_one", "F.adaptive_avg_pool2d(x, 1)", f32(1, 2, 3, 5))
for make in (f32, f64):
    case(f"huber_loss/{make(1).dtype}", "F.huber_loss(x, y)", make(3, 4), make(3, 4))
    case(f"huber_loss_delta/{make(1).dtype}", "F.huber_loss(x, y, delta=0.5)", make(3, 4), make(3, 4))
case("huber_loss_none", "F.huber_loss(x, y, reduction='none', delta=2)", f32(8), f32(8))

# A scalar counts as having one axis.
for name, expression in (("sum_last", "x.sum(-1)"), ("mean_0", "x.mean(0)"), ("prod_0", "x.prod(0)"), ("max_0", "x.amax(0)"),
                         ("argmax_0", "x.argmax(0)"), ("argmin_last", "x.argmin(-1)"), ("any_0", "x.any(0)"),
                         ("logsumexp_0", "x.logsumexp(0)"), ("squeeze_last", "x.squeeze(-1)"), ("t", "x.t()")):
    case(name + "/number", expression, f32())
case("t/vector", "x.t()", f32(3))
case("squeeze_axes", "x.squeeze((0, 1))", f32(1, 2, 1))

# ---- Functions that ordinary models use now and then ----------------------------------------------------------------
section("functions")
REAL = (f32, f64, f16, bf16)

# The same of tensors without axes, for every function along an axis.
for name, expression in (("cumsum", "x.cumsum(0)"), ("cumprod", "x.cumprod(-1)"), ("cummax", "x.cummax(0).values"),
                         ("cummin_indices", "x.cummin(-1).indices"), ("logcumsumexp", "x.logcumsumexp(0)"),
                         ("sort", "x.sort(0).values"), ("argsort", "x.argsort(-1)"), ("topk", "x.topk(1, 0).values"),
                         ("topk_none", "x.topk(0, 0).values"), ("transpose", "x.transpose(0, -1)"), ("movedim", "x.movedim(-1, 0)"),
                         ("median", "x.median(0).values"), ("quantile", "x.quantile(0.5, 0)"),
                         ("quantile_keepdim", "x.quantile(0.5, 0, True)"), ("unfold", "x.unfold(0, 1, 1)"),
                         ("softmin", "F.softmin(x, 0)"), ("unique_inverse", "x.unique(return_inverse=True)[1]"),
                         ("nonzero", "x.nonzero()")):
    case(f"point_{name}", expression, f32(), grad="unique" not in name)
case("point_gather", "x.gather(0, y)", f32(), given(0, "int64"))
case("point_gather/several", "x.gather(0, y)", f32(), given([0, 0, 0], "int64"))
case("point_gather/from_vector", "x.gather(0, y)", f32(3), given(2, "int64"))
case("point_scatter", "x.scatter(0, y, z)", f32(), given(0, "int64"), f32())
case("point_scatter/into_vector", "x.scatter(0, y, z)", f32(3), given(1, "int64"), f32())
case("point_scatter/vectors", "x.scatter(0, y, z)", f32(), given([0], "int64"), f32(1))
case("point_scatter_add", "x.scatter_add(0, y, z)", f32(), given(0, "int64"), f32())
case("point_index_select", "x.index_select(0, y)", f32(), given([0], "int64"))
case("point_index_select/number", "x.index_select(0, y)", f32(), given(0, "int64"))
case("point_index_select/of_vector", "x.index_select(0, y)", f32(3), given(2, "int64"))
case("point_index_select/of_matrix", "x.index_select(0, y)", f32(3, 2), given(2, "int64"))
case("point_index_add", "x.index_add(0, y, z)", f32(), given([0], "int64"), f32())
case("point_index_add/number", "x.index_add(0, y, z)", f32(), given(0, "int64"), f32())
case("point_scatter_mean", "x.scatter_reduce(0, y, z, 'mean')", f32(), given(0, "int64"), f32())
case("unfold_nothing", "x.unfold(1, 0, 2)", f32(2, 3))
case("unfold_nothing/nothing", "x.unfold(1, 0, 2)", f32(2, 0))

for make in REAL:
    case(f"copysign/{make(1).dtype}", "torch.copysign(x, y)", make(30), make(30))
for make in (i32, i64, u8, b1):
    case(f"copysign/{make(1).dtype}", "torch.copysign(x, y)", make(9), make(9))
case("copysign/promoted", "torch.copysign(x, y)", i32(3, 1), f32(3))
case("copysign/zeros", "torch.copysign(x, y)", given([0.0, -0.0, 0.0, -0.0, 1.0, -1.0]), given([1.0, 1.0, -0.0, -1.0, -0.0, 0.0]))
case("copysign/special", "torch.copysign(x, y)", given(GRID[0]), given(GRID[1]), grad=False)
case("copysign_number", "torch.copysign(x, -2)", f32(11))
case("copysign_number/whole", "torch.copysign(x, -2)", i64(11))

# Masks: their count is looked at.
for make in DTYPES.values():
    dtype = make(1).dtype
    case(f"nonzero/{dtype}", "x.nonzero()", make(3, 4))
    case(f"masked_select/{dtype}", "x.masked_select(y)", make(3, 4), b1(3, 4))
    case(f"mask/{dtype}", "x[y]", make(3, 4), b1(3, 4))
    case(f"unique/{dtype}", "x.unique()", make(30), grad=False)
    case(f"unique_inverse/{dtype}", "x.unique(return_inverse=True)[1]", make(5, 6), grad=False)
    case(f"unique_counts/{dtype}", "x.unique(return_counts=True)[1]", make(5, 6), grad=False)
case("nonzero/none", "x.nonzero()", f32(0, 3))
case("nonzero/zeros", "x.nonzero()", given([[0.0, -0.0], [0.0, 0.0]]))
case("nonzero/special", "x.nonzero()", given([[0.0, nan], [-inf, -0.0]]))
case("masked_select/row", "x.masked_select(y)", f32(3, 4), b1(4))
case("masked_select/larger", "x.masked_select(y)", f32(4), b1(2, 3, 4))
case("masked_select/column", "x.masked_select(y)", f32(3, 4), b1(3, 1))
case("masked_select/none", "x.masked_select(y)", f32(0, 4), b1(0, 4))
case("masked_select/all_false", "x.masked_select(y)", f32(3), given([False] * 3, "bool"))
case("mask/first_axis", "x[y]", f32(4, 3), b1(4))
case("mask/first_axes", "x[y]", f32(3, 4, 2), b1(3, 4))
case("mask/true", "x[y]", f32(3, 2), given(True, "bool"))
case("mask/false", "x[y]", f32(3, 2), given(False, "bool"))
case("mask/number", "x[y]", f32(), given(True, "bool"))
case("mask_last", "x[:, y]", f32(3, 4), b1(4))
case("mask_after_number", "x[1, y]", f32(2, 4, 3), b1(4))
case("mask_middle", "x[:, y, 1:]", f32(2, 3, 4), b1(3))
case("mask_beside_index", "x[y, z]", f32(3, 4), given([True, False, True], "bool"), given([0, 3], "int64"))
case("mask_beside_slice", "x[..., y]", f32(2, 3, 4), b1(3, 4))
case("mask_two_axes_middle", "x[:, y, 0]", f32(2, 3, 4, 2), b1(3, 4))
case("unique/nan", "x.unique()", given([nan, 1.0, nan, 1.0, -0.0, 0.0, inf, -inf]), grad=False)
case("unique/none", "x.unique()", f32(0, 3), grad=False)
case("unique_inverse/none", "x.unique(return_inverse=True)[1]", f32(0, 3), grad=False)
case("unique_counts/none", "x.unique(return_counts=True)[1]", f32(0, 3), grad=False)

# Sending with a reduction.
for how in ("sum", "prod", "mean", "amax", "amin"):
    for name, include in (("", True), ("_alone", False)):
        call = f"x.scatter_reduce({{}}, y, z, '{how}', include_self={include})"
        for make in REAL + (i32, i64, u8):
            case(f"scatter_{how}{name}/{make(1).dtype}", call.format(0), make(4, 3), given([[0, 3, 1], [0, 0, 1]], "int64"), make(2, 3))
        case(f"scatter_{how}{name}_last", call.format(-1), f32(2, 4), given([[2, 2, 0, 2], [0, 1, 1, 1]], "int64"), f32(2, 4))
        case(f"scatter_{how}{name}_last/large_source", call.format(-1), f32(2, 4), given([[2, 2]], "int64"), f32(2, 4), grad=False)
        case(f"scatter_{how}{name}_last/none", call.format(-1), f32(2, 4), Input("int64", (2, 0), 0, 1), f32(2, 0))
        if how != "sum":
            index = f"x.index_reduce({{}}, y, z, '{how}', include_self={include})"
            case(f"index_{how}{name}", index.format(0), f32(4, 3), given([3, 0, 3, 3], "int64"), f32(4, 3), grad=how != "prod" and include)
            case(f"index_{how}{name}_last", index.format(-1), f64(2, 3), given([1, 1], "int64"), f64(2, 2), grad=how != "prod" and include)
    if how == "prod":
        ZEROS = given([[2.0, 0.0, 3.0, 0.0, 0.0, 5.0]])
        case("scatter_prod_last/zeros", "x.scatter_reduce(-1, y, z, 'prod')", f32(1, 3), given([[0, 0, 0, 1, 1, 1]], "int64"), ZEROS)
        case("scatter_prod_alone_last/zeros", "x.scatter_reduce(-1, y, z, 'prod', include_self=False)", f32(1, 3),
             given([[0, 0, 0, 1, 1, 1]], "int64"), ZEROS)
    if how in ("amax", "amin"):
        case(f"scatter_{how}_last/equals", f"x.scatter_reduce(-1, y, z, '{how}')", given([[1.0, 2.0, 0.0]]),
             given([[0, 0, 0, 1, 1]], "int64"), given([[1.0, 1.0, 1.0, 2.0, 2.0]]))
        case(f"scatter_{how}_last/nan", f"x.scatter_reduce(-1, y, z, '{how}')", given([[1.0, nan, 0.0]]),
             given([[0, 0, 2, 1, 1]], "int64"), given([[1.0, nan, inf, 2.0, -inf]]), grad=False)

# Diagonals, order, statistics.
for make in REAL + (i32, b1):
    case(f"diag/{make(1).dtype}", "x.diag()", make(3))
    case(f"diag_embed/{make(1).dtype}", "x.diag_embed()", make(2, 3))
case("diag/matrix", "x.diag()", f32(3, 4))
case("diag/none", "x.diag()", f32(0))
case("diag_above", "x.diag(2)", f32(3))
case("diag_above/matrix", "x.diag(2)", f32(3, 4))
case("diag_below", "x.diag(-1)", f32(3))
case("diag_below/matrix", "x.diag(-1)", f32(3, 4))
case("diag_embed_axes", "x.diag_embed(1, 0, 2)", f32(2, 3))
case("diag_embed_below", "x.diag_embed(-2, 2, 1)", f32(2, 3))
for make in REAL:
    dtype = make(1).dtype
    case(f"logcumsumexp/{dtype}", "x.logcumsumexp(0)", make(7))
    case(f"softmin/{dtype}", "F.softmin(x, -1)", make(3, 4))
    case(f"var_of_var_mean/{dtype}", "torch.var_mean(x, (0, 2), correction=0)[0]", make(2, 3, 4))
    case(f"mean_of_var_mean/{dtype}", "torch.var_mean(x, (0, 2), correction=0)[1]", make(2, 3, 4))
    case(f"std_of_std_mean/{dtype}", "torch.std_mean(x, 1, keepdim=True)[0]", make(2, 3))
    case(f"mean_of_std_mean/{dtype}", "torch.std_mean(x, 1, keepdim=True)[1]", make(2, 3))
    case(f"median/{dtype}", "x.median()", make(7))
    case(f"median_axis/{dtype}", "x.median(0).values", make(7, 3))
case("logcumsumexp/none", "x.logcumsumexp(0)", f32(0))
case("logcumsumexp/large", "x.logcumsumexp(0)", given([700.0, 1000.0, -1000.0, 999.0]))
case("logcumsumexp/long", "x.logcumsumexp(0)", f32(100))
case("logcumsumexp/impossible_after", "x.logcumsumexp(0)", given([1.0, -inf, -inf, 2.0]))
case("logcumsumexp/impossible_before", "x.logcumsumexp(0)", given([-inf, -inf, 2.0]), grad=False)
case("logcumsumexp/infinite", "x.logcumsumexp(0)", given([1.0, inf, -inf, 2.0]), grad=False)
case("logcumsumexp/nan", "x.logcumsumexp(0)", given([1.0, nan, -inf, 2.0]), grad=False)
case("logcumsumexp_middle", "x.logcumsumexp(1)", f64(2, 5, 3))
for make in (i32, i64, u8):
    case(f"median/{make(1).dtype}", "x.median()", make(8))
    case(f"median_axis/{make(1).dtype}", "x.median(0).values", make(8, 3))
case("median/equals", "x.median()", given([2.0, 1.0, 2.0, 3.0, 2.0]))
case("median/nan", "x.median()", given([2.0, nan, 2.0, nan]))
case("median/none", "x.median()", f32(0), grad=False)
case("median/even", "x.median()", f32(2, 5))
case("median_axis/even", "x.median(0).values", f32(6, 2))
case("median_axis/nan", "x.median(0).values", given([[1.0, nan], [nan, 2.0], [3.0, 3.0], [nan, 1.0]]))
case("median_axis/no_rows", "x.median(0).values", f32(3, 0))
case("median_keepdim", "x.median(-1, keepdim=True).values", f32(2, 5))
case("median_indices", "x.median(-1).indices", given([[5.0, 1.0, 3.0, 2.0], [nan, 2.0, nan, 1.0]]))
for mode in ("linear", "lower", "higher", "midpoint", "nearest"):
    for make in (f32, f64):
        case(f"quantile_{mode}/{make(1).dtype}", f"x.quantile(0.3, 1, interpolation='{mode}')", make(3, 8))
        case(f"quantile_{mode}/exact_{make(1).dtype}", f"x.quantile(0.3, 1, interpolation='{mode}')", make(2, 11))
        case(f"quantile_{mode}/one_{make(1).dtype}", f"x.quantile(0.3, 1, interpolation='{mode}')", make(2, 1))
case("quantile_all", "x.quantile(0.9)", f32(3, 4))
case("quantile_all/nan", "x.quantile(0.9)", given([1.0, nan, 3.0]))
case("quantile_all_keepdim", "x.quantile(0.25, keepdim=True)", f32(3, 4))
case("quantile_several", "x.quantile(torch.tensor([0, 0.1, 0.5, 1], dtype=x.dtype), 1)", f32(3, 7))
case("quantile_several/f64", "x.quantile(torch.tensor([0, 0.1, 0.5, 1], dtype=x.dtype), 1)", f64(3, 7))
case("quantile_several/nan", "x.quantile(torch.tensor([0, 0.1, 0.5, 1], dtype=x.dtype), 1)", given([[1.0, nan, 2.0], [0.0, 1.0, 2.0]]))
for mode in ("trunc", "floor"):
    for make in REAL + (i32, i64):
        low = -5 if make in (i32, i64) else -2
        case(f"div_{mode}/{make(1).dtype}", f"torch.div(x, y, rounding_mode='{mode}')", make(30), make(30, low=1, high=4))
        case(f"div_{mode}/negative_{make(1).dtype}", f"torch.div(x, y, rounding_mode='{mode}')", make(30), make(30, low=-4, high=-1))
    case(f"div_{mode}/u8", f"torch.div(x, y, rounding_mode='{mode}')", u8(9), u8(9, low=1, high=4))
    case(f"div_{mode}/promoted", f"torch.div(x, y, rounding_mode='{mode}')", i32(9), f32(9, low=1, high=4))
    case(f"div_{mode}_number", f"torch.div(x, 3, rounding_mode='{mode}')", i32(11))
case("div_trunc/special", "torch.div(x, y, rounding_mode='trunc')", given(GRID[0]), given(GRID[1]), grad=False)

# Pooling.
POOLS = {"": ("2", ""), "_overlap": ("3, 1", ""), "_padding": ("3, 2, 1", ""), "_dilation": ("2, 1, 0, 2", ""),
         "_ceil": ("3, 2, 1", ", ceil_mode=True")}
for name, (numbers, rest) in POOLS.items():
    call = f"F.max_pool2d(x, {numbers}{rest}, return_indices=True)"
    for make in (f32, f64, f16, bf16):
        case(f"max_pool2d_where{name}/{make(1).dtype}", call + "[1]", make(2, 2, 5, 6))
    case(f"max_pool2d_with{name}", call + "[0]", f32(2, 2, 5, 6))
    case(f"max_pool2d_where{name}/equals", call + "[1]", given([[[1.0, 2.0, 2.0, 1.0, 2.0]] * 5]))
    case(f"max_pool2d_where{name}/nan", call + "[1]", given([[[1.0, nan, 2.0, 1.0, nan], [nan] * 5] * 2 + [[0.0] * 5]]))
    case(f"max_pool2d_where{name}/lowest", call + "[1]", given([[[-inf] * 5] * 5]))
    case(f"max_pool2d_where{name}/none", call + "[1]", f32(0, 2, 5, 6))
case("max_pool1d_where", "F.max_pool1d(x, 3, 2, 1, return_indices=True)[1]", f32(2, 3, 7))
case("max_pool3d_where", "F.max_pool3d(x, 2, return_indices=True)[1]", f32(1, 2, 4, 4, 5))
for make in REAL:
    dtype = make(1).dtype
    case(f"unpool/{dtype}", "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)", make(2, 2, 4, 6))
    case(f"unpool_size/{dtype}", "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(5, 7))", make(2, 2, 5, 7))
case("unpool/image", "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)", f32(2, 4, 6))
case("unpool_gaps", "F.max_unpool2d(*F.max_pool2d(x, 2, 3, 1, return_indices=True), 2, 3, 1)", f32(1, 2, 6, 6))
case("unpool1d", "F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2)", f32(2, 3, 6))
case("unpool3d", "F.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), 2)", f32(1, 2, 4, 4, 6))
for make in REAL:
    dtype = make(1).dtype
    case(f"max_pool2d_ends/{dtype}", "F.max_pool2d(F.pad(x, (0, 1, 1, 0), value=-inf), 2)", make(2, 2, 5, 5))
    case(f"avg_pool2d_ends/{dtype}", "F.avg_pool2d(F.pad(x, (0, 1, 1, 0)), 2)", make(2, 2, 5, 5))
case("avg_pool1d_ends_uncounted", "F.avg_pool1d(F.pad(x, (0, 1)), 3, 2) / F.avg_pool1d(F.pad(torch.ones_like(x), (0, 1)), 3, 2)", f32(1, 2, 6))
case("avg_pool1d_ends_ceil", "F.avg_pool1d(F.pad(x, (1, 0)), 2, 2, ceil_mode=True)", f32(1, 2, 6))

# Images.
for make in REAL + (u8, i64):
    case(f"pixel_shuffle/{make(1).dtype}", "F.pixel_shuffle(x, 2)", make(2, 8, 2, 3))
    case(f"pixel_unshuffle/{make(1).dtype}", "F.pixel_unshuffle(x, 2)", make(2, 2, 4, 6))
case("pixel_shuffle/image", "F.pixel_shuffle(x, 2)", f32(4, 2, 3))
case("pixel_shuffle/none", "F.pixel_shuffle(x, 2)", f32(0, 4, 2, 3), grad=False)
case("pixel_unshuffle/deep", "F.pixel_unshuffle(x, 2)", f32(2, 1, 3, 2, 4))
case("pixel_shuffle_3", "F.pixel_shuffle(x, 3)", f32(1, 9, 1, 2))
COLUMNS = {"": "(2, 3)", "_stride": "(2, 3), stride=2", "_padding": "(2, 3), padding=(1, 2)", "_dilation": "(2, 3), dilation=2",
           "_everything": "(2, 3), (1, 2), (1, 2), (2, 1)"}
for name, rest in COLUMNS.items():
    for make in REAL:
        case(f"columns{name}/{make(1).dtype}", f"F.unfold(x, {rest})", make(2, 2, 6, 7))
    for make in (f32, f64):  # the number of columns is that of the image's windows
        case(f"image_of_columns{name}/{make(1).dtype}", f"F.fold(F.unfold(x, {rest}) * torch.linspace(0, 1, F.unfold(x, {rest}).shape[-1], dtype=x.dtype), (6, 7), {rest})", make(2, 2, 6, 7))
case("columns/image", "F.unfold(x, (2, 3))", f32(2, 6, 7))
case("image_of_columns_1d", "F.fold(x, (3, 3), 2)", f32(8, 4))
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        for corners in (False, True):
            name = f"sample_{mode}_{padding}" + ("_corners" if corners else "")
            call = f"F.grid_sample(x, y, mode='{mode}', padding_mode='{padding}', align_corners={corners})"
            for make in (f32, f64):
                case(f"{name}/{make(1).dtype}", call, make(2, 3, 4, 5), make(2, 3, 2, 2, low=-1.7, high=1.7))
            case(f"{name}/one", call, f32(1, 1, 1, 1), f32(1, 4, 4, 2, low=-3, high=3))
            if mode != "bicubic":
                case(f"{name}/volume", call, f32(1, 2, 3, 4, 2), f32(1, 2, 3, 3, 3, low=-1.7, high=1.7))
            case(f"{name}/far", call, f32(1, 2, 3, 4), f32(1, 3, 3, 2, low=-9, high=9))
            case(f"{name}/none", call, f32(0, 2, 3, 4), f32(0, 3, 3, 2))
for size in ((5, 3), (9, 4), (2, 2)):
    for make in REAL + (u8,):
        case(f"nearest_exact_{size[0]}x{size[1]}/{make(1).dtype}", f"F.interpolate(x, {size}, mode='nearest-exact')", make(1, 2, 3, 4))
case("nearest_exact_7", "F.interpolate(x, 7, mode='nearest-exact')", f32(1, 2, 3))
case("nearest_exact_7/down", "F.interpolate(x, 7, mode='nearest-exact')", f32(1, 2, 19))
case("nearest_exact_volume", "F.interpolate(x, (3, 2, 5), mode='nearest-exact')", f32(1, 2, 2, 3, 3))
# Along one axis: along two, PyTorch rounds twice.
case("bilinear_u8", "F.interpolate(x, (4, 7), mode='bilinear')", u8(1, 3, 4, 4, low=0, high=256))
case("bilinear_u8/down", "F.interpolate(x, (4, 7), mode='bilinear')", u8(1, 1, 4, 9, low=0, high=256))

# Convolutions that keep the sizes.
for kernel in ((3, 3), (2, 4), (1, 5)):
    for make in (f32, f64):
        case(f"conv2d_same/{make(1).dtype}_{kernel[0]}x{kernel[1]}", "F.conv2d(x, y, z, padding='same')", make(2, 2, 5, 6),
             make(3, 2, *kernel), make(3))
case("conv2d_same/larger_kernel", "F.conv2d(x, y, z, padding='same')", f32(1, 1, 2, 3), f32(1, 1, 5, 4), f32(1))
case("conv2d_same_dilation", "F.conv2d(x, y, padding='same', dilation=(2, 3))", f32(1, 2, 5, 6), f32(3, 2, 3, 2))
case("conv2d_same_groups", "F.conv2d(x, y, padding='same', groups=2)", f32(1, 4, 5, 6), f32(4, 2, 2, 2))
case("conv1d_same", "F.conv1d(x, y, padding='same')", f32(2, 3, 7), f32(2, 3, 4))
case("conv3d_same", "F.conv3d(x, y, padding='same')", f32(1, 1, 3, 4, 3), f32(2, 1, 2, 3, 2))
case("conv2d_valid", "F.conv2d(x, y, padding='valid', stride=2)", f32(1, 1, 5, 5), f32(1, 1, 2, 2))

# Attention with fewer heads of keys than of queries.
for make in REAL:
    case(f"attention_groups/{make(1).dtype}", "F.scaled_dot_product_attention(x, y, z, enable_gqa=True)", make(2, 6, 3, 4),
         make(2, 2, 5, 4), make(2, 2, 5, 3))
case("attention_groups/one", "F.scaled_dot_product_attention(x, y, z, enable_gqa=True)", f32(4, 3, 4), f32(1, 5, 4), f32(1, 5, 2))
case("attention_groups_causal", "F.scaled_dot_product_attention(x, y, z, is_causal=True, enable_gqa=True)", f32(1, 4, 3, 4), f32(1, 2, 3, 4), f32(1, 2, 3, 4))
case("attention_groups_mask", "F.scaled_dot_product_attention(x, y, z, w, enable_gqa=True)", f32(2, 4, 3, 4), f32(2, 2, 5, 4), f32(2, 2, 5, 4), b1(3, 5))
case("attention_scale", "F.scaled_dot_product_attention(x, y, z, scale=0.3)", f32(2, 3, 4), f32(2, 5, 4), f32(2, 5, 4))
