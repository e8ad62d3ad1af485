// The models against transformers and diffusers: values, and the gradients of every parameter and input.
#include <algorithm>
#include <cmath>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// Within tolerance of what is expected, relative to `size` where that is above `floor`.
void check_close(const std::vector<double>& got, const GoldenJson& expected, double tolerance, double size, double floor) {
  for (std::size_t k = 0; k < got.size(); ++k) {
    CAPTURE(k);
    CAPTURE(got[k]);
    CAPTURE(expected[k].get<double>());
    CHECK(std::abs(got[k] - expected[k].get<double>()) <= tolerance * std::max(size, floor));
  }
}

double largest(const Tensor& x) {
  double most = 0;
  for (const double v : numbers(x)) most = std::isnan(v) ? v : std::max(most, std::abs(v));
  return most;
}

// g: null where nothing flowed. Gradients far below the unit scale (a key's bias: softmax does not see it) have a floor.
void check_gradient(const std::string& name, const Tensor* g, const GoldenJson& expected, double tolerance) {
  CAPTURE(name);
  CHECK((g == nullptr) == expected.is_null());
  if (!g || expected.is_null()) return;
  std::vector<double> got = projections(name, *g);
  got.push_back(largest(*g));
  check_close(got, expected, tolerance, expected.back().get<double>(), 0.1);
}

template <class Model>
void check_parity(const Run<Model>& r, const GoldenJson& golden, double value_tolerance, double gradient_tolerance) {
  const NamedTensors outputs = r.outputs();
  REQUIRE(outputs.size() == golden.at("outputs").size());
  for (const io::NamedTensor& output : outputs) {
    const Tensor& y = output.tensor;
    CAPTURE(output.name);
    const GoldenJson& expected = golden.at("outputs").at(output.name);
    CHECK(y.shape() == shape_of(expected.at("shape")));
    const std::vector<double> values = expected.at("values").get<std::vector<double>>();
    const double size = std::max(1.0, rms(values));
    // The golden values are rounded to f32; what is closer shows in the projections.
    CHECK(distance(y, reshape(Tensor::from(values, {Index(values.size())}), y.shape())) <= std::max(value_tolerance, 1e-7) * std::max(size, largest(y)));
    check_close(projections("output." + output.name, y), expected.at("projections"), value_tolerance, size, 1);
  }

  const Gradients g = backward(loss_of(outputs));
  const GoldenJson& gradients = golden.at("gradients");
  for (const auto& [name, x] : r.inputs)
    if (x.tracked()) check_gradient("input." + name, g.find(x), gradients.at("inputs").at(name), gradient_tolerance);

  std::vector<Param> params(r.params.begin(), r.params.end());
  std::sort(params.begin(), params.end(), [](const Param& a, const Param& b) { return a.name() < b.name(); });
  REQUIRE(params.size() == gradients.at("parameters").size());
  for (std::size_t i = 0; i < params.size(); ++i) {
    const Tensor* own = params[i].gradient(g);
    const Tensor stored = own ? to_checkpoint(*own) : Tensor{};
    check_gradient(params[i].name(), own ? &stored : nullptr, gradients.at("parameters")[i], gradient_tolerance);
  }
}

}  // namespace

TEST_CASE("models: names and shapes are those of transformers and diffusers") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    NamedTensors tensors = checkpoint_of<Model>(config_in<Model>(folder.path()));
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::string listing;
    Index count = 0;
    for (const auto& [name, x] : tensors) {
      listing += name + " " + x.shape().str() + "\n";
      count += x.numel();
    }
    CHECK(GoldenJson{tensors.size(), count, hash_of(listing)} == run.at("parameters"));
  });
}

TEST_CASE("models: values within 1e-5 and gradients within 1e-4 of PyTorch in f64, computed in f32") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    check_parity(load_run<Model>(folder.path(), run, DType::f32), run, 1e-5, 1e-4);
  });
}

TEST_CASE("models: values and gradients within 1e-10, computed in f64") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    check_parity(load_run<Model>(folder.path(), run, DType::f64), run, 1e-10, 1e-10);
  });
}

TEST_CASE("models: NMSE at most 1e-3, computed in bf16") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    const Run<Model> r = load_run<Model>(folder.path(), run, DType::bf16);
    for (const io::NamedTensor& y : r.outputs()) {
      CAPTURE(y.name);
      CHECK(y.tensor.dtype() == DType::bf16);
      const std::vector<double> got = numbers(y.tensor), expected = run.at("outputs").at(y.name).at("values").template get<std::vector<double>>();
      std::vector<double> error;
      for (std::size_t i = 0; i < got.size(); ++i) error.push_back(got[i] - expected[i]);
      const double nmse = std::pow(rms(error) / rms(expected), 2);
      CAPTURE(nmse);
      CHECK(nmse <= 1e-3);
    }
  });
}

