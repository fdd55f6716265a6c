#pragma once
// What this machine can do at most, measured now: the limits that bench's rates are fractions of.

struct Peak {
  double gflops = 0;     ///< multiply-adds of vectors that stay in registers, on all threads; one is two operations
  double gb_second = 0;  ///< x + y of arrays far larger than any cache, 12 bytes an element, stored past the cache
};

/// Takes `seconds` for each of the two. Threads as OpenMP would use them: OMP_NUM_THREADS, or one for each core.
Peak measure_peak(double seconds);
