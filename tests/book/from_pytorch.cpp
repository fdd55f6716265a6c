// The programs of notes/from_pytorch.md, on the files that its Python has saved (tests/interop/page.py).
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "teeny/teeny.h"
using namespace teeny;

#include "from_pt"
#include "from_onnx"
#include "back"

int main() {
  std::filesystem::current_path("tests/golden/page");
  const Tensor expected = io::load_npy("scores.npy");
  const Tensor scores = run()[0];
  if (!scores.allclose(expected, 1e-4, 1e-4)) std::cout << scores << "\nnot\n" << expected << "\n", std::exit(1);
  if (!(predict() == expected.argmax(1)).all().item<bool>()) std::cout << "other predictions\n", std::exit(1);

  Stripes net;
  nn::load_state_dict(net, nn::under(io::load_torch("stripes.pt"), "net"));
  const std::string folder = std::filesystem::temp_directory_path() / ("teeny-page-" + std::to_string(std::rand()));
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file("x.npy", folder + "/x.npy");
  std::filesystem::current_path(folder);
  back(net);
  for (const nn::StateDict& saved : {io::load_torch("back.pt"), io::load_npz("back.npz")})
    nn::check_state_dict(nn::state_dict(net), saved);
  if (!(io::load_npy("prediction.npy") == expected.argmax(1)).all().item<bool>()) std::exit(1);
  if (!onnx::Model("back.onnx")({io::load_npy("x.npy")})[0].allclose(expected, 1e-4, 1e-4)) std::exit(1);
  std::filesystem::current_path("/");
  std::filesystem::remove_all(folder);
}
