#pragma once
// What teeny takes from the standard library and libc++ 14, the one of Debian's emscripten, does not have. Every file
// is compiled for the browser behind this one; a newer libc++ leaves it empty.
#include <version>
#if _LIBCPP_VERSION < 15000
#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>

#include <charconv>

namespace std {

template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

/// In the browser there is one locale, "C": printf writes the same.
inline to_chars_result to_chars(char* first, char* last, double value, chars_format format, int digits) {
  const char* how = format == chars_format::fixed ? "%.*f" : format == chars_format::scientific ? "%.*e" : "%.*g";
  return {first + snprintf(first, size_t(last - first), how, digits, value), {}};
}

namespace ranges {

template <class R, class F, class P = identity>
bool any_of(R&& r, F f, P p = {}) {
  return std::any_of(std::begin(r), std::end(r), [&](auto&& x) { return bool(invoke(f, invoke(p, x))); });
}
template <class R, class F, class P = identity>
bool none_of(R&& r, F f, P p = {}) {
  return !any_of(r, f, p);
}
template <class R, class F, class P = identity>
bool all_of(R&& r, F f, P p = {}) {
  return none_of(r, not_fn(f), p);
}
template <class R, class T>
auto count(R&& r, const T& value) {
  return std::count(std::begin(r), std::end(r), value);
}
template <class R, class F>
auto count_if(R&& r, F f) {
  return std::count_if(std::begin(r), std::end(r), f);
}
template <class R, class T>
auto find(R&& r, const T& value) {
  return std::find(std::begin(r), std::end(r), value);
}
template <class A, class B>
bool equal(A&& a, B&& b) {
  return std::equal(std::begin(a), std::end(a), std::begin(b), std::end(b));
}
template <class R, class Out>
void move(R&& r, Out out) {
  std::move(std::begin(r), std::end(r), out);
}
template <class R, class Before = std::less<>>
void stable_sort(R&& r, Before before = {}) {
  std::stable_sort(std::begin(r), std::end(r), before);
}
/// The elements for which `f` does not hold: they stand at the end.
template <class R, class F>
auto stable_partition(R&& r, F f) {
  struct Rest {
    decltype(std::begin(r)) first, last;
    auto begin() const { return first; }
    auto end() const { return last; }
  };
  return Rest{std::stable_partition(std::begin(r), std::end(r), f), std::end(r)};
}

}  // namespace ranges
}  // namespace std
#endif
