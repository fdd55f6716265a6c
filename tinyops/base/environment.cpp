#include "tinyops/base/environment.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "tinyops/base/error.h"

namespace tinyops::environment {
namespace {

std::string value_of(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The name of a file that will be written, perhaps when the program ends: a mistake is found before anything runs.
std::string writable_file(const char* name) {
  namespace fs = std::filesystem;
  const std::string file = value_of(name);
  if (file.empty()) return file;
  std::error_code ignored;
  const fs::path parent = fs::path(file).parent_path(), folder = parent.empty() ? "." : parent;
  if (fs::is_directory(file, ignored)) fail(name, "=", file, ": is a folder");
  if (fs::is_fifo(fs::symlink_status(file, ignored)))  // but a link to one, as /dev/stderr may be, is open already
    fail(name, "=", file, ": is a FIFO, where writing waits until somebody reads");
  if (!fs::is_directory(folder, ignored)) fail(name, "=", file, ": there is no folder ", folder.string());
  if (access(fs::exists(file, ignored) ? file.c_str() : folder.c_str(), W_OK) != 0)
    fail(name, "=", file, ": cannot be written: ", std::strerror(errno));
  return file;
}

}  // namespace

uint64_t whole_number(const char* name, uint64_t otherwise, uint64_t largest, uint64_t least) {
  const std::string value = value_of(name);
  if (value.empty()) return otherwise;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least || number > largest)
    fail(name, "=", value, ": must be a whole number from ", least, " to ", largest);
  return number;
}

bool is_on(const char* name, bool otherwise) {
  const std::string value = value_of(name);
  if (value.empty()) return otherwise;
  if (value != "0" && value != "1") fail(name, "=", value, ": must be 0 or 1");
  return value == "1";
}

int debug() { return int(whole_number("DEBUG", 0, 9)); }

std::string graph() {
  const std::string file = writable_file("GRAPH");
  if (file.empty()) return file;
  for (const std::string_view kind : {".svg", ".png", ".pdf", ".dot"})
    if (file.ends_with(kind)) return file;
  fail("GRAPH=", file, ": must end in .svg, .png, .pdf or .dot");
}

std::string profile() { return writable_file("PROFILE"); }
uint64_t seed() { return whole_number("SEED", 0); }
bool fuse() { return is_on("FUSE", true); }
bool tf32() { return is_on("TEENY_TF32", false); }
std::string mnist_directory() { return value_of("TEENY_MNIST_DIR"); }
std::string fashion_mnist_directory() { return value_of("TEENY_FASHION_MNIST_DIR"); }
std::optional<std::string> visible_gpus() {
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  return value ? std::optional<std::string>(value) : std::nullopt;
}
int dist_timeout() { return int(whole_number("TEENY_DIST_TIMEOUT", 600, 1'000'000'000, 1)); }

Launched launched() {
  bool inside = false;  // of an mpirun, which srun may have started: that one's variable says nothing then
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const auto processes = int(whole_number(variable, 0, INT32_MAX));
    if (processes > 1 && !(inside && std::string_view(variable).starts_with("SLURM"))) return {variable, processes};
    inside = inside || processes == 1;
  }
  return whole_number("PMIX_RANK", 0) > 0 ? Launched{"PMIX_RANK", 0} : Launched{};  // the first cannot tell
}

}  // namespace tinyops::environment
