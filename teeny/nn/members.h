#pragma once
// The members of a plain struct, counted and visited: how a member that TEENY_STATE does not list is noticed. C++20
// cannot ask for them. But an aggregate (no constructor, no private member) takes as many values in braces as it has
// members, and `auto& [a, b, c] = object` names three members.
#include <type_traits>
#include <utility>

namespace teeny::nn::detail {

/// Something that becomes whatever a member is initialised with.
struct Anything {
  template <class T>
  operator T() const;
};
/// The same for the bases of T alone.
template <class T>
struct AnyBase {
  template <class U>
  requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>) operator U() const;
};

/// Whether T takes this many values in braces.
template <class T, int kCount>
constexpr bool takes_values() {
  return []<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    return requires { T{(void(kIndex), Anything{})...}; };
  }
  (std::make_integer_sequence<int, kCount>());
}
/// The most values that it takes, looked for from `kMost` down: fewer may leave a member without a value that needs
/// one.
template <class T, int kMost>
constexpr int count_values() {
  if constexpr (kMost == 0 || takes_values<T, kMost>()) return kMost;
  else return count_values<T, kMost - 1>();
}

/// Whether value `kIndex` of `kCount` begins an array: then braces around two values leave room for fewer behind them.
template <class T, int kIndex, int kCount>
constexpr bool begins_array() {
  return []<int... kBefore, int... kBehind>(std::integer_sequence<int, kBefore...>,
                                            std::integer_sequence<int, kBehind...>) {
    return requires { T{(void(kBefore), Anything{})..., {Anything{}, Anything{}}}; }
    &&!requires { T{(void(kBefore), Anything{})..., {Anything{}, Anything{}}, (void(kBehind), Anything{})...}; };
  }
  (std::make_integer_sequence<int, kIndex>(), std::make_integer_sequence<int, kCount - kIndex - 1>());
}

constexpr int kMostMembers = 16;

/// The number of members of a struct; 0 where it cannot be told, because there are too many, or a constructor or a
/// base, or an array among the members, or one that cannot be moved.
template <class T>
constexpr int count_members() {
  if constexpr (std::is_aggregate_v<T> && !requires { T{AnyBase<T>{}}; }) {
    constexpr int count = count_values<T, kMostMembers + 1>();
    return []<int... kIndex>(std::integer_sequence<int, kIndex...>) {
      const bool more = requires { T{(void(kIndex), Anything{})..., {}}; };
      return more || count > kMostMembers || (begins_array<T, kIndex, count>() || ...) ? 0 : count;
    }
    (std::make_integer_sequence<int, count>());
  }
  return 0;
}

/// Calls visit(member) for each member of a struct, where they can be told.
template <class T, class Visit>
void visit_members(const T& x, Visit&& visit) {
  constexpr int count = count_members<T>();
#define TEENY_MEMBERS(n, ...)                                                \
  if constexpr (count == n) {                                                \
    const auto& [__VA_ARGS__] = x;                                           \
    const auto all = [&](const auto&... members) { (visit(members), ...); }; \
    all(__VA_ARGS__);                                                        \
  }
  TEENY_MEMBERS(1, a)
  TEENY_MEMBERS(2, a, b)
  TEENY_MEMBERS(3, a, b, c)
  TEENY_MEMBERS(4, a, b, c, d)
  TEENY_MEMBERS(5, a, b, c, d, e)
  TEENY_MEMBERS(6, a, b, c, d, e, f)
  TEENY_MEMBERS(7, a, b, c, d, e, f, g)
  TEENY_MEMBERS(8, a, b, c, d, e, f, g, h)
  TEENY_MEMBERS(9, a, b, c, d, e, f, g, h, i)
  TEENY_MEMBERS(10, a, b, c, d, e, f, g, h, i, j)
  TEENY_MEMBERS(11, a, b, c, d, e, f, g, h, i, j, k)
  TEENY_MEMBERS(12, a, b, c, d, e, f, g, h, i, j, k, l)
  TEENY_MEMBERS(13, a, b, c, d, e, f, g, h, i, j, k, l, m)
  TEENY_MEMBERS(14, a, b, c, d, e, f, g, h, i, j, k, l, m, n_)
  TEENY_MEMBERS(15, a, b, c, d, e, f, g, h, i, j, k, l, m, n_, o)
  TEENY_MEMBERS(16, a, b, c, d, e, f, g, h, i, j, k, l, m, n_, o, p)
#undef TEENY_MEMBERS
}

}  // namespace teeny::nn::detail
