#pragma once
// An environment variable that is again what it was at the end of the block.
#include <cstdlib>
#include <optional>
#include <string>

class EnvironmentScope {
 public:
  EnvironmentScope(const char* name, const std::string& value) : name_(name) {
    if (const char* before = getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~EnvironmentScope() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  EnvironmentScope(const EnvironmentScope&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};
