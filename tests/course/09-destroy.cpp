#include <sys/resource.h>

#include "teeny/graph/lazy.h"
#include "tests/course/check.h"

EXERCISE("09") {
  using namespace course;
  using teeny::BinaryOp, teeny::LazyBuffer, teeny::Node, teeny::UnaryOp;
  const LazyBuffer kept = LazyBuffer::iota(3);
  std::weak_ptr<Node> watched;
  {
    const LazyBuffer x = kept.unary(UnaryOp::Neg);
    watched = x.node();
    LazyBuffer y = x;
    for (int i = 0; i < 5; ++i) y = y.binary(BinaryOp::Add, x);
  }
  expect(watched.expired(), "a node that nobody holds any more has not died: it leaks");
  expect(kept.node().use_count() == 1, text("a node has ", kept.node().use_count(), " owners, and 1 holds it"));

  const LazyBuffer held = kept.unary(UnaryOp::Neg);
  for (const bool first : {true, false}) {
    const LazyBuffer y = held.unary(UnaryOp::Neg);
    (first ? y.binary(BinaryOp::Add, held) : held.binary(BinaryOp::Add, y)).unary(UnaryOp::Neg);
  }
  expect(held.node()->sources.size() == 1 && held.node()->sources[0].node() == kept.node(),
         "a node that somebody holds has lost its sources: others died that read it, too");
  expect(held.node().use_count() == 1, text("a node has ", held.node().use_count(), " owners, and 1 holds it"));

  trying("100 steps y = y + y: 2^100 ways down, and 100 nodes, die ..");
  {
    LazyBuffer y = kept;
    for (int i = 0; i < 100; ++i) y = y.binary(BinaryOp::Add, y);
  }

  // Whatever the shell allows: a stack of 256 KiB from here on.
  rlimit stack;
  getrlimit(RLIMIT_STACK, &stack);
  stack.rlim_cur = 256 << 10;
  setrlimit(RLIMIT_STACK, &stack);
  const auto chain = [&](int64_t length, const char* how, auto step) {
    trying(text("a chain of ", length, " additions dies, ", how, " .."));
    LazyBuffer y = kept;
    for (int64_t i = 0; i < length; ++i) y = step(y);
    std::weak_ptr<Node> below = y.node()->sources[0].node(), other = y.node()->sources[1].node();
    y = kept;
    expect((below.expired() || below.lock() == kept.node()) && (other.expired() || other.lock() == kept.node()),
           "a node that nobody holds any more has not died: it leaks");
  };
  chain(1'000'000, "its history on the left", [&](auto& y) { return y.binary(BinaryOp::Add, kept); });
  chain(100'000, "its history on the right", [&](auto& y) { return kept.binary(BinaryOp::Add, y); });
  chain(100'000, "each of which reads the last one twice", [](auto& y) { return y.binary(BinaryOp::Add, y); });
}
