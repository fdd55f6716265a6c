// What environment variables may hold, and that anything else is refused in words.
#include "tinyops/base/environment.h"

#include <doctest/doctest.h>

#include "check_refused.h"
#include "environment.h"

namespace environment = tinyops::environment;

TEST_CASE("environment: junk is refused where the variable is read") {
  auto read = [](const char* name, const char* value, auto f) {
    return [=] {
      const EnvironmentScope set(name, value);
      f();
    };
  };
  check_refused({
      {"DEBUG=yes: must be a whole number from 0 to 9", read("DEBUG", "yes", environment::debug)},
      {"DEBUG=10: must be", read("DEBUG", "10", environment::debug)},
      {"DEBUG=-1: must be", read("DEBUG", "-1", environment::debug)},
      {"DEBUG=2x: must be", read("DEBUG", "2x", environment::debug)},
      {"DEBUG= 2: must be", read("DEBUG", " 2", environment::debug)},
      {"SEED=1.5: must be a whole number from 0 to 18446744073709551615", read("SEED", "1.5", environment::seed)},
      {"SEED=18446744073709551616: must be", read("SEED", "18446744073709551616", environment::seed)},
      {"FUSE=maybe: must be 0 or 1", read("FUSE", "maybe", environment::fuse)},
      {"TEENY_TF32=2: must be 0 or 1", read("TEENY_TF32", "2", environment::tf32)},
      {"GRAPH=graph.gif: must end in .svg, .png, .pdf or .dot", read("GRAPH", "graph.gif", environment::graph)},
  });
}

TEST_CASE("environment: what is set is read, and an empty variable is not set") {
  {
    const EnvironmentScope debug("DEBUG", ""), seed("SEED", ""), fuse("FUSE", ""), tf32("TEENY_TF32", ""), graph("GRAPH", "");
    CHECK(environment::debug() == 0);
    CHECK(environment::seed() == 0);
    CHECK(environment::fuse());
    CHECK(!environment::tf32());
    CHECK(environment::graph().empty());
  }
  const EnvironmentScope debug("DEBUG", "3"), seed("SEED", "18446744073709551615"), fuse("FUSE", "0"), tf32("TEENY_TF32", "1"),
      graph("GRAPH", "a b.svg"), mnist("TEENY_MNIST_DIR", "/data/mnist");
  CHECK(environment::debug() == 3);
  CHECK(environment::seed() == UINT64_MAX);
  CHECK(!environment::fuse());
  CHECK(environment::tf32());
  CHECK(environment::graph() == "a b.svg");
  CHECK(environment::mnist_directory() == "/data/mnist");
}
