// RANKS=mpi: MPI connects the ranks, and carries the elements where they are in the host's memory.
//
// Before each collective the ranks compare what they are about to do: 48 bytes, and the difference between an Error
// that names a rank and a sum of other elements, or waiting for ever. All of MPI happens on one thread, collective
// after collective, so that it goes on while the program computes.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tinyops/base/environment.h"
#include "tinyops/ranks.h"
#include "tinyops/ranks/intent.h"
#include "tinyops/ranks/job_queue.h"

namespace tinyops::ranks {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// MPI's start and its end have no limit of their own, and wait for ever where a rank or the launcher is gone.
class Limit {
 public:
  explicit Limit(int seconds) : before_(std::signal(SIGALRM, leave)) { alarm(unsigned(seconds)); }
  ~Limit() { alarm(0), std::signal(SIGALRM, before_); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  static void leave(int) {
    constexpr std::string_view words =
        "Error: MPI waits for a rank that is not there, or its launcher (TEENY_DIST_TIMEOUT)\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, words.data(), words.size());
    _exit(1);
  }
  void (*before_)(int);
};

std::atomic<bool> begun = false;   ///< a program that never asks for its rank starts no MPI
std::atomic<bool> forked = false;  ///< this process is a copy of one that did, without its MPI and its threads
thread_local bool counts = false;  ///< this thread runs collectives

// ---- The world ------------------------------------------------------------------------------------------------------

class World {
 public:
  JobQueue queue;
  int local = 0;
  void (*at_end)() = nullptr;

  World() {
    queue.run([this] { begin(); });
    pthread_atfork(nullptr, nullptr, [] { forked = true, counts = false; });
    // Who fails takes the others along; who is done waits until all are.
    on_exit([](int status, void* self) { static_cast<World*>(self)->leave(status & 255); }, this);
  }
  Members& of(int group) {
    const std::lock_guard lock(mutex_);
    return groups_.at(size_t(group));
  }
  Traffic traffic() {
    const std::lock_guard lock(mutex_);
    return traffic_;
  }
  /// What was expected and not begun is left out.
  void count_left_out() {
    const std::lock_guard lock(mutex_);
    for (Members& members : groups_) members.begun = members.expected = std::max(members.begun, members.expected);
  }

  /// What is left to do, by the thread that calls `exit`.
  void do_last(int status) {
    if (forked) return;
    const auto call = std::exchange(at_end, nullptr);
    if (status == 0 && call && !succeeds(call)) broken_ = true;
  }

  // These are for the thread of the queue.

  int split(Members& from, int colour) {
    agree(from, {from.begun, Intent::kSplits, 0});
    Members made;
    check(MPI_Comm_split(from.comm, colour, from.rank, &made.comm), "splitting a group");
    describe(made);
    const std::lock_guard lock(mutex_);
    groups_.push_back(made);
    return int(groups_.size()) - 1;
  }
  void run(const CollectiveKernel& k, const Members& members, const Intent& mine, const Carry& carry) {
    const auto start = Clock::now();
    agree(members, mine);
    const auto tell = [&](void* bytes, size_t count) {
      MPI_Request request;
      check(MPI_Ibcast(bytes, int(count), MPI_BYTE, 0, members.comm, &request), "telling");
      wait(request, members, mine);
    };
    carry({[this, &members, mine](const auto& done) { wait_until(done, members, mine); }, tell});
    const int64_t bytes = std::max(k.in.view.numel(), k.out.view.numel()) * itemsize(k.in.dtype);
    const std::lock_guard lock(mutex_);
    ++traffic_.collectives;
    traffic_.bytes += (k.what == Collective::AllReduce ? 2 : 1) * (members.world - 1) * bytes / members.world;
    traffic_.seconds += seconds_since(start);
  }
  /// By MPI itself.
  void carry(const CollectiveKernel& k, const void* in, void* out, const Agreement& agreement) {
    if (std::max(k.in.view.numel(), k.out.view.numel()) == 0) return;
    MPI_Request request = started(k, in, out, of(k.group).comm);
    agreement.wait_until([&] { return test(request); });
  }

