#include "reduce.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "blocks.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::ReductionArgs;

namespace {

// --- what is folded. A thread steps through a few numbers in a Run, joins runs into its Total, and Totals are joined in an order that
// the shape fixes. Floats are added up in C over a run, runs in f64.
template <class C> using SumTotal = std::conditional_t<std::is_integral_v<C>, std::int64_t, double>;

template <class C> struct Sum {
  using Run = C;
  using Total = SumTotal<C>;
  template <class R> SSPO_DEVICE static R identity() { return R(0); }
  SSPO_DEVICE static Run step(Run a, C x, C, Index) { return a + x; }
  SSPO_DEVICE static Total join(Total a, Total b) { return a + b; }
  SSPO_DEVICE static Total finish(Total a, double divisor) {
    if constexpr (std::is_integral_v<C>) return a;
    else return a / divisor;
  }
};
template <class C> struct SumSquares : Sum<C> {
  SSPO_DEVICE static C step(C a, C x, C center, Index) { return std::fma(x - center, x - center, a); }
};
template <class C> struct WideSumSquares : Sum<double> {  // each square in f64
  SSPO_DEVICE static double step(double a, C x, C, Index) { return std::fma(double(x), double(x), a); }
};
template <class C> SSPO_DEVICE C lowest() {
  if constexpr (std::is_integral_v<C>) return std::numeric_limits<C>::min();
  else return -std::numeric_limits<C>::infinity();
}
template <class C> struct Max {  // a NaN wins
  using Run = C;
  using Total = C;
  template <class R> SSPO_DEVICE static R identity() { return lowest<C>(); }
  SSPO_DEVICE static C join(C a, C b) { return a > b || a != a ? a : b; }
  SSPO_DEVICE static C step(C a, C x, C, Index) { return join(x, a); }
  SSPO_DEVICE static C finish(C a, double) { return a; }
};
template <class C> struct Min : Max<C> {
  template <class R> SSPO_DEVICE static R identity() {
    if constexpr (std::is_integral_v<C>) return std::numeric_limits<C>::max();
    else return std::numeric_limits<C>::infinity();
  }
  SSPO_DEVICE static C join(C a, C b) { return a < b || a != a ? a : b; }
  SSPO_DEVICE static C step(C a, C x, C, Index) { return join(x, a); }
};
template <class C> struct Best {
  C value;
  Index at;
};
template <class C> struct ArgMax {  // the first of the largest; the first NaN, if any
  using Run = Best<C>;
  using Total = Best<C>;
  template <class R> SSPO_DEVICE static R identity() { return {lowest<C>(), std::numeric_limits<Index>::max()}; }
  SSPO_DEVICE static Run join(Run a, Run b) {
    const bool more = a.value > b.value || (a.value != a.value && b.value == b.value);
    const bool less = b.value > a.value || (b.value != b.value && a.value == a.value);
    return more || (!less && a.at < b.at) ? a : b;
  }
  SSPO_DEVICE static Run step(Run a, C x, C, Index at) { return join(a, {x, at}); }
  SSPO_DEVICE static Index finish(Total a, double) { return a.at; }
};
template <class Op> struct Join {
  SSPO_DEVICE typename Op::Total operator()(typename Op::Total a, typename Op::Total b) const { return Op::join(a, b); }
};

constexpr int reduce_threads = 256, loads_in_flight = 4;

// How the middle axis is cut: `stretches` parts of `stretch` packs (rows) or rows (columns), one block or team each.
struct Cut {
  Index stretch, stretches;
};
Cut cut_of(Index count, Index blocks, Index least) {  // about 1024 blocks in all, none with fewer than `least`
  const Index wanted = std::clamp<Index>(ceil_div(1024, std::max<Index>(blocks, 1)), 1, 512);
  const Index stretch = std::max<Index>({ceil_div(count, wanted), least, 1});
  return {stretch, std::max<Index>(ceil_div(count, stretch), 1)};
}

// --- inner == 1: rows
// Owns:  team of 8, 32 or 256 threads = one stretch of one row; thread = every team-th pack of it.   Costs: x read once.
template <class Op, class T, class Y, int V>
__global__ void __launch_bounds__(reduce_threads) reduce_rows(ReductionArgs a, Cut cut, int team, typename Op::Total* parts) {
  using C = Compute<T>;
  using Total = typename Op::Total;
  constexpr int U = loads_in_flight;
  const Index unit = (Index(blockIdx.x) * reduce_threads + threadIdx.x) / team, last = a.outer * cut.stretches - 1;
  const Index mine = unit < last ? unit : last, o = mine / cut.stretches, first = mine % cut.stretches * cut.stretch;
  const Index packs = a.count / V, n = packs - first < cut.stretch ? packs - first : cut.stretch;
  const int member = int(threadIdx.x) % team;
  const T* const x = static_cast<const T*>(a.x) + o * a.count;
  const C center = a.center ? C(value(static_cast<const Y*>(a.center)[o])) : C(0);
  Total total = Op::template identity<Total>();
  for (Index i = member; i < n; i += U * team) {
    Pack<T, V> raw[U];
    const int rows = int((n - i < U * team ? n - i : U * team) + team - 1) / team;
    load_rows(raw, x + (first + i) * V, Index(team) * V, rows);
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      C e[V];
      unpack(raw[u], e);
      auto run = Op::template identity<typename Op::Run>();
      for (int v = 0; v < V; ++v) run = Op::step(run, e[v], center, (first + i + u * team) * V + v);
      total = Op::join(total, Total(run));
    }
  }
  if (team <= 32) total = warp_fold(total, Join<Op>{}, team);
  else total = team_fold<reduce_threads>(total, Join<Op>{});
  if (member > 0 || unit > last) return;
  if (cut.stretches > 1) parts[unit] = total;
  else static_cast<Y*>(a.y)[o] = rounded<Y>(Op::finish(total, a.divisor));
}

