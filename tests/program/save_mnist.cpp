// Writes the network of examples/mnist as a program file for one image, and what it says of an image of a ramp.
//
//   save_mnist WEIGHTS.safetensors|- OUT.teeny OUT.logits      `-`: weights as they are before a training
#include <cstdio>
#include <fstream>

#include "teeny/teeny.h"
#include "tests/small_nets.h"

using namespace teeny;

int main(int, char** arguments) try {
  const NoGrad guard;
  test::Convnet model;
  if (std::string(arguments[1]) != "-") nn::load_state_dict(model, io::load_safetensors(arguments[1]));
  const Tensor image = (Tensor::arange(784).cast(DType::Float32) / 784).reshape({1, 1, 28, 28}).realize();
  Jit net([&](const Tensor& x) { return model(x); });
  Tensor logits;
  for (int call = 0; call < 3; ++call) logits = net(image);
  net.save(arguments[2], {.inputs = {"image"}, .outputs = {"logits"}, .state = nn::state_dict(model)});
  std::ofstream out(arguments[3], std::ios::binary);
  const std::vector<std::byte> bytes = logits.to_bytes();
  out.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  return out.good() ? 0 : 1;
} catch (const Error& error) {
  std::fprintf(stderr, "save_mnist: %s\n", error.what());
  return 1;
}
