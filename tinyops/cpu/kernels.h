#pragma once
// One function for each kind of kernel, and the way to all of them.
#include "tinyops/device.h"

namespace tinyops::cpu {

void run_kernel(const RowKernel& kernel);
void run_kernel(const ContractKernel& kernel);
void run_kernel(const GatherKernel& kernel);
void run_kernel(const ScatterKernel& kernel);
void run_kernel(const ScanKernel& kernel);
void run_kernel(const SortKernel& kernel);
void run_kernel(const RandomKernel& kernel);

}  // namespace tinyops::cpu
