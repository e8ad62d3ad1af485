#include "sspo/nn/layers.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("Params: added by name, listed in order, counted") {
  Params params;
  const Param w = params.add("w", full({2, 3}, 1));
  params.add("b", full({3}, 2));
  CHECK(params.size() == 2);
  CHECK(params.numel() == 9);
  CHECK(w.name() == "w");
  CHECK(w.shape() == Shape{2, 3});
  CHECK(params.contains("b"));
  CHECK_FALSE(params.contains("c"));
  std::string names;
  for (const Param& p : params) names += p.name();
  CHECK(names == "wb");
  check_error([&] { params.add("w", zeros({1})); }, {"params: the name is taken", "'w'", "params_test.cpp"});
  CHECK(params.size() == 2);
}

TEST_CASE("Params: what a layer asks for: created, missing with the nearest names, another shape") {
  Params fresh(Device::cpu(), Rng{1});
  const nn::Linear f(fresh / "mid" / "to_q", 3, 5);
  CHECK(fresh["mid.to_q.weight"].shape() == Shape{5, 3});
  CHECK(fresh["mid.to_q.bias"].shape() == Shape{5});
  const double bound = 1 / std::sqrt(3.0);
  for (double v : numbers(fresh["mid.to_q.weight"].value())) CHECK(std::abs(v) <= bound);

  Params loaded;  // no generator: nothing is made up
  for (const char* name : {"mid.to_q.weight", "mid.to_k.weight", "up.conv.bias", "mid.to_q.bias"}) loaded.add(name, zeros({5, 3}));
  check_error([&] { nn::Linear(loaded / "mid" / "to_v", 3, 5); }, {"params: a parameter is missing", "'mid.to_v.weight' [5, 3]", "the nearest names are 'mid.to_"});
  check_error([&] { nn::Linear(loaded / "mid" / "to_q", 4, 5); }, {"a parameter has another shape", "'mid.to_q.weight' [5, 4], as the model's config asks", "[5, 3]", "compare the config"});
  check_error([&] { loaded["mid.to_q.weigth"]; }, {"no such parameter", "'mid.to_q.weigth'", "'mid.to_q.weight'"});
  check_error([] { Params()["w"]; }, {"there are no parameters"});
}

TEST_CASE("Params: the same seed gives the same numbers, whatever was asked for before") {
  Params a(Device::cpu(), Rng{1}), b(Device::cpu(), Rng{1}), c(Device::cpu(), Rng{2});
  nn::Linear(a / "x", 4, 4);
  nn::Linear(a / "y", 4, 4);
  nn::Linear(b / "y", 4, 4);
  nn::Linear(c / "y", 4, 4);
  CHECK(same_bits(a["y.weight"].value(), b["y.weight"].value()));
  CHECK_FALSE(same_bits(a["y.weight"].value(), c["y.weight"].value()));
  CHECK_FALSE(same_bits(a["y.weight"].value(), a["x.weight"].value()));
}

TEST_CASE("Params: a snapshot is deep; so is add") {
  Params params;
  const Tensor source = full({4}, 1);
  Param w = params.add("w", source);
  const Params old = params.snapshot();
  w.assign(full({4}, 2));
  CHECK(numbers(source) == std::vector<double>(4, 1));
  CHECK(numbers(old["w"].value()) == std::vector<double>(4, 1));
  CHECK(numbers(params["w"].value()) == std::vector<double>(4, 2));
  Params handle = params;  // a copy of Params is a handle on the same numbers
  handle["w"].value();
  Param(handle["w"]).assign(full({4}, 3));
  CHECK(numbers(w.value()) == std::vector<double>(4, 3));
}

TEST_CASE("Params: frozen ones give no gradient and are not recorded; the others do") {
  Params params;
  params.add("base.w", ones({2}));
  params.add("lora.w", ones({2}));
  params.freeze("base");
  const Tensor y = sum(Tensor(params["base.w"]) * params["lora.w"]);
  const Gradients g = backward(y);
  CHECK(g.size() == 1);
  CHECK(params["base.w"].gradient(g) == nullptr);
  CHECK(params["lora.w"].gradient(g) != nullptr);
  check_error([&] { g[params["base.w"]]; }, {"not tracked"});
  Params ref = params.snapshot().frozen();
  CHECK_FALSE(sum(Tensor(ref["lora.w"])).tracked());
  CHECK(params["lora.w"].trainable());         // the original is as it was
  CHECK_FALSE(params.snapshot()["base.w"].trainable());
  Param(params["base.w"]).set_trainable(true);
  CHECK(Tensor(params["base.w"]).tracked());
}

