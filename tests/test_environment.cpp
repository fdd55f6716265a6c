// What environment variables may hold, and that anything else is refused in words.
#include "tinyops/base/environment.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <clocale>
#include <cmath>
#include <locale>
#include <sstream>

#include "check_refused.h"
#include "environment.h"
#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"

namespace environment = tinyops::environment;

TEST_CASE("environment: junk is refused where the variable is read") {
  auto read = [](const char* name, const char* value, auto f) {
    return [=] {
      const EnvironmentScope set(name, value);
      f();
    };
  };
  const TemporaryDirectory directory;
  const std::string fifo = directory / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
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
      {"TEENY_DIST_TIMEOUT=0: must be a whole number from 1 to 1000000000",
       read("TEENY_DIST_TIMEOUT", "0", environment::dist_timeout)},
      {"TEENY_DIST_TIMEOUT=1e9: must be", read("TEENY_DIST_TIMEOUT", "1e9", environment::dist_timeout)},
      {"PMI_SIZE=four: must be", read("PMI_SIZE", "four", environment::launched)},
      {"GRAPH=graph.gif: must end in .svg, .png, .pdf or .dot", read("GRAPH", "graph.gif", environment::graph)},
      {"GRAPH=/nowhere/at/all.svg: there is no folder /nowhere/at",
       read("GRAPH", "/nowhere/at/all.svg", environment::graph)},
      {"GRAPH=/: is a folder", read("GRAPH", "/", environment::graph)},
      {"PROFILE=nowhere/p.json: there is no folder nowhere", read("PROFILE", "nowhere/p.json", environment::profile)},
      {"PROFILE=" + fifo + ": is a FIFO", read("PROFILE", fifo.c_str(), environment::profile)},
      {"GRAPH=" + fifo + ": is a FIFO", read("GRAPH", fifo.c_str(), environment::graph)},
      {"PROFILE=.: is a folder", read("PROFILE", ".", environment::profile)},
  });
}

TEST_CASE("environment: what is set is read, and an empty variable is not set") {
  {
    const EnvironmentScope debug("DEBUG", ""), seed("SEED", ""), fuse("FUSE", ""), tf32("TEENY_TF32", ""),
        graph("GRAPH", "");
    CHECK(environment::debug() == 0);
    CHECK(environment::seed() == 0);
    CHECK(environment::fuse());
    CHECK(!environment::tf32());
    CHECK(environment::graph().empty());
  }
  const EnvironmentScope debug("DEBUG", "3"), seed("SEED", "18446744073709551615"), fuse("FUSE", "0"),
      tf32("TEENY_TF32", "1"), graph("GRAPH", "a b.svg"), mnist("TEENY_MNIST_DIR", "/data/mnist");
  CHECK(environment::debug() == 3);
  CHECK(environment::seed() == UINT64_MAX);
  CHECK(!environment::fuse());
  CHECK(environment::tf32());
  CHECK(environment::graph() == "a b.svg");
  CHECK(environment::mnist_directory() == "/data/mnist");
}

TEST_CASE("environment: how many processes were launched; srun's own count says nothing inside of mpirun") {
  const EnvironmentScope none("OMPI_COMM_WORLD_SIZE", ""), pmi("PMI_SIZE", ""), first("PMIX_RANK", "");
  const EnvironmentScope srun("SLURM_STEP_NUM_TASKS", "4");
  CHECK(environment::launched().processes == 4);
  CHECK(environment::launched().variable == "SLURM_STEP_NUM_TASKS");
  {
    const EnvironmentScope inside("OMPI_COMM_WORLD_SIZE", "1");
    CHECK(environment::launched().processes == 1);
    const EnvironmentScope other("PMI_SIZE", "2");  // another MPI's mpirun, perhaps the nearer one
    CHECK(environment::launched().processes == 2);
  }
  const EnvironmentScope inside("PMI_SIZE", "3");
  CHECK(environment::launched().processes == 3);
  CHECK(environment::launched().variable == "PMI_SIZE");
}

namespace {

/// Digits in groups, and a comma for the point, as many languages write them.
struct Grouping : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// What a program shows of numbers: in errors, printed tensors, the trace, and what it parses.
std::string everything_shown() {
  using namespace teeny;
  const Tensor x =
      Tensor::from(std::vector<double>{1.5, -12345.25, 1e-5, 2.5e12, std::nan(""), -std::nan(""), INFINITY}, {7});
  std::ostringstream out;
  out << x << x.shape() << Tensor::of<int64_t>({1234567}) << Tensor::zeros({12345, 2}) << "\n";
  try {
    (void)Tensor::zeros({12345}).reshape({100000});
  } catch (const Error& error) { out << error.what() << "\n"; }
  const std::vector<Step> steps = schedule(std::vector{(Tensor::ones({12345}).contiguous() * 1.5).lazy()});
  for (const Step& step : steps) out << debug::label(step.kernel) << debug::listing(step.kernel);
  try {
    (void)Tensor::ones({1}).reshape({1}).assign(Tensor::full({2}, 1.5));
  } catch (const Error& error) { out << error.what() << "\n"; }
  return out.str();
}

}  // namespace

TEST_CASE("locale: neither the C++ nor the C locale changes a number") {
  const std::string classic = everything_shown();
  CHECK(classic.find("-12345.2500") != classic.npos);
  CHECK(classic.find("-nan") == classic.npos);
  {
    const std::locale before = std::locale::global(std::locale(std::locale(), new Grouping));
    CHECK(everything_shown() == classic);
    std::locale::global(before);
  }
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* name :
       {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {  // where the machine has it; .ci/run makes the first
    if (!std::setlocale(LC_ALL, name)) continue;
    CHECK(everything_shown() == classic);
    break;
  }
  std::setlocale(LC_ALL, before.c_str());
}
