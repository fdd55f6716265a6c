// A recurrent layer. A block walks one of its D * B sequences: its threads share the elements of the state, and wait
// for each other after each step. The state is in shared memory, h twice, so that a step reads one and writes the
// other. Neighbours read neighbours of the weight, which stays in the second-level cache.
#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256;

struct Sizes {
  int64_t steps, layers, batch, hidden, states, forward;
};

template <class T, int gates>
__global__ void recurrent(RecurrentCell cell, Sizes n, Global<const T> in, Global<const T> weight,
                          Global<const T> first, Global<T> out) {
  __shared__ Shared<T[2][kMaxHidden]> h;
  __shared__ Shared<T[kMaxHidden]> c;
  const int64_t sequence = blockIdx.x, layer = sequence / n.batch, columns = gates * n.hidden;
  const int64_t row = n.states * n.hidden, matrix = layer * (n.hidden + 1) * columns, all = n.layers * n.batch;
  for (int64_t j = threadIdx.x; j < n.hidden; j += kThreads) {
    h[0][j] = first[sequence * row + j];
    c[j] = n.states > 1 ? first[sequence * row + n.hidden + j] : T(0);
  }
  for (int64_t step = 0; step < n.steps; ++step) {
    __syncthreads();
    const int64_t at = (layer < n.forward ? step : n.steps - 1 - step) * all + sequence;
    for (int64_t j = threadIdx.x; j < n.hidden; j += kThreads) {
      T x[4] = {}, sums[4] = {};
      for (int g = 0; g < gates; ++g) {
        x[g] = in[at * columns + g * n.hidden + j];
        sums[g] = weight[matrix + n.hidden * columns + g * n.hidden + j];
      }
      for (int64_t r = 0; r < n.hidden; ++r)
        for (int g = 0; g < gates; ++g)
          sums[g] += h[step % 2][r] * weight[matrix + r * columns + g * n.hidden + j];
      T next = h[step % 2][j], carry = c[j];
      step_cell(cell, x, sums, next, carry);
      h[(step + 1) % 2][j] = next, out[at * row + j] = next;
      if (n.states == 1) continue;
      c[j] = carry, out[at * row + n.hidden + j] = carry;
    }
  }
}

/// Where the elements of a contiguous operand begin.
template <class T>
T* elements_of(const Operand& operand) {
  return memory_of<T>(operand) + operand.view.address.offset;
}

template <class T, int gates>
void walk(const RecurrentKernel& k) {
  const Shape& in = k.in.view.shape;
  const Sizes n{in[0], in[1], in[2], k.hidden(), states_of(k.cell), k.forward};
  launch("recurrent", recurrent<T, gates>, Grid{unsigned(n.layers * n.batch), kThreads}, k.cell, n,
         elements_of<const T>(k.in), elements_of<const T>(k.weight), elements_of<const T>(k.first),
         elements_of<T>(k.out));
}

template <class T>
void walk(const RecurrentKernel& k) {
  if (k.cell == RecurrentCell::Lstm) walk<T, 4>(k);
  else if (k.cell == RecurrentCell::Gru) walk<T, 3>(k);
  else walk<T, 1>(k);
}

}  // namespace

void run_kernel(const RecurrentKernel& k) {
  if (k.out.view.numel() == 0) return;
  if (k.in.dtype == DType::Float64) walk<double>(k);
  else walk<float>(k);
}

}  // namespace tinyops::cuda
