#pragma once
// What ranks compare before they do something together; for this room alone.
#include <string>
#include <type_traits>

#include "tinyops/base/collective.h"
#include "tinyops/ranks/mpi_types.h"

namespace tinyops::ranks {

/// What a rank is about to do.
struct Intent {
  static constexpr int64_t kEnds = -1, kSplits = -2;
  int64_t number = 0, what = kEnds, count = 0;  ///< what is compared
  int64_t rank = 0;                              ///< whose it is
  Shape shape = {};                              ///< in `what` as 31 bits, so that a transposed one is another

  static Intent of(const CollectiveKernel& k, int64_t number) {
    const Shape& shape = k.in.view.shape;
    uint64_t hash = uint64_t(shape.size());
    for (const int64_t size : shape) hash = (hash ^ uint64_t(size)) * 0x9E3779B97F4A7C15;
    return {number, int64_t(k.what) | int64_t(k.op) << 4 | int64_t(k.in.dtype) << 8 | int64_t(k.root) << 12 |
                        int64_t(hash >> 33) << 32,
            k.in.view.numel(), 0, shape};
  }
  bool is_same(const Intent& x) const { return number == x.number && what == x.what && count == x.count; }

  std::string text(bool with_shape = false) const {
    if (what == kEnds) return "ends";
    if (what == kSplits) return "splits a group";
    const auto op = ReduceOp(what >> 4 & 15);
    const int64_t root = what >> 12 & 0xFFFFF;
    return tinyops::text(name(Collective(what & 15)), op == ReduceOp::Sum ? "" : tinyops::text(' ', op), " number ",
                         number, " of ", count, ' ', DType(what >> 8 & 15),
                         with_shape ? tinyops::text(" as ", shape) : "",
                         root == 0 ? "" : tinyops::text(" from rank ", root));
  }
};

static_assert(std::is_trivially_copyable_v<Intent>, "it travels as bytes");

struct Members {
  MPI_Comm comm = MPI_COMM_WORLD;
  int rank = 0, world = 1;
  /// Collectives, counted by the thread that runs them: those that were begun or left out, and those that were
  /// expected.
  int64_t begun = 0, expected = 0;
};

/// A comparison of intents on its way: where the largest of each part and the smallest differ, so do they.
struct Comparison {
  const Members& members;
  const Intent mine;
  MPI_Request request;
  bool done = false;

  Comparison(const Members& members, const Intent& mine) : members(members), mine(mine) {
    const int64_t parts[3] = {mine.number, mine.what, mine.count};
    for (int i = 0; i < 3; ++i) sent_[i] = parts[i], sent_[3 + i] = -parts[i];
    check(MPI_Iallreduce(sent_, most_, 6, MPI_INT64_T, MPI_MAX, members.comm, &request), "comparing");
  }
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;
  bool agrees() const { return most_[0] == -most_[3] && most_[1] == -most_[4] && most_[2] == -most_[5]; }

 private:
  int64_t sent_[6], most_[6];
};

}  // namespace tinyops::ranks
