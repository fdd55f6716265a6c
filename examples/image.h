#pragma once
// Pictures: read from a file, and made smaller.
#include <cstdint>
#include <string>
#include <vector>

namespace examples {

struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> pixels = {};  ///< row after row, of each pixel red, green and blue
};

/// A PNG of any kind, whose transparency is left out, or a PPM (P6) or PGM (P5). 16 bits become 8.
Image read_image(const std::string& path);

/// The picture in another size. A pixel of the result is a mean over those that it covers, weighted by how near they
/// are (bilinear, with a wider triangle to shrink); columns first, then rows. Bit for bit what PIL.Image.resize makes
/// with BILINEAR, but that Pillow 13 begins with the rows where they lose more than twice what columns do: there
/// colours differ by 1.
Image resize(const Image& image, int64_t width, int64_t height);

/// The part that begins `left` and `top` pixels from the corner.
Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height);

}  // namespace examples