// --- inner > 1: columns
// Owns:  block = `columns` packs of one stretch of one outer index; thread = one pack and every `step`-th row.   Costs: x read once.
template <class Op, class T, class Y, int V>
__global__ void __launch_bounds__(reduce_threads) reduce_columns(ReductionArgs a, Cut cut, int columns, int across,
                                                                 typename Op::Total* parts) {
  using C = Compute<T>;
  using Total = typename Op::Total;
  constexpr int U = loads_in_flight, slots = reduce_threads / 2;
  SSPO_SHARED(unsigned char, memory, [V * slots * sizeof(Total)]);
  Total* const upper = reinterpret_cast<Total*>(memory);  // [V, slots]
  const Index block = blockIdx.x, o = block / across / cut.stretches, k = block / across % cut.stretches;
  const int column = int(threadIdx.x) % columns, row = int(threadIdx.x) / columns, step = reduce_threads / columns;
  const Index pack = block % across * columns + column, at = pack * V;
  const bool active = row < step && at < a.inner;
  const int n = active ? int(a.count - k * cut.stretch < cut.stretch ? a.count - k * cut.stretch : cut.stretch) : 0;
  const T* const x = static_cast<const T*>(a.x) + (o * a.count + k * cut.stretch) * a.inner + at;
  C center[V];
  for (int v = 0; v < V; ++v) center[v] = a.center && active ? C(value(static_cast<const Y*>(a.center)[o * a.inner + at + v])) : C(0);
  Total total[V];
  for (Total& t : total) t = Op::template identity<Total>();
  for (int r = row; r < n; r += U * step) {  // 1. a thread's rows
    Pack<T, V> raw[U];
    const int rows = (n - r + step - 1) / step;
    load_rows(raw, x + r * a.inner, step * a.inner, rows);
    typename Op::Run run[V];
    for (auto& q : run) q = Op::template identity<typename Op::Run>();
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      C e[V];
      unpack(raw[u], e);
      for (int v = 0; v < V; ++v) run[v] = Op::step(run[v], e[v], center[v], k * cut.stretch + r + u * step);
    }
    for (int v = 0; v < V; ++v) total[v] = Op::join(total[v], Total(run[v]));
  }
  for (int rows = step; rows > 1;) {  // 2. rows of threads, by halves
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (row >= half && row < rows)
      for (int v = 0; v < V; ++v) upper[v * slots + (row - half) * columns + column] = total[v];
    __syncthreads();
    if (row + half < rows)
      for (int v = 0; v < V; ++v) total[v] = Op::join(total[v], upper[v * slots + row * columns + column]);
    rows = half;
  }
  if (!active || row > 0) return;
  if (cut.stretches > 1) return write_pack(parts + (o * cut.stretches + k) * a.inner + at, total);
  Y out[V];
  for (int v = 0; v < V; ++v) out[v] = rounded<Y>(Op::finish(total[v], a.divisor));
  write_pack(static_cast<Y*>(a.y) + o * a.inner + at, out);
}

