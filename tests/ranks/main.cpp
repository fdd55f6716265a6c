// Runs the test cases of this folder on every rank: `mpirun -n 3 build/cpu-mpi-native/ranks`, or make ranks-test. All
// ranks run the same cases in the same order. Rank 0 prints the summary; a rank on which a case fails prints what has
// failed, and ends all.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "teeny/dist/dist.h"

namespace {

std::ostringstream said;  ///< by doctest, on this rank

[[noreturn]] void end_all() {
  std::istringstream lines(said.str());
  std::string all;
  for (std::string line; std::getline(lines, line);) all += teeny::text("rank ", teeny::dist::rank(), ": ", line, '\n');
  std::cerr << all << std::flush;
  std::exit(1);
}

/// After each case: has it failed here, or gone another way than on the other ranks?
struct EndsTogether : doctest::IReporter {
  explicit EndsTogether(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData& data) override { name_ = data.m_name; }
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    if (stats.failure_flags) end_all();
    try {
      teeny::dist::barrier();
    } catch (const std::exception& error) {
      said << "at the end of the case \"" << name_ << "\": " << error.what() << '\n';
      end_all();
    }
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  const char* name_ = "";
};
REGISTER_LISTENER("ends together", 1, EndsTogether);

}  // namespace

int main(int argc, char** argv) try {
  doctest::Context context(argc, argv);
  context.setCout(&said);
  context.setOption("no-colors", true);
  const int failed = context.run();
  if (teeny::dist::rank() == 0) std::cout << "ranks: " << teeny::dist::world() << '\n' << said.str();
  return failed;
} catch (const std::exception& error) {
  std::cerr << "Error: " << error.what() << '\n';
  return 1;
}
