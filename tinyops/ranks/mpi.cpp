// RANKS=mpi: MPI connects the ranks, and carries the elements where they are in the host's memory.
//
// Before each collective the ranks compare what they are about to do: 24 bytes, and the difference between an Error that
// names a rank and a sum of other elements, or waiting for ever. All of MPI happens on one thread, collective after
// collective, so that it goes on while the program computes.
#define OMPI_SKIP_MPICXX 1  // MPI is C here; its old C++ interface would want a library of its own
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "tinyops/base/environment.h"
#include "tinyops/base/error.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/ranks.h"
#include "tinyops/ranks/job_queue.h"

namespace tinyops::ranks {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char message[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, message, &length);
  fail("MPI: ", what, ": ", std::string_view(message, size_t(length)));
}

// ---- Data types -----------------------------------------------------------------------------------------------------

/// `op` of two vectors of T, which MPI does not know: each result is rounded to T.
template <class T, ReduceOp op>
void reduce_elements(void* in, void* in_out, int* count, MPI_Datatype*) {
  const T* x = static_cast<const T*>(in);
  T* y = static_cast<T*>(in_out);
  for (int i = 0; i < *count; ++i) y[i] = T(apply(step(op), Compute<T>(y[i]), Compute<T>(x[i])));
}

MPI_Datatype type_of(DType dtype) {
  static const MPI_Datatype two_bytes = [] {
    MPI_Datatype type;
    check(MPI_Type_contiguous(2, MPI_BYTE, &type), "a type of 2 bytes");
    check(MPI_Type_commit(&type), "a type of 2 bytes");
    return type;
  }();
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8: return MPI_UINT8_T;
    case DType::Int32: return MPI_INT32_T;
    case DType::Int64: return MPI_INT64_T;
    case DType::Float32: return MPI_FLOAT;
    case DType::Float64: return MPI_DOUBLE;
    case DType::Float16:
    case DType::BFloat16: return two_bytes;
  }
  fail("MPI: no type for ", dtype);
}

template <class T, ReduceOp op>
MPI_Op op_of() {
  static const MPI_Op made = [] {
    MPI_Op result;
    check(MPI_Op_create(reduce_elements<T, op>, 1, &result), "an operation of 16 bits");
    return result;
  }();
  return made;
}

MPI_Op op_of(ReduceOp op, DType dtype) {
  const auto choose = [&]<ReduceOp which>(MPI_Op otherwise) {
    if (dtype == DType::Float16) return op_of<float16, which>();
    if (dtype == DType::BFloat16) return op_of<bfloat16, which>();
    return otherwise;
  };
  switch (op) {
    case ReduceOp::Sum: return choose.operator()<ReduceOp::Sum>(MPI_SUM);
    case ReduceOp::Prod: return choose.operator()<ReduceOp::Prod>(MPI_PROD);
    case ReduceOp::Max: return choose.operator()<ReduceOp::Max>(MPI_MAX);
    case ReduceOp::Min: return choose.operator()<ReduceOp::Min>(MPI_MIN);
  }
  fail("MPI: no operation for ", op);
}

// ---- What ranks compare ---------------------------------------------------------------------------------------------

/// What a rank is about to do.
struct Intent {
  static constexpr int64_t kEnds = -1, kSplits = -2;
  int64_t number = 0, what = kEnds, count = 0;
  bool operator==(const Intent&) const = default;

  static Intent of(const CollectiveKernel& k, int64_t number) {
    return {number, int64_t(k.what) | int64_t(k.op) << 8 | int64_t(k.in.dtype) << 16 | int64_t(k.root) << 24,
            k.in.view.numel()};
  }
  std::string text() const {
    if (what == kEnds) return "ends";
    if (what == kSplits) return tinyops::text("split number ", number);
    const auto op = ReduceOp(what >> 8 & 255);
    return tinyops::text(name(Collective(what & 255)), op == ReduceOp::Sum ? "" : tinyops::text(' ', op), " number ",
                         number, " of ", count, ' ', DType(what >> 16 & 255));
  }
};

struct Members {
  MPI_Comm comm = MPI_COMM_WORLD;
  int rank = 0, world = 1;
  int64_t count = 0;  ///< of the collectives that it has begun
};

