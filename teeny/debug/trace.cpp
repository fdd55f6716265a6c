#include "teeny/debug/trace.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <mutex>
#include <sstream>

#include "tinyops/base/decimal.h"
#include "tinyops/base/environment.h"
#include "tinyops/device.h"
#include "tinyops/ranks.h"

namespace teeny::debug {

using namespace tinyops;

Counters& Counters::operator+=(const Counters& other) {
  kernels += other.kernels, flops += other.flops, bytes += other.bytes;
  return *this;
}

int level() {
  static const int value = environment::debug();
  return value;
}

namespace {

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

/// Different elements that a view touches: an axis with stride 0 repeats them.
int64_t bytes_of(const Operand& operand) {
  int64_t count = 1;
  for (int a = 0; a < operand.view.rank(); ++a)
    if (operand.view.address.coef[a] != 0) count *= operand.view.shape[a];
  if (operand.view.numel() == 0) return 0;
  return std::min<int64_t>(count * itemsize(operand.dtype), int64_t(operand.buffer->bytes()));
}

/// The shape that a kernel of one of the other kinds walks: that of its first operand.
template <class Kind>
const Shape& walked_shape(const Kind& k) {
  if constexpr (Kind::reads.empty()) return k.out.view.shape;
  else return (k.*Kind::reads[0]).view.shape;
}

int64_t flops_of(const RowKernel& k) {
  int64_t flops = 0;
  const int outer = k.shape.size() - k.inner;
  const int64_t rows = numel(Shape(k.shape.begin(), k.shape.begin() + outer)), all = numel(k.shape);
  for (const Instruction& i : k.program)
    if (!std::holds_alternative<Load>(i.op) && !std::holds_alternative<Constant>(i.op))
      flops += i.per_row && !std::holds_alternative<Reduce>(i.op) ? rows : all;
  return flops;
}
int64_t flops_of(const ContractKernel& k) { return 2 * numel(k.shape) + flops_of(k.epilogue); }
int64_t flops_of(const RecurrentKernel& k) { return 2 * numel(walked_shape(k)) * k.hidden(); }
int64_t flops_of(const auto& k) {
  if constexpr (requires { k.flops; }) return k.flops * numel(walked_shape(k));
  else return 0;
}

/// (outer | inner)
std::string shape_text(const Shape& shape, int inner) {
  std::string result = "(";
  for (int a = 0; a < shape.size(); ++a) {
    if (a == shape.size() - inner) result += a ? " | " : "| ";
    else if (a) result += ", ";
    result += std::to_string(shape[a]);
  }
  return result + ")";
}

/// The first operations of a program, each with a space before it.
std::string program_text(const RowKernel& k) {
  std::string result;
  int shown = 0;
  for (const Instruction& i : k.program) {
    if (std::holds_alternative<Load>(i.op) || std::holds_alternative<Constant>(i.op)) continue;
    if (++shown > 8) return result + " ...";
    result += " " + op_name(i);
  }
  return result;
}

struct Label {
  std::string operator()(const RowKernel& k) const {
    const std::string program = program_text(k);
    return "rows " + shape_text(k.shape, k.inner) + (program.empty() ? " copy" : program);
  }
  std::string operator()(const ContractKernel& k) const {
    return "contract " + shape_text(k.shape, k.reduced) + program_text(k.epilogue);
  }
  std::string operator()(const CollectiveKernel& k) const {  // all_reduce start (512)
    constexpr const char* phases[] = {"", " start", " finish"};
    return text(name(k.what), phases[int(k.phase)], k.op == ReduceOp::Sum ? "" : text(' ', k.op), ' ', k.in.view.shape);
  }
  std::string operator()(const auto& k) const {  // gather (3, 4), scan Sum (5, 6)
    std::string label(k.kind);
    label[0] += 'a' - 'A';
    if constexpr (requires { k.op; }) label += text(' ', k.op);
    return text(label, ' ', walked_shape(k));
  }
};

}  // namespace

Counters work(const Kernel& kernel) {
  Counters c{1, std::visit([](const auto& k) { return flops_of(k); }, kernel), 0};
  for_each_operand(kernel, [&](const Operand& operand, bool) { c.bytes += bytes_of(operand); });
  if (const auto* collective = std::get_if<CollectiveKernel>(&kernel))  // that of a Start is its Finish's, too
    if (collective->phase == CollectiveKernel::Phase::Finish) return {1, 0, 0};
  // Of a table only what is picked is read; and where nothing is scattered, something is written, too.
  if (const auto* gather = std::get_if<GatherKernel>(&kernel))
    c.bytes += bytes_of(gather->out) - bytes_of(gather->table);
  if (const auto* scatter = std::get_if<ScatterKernel>(&kernel))
    c.bytes += int64_t(scatter->out.buffer->bytes()) - bytes_of(scatter->out);
  return c;
}

std::string op_name(const Instruction& instruction) {
  struct Name {
    std::string operator()(const Load& l) const { return "load " + std::to_string(l.input); }
    std::string operator()(const Constant& c) const { return text(c.value); }
    std::string operator()(const tinyops::Reduce& r) const { return text("reduce ", r.op); }
    std::string operator()(UnaryOp op) const { return text(op); }
    std::string operator()(BinaryOp op) const { return text(op); }
    std::string operator()(TernaryOp op) const { return text(op); }
  };
  return std::visit(Name{}, instruction.op);
}

std::string label(const Kernel& kernel) { return std::visit(Label{}, kernel); }

std::string listing(const Kernel& kernel) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << label(kernel) << '\n';
  const auto* k = std::get_if<RowKernel>(&kernel);
  if (const auto* contract = std::get_if<ContractKernel>(&kernel)) {
    for (const Operand* factor : {&contract->a, &contract->b})
      out << "    factor: " << factor->dtype << ' ' << factor->view << '\n';
    k = &contract->epilogue;
  }
  if (!k) return out.str();
  for (size_t i = 0; i < k->inputs.size(); ++i) {
    const Input& input = k->inputs[i];
    out << "    input " << i << ": " << input.operand.dtype << ' ' << input.operand.view;
    if (input.kind == Input::Kind::Constant) out << " the constant " << input.constant;
    if (input.kind == Input::Kind::Address) out << " its address";
    if (input.kind == Input::Kind::Sum) out << " the sum";
    out << '\n';
  }
  for (size_t i = 0; i < k->program.size(); ++i) {
    const Instruction& instruction = k->program[i];
    out << "    %" << i << (instruction.per_row ? " row " : " ") << instruction.dtype << " = " << op_name(instruction);
    for (int arg : instruction.args)
      if (arg >= 0) out << " %" << arg;
    out << '\n';
  }
  for (const Output& output : k->outputs) out << "    store %" << output.value << " to " << output.operand.view << '\n';
  return out.str();
}

