#pragma once
// How PyTorch's files name the storages of tensors, for the two files that read and write them.
#include <string_view>

namespace teeny::io::detail {

inline constexpr std::string_view kModule = "torch.";

struct StorageClass {
  std::string_view name, type;
  int width = 0;  ///< of an element, where teeny cannot hold it
};
inline constexpr StorageClass kStorages[] = {
    {"torch.FloatStorage", "float32"},    {"torch.DoubleStorage", "float64"},     {"torch.HalfStorage", "float16"},
    {"torch.LongStorage", "int64"},       {"torch.BFloat16Storage", "bfloat16"},  {"torch.IntStorage", "int32"},
    {"torch.ShortStorage", "int16"},      {"torch.CharStorage", "int8"},          {"torch.ByteStorage", "uint8"},
    {"torch.BoolStorage", "bool"},        {"torch.storage.UntypedStorage", ""},  // of bytes: the tensor knows
    {"torch.ComplexFloatStorage", "", 8}, {"torch.ComplexDoubleStorage", "", 16}, {"torch.QInt8Storage", "", 1},
    {"torch.QUInt8Storage", "", 1},       {"torch.QInt32Storage", "", 4},         {"torch.QUInt4x2Storage", "", 1},
    {"torch.QUInt2x4Storage", "", 1},
};

}  // namespace teeny::io::detail
