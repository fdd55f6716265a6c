#pragma once
// What a program file contains: the kernels of recorded calls as data, and the tensors that they share. A Jit's
// recording becomes this (jit/save.cpp), a file is read into it (read.cpp), `verify` says whether it may run.
//
//   Contents ── state      the weights, and whatever else is there from call to call; in the file, a tensor each
//      │
//      └── calls           one for each combination of input shapes
//            ├── slots     what its kernels name: empty buffers that another one stands in for when it runs
//            └── kernels   tinyops' own structs, whose operands' buffers are those of the slots
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tinyops/device.h"

namespace teeny {

/// An input or an output: row-major over its shape.
struct Port {
  std::string name;
  tinyops::DType dtype = tinyops::DType::Float32;
  tinyops::Shape shape = {};
  bool operator==(const Port&) const = default;
};

namespace program {

/// Elements that the kernels of a call name, all of one dtype, row-major from the first byte of `buffer` on.
struct Slot {
  enum class Kind {
    State,      ///< state tensor `number`
    Input,      ///< input `number`
    Fresh,      ///< of the call alone: an output, or the next values of a state tensor
    Temporary,  ///< a part of no one's: it lies at the beginning of block `number`, which others use before and after
  } kind = Kind::Temporary;
  int number = 0;
  tinyops::DType dtype = tinyops::DType::Float32;
  int64_t elements = 0;
  tinyops::BufferRef buffer;  ///< elements * itemsize(dtype) bytes; no memory of its own
};

/// A tensor that the kernels look at and that is there before the call.
struct StateTensor {
  std::string name;
  tinyops::DType dtype = tinyops::DType::Float32;
  tinyops::Shape shape = {};
  tinyops::BufferRef buffer;  ///< its values
  /// Nothing is ever written there, and a backend may keep what it makes of the elements, as when they were recorded.
  bool frozen = false;
};

struct Call {
  std::vector<Port> inputs, outputs;
  std::vector<int> input_slots, output_slots;  ///< of each; an output may be any slot but a temporary one
  std::vector<Slot> slots;
  std::vector<int64_t> blocks;                 ///< bytes of each
  std::vector<tinyops::Kernel> kernels;        ///< in the order in which they run

  /// After the call the values of state tensor `state` are those of slot `slot`: its own, written in place, or a fresh
  /// one.
  struct Update {
    int state, slot;
  };
  std::vector<Update> updates;
  bool in_place = true;  ///< whether kernels that write to a state tensor's slot may do so before all others have run

  /// Kernel `kernel` draws random words: its counter is the stream's, plus `words_before`.
  struct Draw {
    int kernel;
    uint64_t words_before;
  };
  std::vector<Draw> draws;
  uint64_t words = 0;  ///< that the call draws
};

struct Contents {
  std::vector<StateTensor> state;
  std::vector<Call> calls;
  uint64_t seed = 0, counter = 0;  ///< of the random stream
  /// What the kernels' IndexOrigin::op name, where a file is read: for as long as one of its copies lives.
  std::shared_ptr<std::set<std::string>> texts = nullptr;
};

/// Throws, naming `file`, the call and the kernel, unless running any of the calls reads and writes inside of its
/// buffers alone, whatever the inputs' elements are, reads nothing that was not written before, and keeps to all that
/// kernel.h asks of a kernel.
void verify(const std::string& file, const Contents& contents);

}  // namespace program
}  // namespace teeny
