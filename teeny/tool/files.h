#pragma once
// Files of any format that the subcommands take, told by their first bytes; where these tell nothing, the ending .onnx
// makes a network. What is written has the format that the ending names.
#include <span>
#include <string>

#include "teeny/io/io.h"
#include "teeny/onnx/onnx.h"
#include "teeny/onnx/values.h"
#include "teeny/program/format.h"

namespace teeny::tool {

/// An ONNX file that is only looked at.
struct OnnxFile {
  io::HostBytes bytes;
  onnx::ModelProto proto;

  explicit OnnxFile(const std::string& path);
};
bool is_onnx(const std::string& path);
/// A program file, which is a safetensors file with calls beside its tensors.
bool is_program(const std::string& path);
/// To look at, once it is verified.
program::Contents load_program(const std::string& path);
/// Throws where the file holds tensors alone, or is nothing that teeny knows.
void check_network(const std::string& path);

constexpr const char* kProgram = "teeny program";  ///< the format of a summary

/// What is in it, read off its headers; of an ONNX file its initializers, of a program file its state.
io::FileSummary summary(const std::string& path);

/// All tensors of a file: a .npy's is named after the file, an ONNX file's are its initializers. Throws where the file
/// has some that teeny cannot hold; with `left_out` they are left out, and named there with the reason.
nn::StateDict load_tensors(const std::string& path, std::vector<std::string>* left_out = nullptr);

/// "safetensors", "pt", "npz", "npy"; empty where the ending names none of these.
std::string format_to_save(const std::string& path);
/// In one step, as all that teeny saves.
void save_tensors(const std::string& path, const nn::StateDict& tensors, const io::Metadata& metadata = {});

/// 0 where a file that lies has more than there are numbers.
int64_t elements_of(std::span<const int64_t> shape);

/// One of ONNX's test cases: a tensor in a file of its own.
onnx::Value load_pb(const std::string& path);

}  // namespace teeny::tool
