#include "examples/image.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include "teeny/files/file.h"
#include "teeny/graph/base.h"

namespace examples {

using teeny::fail;

// ---- Files ----------------------------------------------------------------------------------------------------------

static constexpr int64_t kMostPixels = 100'000'000;  // a small file may say that it is large

static void check_size(const std::string& path, int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > kMostPixels || height > kMostPixels || width * height > kMostPixels)
    fail(path, ": a picture of ", width, " x ", height, " pixels; from 1 to ", kMostPixels, " can be read");
}

static Image read_png(const std::string& path, std::string_view bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  struct Free {
    png_image& png;
    ~Free() { png_image_free(&png); }
  } free{png};
  const auto check = [&](int good) {
    if (!good) fail(path, ": no whole PNG: ", png.message);
  };
  check(png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()));
  check_size(path, png.width, png.height);
  png.format = PNG_FORMAT_RGBA;            // of RGB alone libpng would want to know what lies behind
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16 bits are spaced as 8 are
  Image image{png.width, png.height};
  std::vector<uint8_t> rgba(PNG_IMAGE_SIZE(png));
  check(png_image_finish_read(&png, nullptr, rgba.data(), 0, nullptr));
  image.pixels.reserve(rgba.size() / 4 * 3);
  for (size_t i = 0; i < rgba.size(); i += 4)
    image.pixels.insert(image.pixels.end(), {rgba[i], rgba[i + 1], rgba[i + 2]});
  return image;
}

/// `P6 width height maximum`, with comments after #, one blank, and the numbers: one byte each, or two above 255.
static Image read_pnm(const std::string& path, std::string_view bytes) {
  const int64_t colours = bytes[1] == '6' ? 3 : 1;
  size_t at = 2;
  const auto number = [&] {
    const auto is_blank = [&] {
      return at < bytes.size() && std::string_view(" \t\r\n\v\f").find(bytes[at]) != std::string_view::npos;
    };
    const auto is_digit = [&] { return at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9'; };
    while (is_blank() || (at < bytes.size() && bytes[at] == '#'))
      at = bytes[at] == '#' ? std::min(bytes.find('\n', at), bytes.size()) : at + 1;
    if (!is_digit()) fail(path, ": no whole PPM: a number is missing at byte ", at);
    int64_t value = 0;
    for (; is_digit(); ++at) value = std::min(10 * value + (bytes[at] - '0'), kMostPixels + 1);
    return value;
  };
  Image image{number(), number()};
  const int64_t maximum = number();
  check_size(path, image.width, image.height);
  if (maximum < 1 || maximum > 65535) fail(path, ": no PPM: a maximum of ", maximum, ", from 1 to 65535");
  const int64_t size = maximum > 255 ? 2 : 1, count = image.width * image.height * colours;
  bytes.remove_prefix(std::min(at + 1, bytes.size()));
  if (int64_t(bytes.size()) < count * size)
    fail(path, ": no whole PPM: ", bytes.size(), " bytes of pixels, where ", count * size, " belong");
  image.pixels.reserve(size_t(3 * image.width * image.height));
  for (int64_t i = 0; i < count; ++i) {
    int64_t value = 0;
    for (int64_t b = 0; b < size; ++b) value = value << 8 | uint8_t(bytes[size_t(i * size + b)]);
    const auto scaled = uint8_t((2 * 255 * std::min(value, maximum) + maximum) / (2 * maximum));
    image.pixels.insert(image.pixels.end(), size_t(colours == 1 ? 3 : 1), scaled);
  }
  return image;
}

Image read_image(const std::string& path) {
  teeny::data::File file = teeny::data::open_to_read(path);
  std::string bytes(file.size(), '\0');
  file.read_all(bytes.data(), bytes.size());
  if (bytes.starts_with("\x89PNG")) return read_png(path, bytes);
  if (bytes.starts_with("P6") || bytes.starts_with("P5")) return read_pnm(path, bytes);
  fail(path, ": neither PNG nor PPM", bytes.starts_with("\xFF\xD8") ? ", but JPEG" : "",
       "; a program like ImageMagick makes one of it: convert picture.jpg picture.png");
}

// ---- Sizes ----------------------------------------------------------------------------------------------------------

namespace {

/// Of one pixel of the result: where it begins to look, and the weights of what it sees from there on.
struct Window {
  int64_t begin;
  std::vector<int32_t> weights;
};

constexpr int kBits = 22;  // of a weight, behind the point

std::vector<Window> windows(int64_t from, int64_t to) {
  const double scale = double(from) / double(to), reach = std::max(scale, 1.0);
  std::vector<Window> result;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (double(i) + 0.5) * scale;
    const auto begin = std::max<int64_t>(0, int64_t(centre - reach + 0.5));
    const auto end = std::min(from, int64_t(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t x = begin; x < end; ++x) {
      weights.push_back(std::max(0.0, 1 - std::abs((double(x) - centre + 0.5) * (1 / reach))));
      sum += weights.back();
    }
    Window window{begin, {}};
    for (const double w : weights) window.weights.push_back(int32_t(0.5 + w / sum * (1 << kBits)));
    result.push_back(std::move(window));
  }
  return result;
}

/// `count` sums, each over the window of elements that lie `stride` apart.
void apply(const Window& window, const uint8_t* from, int64_t stride, int64_t count, uint8_t* to) {
  for (int64_t i = 0; i < count; ++i) {
    int32_t sum = 1 << (kBits - 1);
    for (size_t k = 0; k < window.weights.size(); ++k)
      sum += window.weights[k] * from[(window.begin + int64_t(k)) * stride + i];
    to[i] = uint8_t(std::clamp(sum >> kBits, 0, 255));
  }
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height) {
  Image narrow{width, image.height}, result{width, height};
  check_size("resize", width, std::max(height, image.height));
  narrow.pixels.resize(size_t(3 * width * image.height));
  result.pixels.resize(size_t(3 * width * height));
  const auto columns = windows(image.width, width), rows = windows(image.height, height);
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < width; ++x)
      apply(columns[size_t(x)], &image.pixels[size_t(3 * y * image.width)], 3, 3,
            &narrow.pixels[size_t(3 * (y * width + x))]);
  for (int64_t y = 0; y < height; ++y)
    apply(rows[size_t(y)], narrow.pixels.data(), 3 * width, 3 * width, &result.pixels[size_t(3 * y * width)]);
  return result;
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  if (left < 0 || top < 0 || width < 1 || height < 1 || left + width > image.width || top + height > image.height)
    fail("crop: ", width, " x ", height, " pixels from (", left, ", ", top, ") on are not in a picture of ",
         image.width, " x ", image.height);
  Image part{width, height};
  for (int64_t y = top; y < top + height; ++y) {
    const auto row = image.pixels.begin() + 3 * (y * image.width + left);
    part.pixels.insert(part.pixels.end(), row, row + 3 * width);
  }
  return part;
}

}  // namespace examples
