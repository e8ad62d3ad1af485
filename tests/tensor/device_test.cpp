#include "sspo/ops/all.hpp"
#include "sspo/grad/backward.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("Device: options, names, equality") {
  const Device one = Device::cpu({.threads = 1, .isa = "baseline"});
  CHECK(one.kind() == DeviceKind::cpu);
  CHECK(one.name() == "cpu (baseline, 1 thread)");
  CHECK(one.threads() == 1);
  CHECK(Device::cpu() == Device::cpu());
  CHECK_FALSE(Device::cpu({.threads = 1}) == Device::cpu({.threads = 1}));
  check_error([] { Device::cpu({.threads = -1}); }, {"negative thread count", "-1"});
  check_error([] { Device::cpu({.isa = "neon9"}); }, {"neon9", "baseline"});
}

TEST_CASE("Device: an exceeded budget names the op and the holders, leaks nothing, and the device lives on") {
  const Device d = Device::cpu({.threads = 1, .budget = 4 << 20});
  const Tensor x = track(zeros({1 << 18}, DType::f32, d), "x");  // 1 MiB
  const std::size_t before = d.memory().in_use;
  {
    const Tensor a = exp(x), b = sin(a);  // 3 MiB held; a fourth fits, a fifth does not
    const Tensor c = a * b;
    check_error([&] { tanh(c); }, {"tanh: memory budget exceeded", "at most 4.00 MiB", "4.00 MiB in use", "1.00 MiB more", "exp 1.00 MiB", "sin 1.00 MiB", "mul 1.00 MiB"});
    check_error([&] { backward(sum(c)); }, {"memory budget exceeded"});
    CHECK(d.memory_holders().find("exp 1.00 MiB") != std::string::npos);
  }
  CHECK(d.memory().in_use == before);
  CHECK(numbers(sum(exp(x)))[0] == 1 << 18);
  CHECK(d.memory().in_use == before);
}

TEST_CASE("Device: a shape whose bytes overflow is an error, not a small block") {
  for (int bits : {60, 61, 62})
    for (DType t : {DType::f32, DType::f64, DType::u8, DType::bf16}) check_error([&] { Tensor::empty({Index(1) << bits}, t); }, {"too large"});
  check_error([] { zeros({Index(1) << 31, Index(1) << 31}, DType::f32); }, {"too large"});
  // A broadcast that cannot be stored.
  check_error([] { expand(zeros({1, 1}), Shape{Index(1) << 30, Index(1) << 30}) + 1.0; }, {"add", "too large"});
}

TEST_CASE("Device: in_use and peak are exact") {
  const Device d = Device::cpu({.threads = 1});
  CHECK(d.memory().in_use == 0);
  {
    const Tensor a = zeros({1000}, DType::f32, d);
    const Tensor view = slice(a, 0, 0, 10), copy = a;
    CHECK(d.memory().in_use == 4032);  // 4000 rounded up to 64
    d.reset_peak_memory();
    { const Tensor b = neg(a), c = neg(b); }
    CHECK(d.memory().peak == 3 * 4032);
    CHECK(d.memory().in_use == 4032);
    CHECK(d.memory().blocks == 1);
  }
  CHECK(d.memory().in_use == 0);
  d.trim_memory();
  CHECK(d.memory().reserved == 0);
}

TEST_CASE("Device: tensors keep their device alive") {
  Tensor x;
  {
    const Device d = Device::cpu({.threads = 1});
    x = ones({5}, DType::f32, d);
  }
  CHECK(numbers(x + x) == std::vector<double>(5, 2));
}
