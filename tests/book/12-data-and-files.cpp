// The figure of notes/12-data-and-files.md: every byte of a small safetensors file.
#include <fstream>
#include <iostream>
#include <iterator>

#include "teeny/teeny.h"

using namespace teeny;

int main() {
  const char* path = "build/bytes.safetensors";
  io::save_safetensors(path, {{"count", Tensor::of<int32_t>({7})}, {"w", Tensor::of({{0.5, -1}, {2, 3}})}});
  std::ifstream file(path, std::ios::binary);
  std::cout << "== figure bytes\n";
  for (auto at = std::istreambuf_iterator<char>(file); at != std::istreambuf_iterator<char>(); ++at)
    std::cout << int(uint8_t(*at)) << " ";
  std::cout << "\n";
  file.close();
  std::remove(path);
}
