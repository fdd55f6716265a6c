// Finds the windows in the views of a kernel: which axes move along the rows and the columns of an image, and which of
// what is reduced are taps.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "tinyops/common/contraction.h"
#include "tinyops/cpu/coordinates.h"
#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/stencil/stencil.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kMostFilters = 7;    // more are better off as a product of matrices
constexpr int64_t kTapsPerOutput = 4;  // of windows larger than that, packets should lie along the taps
constexpr int64_t kFewLanes = 4;       // a quarter of a packet: of images that narrow, lanes are better off as channels
// What a stencil notes down is to be little beside the images. Where views stand still, in padding or on one element,
// no memory says how much there is to note down.
constexpr int64_t kMostPlaces = 1 << 20;  // of taps, planes, images and batches each
constexpr int64_t kMostNotes = 1 << 24;   // of rows that one image has in all planes, and of taps that a row meets
constexpr int64_t kMostCopied = 1 << 26;  // pixels of one image in all planes, where they lie apart

/// Of all elements of these axes, in row-major order, the values of a form without its offset.
std::vector<int64_t> values(const Shape& shape, const Dims& coef, const std::vector<int>& axes) {
  std::vector<int64_t> result{0};
  for (int a : axes) {
    const std::vector<int64_t> outer = std::exchange(result, {});
    for (int64_t value : outer)
      for (int64_t i = 0; i < shape[a]; ++i) result.push_back(value + i * coef[a]);
  }
  return result;
}

/// Taps of one x whose y follow on each other, as many as a kernel of window_kernel.h has.
void add_columns(Stencil& s, const std::vector<int64_t>& y, const std::vector<int64_t>& x,
                 const std::vector<int64_t>& weight) {
  std::vector<size_t> order(y.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::ranges::sort(order, {}, [&](size_t t) { return std::pair(x[t], y[t]); });
  for (size_t first = 0; first < order.size();) {
    const auto follows = [&](size_t n) {
      const size_t t = order[first], next = first + n;
      return next < order.size() && x[order[next]] == x[t] && y[order[next]] == y[t] + int64_t(n);
    };
    size_t run = 1, taps = 1;
    while (run < Stencil::TapColumn::most && follows(run)) ++run;
    for (size_t n : {3, 5, 7})
      if (n <= run) taps = n;
    Stencil::TapColumn column{y[order[first]], x[order[first]], int(taps), {}};
    for (size_t k = 0; k < taps; ++k) column.weight[k] = weight[order[first + k]];
    s.columns.push_back(column);
    first += taps;
  }
}

/// The coordinate along which windows move with this axis, and no other one that is kept; or null.
const Coordinate* find_slide(const std::vector<Coordinate>& coordinates, const StencilAxes& axes, const View& image,
                             int axis, Slide& slide) {
  const auto moves = [&](const Coordinate& c) { return c.position.coef[axis] > 0; };
  const auto c = std::ranges::find_if(coordinates, moves);
  if (c == coordinates.end()) return nullptr;
  for (const std::vector<int>* kept : {&axes.batch, &axes.rows, &axes.columns})
    for (int a : *kept)
      if (a != axis && c->position.coef[a] != 0) return nullptr;
  slide = {image.shape[axis], c->position.coef[axis], 0, c->size(), 0, c->stride, 0};
  slide.last_tap = c->size() - 1 - slide.step * (slide.outputs - 1);
  for (const Guard& guard : image.guards) {
    if (guard.position.coef != c->position.coef) continue;
    const int64_t first = c->low - c->position.offset + guard.position.offset;
    slide.begin = std::max(slide.begin, -first), slide.end = std::min(slide.end, guard.size - first);
  }
  slide.end = std::max(slide.begin, slide.end);  // windows may see padding alone
  return &*c;
}

bool is_guarded(const View& image, int a) {
  return std::ranges::any_of(image.guards, [&](const Guard& guard) { return guard.position.coef[a] != 0; });
}

}  // namespace