/// A comparison of intents on its way: where the largest of each part and the smallest differ, so do they.
class Comparison {
 public:
  Comparison(const Members& members, const Intent& mine) : members_(members), mine_(mine) {
    const int64_t parts[3] = {mine.number, mine.what, mine.count};
    for (int i = 0; i < 3; ++i) sent_[i] = parts[i], sent_[3 + i] = -parts[i];
    check(MPI_Iallreduce(sent_, most_, 6, MPI_INT64_T, MPI_MAX, members.comm, &request), "comparing");
  }
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;
  bool same() const { return most_[0] == -most_[3] && most_[1] == -most_[4] && most_[2] == -most_[5]; }
  const Members& members() const { return members_; }
  const Intent& mine() const { return mine_; }

  MPI_Request request;
  bool done = false;

 private:
  const Members& members_;
  Intent mine_;
  int64_t sent_[6], most_[6];
};

// ---- The world ------------------------------------------------------------------------------------------------------

/// Everything but the constructor, `of` and `traffic` is for the thread of the queue.
class World {
 public:
  JobQueue queue;
  int local = 0;

  World() {
    queue.run([this] { begin(); });
    // Who fails takes the others along; who is done waits until all are.
    on_exit([](int status, void* self) { static_cast<World*>(self)->leave(status); }, this);
    if (const auto [variable, processes] = environment::launched(); processes > 1 && groups_[0].world == 1)
      fail("this is one of ", processes, " processes (", variable, "), but MPI knows of one: another MPI's mpirun, or ",
           "srun without --mpi=pmix");
  }

  const Members& of(int group) {
    const std::lock_guard lock(mutex_);
    return groups_.at(size_t(group));
  }
  Traffic traffic() {
    const std::lock_guard lock(mutex_);
    return traffic_;
  }

  int split(int group, int colour) {
    Members& from = groups_.at(size_t(group)), made;
    agree(from, {from.count++, Intent::kSplits, 0});
    check(MPI_Comm_split(from.comm, colour, from.rank, &made.comm), "splitting a group");
    describe(made);
    const std::lock_guard lock(mutex_);
    groups_.push_back(made);
    return int(groups_.size()) - 1;
  }

  void tell(int group, void* bytes, size_t count) {
    Members& members = groups_.at(size_t(group));
    MPI_Request request;
    check(MPI_Ibcast(bytes, int(count), MPI_BYTE, 0, members.comm, &request), "telling");
    wait(request, members, {members.count, Intent::kSplits, 0});
  }

  void run(const CollectiveKernel& k, const void* in, void* out) {
    const auto start = Clock::now();
    Members& members = groups_.at(size_t(k.group));
    const int64_t n = k.in.view.numel(), most = std::max(n, k.out.view.numel()), size = itemsize(k.in.dtype);
    if (most > INT_MAX) fail(name(k.what), ": ", most, " elements, and MPI counts to ", INT_MAX);
    const Intent mine = Intent::of(k, members.count++);
    agree(members, mine);
    const MPI_Datatype type = type_of(k.in.dtype);
    const MPI_Op op = op_of(k.op, k.in.dtype);
    MPI_Request request;
    const auto started = [&] {
      switch (k.what) {
        case Collective::AllReduce: return MPI_Iallreduce(in, out, int(n), type, op, members.comm, &request);
        case Collective::AllGather:
          return MPI_Iallgather(in, int(n), type, out, int(n), type, members.comm, &request);
        case Collective::ReduceScatter:
          return MPI_Ireduce_scatter_block(in, out, int(n / members.world), type, op, members.comm, &request);
        case Collective::Broadcast:
          if (members.rank == k.root && n > 0) std::memcpy(out, in, size_t(n * size));
          return MPI_Ibcast(out, int(n), type, k.root, members.comm, &request);
      }
      return MPI_ERR_ARG;
    }();
    check(started, name(k.what).data());
    wait(request, members, mine);
    const std::lock_guard lock(mutex_);
    ++traffic_.collectives;
    traffic_.bytes += (k.what == Collective::AllReduce ? 2 : 1) * (members.world - 1) * most * size / members.world;
    traffic_.seconds += seconds_since(start);
  }

