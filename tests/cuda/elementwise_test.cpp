// Every elementwise op on the device against the CPU's: dtypes, broadcasting, views, values at the edges.
#include "elementwise.hpp"

#include <deque>

#include "broadcast_tiles.cuh"
#include "sspo/ops/elementwise.hpp"
#include "twin.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

struct Laid {
  Strides strides;
  Index size, first = 0;
};

Laid whole(const Shape& s) { return {contiguous_strides(s), s.numel()}; }

// Bytes of a dtype from doubles.
Bytes bytes_of(DType dtype, const std::vector<double>& values) {
  Bytes bytes(values.size() * size_of(dtype));
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      T x;
      if constexpr (sizeof(T) == 2) x = T(float(values[i]));
      else if constexpr (std::is_same_v<T, bool>) x = values[i] > 0;
      else if constexpr (std::is_integral_v<T>) x = std::isfinite(values[i]) ? T(std::int64_t(std::fmod(values[i], 100))) : T(7);
      else x = T(values[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof x);
    }
  });
  return bytes;
}

std::vector<double> numbers(Index n, unsigned seed) {
  const double edges[] = {0, -0.0, 1, -1, 0.5, INFINITY, -INFINITY, NAN, 3e38, -3e38, 1e-39, -1e-39, 88.5, -88.5, -104, 20, -20, 1e5, -1e5, 2};
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(std::size_t(n), 0.0);
  for (double& v : x) v = rng() % 5 == 0 ? edges[rng() % std::size(edges)] : 3 * normal(rng);
  return x;
}

std::vector<double> values_of(DType dtype, const Bytes& b) {
  std::vector<double> x(b.size() / size_of(dtype));
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      T v;
      std::memcpy(static_cast<void*>(&v), b.data() + i * sizeof(T), sizeof v);
      if constexpr (sizeof(T) == 2) x[i] = to_float(v);
      else x[i] = double(v);
    }
  });
  return x;
}

// What one unit in the last place of y is, in the dtype.
double ulp(DType t, double y) {
  const int bits = t == DType::f64 ? 53 : t == DType::f32 ? 24 : t == DType::bf16 ? 8 : 11;
  const double least = t == DType::f64 ? 0x1p-1074 : t == DType::f16 ? 0x1p-24 : 0x1p-149;
  return y == 0 ? least : std::max(least, std::ldexp(1.0, std::ilogb(y) + 1 - bits));
}

// Formulas whose every operation is rounded by itself, the same everywhere.
template <class O> constexpr bool exact() {
  const std::string_view names[] = {"add", "sub", "mul", "div", "maximum", "minimum", "neg", "abs", "sign", "square", "sqrt", "relu", "clamp", "where"};
  for (auto name : names)
    if (O::info.name == name) return true;
  return detail::rule<O>() == detail::ResultRule::predicate;
}

// Ulps that the CPU and a C library may lie apart: the sums of both errors (src/cpu/simd_math.hpp), through the formula. Where
// terms of the formula cancel, `floor` ulps of 1 times the first operand: x in x (1 + t), g in g (s + ...).
struct Tolerance {
  double ulps, floor;
};
template <class O> Tolerance tolerance() {
  if (exact<O>()) return {0, 0};
  const std::string_view name = O::info.name;
  if (name == "gelu_tanh_slope") return {4, 48};  // x (1 - t^2) u'/2: an ulp of t counts x u' times, up to 24 before 1 - t^2 is 0
  if (name.ends_with("_slope") || name.starts_with("gelu")) return {4, 4};
  return {3, 0};
}