TEST_CASE("models: recompute, and 1, 2 or 3 threads, give the same bits") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    std::vector<Tensor> first;
    const auto same_as_first = [&](const NamedTensors& outputs, const Run<Model>& r) {
      std::vector<Tensor> bits;
      for (const auto& output : outputs) bits.push_back(output.tensor);
      const Gradients g = backward(loss_of(outputs));
      for (const auto& input : r.inputs)
        if (const Tensor* own = g.find(input.tensor)) bits.push_back(*own);
      for (const Param& p : r.params)
        if (const Tensor* own = p.gradient(g)) bits.push_back(*own);
      if (first.empty()) first = bits;
      REQUIRE(bits.size() == first.size());
      for (std::size_t i = 0; i < bits.size(); ++i) CHECK(same_bits(bits[i], first[i]));
    };
    for (const int threads : {1, 2, 3}) {
      const Run<Model> r = load_run<Model>(folder.path(), run, DType::f32, Device::cpu({.threads = threads}));
      same_as_first(r.outputs(), r);
      Tensors inputs;
      for (const auto& input : r.inputs) inputs.push_back(input.tensor);
      NamedTensors again = r.outputs();  // for their names
      for (std::size_t i = 0; i < again.size(); ++i)
        again[i].tensor = recompute(
            [&r, i](const Tensors& in) {
              NamedTensors given = r.inputs;
              for (std::size_t k = 0; k < in.size(); ++k) given[k].tensor = in[k];
              return r.outputs(given)[i].tensor;
            },
            inputs);
      if (again.size() == 1) same_as_first(again, r);
      else for (std::size_t i = 0; i < again.size(); ++i) CHECK(same_bits(again[i].tensor, first[i]));  // gradients sum in another order
    }
  });
}

// promises.md G2. L(x + h v) - L(x - h v) = 2 h <g, v> + O(h^3), Richardson: (4 D(h/2) - D(h)) / 3 is right to O(h^4).
TEST_CASE("models: the derivative along a random direction, all parameters and inputs at once, within 1e-6 in f64") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    Run<Model> r = load_run<Model>(folder.path(), run, DType::f64);
    const Gradients g = backward(loss_of(r.outputs()));
    const auto direction = [](const std::string& name, const Shape& shape) { return cast(normal_of("direction." + name, shape), DType::f64); };

    double slope = 0;
    std::vector<Tensor> at;
    for (const Param& p : r.params) {
      at.push_back(p.value() + 0.0);
      if (const Tensor* own = p.gradient(g)) slope += sum(*own * direction(p.name(), p.shape())).template item<double>();
    }
    for (const auto& [name, x] : r.inputs)
      if (x.tracked()) slope += sum(g[x] * direction(name, x.shape())).template item<double>();

    const auto loss_at = [&](double h) {
      std::size_t i = 0;
      for (Param p : r.params) p.assign(at[i] + direction(p.name(), p.shape()) * h), ++i;
      NamedTensors moved = r.inputs;
      for (auto& [name, x] : moved)
        if (x.tracked()) x = detach(x) + direction(name, x.shape()) * h;
      return loss_of(r.outputs(moved)).template item<double>();
    };
    const auto central = [&](double h) { return (loss_at(h) - loss_at(-h)) / (2 * h); };
    const double h = 2e-5, found = (4 * central(h / 2) - central(h)) / 3;
    CAPTURE(slope);
    CAPTURE(found);
    CHECK(std::abs(slope - found) <= 1e-6 * std::max(1.0, std::abs(slope)));
  });
}

TEST_CASE("models: frozen parameters get no gradient, and the others' bits stay as they were") {
  for_each_run([]<class Model>(std::type_identity<Model>, const GoldenJson& run) {
    const TempFolder folder;
    write_model<Model>(folder.path(), run);
    Run<Model> r = load_run<Model>(folder.path(), run, DType::f32);
    const Gradients all = backward(loss_of(r.outputs()));
    const auto half = [](const Param& p) { return fnv(p.name()) % 2 == 0; };
    for (Param p : r.params)
      if (half(p)) p.set_trainable(false);
    const Gradients some = backward(loss_of(r.outputs()));
    for (const Param& p : r.params) {
      CAPTURE(p.name());
      const Tensor *before = p.gradient(all), *now = p.gradient(some);
      CHECK((now != nullptr) == (before != nullptr && !half(p)));
      if (now && before) CHECK(same_bits(*now, *before));
    }
    r.params.frozen();
    NamedTensors inputs = r.inputs;
    for (auto& input : inputs) input.tensor = detach(input.tensor);
    for (const auto& output : r.outputs(inputs)) CHECK_FALSE(output.tensor.tracked());
  });
}
