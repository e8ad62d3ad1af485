// Adafactor against ten steps of transformers.Adafactor (tests/golden/make_adafactor.py).
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "sspo/ops/all.hpp"
#include "sspo/train/optimizer.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

float number(Index which, Index step, Index i) { return float((i * 7919 + step * 104729 + which * 1299709) % 2003 - 1001) / float(1 << (10 + (i * 31 + which) % 5)); }

// As diffusers has it; a convolution's weight in the engine's order, OHWI.
Tensor tensor(Index which, Index step) {
  const Shape shapes[] = {{6, 4, 3, 3}, {5, 7}, {9}};
  const Shape& shape = shapes[which];
  std::vector<float> all;
  for (Index i = 0; i < shape.numel(); ++i) all.push_back(number(which, step, i));
  const Tensor x = Tensor::from<float>(all, shape);
  return which == 0 ? contiguous(permute(x, {0, 2, 3, 1})) : x;
}

std::map<std::string, std::vector<double>> golden() {
  std::map<std::string, std::vector<double>> all;
  std::ifstream file(SSPO_SOURCE_DIR "/tests/golden/adafactor.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double v; words >> v;) all[name].push_back(v);
  }
  return all;
}

}  // namespace

TEST_CASE("Adafactor: ten steps as transformers', within 1e-5, of matrices, convolutions and vectors") {
  const auto wanted = golden();
  REQUIRE(wanted.size() == 4);
  const std::map<std::string, Adafactor::Options> options = {
      {"plain", {.lr = 1e-2}},
      {"scaled", {.lr = 1e-2, .weight_decay = 0.1, .scale_parameter = true}},
      {"relative", {.scale_parameter = true, .relative_step = true}},
      {"clipped", {.lr = 3e-3, .clip_threshold = 0.25, .decay_rate = -0.5, .weight_decay = 0.01}}};
  for (const auto& option : options) {
    const std::string& name = option.first;
    const Adafactor::Options& o = option.second;
    CAPTURE(name);
    Tensor first;
    for (int threads : {1, 2, 3}) {
      Params params(Device::cpu({.threads = threads}));
      for (Index w = 0; w < 3; ++w) params.add(std::to_string(w), tensor(w, 0));
      Adafactor adafactor(params, o);
      for (Index step = 1; step <= 10; ++step) {
        Gradients g;
        for (Index w = 0; w < 3; ++w) g.add(Tensor(params[std::to_string(w)]).node(), to_device(tensor(w, step), params.device()));
        adafactor.step(g);
      }
      std::vector<double> got;
      for (Index w = 0; w < 3; ++w) {
        const Tensor p = params[std::to_string(w)].value();
        for (double v : numbers(w == 0 ? contiguous(permute(p, {0, 3, 1, 2})) : p)) got.push_back(v);
      }
      const std::vector<double>& want = wanted.at(name);
      REQUIRE(got.size() == want.size());
      double worst = 0;
      for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
      CAPTURE(worst);
      CHECK(worst <= 1e-5);
      if (threads == 1) first = params["0"].value();
      else CHECK(same_bits(first, params["0"].value()));
    }
  }
}

TEST_CASE("Adafactor: a matrix is known by its rows and columns; the gradient's scale does not move a step") {
  Params params;
  params.add("w", normal(Rng{1}, {64, 3, 3, 32}));
  params.add("b", zeros({64}));
  Adafactor adafactor(params, {.lr = 1e-3});
  REQUIRE(adafactor.slots()[0].states.size() == 2);
  CHECK(adafactor.slots()[0].states[0].kept.str() == "[64] f32");
  CHECK(adafactor.slots()[0].states[1].kept.str() == "[288] f32");
  CHECK(adafactor.slots()[1].states[0].kept.str() == "[64] f32");
  const Tensor before = params["w"].value() * 1.0;
  const Gradients g = backward(sum(Tensor(params["w"]) * normal(Rng{2}, {64, 3, 3, 32})));
  adafactor.step(ClippedGradients{g, 1, 1e-4});
  const Tensor moved = params["w"].value() - before;
  CHECK(std::sqrt(mean(square(moved)).item<float>()) == doctest::Approx(1e-3).epsilon(0.01));
}
