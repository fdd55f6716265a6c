// The views explorer: a tensor, the movements that a reader applies to it, and what teeny's own View makes of them. The
// page calls the three functions at the end, and each answers with a state as JSON.
#include <emscripten.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "teeny/graph/lazy.h"
#include "teeny/tensor/modes.h"
#include "teeny/tensor/tensor.h"

using namespace teeny;
using nlohmann::json;

namespace {

constexpr int64_t kMostElements = 512;  ///< that the page draws

/// A tensor on the way, and how it came to be.
struct Stage {
  Tensor x;
  std::string call;  ///< `.permute({1, 0})`
  std::string why;   ///< of a call after which there is one View more: why one was not enough
};
std::vector<Stage> stages;

Dims dims(const json& list) {
  Dims result;
  for (const json& value : list) result.push_back(value.get<int64_t>());
  return result;
}

std::string in_braces(const json& list) {
  std::string result = "{";
  for (const json& value : list) result += (result.size() > 1 ? ", " : "") + value.dump();
  return result + "}";
}

std::string call(const std::string& name, const json& args) {
  std::string result;
  for (const json& arg : args) result += (result.empty() ? "" : ", ") + (arg.is_array() ? in_braces(arg) : arg.dump());
  return "." + name + "(" + result + ")";
}

Tensor moved(const Tensor& x, const std::string& name, const json& args) {
  const auto number = [&](size_t i) { return args.at(i).get<int64_t>(); };
  if (name == "permute") return x.permute(dims(args.at(0)));
  if (name == "transpose") return x.transpose(number(0), number(1));
  if (name == "reshape") return x.reshape(dims(args.at(0)));
  if (name == "flatten") return x.flatten();
  if (name == "unsqueeze") return x.unsqueeze(number(0));
  if (name == "expand") return x.expand(dims(args.at(0)));
  if (name == "pad") return x.pad(dims(args.at(0)), dims(args.at(1)));
  if (name == "shrink") return x.shrink(dims(args.at(0)), dims(args.at(1)));
  if (name == "flip") return x.flip(number(0));
  if (name == "unfold") return x.unfold(number(0), number(1), number(2), args.size() > 3 ? number(3) : 1);
  fail("there is no movement ", name);
}

/// Why no View of these elements has the shape `to`: the two axes that View::reshape cannot join.
std::string why_not_one(const View& view, const Shape& to) {
  std::vector<int> axes;
  for (int a = 0; a < view.rank(); ++a)
    if (view.shape[a] != 1) axes.push_back(a);
  size_t i = 0;
  for (int j = 0; i < axes.size() && j < to.size(); ++i, ++j) {  // groups of equal size, as in View::reshape
    int64_t from_size = view.shape[axes[i]], to_size = to[j];
    while (from_size != to_size) {
      if (from_size > to_size) {
        to_size *= to[++j];
        continue;
      }
      const int a = axes[i], b = axes[++i];
      from_size *= view.shape[b];
      const auto gap = [&](const Affine& f) { return f.coef[a] != view.shape[b] * f.coef[b]; };
      const std::string join = text("Axes ", a, " and ", b, " would have to become one. ");
      const int64_t step = view.address.coef[b];
      if (gap(view.address))
        return join + text("A step along axis ", a, " moves the address by ", view.address.coef[a], ", but all ",
                           view.shape[b], " steps along axis ", b, " move it by ", view.shape[b], " * ", step, " = ",
                           view.shape[b] * step, ": no stride fits both.");
      for (const Guard& guard : view.guards)
        if (gap(guard.position))
          return join + text("But a guard follows axis ", guard.position.coef[b] != 0 ? b : a,
                             " alone: along one long axis the padding would come again and again, and a guard is "
                             "one range.");
    }
  }
  return "One View cannot say it.";
}

/// Where in the buffer the element at `index` lies; -1: a guard says that there is none.
int64_t address(std::span<const View> views, Dims index) {
  for (size_t v = views.size(); v-- > 0;) {
    if (!views[v].valid(index)) return -1;
    int64_t position = views[v].address.at(index);
    if (v == 0) return position;
    const Shape& below = views[v - 1].shape;  // which is looked at in row-major order
    index = Dims::filled(below.size(), 0);
    for (int a = below.size() - 1; a >= 0; --a) index[a] = position % below[a], position /= below[a];
  }
  return -1;
}

json list(const Dims& values) { return json(std::vector<int64_t>(values.begin(), values.end())); }

json state(const std::string& error = "") {
  const Tensor& x = stages.back().x;
  const auto views = x.lazy().views().views();
  json result = {{"base", list(stages[0].x.shape())}, {"shape", list(x.shape())}, {"error", error}};
  for (const View& view : views) {
    json guards = json::array();
    for (const Guard& g : view.guards)
      guards.push_back({{"coef", list(g.position.coef)}, {"offset", g.position.offset}, {"size", g.size}});
    result["views"].push_back({{"shape", list(view.shape)},
                               {"strides", list(view.address.coef)},
                               {"offset", view.address.offset},
                               {"guards", guards},
                               {"contiguous", view.is_contiguous()},
                               {"text", text(view)}});
  }
  result["calls"] = json::array();
  for (size_t s = 1; s < stages.size(); ++s)
    result["calls"].push_back({{"text", stages[s].call}, {"views", stages[s].x.lazy().views().views().size()}});
  result["why"] = "";
  if (views.size() > 1)
    for (const Stage& stage : stages)
      if (!stage.why.empty()) result["why"] = stage.why;
  result["cells"] = json::array();
  Dims index = Dims::filled(x.rank(), 0);
  for (int64_t left = x.numel(); left > 0; --left) {
    result["cells"].push_back(address(views, index));
    for (int a = x.rank() - 1; a >= 0 && ++index[a] == x.shape()[a]; --a) index[a] = 0;
  }
  return result;
}

/// What `make` answers, or the state as it was and what went wrong.
template <class Make>
const char* answer(Make&& make) {
  static std::string result;
  std::string error;
  try {
    const NoGrad guard;
    make();
  } catch (const std::exception& e) { error = e.what(); }
  result = state(error).dump();
  return result.c_str();
}

}  // namespace

extern "C" {

/// `[3, 4]`: a new buffer, and the tensor that is all of it in row-major order.
EMSCRIPTEN_KEEPALIVE const char* views_start(const char* shape) {
  return answer([&] {
    const Shape sizes = dims(json::parse(shape));
    const Tensor x = Tensor::from(std::vector<float>(size_t(numel(sizes))), sizes);
    stages = {{x, "", ""}};
  });
}

/// `{"move": "pad", "args": [[1, 0], [1, 0]]}`
EMSCRIPTEN_KEEPALIVE const char* views_move(const char* what) {
  return answer([&] {
    const json move = json::parse(what);
    const std::string name = move.at("move");
    const Tensor& x = stages.back().x;
    const Tensor y = moved(x, name, move.at("args"));
    if (y.numel() > kMostElements)
      fail(name, ": ", y.shape(), " has ", y.numel(), " elements; this page draws at most ", kMostElements);
    if (y.lazy().node() != x.lazy().node())
      fail(name, ": there are eight Views already: here teeny copies the elements");
    const auto count = [](const Tensor& t) { return t.lazy().views().views().size(); };
    const std::string why = count(y) > count(x) ? why_not_one(x.lazy().views().view(), y.shape()) : "";
    stages.push_back({y, call(name, move.at("args")), why});
  });
}

EMSCRIPTEN_KEEPALIVE const char* views_undo() {
  return answer([] {
    if (stages.size() > 1) stages.pop_back();
  });
}

}  // extern "C"
