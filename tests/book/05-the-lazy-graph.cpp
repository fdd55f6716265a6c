// The figures of notes/05-the-lazy-graph.md: its graph, before and after the product is realized.
#include "tests/book/graph.h"

using namespace teeny;

int main() {
  const Tensor x = Tensor::of({{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}), s = x + x.t(), y = s * s.sum(0);
  for (const char* when : {"before", "after"}) {
    std::cout << "== figure " << when << "\n";
    print_graph({{"y", y.lazy()}, {"s", s.lazy()}, {"x", x.lazy()}});
    y.realize();
  }
}
