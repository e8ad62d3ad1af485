// Tiles and slices of the autoencoder, against diffusers' AutoencoderKL in double (tests/golden/make_vae_tiles.py).
#include "sspo/models/vae_tiling.hpp"

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

struct Vae {
  VaeConfig config;
  Params params;
  std::optional<Autoencoder> model;
  explicit Vae(const GoldenJson& json, DType dtype = DType::f32) : config(read_vae_config(json.dump(), {.path = "vae_tiles.json"})) {
    Params wanted = Params::shapes_only();
    Autoencoder(wanted, config);
    for (const Param& p : wanted) {
      const Tensor w = weight_of(p.name(), stored_shape(p.shape()));
      params.add(p.name(), cast(w.rank() == 4 ? to_nhwc(w) : w, dtype));
    }
    model.emplace(params.frozen(), config);
  }
};

std::string tuple_of(const std::vector<Index>& v) {
  std::string text;
  for (const Index i : v) text += (text.empty() ? "(" : ", ") + std::to_string(i);
  return text + ")";
}

double worst_of(const std::vector<double>& a, const GoldenJson& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i].get<double>()));
  return worst;
}

void check_outcome(const GoldenJson& o, const Tensor& nhwc, double tolerance) {
  const std::string name = o.at("name");
  INFO(name);
  const Tensor x = to_nchw(nhwc);
  REQUIRE(x.shape() == shape_of(o.at("shape")));
  const Index row = o.at("row"), column = o.at("column");
  CHECK(worst_of(projections(name, x), o.at("projections")) <= tolerance);
  CHECK(worst_of(numbers(slice(slice(x, 0, 0, 1), 2, row, row + 1)), o.at("row_values")) <= tolerance);
  CHECK(worst_of(numbers(slice(slice(x, 0, x.dim(0) - 1, x.dim(0)), 3, column, column + 1)), o.at("column_values")) <= tolerance);
}

}  // namespace

TEST_CASE("VAE: tiles are decoded, encoded and blended as by diffusers, within 1e-5 in f32, 1e-9 in f64") {
  const GoldenJson golden = golden_file("vae_tiles.json");
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Vae vae(golden.at("config"), dtype);
    for (const GoldenJson& c : golden.at("cases")) {
      const std::vector<Index> s = c.at("latents");
      const VaeTiles tiles{.pixels = c.at("pixels"), .overlap = c.at("overlap")};
      const std::string shape = tuple_of(s);
      INFO(shape);
      const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-9;
      const Tensor z = cast(to_nhwc(normal_of("tiles.z" + shape, {s[0], s[1], s[2], s[3]})), dtype);
      const Tensor x = cast(to_nhwc(normal_of("tiles.x" + shape, {s[0], 3, 4 * s[2], 4 * s[3]})), dtype);
      const Tensor picture = tiled_decode(*vae.model, z, tiles);
      const Moments m = tiled_encode(*vae.model, x, tiles);
      check_outcome(c.at("outcomes")[0], picture, tolerance);
      check_outcome(c.at("outcomes")[1], m.mean, tolerance);
      check_outcome(c.at("outcomes")[2], m.logvar, tolerance);
      CHECK(distance(picture, vae.model->decode(z)) > 0.1);  // it is another picture than the whole one
    }
  }
}

TEST_CASE("VAE: what is no larger than a tile is taken whole, to the same bits; memory is that of a tile") {
  const Vae vae(golden_file("vae_tiles.json").at("config"));
  const Tensor z = normal_of("z", {1, 8, 8, 4}), x = normal_of("x", {1, 32, 32, 3});
  CHECK(same_bits(tiled_decode(*vae.model, z), vae.model->decode(z)));
  CHECK(same_bits(tiled_encode(*vae.model, x).mean, vae.model->encode(x).mean));
  CHECK(tiles_of(vae.config, 32, 32) == std::array<Index, 2>{1, 1});
  CHECK(tiles_of(vae.config, 32, 36) == std::array<Index, 2>{2, 2});  // as diffusers: 6 rows on, two begin
  CHECK(tiles_of(vae.config, 256, 128) == std::array<Index, 2>{11, 6});
  const Device device = vae.params.device();
  const Tensor wide = normal_of("wide", {1, 64, 64, 4});
  const auto peak = [&](auto&& work) {
    device.reset_peak_memory();
    const std::size_t before = device.memory().in_use;
    work();
    return device.memory().peak - before;
  };
  const std::size_t whole = peak([&] { vae.model->decode(wide); }), tiled = peak([&] { tiled_decode(*vae.model, wide); });
  CHECK(tiled * 3 < whole);
  check_error([&] { tiled_decode(*vae.model, wide, {.overlap = 1}); }, {"vae tiles: no such tiles", "overlap 1.0"});
  check_error([&] { tiled_decode(*vae.model, wide, {.pixels = 3}); }, {"3 pixels"});
}

TEST_CASE("VAE: slices have the bits of each picture alone") {
  const Vae vae(golden_file("vae_tiles.json").at("config"));
  const Tensor z = normal_of("z", {3, 5, 6, 4}), x = normal_of("x", {3, 20, 24, 3});
  const Tensor pictures = sliced_decode(*vae.model, z);
  const Moments m = sliced_encode(*vae.model, x);
  const VaeTiles tiles{.pixels = 16};
  const Tensor both = sliced_decode(*vae.model, z, tiles);
  for (Index i = 0; i < 3; ++i) {
    const auto one = [i](const Tensor& all) { return slice(all, 0, i, i + 1); };
    CHECK(same_bits(one(pictures), vae.model->decode(one(z))));
    CHECK(same_bits(one(both), tiled_decode(*vae.model, one(z), tiles)));
    CHECK(same_bits(one(m.mean), vae.model->encode(one(x)).mean));
    CHECK(same_bits(one(m.logvar), vae.model->encode(one(x)).logvar));
  }
  CHECK(distance(pictures, vae.model->decode(z)) <= 1e-5);
}
