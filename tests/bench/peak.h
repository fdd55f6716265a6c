#pragma once
// What this machine's device can do at most, measured now: the limits that bench's rates are fractions of.

struct Peak {
  /// Multiply-adds of values that stay in registers, on all cores at once; one is two operations.
  double gflops = 0;
  double gb_second = 0;  ///< x + y of arrays far larger than any cache, 12 bytes an element, stored past a CPU's cache
  enum class Device { Cpu, Gpu, Emulated } device = Device::Cpu;
};

/// Takes `seconds` for each of the two. On a CPU threads as OpenMP would use them: OMP_NUM_THREADS, or one for each
/// core.
Peak measure_peak(double seconds);
