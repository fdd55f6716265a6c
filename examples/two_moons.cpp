// Two interleaved half circles, a small network that learns which is which, and a drawing of what it thinks of every
// place in between.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "examples/common.h"
#include "teeny/teeny.h"

using namespace teeny;

struct Mlp {
  nn::Linear a{2, 32}, b{32, 32}, c{32, 2};
  Tensor operator()(const Tensor& x) const { return c(b(a(x).relu()).relu()); }
  TEENY_STATE(a, b, c)
};

struct Moons {
  Tensor points, labels;  // (2n, 2), (2n)
};

/// The upper moon is (cos t, sin t); the lower is the same turned around and moved to (1, 0.5).
static Moons moons(int64_t n, double noise) {
  const Tensor t = Tensor::uniform({n}, 0, M_PI);
  const Tensor upper = Tensor::stack({t.cos(), t.sin()}, 1), lower = Tensor::stack({1 - t.cos(), 0.5 - t.sin()}, 1);
  const Tensor clean = Tensor::cat({upper, lower});
  return {(clean + Tensor::normal({2 * n, 2}, 0, noise)).realize(),
          Tensor::cat({Tensor::zeros({n}, DType::Int64), Tensor::ones({n}, DType::Int64)}).realize()};
}

/// A map of the plane: the colour, or the character, says which moon the network expects there; `o` and `x` are points.
static void draw(const Mlp& model, const Moons& data) {
  const int columns = std::clamp(examples::columns() - 1, 1, 120), rows = (columns + 2) / 3;
  constexpr double kLeft = -1.5, kTop = 1.5, kWidth = 4, kHeight = 2.5;
  std::vector<float> places;
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) {
      places.push_back(float(kLeft + kWidth * (column + 0.5) / columns));
      places.push_back(float(kTop - kHeight * (row + 0.5) / rows));
    }
  const NoGrad guard;
  const auto lower = model(Tensor::from(places, {rows * columns, 2})).softmax()[{ellipsis, 1}].to_vector();

  std::string marks(size_t(rows * columns), ' ');
  const auto points = data.points.to_vector();
  const auto labels = data.labels.to_vector<int64_t>();
  for (size_t i = 0; i < labels.size(); ++i) {
    const int column = int(std::floor((points[2 * i] - kLeft) / kWidth * columns));
    const int row = int(std::floor((kTop - points[2 * i + 1]) / kHeight * rows));
    if (row >= 0 && row < rows && column >= 0 && column < columns)
      marks[row * columns + column] = labels[i] ? 'x' : 'o';
  }

  const bool colour = examples::on_terminal() && !std::getenv("NO_COLOR");
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const int at = row * columns + column;
      const float p = lower[at];
      if (colour) {  // from blue over violet to red
        std::printf("\033[97;48;2;%d;40;%dm%c", int(40 + 180 * p), int(220 - 180 * p), marks[at]);
      } else {
        std::putchar(marks[at] != ' ' ? marks[at] : p < 0.1 ? ' ' : p < 0.5 ? '.' : p < 0.9 ? ':' : '#');
      }
    }
    std::puts(colour ? "\033[0m" : "");
  }
}

int main(int argc, char** argv) {
  int64_t points = 200, steps = 500;
  double lr = 0.01, noise = 0.12;
  std::optional<int64_t> seed;

  const auto body = [&] {
    examples::check_memory(text("--points ", points), 2.0 * double(points) * 66 * sizeof(float));  // both hidden layers
    if (seed) Tensor::manual_seed(*seed);
    const Moons train = moons(points, noise), test = moons(1000, noise);
    Mlp model;
    optim::Adam adam(nn::parameters(model), {.lr = lr});
    {
      examples::Progress progress("training", steps);
      for (int64_t step = 0; step < steps; ++step) {
        adam.zero_grad();
        const Tensor logits = model(train.points), loss = logits.cross_entropy(train.labels).backward();
        adam.step();
        progress.step(loss.item(), (logits.argmax(1) == train.labels).mean().item());
      }
    }
    const NoGrad guard;
    const Tensor logits = model(test.points);
    examples::check_loss(logits.cross_entropy(test.labels).item(), steps);
    draw(model, train);
    const double right = (logits.argmax(1) == test.labels).mean().item();
    std::printf("test accuracy %.2f %%\n", 100 * right);
  };
  return examples::run(argc, argv, "Separates two moons with a small network, and draws the border it finds.",
                       {{"--points", &points, "points of each moon to train on", 1},
                        {"--steps", &steps, "training steps, each on all points"},
                        {"--lr", &lr, "learning rate of Adam"},
                        {"--noise", &noise, "standard deviation of the points around their moon", 0, 1000},
                        {"--seed", &seed, "of the random stream"}},
                       body);
}
