#pragma once
// A recorded call as a file, and what runs it: no tensor, no graph, no scheduler. It needs the kernels, and of teeny
// this room and files/.
//
//   Jit net([&](Tensor x) { return model(x); });      Program net = Program::load("net.teeny");
//   net(x), net(x);                     net.teeny     std::vector<Array> out = net({{DType::Float32, {1, 784}, x}});
//   net.save("net.teeny", ..);       ───────────►
//
// The file is one of the safetensors format: the weights under their names, and in the metadata "teeny.program", which
// is JSON: a list of calls, one for each combination of input shapes that was recorded. It is not trusted: `load` reads
// it as an operating system reads byte code, and refuses what could read or write outside of its own memory. The same
// file runs on every backend.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "teeny/program/contents.h"

namespace teeny {

/// Elements in the device's memory, row-major.
struct Array {
  tinyops::DType dtype = tinyops::DType::Float32;
  tinyops::Shape shape = {};
  tinyops::BufferRef buffer;  ///< of numel(shape) * itemsize(dtype) bytes, or more

  /// A copy of what lies in the host's memory, and back.
  static Array of(tinyops::DType dtype, const tinyops::Shape& shape, const void* host);
  void read(void* host) const;
};

struct Signature {
  std::vector<Port> inputs, outputs;
};

/// Several threads may call one Program. Calls that change its state wait for each other.
class Program {
 public:
  /// Throws, naming the file, what is wrong in it. Large tensors stay in the file until they are used, as those of
  /// `load_safetensors` do: while the program lives the file may be replaced, but not written into or cut.
  static Program load(const std::string& path);
  /// The bytes of such a file, which are copied; `name` stands for the file in errors.
  static Program from_bytes(std::span<const std::byte> bytes, const std::string& name = "program");
  ~Program();
  Program(Program&&) noexcept;

  /// One for each combination of input shapes.
  const std::vector<Signature>& signatures() const;
  /// What the file contains, with the state of now; not while another thread runs a call that changes it.
  const program::Contents& contents() const;
  /// That of a call with such inputs. Throws, naming the input and what the file has, where there is none.
  const Signature& signature_of(std::span<const Array> inputs) const;
  /// The outputs, in memory that is theirs alone. Throws as `signature_of` does; and the Error of a kernel (an index
  /// outside): then the state is what it was.
  std::vector<Array> operator()(std::span<const Array> inputs);

  /// The state tensors, by name, with the values of now.
  std::vector<std::pair<std::string, Array>> state() const;
  /// The random stream: what the next call draws from.
  void seed(uint64_t seed, uint64_t counter = 0);
  /// The same program with the state and the random stream of now: a training goes on from the file bit for bit.
  void save(const std::string& path) const;

 private:
  struct State;
  explicit Program(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace teeny