TEST_CASE("Params: require_all_used lists what no layer asked for") {
  Params params;
  for (const char* name : {"f.weight", "f.bias"}) params.add(name, zeros(std::string(name) == "f.bias" ? Shape{2} : Shape{2, 3}));
  nn::Linear f(params / "f", 3, 2);
  CHECK_NOTHROW(params.require_all_used());
  for (int i = 0; i < 7; ++i) params.add("extra." + std::to_string(i), zeros({1}));
  check_error([&] { params.require_all_used(); }, {"7 parameters were not asked for", "'extra.0', 'extra.1'", "...", "params_test.cpp"});
}

TEST_CASE("assign: in place, of the right shape and dtype, also from a view of itself") {
  Params params;
  Param w = params.add("w", Tensor::from<float>({1, 2, 3, 4}, {2, 2}));
  check_error([&] { w.assign(zeros({4})); }, {"assign: the value does not fit the parameter 'w'", "[2, 2] f32", "[4] f32", "params_test.cpp"});
  check_error([&] { w.assign(zeros({2, 2}, DType::f64)); }, {"[2, 2] f64"});
  check_error([&] { w.assign(Tensor{}); }, {"assign", "undefined"});
  Param s = params.add("scalar", zeros({}));
  check_error([&] { s.assign(Tensor{}); }, {"assign", "undefined"});
  w.assign(transpose(w.value()));
  CHECK(numbers(w.value()) == std::vector<double>{1, 3, 2, 4});
  w.assign(flip(w.value(), {0, 1}));
  CHECK(numbers(w.value()) == std::vector<double>{4, 2, 3, 1});
  w.assign(w.value());
  CHECK(numbers(w.value()) == std::vector<double>{4, 2, 3, 1});
}

TEST_CASE("a parameter's packed copy is made anew after every change") {
  Params params(Device::cpu({.threads = 1}), Rng{4});
  const nn::Linear f(params / "f", 64, 48);
  const nn::Conv2d c(params / "c", 16, 16, {.kernel = 3, .padding = {1, 1, 1, 1}});
  const Tensor x = normal(Rng{5}, {4, 64}, params.device()), image = normal(Rng{6}, {1, 5, 5, 16}, params.device());
  for (int step = 0; step < 3; ++step) {
    Tensor y, z;
    for (int use = 0; use < 4; ++use) {  // from the second use on the panels are kept
      y = f(x);
      z = c(image);
    }
    CHECK(same_bits(y, linear(x, f.weight.value() + 0.0, f.bias->value())));
    CHECK(same_bits(z, conv2d(image, c.weight.value() + 0.0, c.bias->value(), c.attrs)));
    for (const Param& p : params) Param(p).assign(p.value() * -1.5);
  }
  const std::size_t before = params.device().memory().in_use;
  const Param w = f.weight;
  Param(w).changed();
  CHECK(params.device().memory().in_use <= before);
}

TEST_CASE("a layer's bits do not depend on how often it ran: packed panels or none") {
  for (Index rows : {1, 3, 8, 9, 40, 128}) {
    for (DType t : {DType::f32, DType::f64, DType::bf16}) {
      Params params(Device::cpu({.threads = 2}));
      params.add("w", normal(Rng{1}, {40, 72}, params.device(), t));
      params.add("k", normal(Rng{2}, {24, 3, 3, 8}, params.device(), t));
      params.add("wide", normal(Rng{6}, {640, 400}, params.device(), t));                 // so wide that B is packed by each task, in shorter blocks
      params.add("deep", normal(Rng{7}, {512, 3, 3, 48}, params.device(), t));
      const Tensor long_rows = normal(Rng{8}, {rows, 400}, params.device(), t), deep_image = normal(Rng{9}, {1, rows, 2, 48}, params.device(), t);
      const Tensor x = normal(Rng{3}, {rows, 72}, params.device(), t), left = normal(Rng{4}, {rows, 40}, params.device(), t);
      const Tensor image = normal(Rng{5}, {1, rows, 4, 8}, params.device(), t);
      Tensor first[5];
      for (int use = 0; use < 3; ++use) {
        const Tensor y[] = {linear(x, params["w"]), matmul(left, params["w"]), conv2d(image, params["k"], {}, {.padding = same(3)}),
                            linear(long_rows, params["wide"]), conv2d(deep_image, params["deep"], {}, {.padding = same(3)})};
        for (int i = 0; i < 5; ++i) {
          if (use == 0) first[i] = y[i];
          CAPTURE(rows);
          CAPTURE(i);
          CHECK(same_bits(y[i], first[i]));
        }
      }
    }
  }
}