namespace {

void print(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

/// 1234567 B as `1.23 MB`: three digits, so that the totals of a small program are no zeros.
std::string with_unit(double value, const char* unit) {
  constexpr const char* prefixes[] = {"n", "u", "m", "", "k", "M", "G", "T", "P"};
  int prefix = 3;
  for (; value >= 999.5 && prefix < 8; ++prefix) value /= 1000;
  for (; value > 0 && value < 0.9995 && prefix > 0; --prefix) value *= 1000;
  const int digits = value == std::floor(value) || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return text(decimal(value, digits), ' ', prefixes[prefix], unit);
}

/// 0 where nobody has launched several: then nothing starts MPI.
int this_rank() { return environment::launched().processes != 1 ? tinyops::ranks::rank() : 0; }

}  // namespace

std::string of_this_rank(std::string path) {
  const int rank = path.empty() ? 0 : this_rank();
  if (rank == 0) return path;
  const size_t name = path.rfind('/') + 1, dot = path.rfind('.');
  return path.insert(dot == std::string::npos || dot <= name ? path.size() : dot, text(".rank", rank));
}

namespace {

/// The timeline that Perfetto and chrome://tracing read: one complete event a kernel, microseconds.
class Timeline {
 public:
  Timeline() {
    if (path_.empty()) return;
    file_.imbue(std::locale::classic());  // JSON has points, whatever the program's locale
    file_.open(path_);
    if (!file_) fail("PROFILE: cannot write ", path_, ": ", std::strerror(errno));
    file_ << "[" << std::fixed;
  }
  ~Timeline() {
    if (const std::string problem = end(); !problem.empty()) print(problem);
  }
  /// What is wrong with the file, which gets nothing more.
  std::string end() {
    const std::lock_guard lock(mutex_);
    if (!on()) return "";
    file_ << "\n]\n";
    file_.close();
    return file_ ? "" : text("PROFILE: ", path_, " is not whole: the disk may be full");
  }
  bool on() const { return file_.is_open(); }
  void add(const std::string& name, double start, double seconds, const Counters& c) {
    static std::atomic<int> threads{0};
    thread_local const int thread = ++threads;
    const std::lock_guard lock(mutex_);
    if (!on()) return;
    file_ << (first_ ? "" : ",") << "\n{\"name\": \"" << name << "\", \"ph\": \"X\", \"pid\": " << process_
          << ", \"tid\": " << thread << ", \"ts\": " << start * 1e6 << ", \"dur\": " << seconds * 1e6
          << ", \"args\": {\"flops\": " << c.flops << ", \"bytes\": " << c.bytes << "}}";
    first_ = false;
  }

