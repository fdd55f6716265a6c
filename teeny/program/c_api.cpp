#include "teeny/c_api.h"

#include <exception>
#include <new>

#include "teeny/program/program.h"

struct teeny_program {
  teeny::Program program;
};

namespace teeny {

namespace {

using tinyops::DType, tinyops::fail, tinyops::itemsize, tinyops::numel, tinyops::Shape;

static_assert(int(DType::Bool) == TEENY_BOOL && int(DType::Int64) == TEENY_INT64 &&
              int(DType::Float16) == TEENY_FLOAT16 && int(DType::Float64) == TEENY_FLOAT64 &&
              std::size(tinyops::kDTypes) == TEENY_FLOAT64 + 1);
static_assert(tinyops::kMaxRank == TEENY_MAX_RANK);

thread_local std::string last_error;

/// What `f` gives; where it throws, its message is kept, and the result is `otherwise`. Nothing crosses into C.
template <class R, class F>
R guarded(R otherwise, F&& f) noexcept {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";  // short enough to need none
  } catch (const std::exception& error) {
    try {
      last_error = error.what();
    } catch (...) { last_error = "out of memory"; }
  } catch (...) { last_error = "unknown"; }
  return otherwise;
}

const Program& in(const teeny_program* program) {
  if (!program) fail("the program is null: teeny_load says in teeny_error why it gave none");
  return program->program;
}

const Signature& call_of(const teeny_program* program, int call) {
  const std::vector<Signature>& all = in(program).signatures();
  if (call < 0 || size_t(call) >= all.size()) fail("call ", call, ": the program has ", all.size());
  return all[size_t(call)];
}

void describe(const std::vector<Port>& ports, const char* what, int number, teeny_array* description) {
  if (number < 0 || size_t(number) >= ports.size()) fail(what, ' ', number, ": the call has ", ports.size());
  if (!description) fail("the description is null");
  const Port& port = ports[size_t(number)];
  *description = {};
  description->name = port.name.c_str();
  description->dtype = int(port.dtype);
  description->rank = port.shape.size();
  std::copy(port.shape.begin(), port.shape.end(), description->shape);
  description->bytes = uint64_t(numel(port.shape) * itemsize(port.dtype));
}

/// The dtype and shape that a caller gave, for memory of that many bytes.
Array array_of(const teeny_array& x, const std::string& what) {
  if (x.dtype < TEENY_BOOL || x.dtype > TEENY_FLOAT64) fail(what, ": dtype ", x.dtype);
  if (x.rank < 0 || x.rank > TEENY_MAX_RANK) fail(what, ": rank ", x.rank);
  Array result{DType(x.dtype), Shape(x.shape, x.shape + x.rank), nullptr};
  for (int64_t size : result.shape)
    if (size < 0) fail(what, ": a size of ", size);
  const uint64_t bytes = uint64_t(numel(result.shape, what.c_str()) * itemsize(result.dtype));
  if (x.bytes < bytes) fail(what, ": ", x.bytes, " bytes; ", result.dtype, ' ', result.shape, " needs ", bytes);
  if (!x.data && bytes > 0) fail(what, ": its data is null");
  return result;
}

std::vector<Array> inputs_of(const teeny_array* arrays, int count) {
  if (count < 0 || (count > 0 && !arrays)) fail("the inputs are null, or less than none");
  std::vector<Array> result;
  for (int i = 0; i < count; ++i) {
    const teeny_array& x = arrays[i];
    Array& array = result.emplace_back(array_of(x, tinyops::text("input ", i)));
    const bool is_aligned = reinterpret_cast<uintptr_t>(x.data) % uintptr_t(itemsize(array.dtype)) == 0;
    if (tinyops::kHostMemory && is_aligned && array.dtype != DType::Bool)  // bools are looked at while they are copied
      array.buffer = std::make_shared<tinyops::Buffer>(x.bytes, std::shared_ptr<void>(x.data, [](void*) {}));
    else array = Array::of(array.dtype, array.shape, x.data);
  }
  return result;
}

void run(Program& program, std::span<const Array> inputs, const teeny_array* outputs, int count) {
  if (count < 0 || (count > 0 && !outputs)) fail("the outputs are null, or less than none");
  const Signature& call = program.signature_of(inputs);
  if (size_t(count) != call.outputs.size()) fail(count, " outputs; the call has ", call.outputs.size());
  for (int i = 0; i < count; ++i) {
    const std::string what = tinyops::text("output ", i);
    const Array given = array_of(outputs[i], what);
    const Port& port = call.outputs[size_t(i)];
    if (given.dtype != port.dtype || given.shape != port.shape)
      fail(what, " (", port.name, ") is to be ", given.dtype, ' ', given.shape, "; it is ", port.dtype, ' ',
           port.shape);
  }
  const std::vector<Array> results = program(inputs);
  for (int i = 0; i < count; ++i) results[size_t(i)].read(outputs[i].data);
}

}  // namespace

}  // namespace teeny

using namespace teeny;

extern "C" {

teeny_program* teeny_load(const char* path) {
  return guarded<teeny_program*>(nullptr, [&] {
    if (!path) fail("the path is null");
    return new teeny_program{Program::load(path)};
  });
}

teeny_program* teeny_load_bytes(const void* bytes, size_t size) {
  return guarded<teeny_program*>(nullptr, [&] {
    if (!bytes) fail("the bytes are null");
    return new teeny_program{Program::from_bytes({static_cast<const std::byte*>(bytes), size})};
  });
}

void teeny_free(teeny_program* program) { delete program; }

int teeny_calls(const teeny_program* program) {
  return guarded(-1, [&] { return int(in(program).signatures().size()); });
}

int teeny_inputs(const teeny_program* program, int call) {
  return guarded(-1, [&] { return int(call_of(program, call).inputs.size()); });
}

int teeny_outputs(const teeny_program* program, int call) {
  return guarded(-1, [&] { return int(call_of(program, call).outputs.size()); });
}

int teeny_input(const teeny_program* program, int call, int number, teeny_array* description) {
  return guarded(-1, [&] { return describe(call_of(program, call).inputs, "input", number, description), 0; });
}

int teeny_output(const teeny_program* program, int call, int number, teeny_array* description) {
  return guarded(-1, [&] { return describe(call_of(program, call).outputs, "output", number, description), 0; });
}

int teeny_run(teeny_program* program, const teeny_array* inputs, int number_of_inputs, const teeny_array* outputs,
              int number_of_outputs) {
  return guarded(-1, [&] {
    in(program);
    return run(program->program, inputs_of(inputs, number_of_inputs), outputs, number_of_outputs), 0;
  });
}

const char* teeny_error(void) { return last_error.c_str(); }
}
