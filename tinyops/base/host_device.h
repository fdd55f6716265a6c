#pragma once

/// Before a function that a CUDA kernel may call as well as the host.
#ifdef __CUDACC__
#define TINYOPS_HD __host__ __device__
#else
#define TINYOPS_HD
#endif
