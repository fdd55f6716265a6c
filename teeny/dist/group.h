#pragma once
// Who computes together: all ranks, or some of them.
namespace teeny::dist {

int rank();      ///< which process this is: 0 <= rank < world
int world();     ///< how many there are; 1 without mpirun
void barrier();  ///< waits until all ranks are here; what was made before it is computed

/// Some of the ranks, numbered from 0 in their order; all of them where nothing else is said. Ranks 0 to 3 as two
/// pairs, each of which holds a model, and two others across, whose ranks hold the same part of it:
///
///   const dist::Group model = dist::Group().split(dist::rank() / 2);      {0, 1} {2, 3}
///   const dist::Group data = dist::Group().split(dist::rank() % 2);       {0, 2} {1, 3}
class Group {
 public:
  Group() = default;
  /// Those of this group's ranks with the same colour >= 0. All of its ranks call it; a group is made once, and kept.
  Group split(int colour) const;
  int rank() const;
  int world() const;
  int number() const { return number_; }  ///< tinyops' name for it

 private:
  int number_ = 0;
};

}  // namespace teeny::dist
