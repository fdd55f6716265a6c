// Kinds that have no kernel yet.
#include "tinyops/cuda/cuda.h"
namespace tinyops::cuda {
void run_kernel(const ContractKernel& k) { reference::judge(k); }
}
