#pragma once
// The one exception type, and the one way to throw it.
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tinyops/base/decimal.h"

namespace tinyops {

/// Thrown where the user's line is wrong, before anything is computed. The message names the operation, the shapes and
/// the rule that was broken: `matmul: (3, 4) x (5, 6): inner sizes 4 and 5 differ`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Everything that can be written to a stream, written one after the other, and the same whatever the program's locale.
template <class... Parts>
[[gnu::cold]] std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << without_nan_sign(parts));
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(text(parts...));
}

}  // namespace tinyops
