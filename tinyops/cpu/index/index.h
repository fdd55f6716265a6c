#pragma once
// What moves elements by data, along an axis or among ranks: gather, scatter, running sums, sorting, collectives; and
// random values.
#include "tinyops/kernel.h"

namespace tinyops::cpu {

void run_kernel(const GatherKernel& kernel);
void run_kernel(const ScatterKernel& kernel);
void run_kernel(const ScanKernel& kernel);
void run_kernel(const SortKernel& kernel);
void run_kernel(const RandomKernel& kernel);
void run_kernel(const RecurrentKernel& kernel);
void run_kernel(const CollectiveKernel& kernel);

}  // namespace tinyops::cpu
