#include <cstdio>

#include "teeny/teeny.h"
#include "teeny/tool/tool.h"

int main(int argc, char** argv) {
  CLI::App app("Looks into networks and files of tensors, and runs them.", "teeny");
  app.set_version_flag("--version", "teeny " + std::string(teeny::kVersion));
  app.require_subcommand(1);
  teeny::tool::Action action;
  teeny::tool::add_onnx_test(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  try {
    return action();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "teeny: %s\n", error.what());
    return 1;
  }
}