template <class O> void check(const Shape& shape, const std::vector<Laid>& operands, DType dtype, Index out_first = 0) {
  const DType compute = compute_type(dtype);
  const detail::Loops loops = detail::loops<O>();
  if (!supports_elementwise(loops, compute)) return;
  const DType out_dtype = detail::rule<O>() == detail::ResultRule::predicate ? DType::boolean : dtype;
  const Attrs<O> attrs = [] {
    if constexpr (requires { Attrs<O>::low; }) return Attrs<O>{-1.5, 2.25};
    else return Attrs<O>{};
  }();
  CAPTURE(O::info.name); CAPTURE(name_of(dtype)); CAPTURE(shape.str());
  TestDevice d;
  std::deque<Twin> x;
  std::vector<View> host, device;
  for (int k = 0; k < detail::arity<O>(); ++k) {
    const Laid& o = operands[std::size_t(k)];
    const DType own = k == 0 && detail::rule<O>() == detail::ResultRule::condition ? DType::boolean : dtype;
    x.emplace_back(d, own, bytes_of(own, numbers(o.size, unsigned(k) + 1)));
    host.push_back(x.back().host(shape, o.strides, o.first));
    device.push_back(x.back().device(shape, o.strides, o.first));
  }
  Twin y(d, out_dtype, Bytes(std::size_t(shape.numel() + out_first) * size_of(out_dtype), 1));
  cpu_backend().elementwise({loops, &attrs, host, y.host(shape, out_first), compute});
  sspo::cuda::elementwise(d.ctx, loops.builtin, &attrs, device, y.device(shape, out_first), compute);
  const std::vector<double> want = values_of(out_dtype, y.host_bytes()), got = values_of(out_dtype, y.device_bytes());
  const std::vector<double> scale = values_of(dtype, x[0].host_bytes());
  const Tolerance most = is_floating(out_dtype) ? tolerance<O>() : Tolerance{0, 0};
  // 16 bits hold the rounding of one f32 computation each: at most one step between them.
  const double ulps = most.ulps == 0 ? 0 : size_of(out_dtype) == 2 ? 1 : most.ulps;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    if (want[i] == got[i]) continue;
    const double floor = most.floor == 0 ? 0 : most.floor * std::fabs(scale[i]) * ulp(compute, 1);
    const double apart = std::fabs(want[i] - got[i]), allowed = ulps * ulp(out_dtype, want[i]) + floor;
    CAPTURE(i); CAPTURE(want[i]); CAPTURE(got[i]);
    CHECK_UNARY(apart <= allowed);
  }
}

template <class F> void for_each_op(F&& f) { ElementwiseOps::for_each(std::forward<F>(f)); }

}  // namespace

TEST_CASE("elementwise: every op and dtype, whole and odd") {
  for_each_op([]<class O>() {
    for (DType dtype : all_dtypes) {
      const Shape line{1283};
      check<O>(line, {whole(line), whole(line), whole(line)}, dtype);
    }
  });
  require_no_findings();
}

TEST_CASE("elementwise: broadcast and strided operands") {
  const Shape s{3, 5, 4, 8};
  const Laid scalar{{0, 0, 0, 0}, 1}, channels{{0, 0, 0, 1}, 8}, column{{20, 4, 1, 0}, 60}, permuted{{160, 1, 40, 5}, 480}, plane{{8, 0, 0, 1}, 24};
  const Laid backwards{{-160, 32, 8, 1}, 480, 320}, off_by_one{{160, 32, 8, 1}, 481, 1};
  const std::vector<std::vector<Laid>> all = {{whole(s), scalar, channels}, {scalar, whole(s), whole(s)}, {channels, column, plane}, {permuted, whole(s), scalar},
                                                 {backwards, off_by_one, permuted}, {off_by_one, off_by_one, whole(s)}, {scalar, scalar, scalar}};
  for (std::uint64_t seed : {0, 1, 2}) {
    set_schedule(seed);
    for (const auto& operands : all)
      for (DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32}) {
        check<Where>(s, operands, dtype);
        check<Mul>(s, operands, dtype);
        check<Clamp>(s, operands, dtype);
        check<Less>(s, operands, dtype);
        check<Sub>(s, operands, dtype, 1);  // a result that no pack fits
      }
  }
  set_schedule(0);
  const Shape odd{2, 3, 7}, none{4, 0}, one{};
  check<Add>(odd, {whole(odd), {{0, 7, 1}, 21}}, DType::bf16);
  check<Add>(none, {whole(none), whole(none)}, DType::f32);
  check<Add>(one, {whole(one), whole(one)}, DType::f32);
  require_no_findings();
}

