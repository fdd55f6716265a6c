#pragma once
// The one place where the version stands: make install and notes/changelog.md go by it.
#include <string_view>

namespace teeny {

inline constexpr std::string_view kVersion = "0.2.0";

}  // namespace teeny