 private:
  void begin() {
    // Open MPI adds the elements of two or three ranks up over a tree, which takes twice as long as a ring. A setting
    // of the user's stays.
    const int processes = environment::launched().processes;
    if (processes == 2 || processes == 3) setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "1", 0);
    int given = 0;
    const Limit limit(timeout_);
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given), "starting");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    const Members& everyone = groups_.emplace_back();
    describe(groups_[0]);
    traffic_.rank = everyone.rank, traffic_.world = everyone.world;
    MPI_Comm here;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, everyone.rank, MPI_INFO_NULL, &here),
          "looking for the ranks on this machine");
    MPI_Comm_rank(here, &local);
    MPI_Comm_free(&here);
  }
  static void describe(Members& members) {
    MPI_Comm_rank(members.comm, &members.rank);
    MPI_Comm_size(members.comm, &members.world);
  }
  const Members& everyone() const { return groups_[0]; }

  template <class... Parts>
  [[noreturn]] void fail_for_good(const Parts&... parts) {
    broken_ = true;
    fail("rank ", everyone().rank, parts...);
  }

  /// Polls until `done`: between tries it sleeps, so that a machine with as many ranks as cores still computes.
  template <class Done>
  void wait_until(Done done, const Members& members, const Intent& mine) try {
    const auto start = Clock::now();
    for (int64_t tries = 0; !done(); ++tries) {
      if (tries > 200) std::this_thread::sleep_for(std::chrono::microseconds(tries > 20000 ? 1000 : 20));
      if (const int status = failed_) abort(status);
      if (seconds_since(start) < timeout_) continue;
      fail_for_good(" of ", everyone().world, " waits for other ranks since ", timeout_, " s: ", mine.text(),
                    &members == &everyone() ? "" : tinyops::text(" in a group of ", members.world),
                    "; one of them is gone, very slow, or takes another way through the program (TEENY_DIST_TIMEOUT)");
    }
  } catch (...) {
    broken_ = true;
    throw;
  }
  bool test(MPI_Request& request) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "waiting for other ranks");
    return done;
  }
  void wait(MPI_Request& request, const Members& members, const Intent& mine) {
    wait_until([&] { return test(request); }, members, mine);
  }

  /// Throws on every rank of the group, unless all of them are about to do the same.
  void agree(const Members& members, const Intent& mine) {
    if (over_) fail("rank ", everyone().rank, ": a collective after the end of the program");
    if (broken_) fail_for_good(": an earlier collective has failed");
    Comparison& c = comparisons_.emplace_back(members, mine);
    wait(c.request, members, mine);
    if (!c.agrees()) fail_different(c);
    comparisons_.pop_back();
  }
  [[noreturn]] void fail_different(const Comparison& c) {
    broken_ = true;
    Intent mine = c.mine;
    mine.rank = everyone().rank;
    intents_.resize(size_t(c.members.world));
    MPI_Request request;
    const int bytes = sizeof mine;
    check(MPI_Iallgather(&mine, bytes, MPI_BYTE, intents_.data(), bytes, MPI_BYTE, c.members.comm, &request),
          "comparing");
    wait(request, c.members, c.mine);
    const Intent& other = *std::ranges::find_if(intents_, [&](const Intent& x) { return !x.is_same(mine); });
    const bool by_shape = mine.count == other.count && mine.shape != other.shape;
    fail_for_good(": ", mine.text(by_shape), ", but rank ", other.rank, ": ", other.text(by_shape), "; all ranks",
                  &c.members == &everyone() ? "" : tinyops::text(" of a group of ", c.members.world),
                  " must take the same way through the program");
  }

  /// In every group at once: another rank may be waiting in any of them.
  void agree_to_end() {
    for (const Members& members : groups_) comparisons_.emplace_back(members, Intent{members.begun});
    const auto all_agree = [this] {
      for (Comparison& c : comparisons_)
        if (!c.done && test(c.request)) {
          c.done = true;
          if (!c.agrees()) fail_different(c);
        }
      return std::ranges::all_of(comparisons_, &Comparison::done);
    };
    wait_until(all_agree, everyone(), comparisons_[0].mine);
  }
  template <class F>
  static bool succeeds(F&& call) try {
    call();
    return true;
  } catch (const std::exception& error) { return std::fprintf(stderr, "Error: %s\n", error.what()), false; }
  /// By the thread that calls `exit`, behind what has been started; where it fails, nobody waits for that.
  void leave(int status) {
    if (forked) return;
    do_last(status);
    failed_ = status;
    queue.run([this, status] { end(status); });
  }
  void end(int status) {
    if (status == 0 && (broken_ || !succeeds([this] { agree_to_end(); }))) status = 1;
    if (status != 0) abort(status);
    const Limit limit(timeout_ + 10);
    MPI_Finalize();
    over_ = true;
  }
  /// Ends all ranks, a moment after this one has said why: a launcher may drop what it has not read by then.
  void abort(int status) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const Limit limit(timeout_ + 10);
    MPI_Abort(MPI_COMM_WORLD, status);
  }

  std::deque<Members> groups_;
  Traffic traffic_;
  std::mutex mutex_;  ///< of the two above, where the program looks at them
  /// On their way. Those that an Error left behind stay: MPI may still write there.
  std::deque<Comparison> comparisons_;
  std::vector<Intent> intents_;
  std::atomic<bool> broken_ = false;
  bool over_ = false;
  std::atomic<int> failed_ = 0;  ///< the status with which a thread has called exit
  const int timeout_ = environment::dist_timeout();
};