TEST_CASE("elementwise: operands that repeat from row to row") {
  // Tiles that rows and columns do not fill, of several layers, of a part of a row; rows of whole packs and others, of a few numbers and of many.
  for (const Shape& s : {Shape{3, 9, 40}, Shape{2, 3, 64}, Shape{1, 2, 144}, Shape{5, 17, 32}, Shape{1, 33, 40}, Shape{3, 9, 77}, Shape{2, 5, 7}, Shape{150, 2, 33},
                         Shape{60, 2, 36}, Shape{300, 5, 3}, Shape{2, 70, 129}, Shape{3, 4, 1025}, Shape{2, 2, 2052}}) {
    const Index rows = s[1], cols = s[2];
    const Laid row{{0, 0, 1}, cols}, own_row{{cols, 0, 1}, s[0] * cols}, column{{rows, 1, 0}, s[0] * rows}, number{{0, 0, 0}, 1}, picture{{0, cols, 1}, rows * cols};
    for (std::uint64_t seed : {0, 1}) {
      set_schedule(seed);
      for (DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32}) {
        check<Add>(s, {whole(s), row}, dtype);
        check<Sub>(s, {own_row, whole(s)}, dtype);
        check<Mul>(s, {whole(s), picture}, dtype);
        check<Sub>(s, {row, column}, dtype);
        check<Where>(s, {row, own_row, whole(s)}, dtype);
        check<Where>(s, {whole(s), row, number}, dtype);
        check<Less>(s, {row, picture}, dtype, 16);
        check<Sub>(s, {whole(s), own_row}, dtype, 1);  // a result that no pack fits
      }
    }
  }
  set_schedule(0);
  for (Index C : {36, 33}) {  // four axes
    const Shape s{2, 3, 4, C};
    const Laid odd{{4 * C, 0, C, 1}, 8 * C}, even{{0, C, 0, 1}, 3 * C}, backwards{{0, -C, 0, 1}, 3 * C, 2 * C}, reversed{{0, 0, 0, -1}, C, C - 1};
    for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      check<Add>(s, {odd, even}, dtype);
      check<Sub>(s, {backwards, whole(s)}, dtype);
      check<Where>(s, {even, reversed, odd}, dtype);
    }
  }
  TestDevice d;  // the result over the operand that does not repeat
  Twin x(d, DType::f32, bytes_of(DType::f32, numbers(37 * 64, 1))), b(d, DType::f32, bytes_of(DType::f32, numbers(64, 2)));
  const Shape s{37, 64};
  const View host[] = {x.host(s), b.host(s, Strides{0, 1})}, device[] = {x.device(s), b.device(s, Strides{0, 1})};
  cpu_backend().elementwise({detail::loops<Mul>(), nullptr, host, x.host(s), DType::f32});
  sspo::cuda::elementwise(d.ctx, detail::builtin_index<Mul>, nullptr, device, x.device(s), DType::f32);
  CHECK(x.equal());
  require_no_findings();
}

TEST_CASE("elementwise: how tiles are cut") {
  const auto cut = [](const Shape& s, Strides a, Strides b, int bytes, bool packed = false) {
    const Walk<2> walk(s, {&a, &b});
    const int items[] = {bytes, bytes};
    return TileNeeds<2>{walk, items, bytes, 4, packed}.cut();
  };
  const auto needed = [](const Shape& s, Strides a, Strides b, int bytes, bool packed = true) {
    const Walk<2> walk(s, {&a, &b});
    const int items[] = {bytes, bytes};
    return TileNeeds<2>{walk, items, bytes, 4, packed}.tiles();
  };
  CHECK(!needed({77, 320}, {320, 1}, {320, 1}, 4));
  CHECK(needed({77, 320}, {320, 1}, {0, 1}, 4));
  CHECK(!needed({77, 320}, {320, 1}, {1, 0}, 4));          // a number for a warp's packs
  CHECK(needed({77, 320}, {0, 1}, {1, 0}, 4));
  CHECK(needed({77, 77}, {77, 1}, {1, 0}, 4, false));
  const Tiles<2> bias = cut({1000, 77}, {77, 1}, {0, 1}, 4);
  CHECK(bias.size[0] == 77);
  CHECK(bias.size[1] == 56);                               // 4,096 elements: the bias is 1 % of them
  CHECK(bias.staged[1].wraps);
  CHECK(bias.slots == 112);                                // 77, 32 of them again, up to whole packs
  CHECK(cut({1000, 77}, {0, 1}, {1, 0}, 4).size[1] == 56);
  CHECK(cut({1000, 1281}, {0, 1}, {1, 0}, 4).size[0] == 672);
  CHECK(cut({1000, 1281}, {0, 1}, {1, 0}, 4).size[1] == 33);
  const Tiles<2> pairs = cut({500, 2, 77}, {154, 77, 1}, {77, 0, 1}, 2);  // each for two rows: many layers a tile
  CHECK(pairs.size[1] == 2);
  CHECK(pairs.size[2] == 28);
  CHECK(pairs.count == 18);
  for (const Shape& s : {Shape{3, 100000, 3}, Shape{40, 77, 5000}})
    CHECK(Index(cut(s, {s[1] * s[2], s[2], 1}, {0, s[2], 1}, 4).slots) * 4 <= 40 * 1024);
}

