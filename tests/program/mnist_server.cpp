// A whole service in one small binary: the network is inside, and of the library only what runs it. It reads images of
// 28 x 28 float32 from its input, and writes the ten logits of each.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "teeny/program/program.h"

// NET is the path of the program file.
asm(".section .rodata\n"
    ".balign 64\n"
    "net_begin: .incbin \"" NET "\"\n"
    "net_end:\n"
    ".previous\n");
extern "C" const std::byte net_begin[], net_end[];

int main() try {
  teeny::Program net = teeny::Program::from_bytes({net_begin, net_end}, "mnist");
  std::vector<float> image(784), logits(10);
  while (std::fread(image.data(), sizeof(float), image.size(), stdin) == image.size()) {
    const teeny::Array input = teeny::Array::of(tinyops::DType::Float32, {1, 1, 28, 28}, image.data());
    net({&input, 1})[0].read(logits.data());
    std::fwrite(logits.data(), sizeof(float), logits.size(), stdout);
    std::fflush(stdout);
  }
} catch (const tinyops::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
