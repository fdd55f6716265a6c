#pragma once
// A program file: Contents as bytes, and back. In the safetensors format (io/safetensors.h): the state's tensors under
// their names, and all else as JSON in the metadata, under "teeny.program":
//
//   {"version": 1,
//    "random": {"seed": 7, "counter": 0},                       of the random stream
//    "frozen": ["0.weight"],                                    state tensors that nothing writes to
//    "calls": [{
//      "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 784], "slot": 0}], "outputs": [..],
//      "slots": [{"input": 0}, {"state": "0.weight"}, {"fresh": 10, "dtype": "float32"}, {"block": 0, "elements": 128,
//      ..}], "blocks": [512],                                         bytes "kernels": [
//        {"kind": "Rows", "shape": [1, 10], "inner": 1,
//         "inputs": [{"slot": 2}, {"constant": 0.5}],
//         "program": [["Load", "float32", 0], ["Exp", "float32", 0], ["Reduce Sum", "float32", 1, "row"], ..],
//         "outputs": [{"slot": 3, "value": 2}]},
//        {"kind": "Gather", "table": {"slot": 1, "shape": [8, 100], "coef": [0, 1]}, "index": {"slot": 0, "shape":
//        [8]}, ..}],
//      "updates": [{"state": "0.weight", "slot": 4}], "in_place": true,
//      "draws": [{"kernel": 0, "words_before": 0}], "words": 128}]}
//
// An operand has its view: "shape", which is left out where it is the kernel's; "coef" and "offset" of the address,
// left out where it is row-major from the first element on; "guards"; "dtype", where it is not the slot's. A constant
// that JSON has no number for is a text: "inf", "-inf", "nan", or the 16 digits of another NaN.
#include <span>
#include <string>
#include <string_view>

#include "teeny/program/contents.h"

namespace teeny::program {

constexpr int kVersion = 1;
constexpr std::string_view kMetadataKey = "teeny.program";

/// Throws, naming `path`, where it cannot be written; then it is what it was (files/replacement.h).
void write(const std::string& path, const Contents& contents);

/// Reads without a look at whether the kernels may run: that is what `verify` says. Throws, naming the file, where it
/// is no such file. Where the device works in the host's memory, large tensors stay mapped, as of load_safetensors.
Contents read(const std::string& path);
/// The same of a file's bytes, which are copied.
Contents read(std::span<const std::byte> bytes, const std::string& name);

}  // namespace teeny::program
