#pragma once
// Threads that help with a kernel's work, and how they wait for it.
//
//   caller     task ████████████████████ withdraw        the caller begins at once, and never waits for a thread
//   helper 1   spins .. ████████████████ spins ..        that has not begun: it does that one's share as well
//   helper 2   asleep ............ woken: too late
//
// A helper that is done looks for the next task in a loop for a while: kernels follow each other within microseconds,
// and to be woken takes as long as a small kernel. For how long it learns from what comes: where the next task is far
// it soon sleeps, and where it finds that something else ran on its processor meanwhile it sleeps at once, for that
// machine is not ours alone.
#include <cstddef>
#include <cstdint>

namespace tinyops::cpu {

/// OMP_NUM_THREADS may ask for more than a system starts; no machine has more cores than this.
inline constexpr int kMostThreads = 1024;

/// To wake a helper costs the caller some microseconds: it is done once in as many simple steps (parallel.h). A helper
/// that looks for work costs next to nothing.
inline constexpr double kWorthWaking = 1 << 19;

/// Calls task(data, 0) on this thread and meanwhile task(data, 1) .. on up to team - 1 helpers, each of them once at
/// most, and returns when all calls that have begun have returned; `steps` is how much they do together. No task may
/// throw, nor leave undone what another one has not begun. Several threads of a program share the helpers.
void run_in_team(int64_t team, double steps, void* data, void (*task)(void* data, size_t member));

/// Whether this thread is running a task now.
bool is_in_team();

}  // namespace tinyops::cpu