void (*drain_too)() noexcept = []() noexcept {};

World& all() {
  static World* const world = new World;  // it lives until the very end of the program
  begun = true;
  static const std::string refused = [] {
    const auto launched = environment::launched();
    return launched.processes == 1 || world->of(0).world > 1
               ? std::string()
               : text("this is one of ", launched.count(), " processes (", launched.variable,
                      "), but MPI knows of one: another MPI's ", "mpirun, or srun without --mpi=pmix");
  }();
  if (!refused.empty()) fail(refused);
  if (forked) fail("a process that a rank has made by fork() is no rank itself");
  return *world;
}

}  // namespace

int rank(int group) { return all().of(group).rank; }
int world(int group) { return all().of(group).world; }
int local() { return all().local; }
int split(int group, int colour) {
  Members& from = all().of(group);
  int made = 0;
  all().queue.run([&] { made = all().split(from, colour); });
  return made;
}
void at_end(void (*call)()) { all().at_end = call; }
void expect(const CollectiveKernel& kernel) { ++all().of(kernel.group).expected, counts = true; }
void run(const CollectiveKernel& kernel, Carry carry) {
  using enum CollectiveKernel::Phase;
  static const std::thread::id first = std::this_thread::get_id();
  if (std::this_thread::get_id() != first)
    fail(name(kernel.what), ": on another thread than the first collective; ranks can agree on the order of one");
  World& world = all();
  counts = true;
  // Before the device ends, which has begun by now, and ends before what was to be done at the end until then.
  [[maybe_unused]] static const bool told =
      on_exit([](int status, void* self) { static_cast<World*>(self)->do_last(status & 255); }, &world) == 0;
  if (kernel.phase != Finish) {
    Members& members = world.of(kernel.group);
    world.queue.start([&world, k = without_buffers(kernel), carry = std::move(carry), &members,
                       mine = Intent::of(kernel, members.begun++)] { world.run(k, members, mine, carry); });
  }
  if (kernel.phase != Start) world.queue.finish();
}
void run(const CollectiveKernel& kernel, const void* in, void* out) {
  run(kernel, [k = without_buffers(kernel), in, out](const Agreement& a) { all().carry(k, in, out, a); });
}
void drain() noexcept {
  if (!counts) return;
  all().queue.drain();
  all().count_left_out();
  drain_too();
}
void also_drain(void (*what)() noexcept) { drain_too = what; }
Traffic traffic() { return begun && !forked ? all().traffic() : Traffic(); }

}  // namespace tinyops::ranks
