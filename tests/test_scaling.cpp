// The model of many ranks: what is played message by message is what the formulas say, and what was measured.
#include <doctest/doctest.h>

#include "scaling.h"

using namespace teeny::scaling;
using doctest::Approx;

namespace {

Approx exactly(double value) { return Approx(value).epsilon(1e-9); }
Approx nearly(double value, double by) { return Approx(value).epsilon(by).scale(0); }

}  // namespace

TEST_CASE(
    "scaling: a ring adds all parts up, each rank sends 2 (n - 1) / n of the bytes, and takes the formula's time") {
  for (const int n : {2, 3, 4, 5, 8, 13}) {
    // Of which ranks' numbers the sum in each part on each rank consists, as a set of bits. In round k rank r sends
    // part r - k to the next rank: it adds what comes in n - 1 rounds, and then takes it as it is.
    std::vector<std::vector<int>> has;
    for (int rank = 0; rank < n; ++rank) has.emplace_back(n, 1 << rank);
    for (int k = 0; k < 2 * (n - 1); ++k) {
      const auto before = has;
      for (int rank = 0; rank < n; ++rank) {
        const size_t part = size_t((rank - k + 2 * n) % n), next = size_t((rank + 1) % n);
        const int sent = before[size_t(rank)][part];
        if (k < n - 1) CHECK((sent & before[next][part]) == 0);  // nothing is added twice
        has[next][part] = k < n - 1 ? sent | before[next][part] : sent;
      }
    }
    for (const auto& parts : has) CHECK(parts == std::vector(static_cast<size_t>(n), (1 << n) - 1));
  }
  for (const int n : {2, 3, 4, 64, 1000, 1024, 4096}) {
    Clocks clocks(static_cast<size_t>(n));
    const Link link{8e-6, 50e9};
    ring(clocks, 2 * (n - 1), 2.6e9, link, n);
    CHECK(last(clocks) == exactly(ring_seconds(n, 2.6e9, link)));
    CHECK(*std::min_element(clocks.begin(), clocks.end()) == last(clocks));
  }
}

TEST_CASE("scaling: other ways through the ranks take their formulas' time, and one late rank delays all by as much") {
  for (int n = 2; n <= 4096; n *= 2) {
    CAPTURE(n);
    Clocks pairs(static_cast<size_t>(n)), boxes = pairs, late = pairs;
    halving(pairs, 1e8, kBoxes.between, n);
    CHECK(last(pairs) == exactly(halving_seconds(n, 1e8, kBoxes.between)));
    kBoxes.play(boxes, 2.6e9);
    CHECK(last(boxes) == exactly(kBoxes.seconds(n, 2.6e9)));
    late[size_t(n) / 3] = 0.25;
    kBoxes.play(late, 2.6e9);
    CHECK(late == Clocks(size_t(n), late[0]));
    CHECK(late[0] == exactly(0.25 + kBoxes.seconds(n, 2.6e9)));
  }
}

TEST_CASE("scaling: gradients that travel beside the backward pass, as they were measured") {
  // By tests/ranks/on_hosts.sh: six gradients of 1 MiB, each after 60 ms of work, on links of 200 Mbit/s, where an
  // all_reduce of one took 43.8 and 68.4 ms; milliseconds a step.
  struct Measured {
    int ranks;
    double all_reduce, one_by_one, overlapped;
  };
  for (const auto& [ranks, t, one_by_one, overlapped] : {Measured{2, 43.8, 633, 408}, Measured{4, 68.4, 777, 477}}) {
    const Work work{0, 360, 6e6, 6};
    const Clocks equal(size_t(ranks), 1);
    const auto all_reduce = [&, t = t](Clocks& clocks, double) { ring(clocks, 1, 0, {t, 1}, ranks); };
    CHECK(step(work, equal, all_reduce, false) == exactly(360 + 6 * t));
    CHECK(step(work, equal, all_reduce) == exactly(step_seconds(work, 1, t)));
    CHECK(step(work, equal, all_reduce, false) == nearly(one_by_one, 0.05));
    CHECK(step(work, equal, all_reduce) == nearly(overlapped, 0.05));
  }
}

TEST_CASE("scaling: 8 to 4096 ranks with as much work each; latency, and the slowest rank") {
  struct Row {
    int ranks;
    double ring, boxes, efficiency, with_jitter;  // of the table in the notes
  };
  for (const Row& row : {Row{8, 0.0911, 0.0130, 0.996, 0.968}, Row{64, 0.1034, 0.0245, 0.993, 0.951},
                         Row{1024, 0.1203, 0.0261, 0.992, 0.932}, Row{4096, 0.1695, 0.0261, 0.992, 0.925}}) {
    const int n = row.ranks;
    CAPTURE(n);
    const Work work = language_model(8192);
    const double compute = work.forward + work.backward;
    const AllReduce boxes = [](Clocks& clocks, double bytes) { kBoxes.play(clocks, bytes); };
    CHECK(ring_seconds(n, work.bytes, kBoxes.between) == nearly(row.ring, 1e-3));
    CHECK(kBoxes.seconds(n, work.bytes) == nearly(row.boxes, 5e-3));
    const double played = step(work, Clocks(size_t(n), 1), boxes);
    CHECK(played == exactly(step_seconds(work, 1, kBoxes.seconds(n, work.bytes / 24))));
    CHECK(compute / played == nearly(row.efficiency, 1e-3));
    std::mt19937_64 random(1);
    double slowest = 0, total = 0;
    const int times = 20;
    for (int i = 0; i < times; ++i) {
      const Clocks slow = jitter(n, 0.02, random);
      slowest += last(slow) / times;
      total += step(work, slow, boxes) / times;
    }
    CHECK(total == nearly(step_seconds(work, slowest, kBoxes.seconds(n, work.bytes / 24)), 1e-3));
    CHECK(slowest <= 1 + 0.02 * std::sqrt(2 * std::log(n)));
    CHECK(compute / total == nearly(row.with_jitter, 5e-3));
  }
}

TEST_CASE("scaling: what ends it is the batch") {
  for (const auto& [n, efficiency] : {std::pair{1024, 0.985}, {2048, 0.905}, {4096, 0.535}, {8192, 0.293}}) {
    const Work work = language_model(4.2e6 / n);
    CHECK((work.forward + work.backward) / step_seconds(work, 1, kBoxes.seconds(n, work.bytes / 24)) ==
          nearly(efficiency, 5e-3));
  }
  // A batch of MNIST: 33 ms of one core, and a comparison of what the ranks are about to do beside the gradients.
  const Link link{50e-6, 118e6};
  for (const auto& [n, speed_up] : {std::pair{2, 1.9}, {4, 3.4}, {8, 5.7}, {16, 8.2}, {32, 10.2}, {64, 11.2}}) {
    Clocks clocks(size_t(n), 0.033 / n);
    halving(clocks, 73512, link, n);
    halving(clocks, 24, link, n);
    CHECK(0.033 / last(clocks) == nearly(speed_up, 0.015));
  }
}
