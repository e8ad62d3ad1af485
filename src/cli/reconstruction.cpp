#include "cli/reconstruction.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace sspo::cli {

Reconstruction reconstruct(const Autoencoder& vae, const io::Dataset& data, const Where& where, const Device& device) {
  constexpr std::size_t batch = 32;
  const Index side = vae.config().sample_size;
  std::vector<io::Row> rows;
  std::copy_if(data.rows.begin(), data.rows.end(), std::back_inserter(rows), [&](const io::Row& row) { return where.holds(row); });
  if (rows.empty()) fail({.op = io::printable(data.folder, 4096), .what = "no row of the data set is so"}, Site{});
  std::array<double, 3> squares = {};
  for (std::size_t begin = 0; begin < rows.size(); begin += batch) {
    std::vector<io::Image> pictures;
    for (std::size_t i = begin; i < std::min(begin + batch, rows.size()); ++i) pictures.push_back(io::read_picture(data, rows[i], {.width = side, .height = side}));
    const Tensor x = io::to_tensor(pictures, device);
    const std::vector<io::Image> again = io::to_images(cast(vae.decode(vae.encode(cast(x, vae.dtype())).mean), DType::f32));
    for (std::size_t i = 0; i < pictures.size(); ++i)
      for (std::size_t k = 0; k < pictures[i].rgb.size(); ++k) {
        const double d = double(pictures[i].rgb[k]) - double(again[i].rgb[k]);
        squares[k % 3] += d * d;
      }
  }
  const double n = double(rows.size()) * double(side * side);
  const auto psnr = [](double mse) { return mse > 0 ? std::min(99.0, 10 * std::log10(255 * 255 / mse)) : 99; };
  return {Index(rows.size()), psnr((squares[0] + squares[1] + squares[2]) / (3 * n)), psnr(squares[0] / n), psnr(squares[1] / n), psnr(squares[2] / n)};
}

io::Json json_of(const Reconstruction& r) { return {{"n", r.pictures}, {"psnr", r.psnr}, {"red", r.red}, {"green", r.green}, {"blue", r.blue}}; }

}  // namespace sspo::cli