// --- parts [outer, stretches, inner] joined in order
// Owns:  block = 32 results; lane = one of them, warp = every `join_rows`-th part.
constexpr int join_rows = 16;
template <class Op, class Y>
__global__ void __launch_bounds__(32 * join_rows) join_parts(ReductionArgs a, Index stretches, const typename Op::Total* parts) {
  using Total = typename Op::Total;
  SSPO_SHARED(unsigned char, memory, [join_rows * 32 * sizeof(Total)]);
  Total* const totals = reinterpret_cast<Total*>(memory);  // [join_rows, 32]
  const Index result = Index(blockIdx.x) * 32 + lane_id(), last = a.outer * a.inner - 1, mine = result < last ? result : last;
  const int row = int(threadIdx.x) / 32;
  const Total* const from = parts + mine / a.inner * stretches * a.inner + mine % a.inner;
  Total total = Op::template identity<Total>();
  for (Index k = row; k < stretches; k += join_rows) total = Op::join(total, from[k * a.inner]);
  totals[row * 32 + lane_id()] = total;
  __syncthreads();
  if (row > 0 || result > last) return;
  for (int r = 1; r < join_rows; ++r) total = Op::join(total, totals[r * 32 + lane_id()]);
  static_cast<Y*>(a.y)[result] = rounded<Y>(Op::finish(total, a.divisor));
}

// --- launches

template <class Op, class T, class Y, int V> void reduce_packs(const Context& ctx, const ReductionArgs& a) {
  using Total = typename Op::Total;
  const bool rows = a.inner == 1;
  const Index packs = (rows ? a.count : a.inner) / V;
  const int team = packs <= 64 ? 8 : packs <= 512 ? 32 : reduce_threads;
  const int across = int(packs <= reduce_threads / 2 ? 1 : ceil_div(packs, 64)), columns = int(ceil_div(packs, across));
  Cut cut{packs, 1};
  if (!rows) cut = cut_of(a.count, a.outer * across, 16 * (reduce_threads / columns));
  else if (team == reduce_threads) cut = cut_of(packs, a.outer, 16 * reduce_threads);
  std::optional<Workspace> memory;
  if (cut.stretches > 1) memory.emplace(ctx, std::size_t(a.outer * cut.stretches * a.inner) * sizeof(Total), "reduce");
  Total* const parts = memory ? memory->as<Total>() : nullptr;
  if (rows) {
    const Extent grid = blocks_along_x(ceil_div(a.outer * cut.stretches * team, reduce_threads));
    launch(ctx.stream, {"reduce_rows", grid, {reduce_threads}}, reduce_rows<Op, T, Y, V>, a, cut, team, parts);
  } else {
    const Extent grid = blocks_along_x(a.outer * cut.stretches * across);
    launch(ctx.stream, {"reduce_columns", grid, {reduce_threads}}, reduce_columns<Op, T, Y, V>, a, cut, columns, across, parts);
  }
  if (cut.stretches > 1)
    launch(ctx.stream, {"join_parts", blocks_along_x(ceil_div(a.outer * a.inner, 32)), {32 * join_rows}}, join_parts<Op, Y>, a,
           cut.stretches, parts);
}
template <class Op, class T, class Y> void reduce(const Context& ctx, const ReductionArgs& a) {
  if (a.outer * a.inner == 0) return;
  const bool wide = a.inner == 1 ? wide_rows<T>(a.count, a.x) : wide_rows<T>(a.inner, a.x, a.y);
  visit_pack<T>(wide, [&](auto pack) { reduce_packs<Op, T, Y, decltype(pack)::value>(ctx, a); });
}

