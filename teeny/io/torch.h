#pragma once
// PyTorch's files: what torch.save has written of dictionaries and lists of tensors, and what torch.load opens.
//
//   since 1.6: a zip archive                        before
//     NAME/data.pkl    a pickle: names, sizes,        pickles: a magic number, a version, the machine's kind,
//                      and strides of tensors           the names, sizes and strides, the keys of storages
//     NAME/data/0 ..   storages: their elements       for each storage the count of its elements, and these
//     NAME/byteorder, NAME/version, ..
//
// A pickle can run anything, so it is read by a machine that only knows what data needs: see pickle.h.
#include <concepts>
#include <string>

#include "teeny/io/elements.h"

namespace teeny::io {

/// The tensors, under the keys of dictionaries and the places in lists that lead to them: "model.0.weight",
/// "optimizer.state.0.exp_avg"; a single tensor is "tensor". `nn::under(dict, "model")` is a part. Numbers, strings and
/// the like beside them are left out. Tensors that share a storage share a buffer, with its strides, and where two are
/// the same elements they are handles of one tensor. Integers that teeny has no dtype for are read into a wider one.
///
/// Throws, naming the file and what is not a dictionary of tensors: a class, TorchScript, a quantised, sparse or
/// complex tensor; and where anything is not as the format says. See zip.h for what no archive may do.
nn::StateDict load_torch(const std::string& path, const LoadOptions& options = {});

/// A dictionary that `torch.load(path, weights_only=True)` opens. Tensors that are the same elements, or are views that
/// cover one buffer, share a storage. It takes the place of `path` in one step: see `save_safetensors`.
void save_torch(const std::string& path, const nn::StateDict& tensors);

template <class Model>
requires(!std::convertible_to<Model, nn::StateDict>) void save_torch(const std::string& path, const Model& model) {
  save_torch(path, nn::state_dict(model));
}

}  // namespace teeny::io
