#pragma once
// NumPy's files: an array in .npy, a zip archive of such files in .npz.
//
//   "\x93NUMPY"  version, 2 bytes  length of the header, 2 bytes (4 from version 2 on)
//   header       a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//   the rest     the elements, row-major, or column-major where fortran_order says so
//
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include <concepts>
#include <string>

#include "teeny/io/elements.h"

namespace teeny::io {

/// Reads bools, integers, floats and bfloat16, which NumPy writes as `<V2`; integers that teeny has no dtype for in a
/// wider one, big-endian numbers turned, and column-major arrays as a permuted view. Nothing is executed: an array of
/// Python objects is refused, as are text, dates, complex numbers and records. Throws, naming the file, where anything
/// in it is not as the format says.
Tensor load_npy(const std::string& path, const LoadOptions& options = {});
/// A dictionary of what `np.savez` and `np.savez_compressed` write; see zip.h for what no archive may do.
nn::StateDict load_npz(const std::string& path, const LoadOptions& options = {});

/// Files that `np.load(path, allow_pickle=False)` opens. They take the place of `path` in one step: see
/// `save_safetensors`. NumPy gives bfloat16 back as two bytes without a meaning: `.view(ml_dtypes.bfloat16)`.
void save_npy(const std::string& path, const Tensor& x);
void save_npz(const std::string& path, const nn::StateDict& tensors);

template <class Model>
requires(!std::convertible_to<Model, nn::StateDict>) void save_npz(const std::string& path, const Model& model) {
  save_npz(path, nn::state_dict(model));
}

}  // namespace teeny::io