TEST_CASE("layers: shapes, names, and what they compute") {
  Params params(Device::cpu(), Rng{9});
  const Scope root = params;
  const nn::Conv2d conv(root / "conv", 4, 6, {.kernel = 3, .stride = {2, 2}, .padding = {1, 1, 1, 1}, .groups = 2, .bias = false});
  const nn::GroupNorm group(root / "blocks" / 0 / "norm", 6, {.groups = 3});
  const nn::LayerNorm layer(root / "ln", 6);
  const nn::Embedding table(root / "emb", 10, 6);
  CHECK(params["conv.weight"].shape() == Shape{6, 3, 3, 2});
  CHECK_FALSE(params.contains("conv.bias"));
  CHECK(params.contains("blocks.0.norm.weight"));
  const Tensor x = normal(Rng{2}, {1, 8, 8, 4});
  const Tensor y = conv(x);
  CHECK(y.shape() == Shape{1, 4, 4, 6});
  CHECK(same_bits(group(y), group_norm(y, ones({6}), zeros({6}), {.groups = 3})));
  CHECK(same_bits(layer(y), layer_norm(y, ones({6}), zeros({6}))));
  CHECK(same_bits(table(Tensor::from<std::int64_t>({7}, {1})), slice(table.weight.value(), 0, 7, 8)));
  const nn::Linear f(root / "f", 6, 2);
  check_error([&] { f(zeros({3, 5})); }, {"linear: input features do not match the weight", "'f.weight'", "[2, 6]", "[3, 5]", "params_test.cpp"});
  check_error([&] { conv(zeros({1, 8, 8, 6})); }, {"conv2d", "'conv.weight'", "params_test.cpp"});
  check_error([&] { nn::Conv2d(root / "bad", 4, 6, {.groups = 0}); }, {"conv2d", "do not divide", "0 groups"});
  check_error([&] { nn::Conv2d(root / "bad", 4, 6, {.groups = 3}); }, {"a divisor of 4", "3 groups"});
}

TEST_CASE("compute_in: models get copies in another dtype; numbers and gradients stay in their own") {
  Params params(Device::cpu(), Rng{3});
  const nn::Linear f(params / "f", 5, 4);
  const Tensor x = normal(Rng{1}, {3, 5});
  const auto gradient_of = [&](const Tensor& y) { return *params["f.weight"].gradient(backward(sum(square(cast(y, DType::f32))))); };
  const Tensor own = gradient_of(f(x));
  params.compute_in(DType::bf16);
  const Tensor y = f(cast(x, DType::bf16));
  CHECK(y.dtype() == DType::bf16);
  CHECK(same_bits(y, linear(cast(x, DType::bf16), cast(params["f.weight"].value(), DType::bf16), cast(params["f.bias"].value(), DType::bf16))));
  CHECK(params["f.weight"].value().dtype() == DType::f32);
  const Tensor g = gradient_of(y);
  CHECK(g.dtype() == DType::f32);
  CHECK(distance(g, own) > 0);
  CHECK(distance(g, own) <= 0.05 * distance(own, zeros_like(own)));
  const Tensor again = gradient_of(recompute([&](const Tensors& in) { return f(in[0]); }, {cast(x, DType::bf16)}));
  CHECK(same_bits(again, g));

  Params copy = params.snapshot();
  CHECK(nn::Linear(copy / "f", 5, 4)(cast(x, DType::bf16)).dtype() == DType::bf16);
  params["f.weight"].assign(zeros({4, 5}));
  CHECK(same_bits(f(cast(zeros({1, 5}), DType::bf16)), cast(reshape(params["f.bias"].value(), {1, 4}), DType::bf16)));
  params.compute_in(DType::f32);
  CHECK(f(x).dtype() == DType::f32);
  params.frozen().compute_in(DType::f64);
  CHECK_FALSE(f(cast(x, DType::f64)).tracked());
  check_error([&] { params.compute_in(DType::i64); }, {"params", "floating-point", "i64", "params_test.cpp"});
}
