// Random programs of collectives: the same on all ranks, but for which results each looks at and when. Plain loops over
// what all ranks have say what is right.
#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "../check.h"
#include "teeny/graph/context.h"
#include "teeny/teeny.h"
#include "tinyops/base/environment.h"

using namespace teeny;

namespace {

constexpr int64_t kPart = 6;  ///< elements of a rank's part; every tensor has as many parts as there are ranks

enum class Op { Add, Multiply, Turn, Total, Reduce, Gather, Scatter, Shard, Assign, Look, Drop, kCount };
struct Line {
  Op op;
  unsigned a, b;
};
struct Script {
  std::vector<Line> lines;
  DType dtype;
};

Script make(unsigned seed) {
  std::mt19937 random(seed);
  constexpr DType dtypes[] = {DType::Float32, DType::Float64, DType::Int32, DType::Int64};
  Script script{{}, dtypes[random() % 4]};
  for (unsigned i = 0, length = 4 + random() % 24; i < length; ++i)
    script.lines.push_back({Op(random() % unsigned(Op::kCount)), unsigned(random()), unsigned(random())});
  return script;
}

/// What a line does to one kind of values. The elements stay below 97, so that every dtype is exact.
struct OfTensors {
  using Value = Tensor;
  static Tensor small(const Tensor& x) { return (x.cast(DType::Int64) % 97).cast(x.dtype()); }
  static Tensor whole(const Tensor& part) { return part.repeat({dist::world()}); }
  Tensor same(const Tensor& a) { return a.detach(); }  // not a variable, which changes
  Tensor add(const Tensor& a, const Tensor& b) { return small(a + b * 3); }
  Tensor multiply(const Tensor& a, const Tensor& b) { return small(a * b); }
  Tensor turn(const Tensor& a) { return a.flip(0); }
  Tensor total(const Tensor& a) { return small(a.sum().cast(a.dtype()).expand(a.shape())); }
  Tensor reduce(const Tensor& a) { return small(dist::all_reduce(a)); }
  Tensor gather(const Tensor& a) { return dist::all_gather(a[{slice(0, kPart)}]); }
  Tensor scatter(const Tensor& a) { return small(whole(dist::reduce_scatter(a))); }
  Tensor shard(const Tensor& a) { return whole(dist::shard(a)); }
  void assign(Tensor& variable, const Tensor& a) { variable.assign(a); }
};

struct OfLoops {
  using Value = std::vector<std::vector<int64_t>>;  ///< of each rank
  template <class F>
  static Value each(const Value& like, F&& f) {
    Value result = like;
    for (size_t r = 0; r < like.size(); ++r)
      for (size_t i = 0; i < like[r].size(); ++i) result[r][i] = f(r, i) % 97;
    return result;
  }
  Value same(const Value& a) { return a; }
  Value add(const Value& a, const Value& b) {
    return each(a, [&](size_t r, size_t i) { return a[r][i] + b[r][i] * 3; });
  }
  Value multiply(const Value& a, const Value& b) {
    return each(a, [&](size_t r, size_t i) { return a[r][i] * b[r][i]; });
  }
  Value turn(const Value& a) {
    return each(a, [&](size_t r, size_t i) { return a[r][a[r].size() - 1 - i]; });
  }
  Value total(const Value& a) {
    return each(a, [&](size_t r, size_t) { return std::accumulate(a[r].begin(), a[r].end(), int64_t(0)); });
  }
  static int64_t sum(const Value& a, size_t i) {
    int64_t sum = 0;
    for (const auto& of_rank : a) sum += of_rank[i];
    return sum;
  }
  Value reduce(const Value& a) {
    return each(a, [&](size_t, size_t i) { return sum(a, i); });
  }
  Value gather(const Value& a) {
    return each(a, [&](size_t, size_t i) { return a[i / kPart][i % kPart]; });
  }
  Value scatter(const Value& a) {
    return each(a, [&](size_t r, size_t i) { return sum(a, r * kPart + i % kPart); });
  }
  Value shard(const Value& a) {
    return each(a, [&](size_t r, size_t i) { return a[r][r * kPart + i % kPart]; });
  }
  void assign(Value& variable, const Value& a) { variable = a; }
};

/// Runs the script on an input and two variables; `look` gets what a rank looks at. What the last lines made.
template <class Kind, class Value = typename Kind::Value, class Look>
std::vector<Value> run(const Script& script, const Value& input, std::vector<Value>& variables, Look&& look) {
  Kind kind;
  std::vector<Value> pool{input};
  for (const Line& line : script.lines) {
    const size_t a = line.a % (pool.size() + 2), b = line.b % (pool.size() + 2);
    const auto value = [&](size_t i) -> const Value& { return i < 2 ? variables[i] : pool[i - 2]; };
    const Value x = value(a), y = value(b);
    switch (line.op) {
      case Op::Add: pool.push_back(kind.add(x, y)); break;
      case Op::Multiply: pool.push_back(kind.multiply(x, y)); break;
      case Op::Turn: pool.push_back(kind.turn(x)); break;
      case Op::Total: pool.push_back(kind.total(x)); break;
      case Op::Reduce: pool.push_back(kind.reduce(x)); break;
      case Op::Gather: pool.push_back(kind.gather(x)); break;
      case Op::Scatter: pool.push_back(kind.scatter(x)); break;
      case Op::Shard: pool.push_back(kind.shard(x)); break;
      case Op::Assign: kind.assign(variables[line.b % 2], x); break;
      case Op::Look: look(value((line.a + unsigned(dist::rank())) % (pool.size() + 2))); break;
      case Op::Drop: pool[line.a % pool.size()] = kind.same(y); break;
      case Op::kCount: break;
    }
  }
  if (pool.size() > 3) pool.erase(pool.begin(), pool.end() - 3);
  return pool;
}

Tensor tensor_of(const OfLoops::Value& x, DType dtype) {
  return Tensor::from(x[size_t(dist::rank())]).cast(dtype).realize();
}

/// Whether each of three calls leaves what it should, and in the variables, too.
std::string wrong(const Script& script, bool jit) {
  const size_t n = size_t(dist::world()), length = n * kPart;
  const auto start = [&](int64_t salt) {
    OfLoops::Value x(n, std::vector<int64_t>(length));
    return OfLoops::each(x, [&](size_t r, size_t i) { return int64_t(r * 31 + i * 7) + salt; });
  };
  std::vector<OfLoops::Value> variables{start(5), start(50)};
  std::vector<Tensor> tensors{tensor_of(variables[0], script.dtype), tensor_of(variables[1], script.dtype)};
  const auto call = [&](const Tensor& x) {
    const NoGrad guard;
    return run<OfTensors>(script, x, tensors, [&](const Tensor& y) {
      if (!jit) Tensor(y).realize();
    });
  };
  Jit compiled(call);
  for (int i = 0; i < (jit ? 5 : 3); ++i) {
    const OfLoops::Value input = start(i);
    const auto want = run<OfLoops>(script, input, variables, [](const auto&) {});
    const Tensor x = tensor_of(input, script.dtype);
    const std::vector<Tensor> got = jit ? compiled(x) : call(x);
    std::vector<std::pair<Tensor, Tensor>> pairs;
    for (size_t k = 0; k < got.size(); ++k) pairs.emplace_back(got[k], tensor_of(want[k], script.dtype));
    for (size_t k = 0; k < 2; ++k) pairs.emplace_back(tensors[k], tensor_of(variables[k], script.dtype));
    for (size_t k = 0; k < pairs.size(); ++k) {  // another order on each rank
      const auto& [a, b] = pairs[(k + size_t(dist::rank())) % pairs.size()];
      if (const std::string d = test::difference(a, b); !d.empty()) return text("call ", i, ", result ", k, ": ", d);
    }
  }
  return "";
}

}  // namespace

TEST_CASE("ranks: random programs of collectives") {
  const unsigned rounds = unsigned(tinyops::environment::whole_number("FUZZ", 60));
  for (unsigned seed = 0; seed < rounds; ++seed) {
    CAPTURE(seed);
    const Script script = make(seed);
    CHECK(wrong(script, false) == "");
    CHECK(wrong(script, true) == "");
    {
      const ExecutionScope mode({.overlap = false});
      CHECK(wrong(script, seed % 2 == 0) == "");
    }
    {
      const ExecutionScope mode({.fuse = false});
      CHECK(wrong(script, seed % 2 == 1) == "");
    }
    if (seed % 4 == 0) {
      const ExecutionScope mode({.run = tinyops::reference::check});
      CHECK(wrong(script, seed % 8 == 0) == "");
    }
  }
}