std::optional<Stencil> find_stencil(StencilAxes axes, const View* weights, View image, const View& out, bool wide) {
  const Shape& shape = image.shape;
  if (axes.columns.empty() || axes.reduced.empty() || shape.contains(0)) return std::nullopt;
  if (numel(pick(shape, axes.rows)) > kMostFilters) return std::nullopt;
  for (Guard& guard : image.guards)
    for (int a = 0; a < shape.size(); ++a)
      if (shape[a] == 1) guard.position.coef[a] = 0;
  while (axes.columns.size() > 2 && !is_guarded(image, axes.columns.front())) {
    axes.batch.insert(axes.batch.begin(), axes.columns.front());
    axes.columns.erase(axes.columns.begin());
  }
  if (std::ranges::any_of(axes.batch, [&](int a) { return is_guarded(image, a); })) return std::nullopt;
  const std::optional<std::vector<Coordinate>> coordinates = find_coordinates(image);
  if (!coordinates) return std::nullopt;

  Stencil s;
  const Coordinate *const x = find_slide(*coordinates, axes, image, axes.columns.back(), s.x), *y = nullptr;
  const int lanes = wide ? Packets<double>::lanes : Packets<float>::lanes;
  if (!x || s.x.step > 2 || s.x.outputs * kFewLanes <= lanes) return std::nullopt;
  s.x.out_stride = out.address.coef[axes.columns.back()];
  if (axes.columns.size() > 1) {
    const int axis = axes.columns[axes.columns.size() - 2];
    y = find_slide(*coordinates, axes, image, axis, s.y);
    if (y) s.y.out_stride = out.address.coef[axis];
  }
  const auto slides = [&](int a) { return x->position.coef[a] != 0 || (y && y->position.coef[a] != 0); };
  std::vector<int> taps, planes, images;
  for (int a : axes.reduced) (slides(a) ? taps : planes).push_back(a);
  for (int a : axes.columns)
    if (!slides(a)) images.push_back(a);
  if (taps.empty() || numel(pick(shape, taps)) > kTapsPerOutput * s.y.outputs * s.x.outputs) return std::nullopt;
  for (const std::vector<int>* noted : {&taps, &planes, &images, &axes.batch})
    if (numel(pick(shape, *noted)) > kMostPlaces) return std::nullopt;
  const int64_t in_planes = numel(pick(shape, planes)), rows = (s.y.outputs - 1) * s.y.step + s.y.last_tap + 1;
  if (rows > kMostNotes / in_planes) return std::nullopt;
  if (s.x.outputs / lanes + 1 > kMostNotes / numel(pick(shape, taps))) return std::nullopt;
  const auto pixels = [](const Slide& slide) { return std::max<int64_t>(slide.end - slide.begin, 1); };
  if (s.x.pixel_stride != 1 && pixels(s.x) > kMostCopied / in_planes / pixels(s.y)) return std::nullopt;
  for (const Guard& guard : image.guards) {
    const Dims& coef = guard.position.coef;
    if (coef == x->position.coef || (y && coef == y->position.coef)) continue;
    for (int a = 0; a < shape.size(); ++a)
      if (slides(a) && coef[a] != 0) return std::nullopt;
    s.guards.push_back(guard);
  }

  const Dims nothing = Dims::filled(shape.size(), 0), &weight = weights ? weights->address.coef : nothing;
  const auto positions = [&](const Coordinate* c) {
    std::vector<int64_t> result = values(shape, c ? c->position.coef : nothing, taps);
    const int64_t least = std::ranges::min(result);
    for (int64_t& position : result) position -= least;
    return result;
  };
  add_columns(s, positions(y), positions(x), values(shape, weight, taps));

  const Dims& pixel = image.address.coef;
  const auto add = [&](const std::vector<int>& along, auto& to, const Dims& first, const Dims& second) {
    const auto a = values(shape, first, along), b = values(shape, second, along);
    for (size_t i = 0; i < a.size(); ++i) to.push_back({a[i], b[i]});
    if constexpr (requires { to[0].positions; })
      for (const Guard& guard : s.guards) {
        const auto position = values(shape, guard.position.coef, along);
        for (size_t i = 0; i < to.size(); ++i) to[i].positions.push_back(position[i]);
      }
  };
  add(planes, s.planes, pixel, weight);
  add(images, s.images, pixel, out.address.coef);
  add(axes.rows, s.filters, weight, out.address.coef);
  const auto from_zero = [](const Coordinate* c) { return c ? c->stride * (c->low - c->position.offset) : 0; };
  const int64_t first_weight = weights ? weights->address.offset : 0;
  const int64_t first_pixel = image.address.offset + from_zero(x) + from_zero(y);
  const auto of_weights = values(shape, weight, axes.batch), of_pixels = values(shape, pixel, axes.batch);
  const auto of_out = values(shape, out.address.coef, axes.batch);
  for (size_t i = 0; i < of_out.size(); ++i)
    s.batches.push_back({first_weight + of_weights[i], first_pixel + of_pixels[i], out.address.offset + of_out[i]});
  s.is_max = !weights, s.wide = wide, s.axes = std::move(axes);
  return s;
}

bool add_step(Stencil& s, BinaryOp op, bool scalar_first, double constant) {
  constexpr std::array known{BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Max, BinaryOp::Min};
  const bool chooses = op == BinaryOp::Max || op == BinaryOp::Min;  // between results and what is known to be no NaN
  if (std::ranges::count(known, op) == 0 || (chooses && (scalar_first || std::isnan(constant)))) return false;
  s.steps.push_back({op, scalar_first, constant});
  return true;
}

bool add_step(Stencil& s, BinaryOp op, bool scalar_first, const View& operand) {
  const auto moves = [&](int a) { return operand.shape[a] > 1 && operand.address.coef[a] != 0; };
  if (op == BinaryOp::Max || op == BinaryOp::Min || !operand.guards.empty()) return false;
  if (std::ranges::any_of(s.axes.columns, moves)) return false;
  if (!add_step(s, op, scalar_first, 0)) return false;
  Stencil::Step& step = s.steps.back();
  step.in_memory = true;
  step.batches = values(operand.shape, operand.address.coef, s.axes.batch);
  step.filters = values(operand.shape, operand.address.coef, s.axes.rows);
  for (int64_t& place : step.batches) place += operand.address.offset;
  return true;
}

}  // namespace tinyops::cpu
