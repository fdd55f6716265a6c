#pragma once
// Contractions: products of matrices and convolutions.
#include "tinyops/kernel.h"

namespace tinyops::cpu {

void run_kernel(const ContractKernel& kernel);

}  // namespace tinyops::cpu
