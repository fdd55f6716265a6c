#pragma once
// Every environment variable that is read, and what it may hold. Anything else in one is an Error that names the
// variable, its value and what is allowed, thrown where it is first needed. A variable that is empty counts as one that
// is not set.
//
// Each function reads the environment anew; who needs a value often keeps it in a static of a function.
#include <cstdint>
#include <optional>
#include <string>

namespace tinyops::environment {

int debug();                            ///< DEBUG=1 totals, 2 each kernel, 3 its program; 0 to 9
std::string graph();                    ///< GRAPH=file.svg, .png, .pdf or .dot, where it can be written
std::string profile();                  ///< PROFILE=file.json, where it can be written
uint64_t seed();                        ///< SEED= of the random stream; 0
bool fuse();                            ///< FUSE=0: a kernel for each node of the graph; 1
bool tf32();                            ///< TEENY_TF32=1: float32 products on tensor cores; 0
std::string mnist_directory();          ///< TEENY_MNIST_DIR=
std::string fashion_mnist_directory();  ///< TEENY_FASHION_MNIST_DIR=
std::optional<std::string> visible_gpus();  ///< CUDA_VISIBLE_DEVICES=, which is CUDA's; empty: none is
int dist_timeout();                     ///< TEENY_DIST_TIMEOUT=seconds that a rank waits for others; 600

/// How many processes this one is launched with, and the variable of mpirun or srun that says so; "", 1 without them.
struct Launched {
  std::string variable;
  int processes = 1;  ///< 0: several; it does not say how many
  std::string count() const { return processes == 0 ? "several" : std::to_string(processes); }
};
Launched launched();

// For the variables of tests.
uint64_t whole_number(const char* name, uint64_t otherwise, uint64_t largest = UINT64_MAX, uint64_t least = 0);
bool is_on(const char* name, bool otherwise);  ///< 1 or 0

}  // namespace tinyops::environment
