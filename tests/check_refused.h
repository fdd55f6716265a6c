#pragma once
// Mistakes a user can make, each with a part of the message that should follow.
#include <doctest/doctest.h>

#include <functional>
#include <initializer_list>
#include <string>

#include "teeny/graph/base.h"

struct Mistake {
  std::string message;
  std::function<void()> make;
};

/// Each of them throws a teeny::Error that contains its message.
inline void check_refused(std::initializer_list<Mistake> mistakes) {
  for (const auto& [message, make] : mistakes) {
    std::string got = "(nothing was thrown)";
    try {
      make();
    } catch (const teeny::Error& error) { got = error.what(); }
    CHECK_MESSAGE(got.find(message) != got.npos, "wanted: " << message << "\n        got: " << got);
  }
}
