#include "tests/course/own/puzzles.h"
#include "tests/course/own_code.h"

namespace {

using namespace course;
using teeny::Shape, teeny::Tensor;
using Numbers = std::vector<int64_t>;

Numbers draw(int64_t count, int64_t low, int64_t high) {
  Numbers result;
  for (; count > 0; --count) result.push_back(pick(low, high));
  return result;
}
std::string listed(const Numbers& numbers) {
  std::string result;
  for (int64_t x : numbers) result += text(" ", x);
  return result;
}

/// Of what the ten functions give, only shape and values count: a 1 may be an integer, a float or a bool.
void compare(const std::string& what, const std::function<Tensor()>& yours, const Shape& shape, const Numbers& want) {
  const Tensor result = attempt(what, yours);
  same_shape(what + ": the result", result, shape);
  same(what, result, std::vector<double>(want.begin(), want.end()));
}

int solved = 0;

/// Tries the next puzzle with inputs of several sizes.
void puzzle(const std::function<void(const std::string& name, int64_t n)>& once) {
  const std::string name = text("puzzle ", solved + 1, ", ");
  try {
    for (const int64_t n : {pick(2, 4), pick(5, 7), int64_t(1), pick(2, 7), pick(20, 40)}) once(name, n);
    ++solved;
  } catch (const std::exception& error) {
    trying(error.what());
    report(text(solved, " of 10 puzzles"));
    throw Failed{};
  } catch (const Failed&) {
    report(text(solved, " of 10 puzzles"));
    throw;
  }
}

}  // namespace

EXERCISE("01") {
  puzzle([](const std::string& name, int64_t n) {
    compare(
        text(name, "ones(", n, ")"), [&] { return own::ones(n); }, {n}, Numbers(size_t(n), 1));
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers a = draw(pick(1, 4), -5, 5), b = draw(n, -5, 5);
    Numbers want;
    for (int64_t x : a)
      for (int64_t y : b) want.push_back(x * y);
    compare(
        text(name, "outer(a, b) of a =", listed(a), " and b =", listed(b)),
        [&] { return own::outer(Tensor::from(a), Tensor::from(b)); }, {int64_t(a.size()), n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    Numbers want;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) want.push_back(i == j);
    compare(
        text(name, "identity(", n, ")"), [&] { return own::identity(n); }, {n, n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const int64_t rows = pick(1, 4), columns = n;
    const Numbers x = draw(rows * columns, 1, 9);
    Numbers want = x;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < std::min(i, columns); ++j) want[size_t(i * columns + j)] = 0;
    compare(
        text(name, "upper(x) of x (", rows, ", ", columns, ") =", listed(x)),
        [&] {
          return own::upper(Tensor::from(x, {rows, columns}));
        },
        {rows, columns}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers x = draw(n, -5, 9);
    Numbers want;
    int64_t sum = 0;
    for (int64_t value : x) want.push_back(sum += value);
    compare(
        text(name, "running_sum(x) of x =", listed(x)), [&] { return own::running_sum(Tensor::from(x)); }, {n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers x = draw(n, 1, 20);
    Numbers want = x;
    for (size_t i = 1; i < x.size(); ++i) want[i] = x[i] - x[i - 1];
    compare(
        text(name, "differences(x) of x =", listed(x)), [&] { return own::differences(Tensor::from(x)); }, {n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers x = draw(n, -9, 9);
    compare(
        text(name, "backwards(x) of x =", listed(x)), [&] { return own::backwards(Tensor::from(x)); }, {n},
        Numbers(x.rbegin(), x.rend()));
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers lengths = draw(pick(1, 4), 0, n);
    Numbers want;
    for (int64_t length : lengths)
      for (int64_t t = 0; t < n; ++t) want.push_back(t < length);
    compare(
        text(name, "filled(lengths, ", n, ") of lengths =", listed(lengths)),
        [&] { return own::filled(Tensor::from(lengths), n); }, {int64_t(lengths.size()), n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers x = draw(pick(1, 12), 0, n - 1);
    Numbers want(size_t(n), 0);
    for (int64_t value : x) ++want[size_t(value)];
    compare(
        text(name, "counts(x, ", n, ") of x =", listed(x)), [&] { return own::counts(Tensor::from(x), n); }, {n}, want);
  });

  puzzle([](const std::string& name, int64_t n) {
    const Numbers x = draw(n, 1, 9), keep = draw(n, 0, 1);
    Numbers want;
    for (size_t i = 0; i < x.size(); ++i)
      if (keep[i]) want.push_back(x[i]);
    want.resize(x.size(), 0);
    compare(
        text(name, "compress(keep, x) of keep =", listed(keep), " and x =", listed(x)),
        [&] { return own::compress(Tensor::from(keep) == 1, Tensor::from(x)); }, {n}, want);
  });

  report("10 of 10 puzzles");
}
