#include "tinyops/cpu/kernels.h"
namespace tinyops::cpu { void run_kernel(const ContractKernel&) {} }