 private:
  void begin() {
    int given = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given), "starting");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    describe(groups_.emplace_back());
    traffic_.rank = groups_[0].rank, traffic_.world = groups_[0].world;
    MPI_Comm here;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, groups_[0].rank, MPI_INFO_NULL, &here),
          "looking for the ranks on this machine");
    MPI_Comm_rank(here, &local);
    MPI_Comm_free(&here);
  }
  static void describe(Members& members) {
    MPI_Comm_rank(members.comm, &members.rank);
    MPI_Comm_size(members.comm, &members.world);
  }

  /// Polls until `done`: between tries it sleeps, so that a machine with as many ranks as cores still computes.
  template <class Done>
  void wait_until(Done done, const Members& members, const Intent& mine) {
    const auto start = Clock::now();
    for (int64_t tries = 0; !done(); ++tries) {
      if (tries > 200) std::this_thread::sleep_for(std::chrono::microseconds(tries > 20000 ? 1000 : 20));
      if (seconds_since(start) < timeout_) continue;
      broken_ = true;
      fail("rank ", members.rank, " of ", members.world, " waits for other ranks since ", timeout_, " s: ", mine.text(),
           "; one of them is gone, very slow, or takes another way through the program (TEENY_DIST_TIMEOUT)");
    }
  }
  bool test(MPI_Request& request) {
    int done = 0;
    const int code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    broken_ |= code != MPI_SUCCESS;
    check(code, "waiting for other ranks");
    return done;
  }
  void wait(MPI_Request& request, const Members& members, const Intent& mine) {
    wait_until([&] { return test(request); }, members, mine);
  }

  /// Throws on every rank of the group, unless all of them are about to do the same.
  void agree(const Members& members, const Intent& mine) {
    if (broken_) fail("rank ", members.rank, ": an earlier collective has failed");
    Comparison comparison(members, mine);
    wait(comparison.request, members, mine);
    if (!comparison.same()) fail_different(comparison);
  }
  [[noreturn]] void fail_different(const Comparison& c) {
    broken_ = true;
    const Members& members = c.members();
    const int64_t mine[3] = {c.mine().number, c.mine().what, c.mine().count};
    std::vector<Intent> all(size_t(members.world));
    MPI_Request request;
    check(MPI_Iallgather(mine, 3, MPI_INT64_T, all.data(), 3, MPI_INT64_T, members.comm, &request), "comparing");
    wait(request, members, c.mine());
    const auto other = std::ranges::find_if(all, [&](const Intent& i) { return i != c.mine(); });
    fail("rank ", members.rank, ": ", c.mine().text(), ", but rank ", other - all.begin(), ": ", other->text(),
         "; all ranks must take the same way through the program");
  }

  /// In every group at once: another rank may be waiting in any of them.
  void agree_to_end() {
    std::deque<Comparison> open;
    for (const Members& members : groups_) open.emplace_back(members, Intent{members.count});
    wait_until(
        [&] {
          for (Comparison& c : open)
            if (!c.done && test(c.request)) {
              c.done = true;
              if (!c.same()) fail_different(c);
            }
          return std::ranges::all_of(open, &Comparison::done);
        },
        groups_[0], open[0].mine());
  }
  void leave(int status) {
    queue.drain();
    queue.run([this, status] { end(status); });
  }
  void end(int status) {
    if (status == 0 && broken_) status = 1;
    if (status == 0) try {
        agree_to_end();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        status = 1;
      }
    if (status != 0) MPI_Abort(MPI_COMM_WORLD, status);
    MPI_Finalize();
  }

  std::deque<Members> groups_;
  Traffic traffic_;
  std::mutex mutex_;  ///< of the two above, where the program looks at them
  bool broken_ = false;
  const int timeout_ = environment::dist_timeout();
};

bool begun = false;  ///< a program that never asks for its rank starts no MPI

World& all() {
  static World* const world = new World;  // it lives until the very end of the program
  begun = true;
  return *world;
}

}  // namespace

int rank(int group) { return all().of(group).rank; }
int world(int group) { return all().of(group).world; }
int local() { return all().local; }
int split(int group, int colour) {
  int made = 0;
  all().queue.run([&] { made = all().split(group, colour); });
  return made;
}
void tell(int group, void* bytes, size_t count) {
  all().queue.run([=] { all().tell(group, bytes, count); });
}
void run(const CollectiveKernel& kernel, const void* in, void* out) {
  using enum CollectiveKernel::Phase;
  if (kernel.phase != Finish) {
    CollectiveKernel job = kernel;  // who looks at how many hold a buffer is to see the program's alone
    job.in.buffer = job.out.buffer = nullptr;
    all().queue.submit([job = std::move(job), in, out] { all().run(job, in, out); });
  }
  if (kernel.phase != Start) all().queue.finish();
}
void drain() noexcept {
  if (begun) all().queue.drain();
}
Traffic traffic() { return begun ? all().traffic() : Traffic(); }

}  // namespace tinyops::ranks