 private:
  const std::string path_ = of_this_rank(environment::profile());
  const int process_ = path_.empty() ? 1 : 1 + this_rank();  ///< so that the files of all ranks can be shown as one
  std::mutex mutex_;
  std::ofstream file_;
  bool first_ = true;
};

Timeline& timeline() {
  static Timeline of_the_run;
  return of_the_run;
}

/// DEBUG=1: one line at the end of the program, about all of its threads.
class Totals {
 public:
  void add(const Counters& work, double seconds) {
    const std::lock_guard lock(mutex_);
    work_ += work;
    seconds_ += seconds;
  }
  ~Totals() {
    if (level() < 1) return;  // PROFILE alone
    const tinyops::ranks::Traffic t = tinyops::ranks::traffic();
    print(text(t.world > 1 ? text("rank ", t.rank, ": ") : "", work_.kernels,
               work_.kernels == 1 ? " kernel  " : " kernels  ", with_unit(seconds_, "s"), "  ",
               with_unit(double(work_.flops), "FLOP"), "  ", with_unit(double(work_.bytes), "B"),
               " moved  peak memory ", with_unit(double(memory_use().peak), "B"),
               t.world > 1 ? text("  ", t.collectives, " collectives  ", with_unit(double(t.bytes), "B"), " sent  ",
                                  with_unit(t.seconds, "s"), " of network")
                           : ""));
  }

 private:
  std::mutex mutex_;
  Counters work_;
  double seconds_ = 0;
};

struct Time {
  double start = 0, seconds = 0;
};

/// Calls `run`, which does `work`, and waits for it.
Time timed(const Counters& work, const std::function<void()>& run) {
  static Totals totals;
  synchronize();  // what runs still, copies among it, is not this kernel's
  const double start = now();
  run();
  synchronize();
  const double seconds = now() - start;
  totals.add(work, seconds);
  return {start, seconds};
}

}  // namespace

void end_timeline() {
  if (const std::string problem = timeline().end(); !problem.empty()) fail(problem);
}

bool is_watched() { return level() >= 1 || timeline().on(); }
bool watches_each_kernel() { return level() >= 2 || timeline().on(); }

void traced(const Kernel& kernel, const std::function<void()>& run) {
  const Counters c = work(kernel);
  if (level() >= 3) std::fputs(listing(kernel).c_str(), stderr);
  const auto [start, seconds] = timed(c, run);
  if (timeline().on()) timeline().add(label(kernel), start, seconds, c);
  thread_local long long number = 0;
  ++number;
  if (level() >= 2)
    print(text(std::setw(6), number, std::fixed, std::setprecision(1), std::setw(10), seconds * 1e6, " us",
               std::setprecision(2), std::setw(9), double(c.flops) / seconds / 1e9, " GFLOP/s", std::setw(8),
               double(c.bytes) / seconds / 1e9, " GB/s  ", label(kernel)));
}

void traced(const Counters& work, const std::function<void()>& run) {
  if (is_watched()) timed(work, run);
  else run();
}

}  // namespace teeny::debug