[[noreturn]] void no_kernel(const char* op, DType in, DType out) {
  fail({.op = op, .what = "no kernel for these dtypes", .expected = "f32, f64, bf16 or i64 to the same, or bf16 to f32",
        .got = std::string(name_of(in)) + " to " + std::string(name_of(out)), .hint = "convert with to(x, dtype)"});
}
template <template <class> class Op>
void reduce_floats(const Context& ctx, const char* op, DType in, DType out, const ReductionArgs& a) {
  if (in == DType::bf16 && out == DType::f32) return reduce<Op<float>, bf16, float>(ctx, a);
  if (in != out) no_kernel(op, in, out);
  visit_floats(op, in, [&]<class T>(std::type_identity<T>) { reduce<Op<Compute<T>>, T, T>(ctx, a); });
}
template <template <class> class Op>
void reduce_numbers(const Context& ctx, const char* op, DType in, DType out, const ReductionArgs& a) {
  if (in == DType::i64 && out == DType::i64) return reduce<Op<std::int64_t>, std::int64_t, std::int64_t>(ctx, a);
  reduce_floats<Op>(ctx, op, in, out, a);
}

}  // namespace

void reduce_sum(const Context& ctx, DType in, DType out, const ReductionArgs& a) { reduce_numbers<Sum>(ctx, "sum", in, out, a); }
void reduce_sum_squares(const Context& ctx, DType in, DType out, const ReductionArgs& a) {
  reduce_floats<SumSquares>(ctx, "sum_squares", in, out, a);
}
void reduce_max(const Context& ctx, DType in, DType out, const ReductionArgs& a) { reduce_numbers<Max>(ctx, "max", in, out, a); }
void reduce_min(const Context& ctx, DType in, DType out, const ReductionArgs& a) { reduce_numbers<Min>(ctx, "min", in, out, a); }
void reduce_argmax(const Context& ctx, DType in, const ReductionArgs& a) {
  if (in == DType::i64) return reduce<ArgMax<std::int64_t>, std::int64_t, std::int64_t>(ctx, a);
  visit_floats("argmax", in, [&]<class T>(std::type_identity<T>) { reduce<ArgMax<Compute<T>>, T, std::int64_t>(ctx, a); });
}

void sums_of_squares(const Context& ctx, std::span<const View> xs, double* sums) {
  if (xs.empty()) return;
  const Workspace results(ctx, xs.size() * sizeof(double), "sums_of_squares");
  fill(ctx.stream, results.as<void>(), 0, xs.size() * sizeof(double));
  double* result = results.as<double>();
  for (const View& x : xs) {
    if (const Index n = x.shape.numel(); n > 0)
      visit_floats("sums_of_squares", x.dtype, [&]<class T>(std::type_identity<T>) {
        reduce<WideSumSquares<Compute<T>>, T, double>(ctx, {1, n, 1, x.data, result});
      });
    ++result;
  }
  copy_out(ctx.stream, sums, results.as<void>(), xs.size() * sizeof(double));
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