TEST_CASE("elementwise: the result may be an operand's own memory") {
  TestDevice d;
  for (Index n : {7, 1024, 3001}) {
    Twin x(d, DType::f32, bytes_of(DType::f32, numbers(n, 1))), b(d, DType::f32, bytes_of(DType::f32, {2.5}));
    const Shape s{n};
    const View host[] = {x.host(s), b.host(s, Strides{})}, device[] = {x.device(s), b.device(s, Strides{})};
    cpu_backend().elementwise({detail::loops<Mul>(), nullptr, host, x.host(s), DType::f32});
    sspo::cuda::elementwise(d.ctx, detail::builtin_index<Mul>, nullptr, device, x.device(s), DType::f32);
    CHECK(x.equal());
  }
  require_no_findings();
}

TEST_CASE("elementwise: what the device has not is one clear error") {
  CHECK(supports_elementwise(detail::loops<Add>(), DType::i64));
  CHECK(!supports_elementwise(detail::loops<Exp>(), DType::i64));
  CHECK(!supports_elementwise({.builtin = -1}, DType::f32));
  TestDevice d;
  Twin x(d, DType::f32, 4, 1);
  const View in[] = {x.device({4})};
  CHECK_THROWS_AS(sspo::cuda::elementwise(d.ctx, -1, nullptr, in, x.device({4}), DType::f32), Error);
  CHECK_THROWS_AS(sspo::cuda::elementwise(d.ctx, detail::builtin_index<Neg>, nullptr, in, x.device({4}), DType::f64), Error);
}

TEST_CASE("elementwise: traffic is the least that the bytes allow") {
  if (!checking()) return;
  TestDevice d;
  for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const Shape s{8, 32, 64};
    const DType compute = compute_type(dtype);
    Twin x(d, dtype, s.numel(), 1), b(d, dtype, 64, 2), y(d, dtype, s.numel(), 3);
    reset_counters();
    const View in[] = {x.device(s), b.device(s, {0, 0, 1})};
    sspo::cuda::elementwise(d.ctx, detail::builtin_index<Add>, nullptr, in, y.device(s), compute);
    const KernelCounters c = counters_of("add");
    const std::uint64_t sectors = std::uint64_t(s.numel()) * size_of(dtype) / 32;
    INFO(counters_table());
    CHECK(c.unique_written == sectors);
    CHECK(c.unique_read == sectors + 64 * size_of(dtype) / 32);
    CHECK(c.sectors_written == sectors);
    CHECK(c.sectors_read + c.sectors_written == c.sectors_fewest);
  }
  // Operands of the result's shape, forward and as in gradients: the warps ask for each sector once.
  for (const Shape& s : {Shape{2, 16, 16, 64}, Shape{1, 8, 8, 320}, Shape{77, 96}})
    for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const std::size_t bytes = std::size_t(s.numel()) * size_of(dtype);
      Twin x(d, dtype, s.numel(), 1), g(d, dtype, s.numel(), 2), y(d, dtype, s.numel(), 3);
      const View one[] = {x.device(s)}, two[] = {x.device(s), g.device(s)};
      reset_counters();
      sspo::cuda::elementwise(d.ctx, detail::builtin_index<Exp>, nullptr, one, y.device(s), compute_type(dtype));
      const KernelCounters c = counters_of("exp");
      CHECK(double(c.sectors_read + c.sectors_written) <= 1.1 * 2 * double(bytes) / 32);
      reset_counters();
      sspo::cuda::elementwise(d.ctx, detail::builtin_index<Mul>, nullptr, two, y.device(s), compute_type(dtype));
      const KernelCounters c2 = counters_of("mul");
      CHECK(double(c2.sectors_read + c2.sectors_written) <= 1.1 * 3 * double(bytes) / 32);
    }
  require_no_findings();
}
