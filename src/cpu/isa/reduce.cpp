#include "cpu/reduce.hpp"

#include "cpu/isa/each_pack.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index task_elements = 32768;
constexpr Index run = 4096;          // elements of a row summed in C before the sum goes to f64
constexpr Index column_block = 1024; // columns whose sums stay in L1
constexpr Index row_block = 8;       // rows summed in registers before a sum in memory is touched

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index least(Index a, Index b) { return a < b ? a : b; }

inline double value(bf16 x) { return double(to_float(x)); }
inline double value(float x) { return double(x); }
inline double value(double x) { return x; }
inline std::int64_t value(std::int64_t x) { return x; }
template <class T, class V> inline T as(V v) {
  if constexpr (sizeof(T) == 2) return T(float(v));
  else return T(v);
}
template <class C> using Total = std::conditional_t<std::is_integral_v<C>, std::int64_t, double>;

// An op: step takes one more element into an accumulator, join merges two accumulators, in packs of C or as Total.
template <class C> struct SumOp {
  static constexpr bool sums = true, centered = false;
  static C identity() { return C(0); }
  template <class P> static P step(P acc, P x, P) { return acc + x; }
  template <class P> static P join(P a, P b) { return a + b; }
};
template <class C> struct SumSquaresOp {
  static constexpr bool sums = true, centered = true;
  static C identity() { return C(0); }
  static Pack<C> step(Pack<C> acc, Pack<C> x, Pack<C> center) { return fma(x - center, x - center, acc); }
  template <class P> static P join(P a, P b) { return a + b; }
};
template <class C> struct MaxOp {
  static constexpr bool sums = false, centered = false;
  static C identity() { return std::is_integral_v<C> ? C(std::int64_t(1) << 63) : C(-__builtin_inf()); }
  static Pack<C> step(Pack<C> acc, Pack<C> x, Pack<C>) { return max(x, acc); }
  static Pack<C> join(Pack<C> a, Pack<C> b) { return max(a, b); }
  template <class S> static S join(S a, S b) { return a > b || a != a ? a : b; }
};
template <class C> struct MinOp {
  static constexpr bool sums = false, centered = false;
  static C identity() { return std::is_integral_v<C> ? C(~(std::uint64_t(1) << 63)) : C(__builtin_inf()); }
  static Pack<C> step(Pack<C> acc, Pack<C> x, Pack<C>) { return min(x, acc); }
  static Pack<C> join(Pack<C> a, Pack<C> b) { return min(a, b); }
  template <class S> static S join(S a, S b) { return a < b || a != a ? a : b; }
};

// --- rows: inner == 1 -------------------------------------------------------------------------
// Owns:  task = a block of rows, or a stretch of one long row; stretches are joined in order.
// Costs: x read once.
template <class Op, class T, class C>
Total<C> reduce_row(const T* x, Index n, C center) {
  using P = Pack<C>;
  Total<C> total = Total<C>(Op::identity());
  for (Index first = 0; first < n; first += run) {
    P acc[8];
    for (P& a : acc) a = Op::identity();
    each_pack_chained<C, 8>(least(run, n - first), [&](Index i, auto lanes, auto k) {
      const P v = load<C>(x + first + i, lanes);
      acc[k] = only<C>(Op::step(acc[k], v, P(center)), lanes, acc[k]);
    });
    for (int half = 4; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) acc[k] = Op::join(acc[k], acc[k + half]);
    C lanes[P::size];
    acc[0].store(lanes);
    for (int half = P::size / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) lanes[k] = Op::join(lanes[k], lanes[k + half]);
    total = Op::join(total, Total<C>(lanes[0]));
  }
  return total;
}

template <class Op, class T, class Y, class C>
void reduce_rows(const Context& ctx, const ReductionArgs& args) {
  const Index O = args.outer, R = args.count;
  const T* x = static_cast<const T*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  const Total<C> divisor = Total<C>(Op::sums && !std::is_integral_v<C> ? args.divisor : 1);
  const auto center = [&](Index o) {
    if constexpr (Op::centered) return args.center ? C(value(static_cast<const Y*>(args.center)[o])) : C(0);
    else return C(0);
  };
  const Index stretches = ceil_div(R, task_elements);
  if (stretches <= 1) {
    const Index rows = task_elements / (R > 0 ? R : 1);
    parallel_for(ctx, ceil_div(O, rows), [&](Index task, int) {
      for (Index o = task * rows; o < least(O, (task + 1) * rows); ++o)
        y[o] = as<Y>(reduce_row<Op, T, C>(x + o * R, R, center(o)) / divisor);
    });
    return;
  }
  Workspace w(ctx, std::size_t(O * stretches) * sizeof(Total<C>));
  Total<C>* parts = w.as<Total<C>>();
  parallel_for(ctx, O * stretches, [&](Index task, int) {
    const Index o = task / stretches, first = task % stretches * task_elements;
    parts[task] = reduce_row<Op, T, C>(x + o * R + first, least(task_elements, R - first), center(o));
  });
  for (Index o = 0; o < O; ++o) {
    Total<C> total = parts[o * stretches];
    for (Index k = 1; k < stretches; ++k) total = Op::join(total, parts[o * stretches + k]);
    y[o] = as<Y>(total / divisor);
  }
}

// --- columns: inner > 1 -----------------------------------------------------------------------
// Owns:  task = some of the outer index, a block of columns, a stretch of rows; stretches are joined in order.
// Costs: x read once; each sum in memory is touched once in row_block rows.
template <class Op, class T, class C>
void reduce_columns_into(const T* x, Index rows, Index inner, Index columns, const C* center, C* acc) {
  using P = Pack<C>;
  for (Index i = 0; i < columns; ++i) acc[i] = Op::identity();
  for (Index r0 = 0; r0 < rows; r0 += row_block) {
    const Index n = least(row_block, rows - r0);
    const T* block = x + r0 * inner;
    each_pack<C>(columns, [&](Index i, auto lanes) {
      P a = Op::identity(), m = C(0);
      if constexpr (Op::centered) m = load<C>(center + i, lanes);
      for (Index r = 0; r < n; ++r) a = Op::step(a, load<C>(block + r * inner + i, lanes), m);
      store(Op::join(load<C>(acc + i, lanes), a), acc + i, lanes);
    });
  }
}

template <class Op, class T, class Y, class C>
void reduce_columns(const Context& ctx, const ReductionArgs& args) {
  const Index O = args.outer, R = args.count, I = args.inner;
  const T* x = static_cast<const T*>(args.x);
  Y* y = static_cast<Y*>(args.y);
  const Total<C> divisor = Total<C>(Op::sums && !std::is_integral_v<C> ? args.divisor : 1);
  const Index width = least(I, column_block), blocks = ceil_div(I, width);
  const Index stretch = (task_elements / width + row_block - 1) / row_block * row_block;
  const Index stretches = R > stretch ? ceil_div(R, stretch) : 1;
  const Index together = blocks == 1 && stretches == 1 ? (task_elements / (R * I > 0 ? R * I : 1) > 1 ? task_elements / (R * I > 0 ? R * I : 1) : 1) : 1;
  Workspace w(ctx, stretches > 1 ? std::size_t(O * stretches * I) * sizeof(C) : 0);
  C* parts = w.as<C>();  // [outer, stretches, inner]
  parallel_for(ctx, ceil_div(O, together) * blocks * stretches, [&](Index task, int) {
    alignas(64) C acc[column_block], center[column_block];
    const Index k = task % stretches, c0 = task / stretches % blocks * width, o0 = task / stretches / blocks * together;
    const Index columns = least(width, I - c0), rows = least(stretch, R - k * stretch);
    for (Index o = o0; o < least(O, o0 + together); ++o) {
      if constexpr (Op::centered)
        for (Index i = 0; i < columns; ++i)
          center[i] = args.center ? C(value(static_cast<const Y*>(args.center)[o * I + c0 + i])) : C(0);
      C* to = stretches > 1 ? parts + (o * stretches + k) * I + c0 : acc;
      reduce_columns_into<Op, T, C>(x + (o * R + k * stretch) * I + c0, rows, I, columns, center, to);
      if (stretches == 1)
        for (Index i = 0; i < columns; ++i) y[o * I + c0 + i] = as<Y>(Total<C>(acc[i]) / divisor);
    }
  });
  if (stretches == 1) return;
  parallel_for(ctx, O * blocks, [&](Index task, int) {
    Total<C> total[column_block];
    const Index o = task / blocks, c0 = task % blocks * width, columns = least(width, I - c0);
    for (Index k = 0; k < stretches; ++k) {
      const C* part = parts + (o * stretches + k) * I + c0;
      for (Index i = 0; i < columns; ++i) total[i] = k == 0 ? Total<C>(part[i]) : Op::join(total[i], Total<C>(part[i]));
    }
    for (Index i = 0; i < columns; ++i) y[o * I + c0 + i] = as<Y>(total[i] / divisor);
  });
}

template <template <class> class Op, class T, class Y, class C>
void reduce(const Context& ctx, const ReductionArgs& args) {
  if (args.outer * args.inner == 0) return;
  args.inner == 1 ? reduce_rows<Op<C>, T, Y, C>(ctx, args) : reduce_columns<Op<C>, T, Y, C>(ctx, args);
}

// --- argmax -----------------------------------------------------------------------------------
template <class C> struct Best { C value; Index at; };
template <class C> inline bool beats(C a, C b) { return a > b || (a != a && b == b); }

// The maximum first, then where it first is: two passes over at most task_elements, the second rarely long.
template <class T, class C>
Best<C> argmax_row(const T* x, Index n) {
  const C top = C(reduce_row<MaxOp<C>, T, C>(x, n, C(0)));
  constexpr Index size = Pack<C>::size;
  const Pack<C> wanted = top;
  const bool nan = top != top;
  Index i = 0;
  for (; i + size <= n; i += size) {
    const Pack<C> v = load_as<C>(x + i);
    if (any<C>(nan ? v != v : v == wanted)) break;
  }
  for (; i < n; ++i) {
    const C v = C(value(x[i]));
    if (nan ? v != v : v == top) break;
  }
  return {top, i};
}
template <class T, class C>
void argmax_rows(const Context& ctx, const ReductionArgs& args) {
  const Index O = args.outer, R = args.count;
  const T* x = static_cast<const T*>(args.x);
  std::int64_t* y = static_cast<std::int64_t*>(args.y);
  const Index stretches = ceil_div(R, task_elements), rows = R < task_elements ? task_elements / R : 1;
  Workspace w(ctx, stretches > 1 ? std::size_t(O * stretches) * sizeof(Best<C>) : 0);
  Best<C>* parts = w.as<Best<C>>();
  parallel_for(ctx, ceil_div(O, rows) * stretches, [&](Index task, int) {
    if (stretches == 1) {
      for (Index o = task * rows; o < least(O, (task + 1) * rows); ++o) y[o] = argmax_row<T, C>(x + o * R, R).at;
    } else {
      const Index first = task % stretches * task_elements;
      parts[task] = argmax_row<T, C>(x + task / stretches * R + first, least(task_elements, R - first));
      parts[task].at += first;
    }
  });
  if (stretches == 1) return;
  for (Index o = 0; o < O; ++o) {
    Best<C> best = parts[o * stretches];
    for (Index k = 1; k < stretches; ++k)
      if (beats(parts[o * stretches + k].value, best.value)) best = parts[o * stretches + k];
    y[o] = best.at;
  }
}

// Owns: task = one outer index and a block of columns.
template <class T, class C>
void argmax_columns(const Context& ctx, const ReductionArgs& args) {
  using P = Pack<C>;
  using B = typename BitsOf<C>::type;
  const Index R = args.count, I = args.inner, width = least(I, column_block), blocks = ceil_div(I, width);
  parallel_for(ctx, args.outer * blocks, [&](Index task, int) {
    alignas(64) C best[column_block];
    alignas(64) B where[column_block];
    const Index o = task / blocks, c0 = task % blocks * width, columns = least(width, I - c0);
    const T* x = static_cast<const T*>(args.x) + o * R * I + c0;
    for (Index i = 0; i < columns; ++i) { best[i] = C(value(x[i])); where[i] = 0; }
    for (Index r0 = 0; r0 < R; r0 += row_block)
      each_pack<C>(columns, [&](Index i, auto lanes) {
        P top = load<C>(best + i, lanes);
        Pack<B> at = load<B>(where + i, lanes);
        for (Index r = r0; r < least(R, r0 + row_block); ++r) {
          const P v = load<C>(x + r * I + i, lanes);
          const typename P::Mask more = (v > top) | ((v != v) & (top == top));
          top = select<C>(more, v, top);
          at = select<B>(more, Pack<B>(B(r)), at);
        }
        store(top, best + i, lanes);
        store(at, where + i, lanes);
      });
    std::int64_t* y = static_cast<std::int64_t*>(args.y) + o * I + c0;
    for (Index i = 0; i < columns; ++i) y[i] = where[i];
  });
}
template <class T, class C>
void argmax(const Context& ctx, const ReductionArgs& args) {
  if (args.outer * args.inner == 0) return;
  args.inner == 1 ? argmax_rows<T, C>(ctx, args) : argmax_columns<T, C>(ctx, args);
}

// --- dot --------------------------------------------------------------------------------------
// Owns: task = a stretch of both; stretches are added in order.  Costs: a and b read once; 2 FLOPs in f64.
template <class T, class C>
double dot(const Context& ctx, const void* a, const void* b, Index n) {
  using D = Pack<double>;
  const Index stretches = ceil_div(n, task_elements);
  Workspace w(ctx, std::size_t(stretches) * sizeof(double));
  double* parts = w.as<double>();
  parallel_for(ctx, stretches, [&](Index task, int) {
    const T *p = static_cast<const T*>(a) + task * task_elements, *q = static_cast<const T*>(b) + task * task_elements;
    D s[4] = {0.0, 0.0, 0.0, 0.0};
    each_pack_chained<C, 2>(least(task_elements, n - task * task_elements), [&](Index i, auto lanes, auto k) {
      const Pack<C> u = load<C>(p + i, lanes), v = load<C>(q + i, lanes);
      if constexpr (sizeof(C) == 4) {
        const Wide x = widen(u), y = widen(v);
        s[2 * k] = fma(x.low, y.low, s[2 * k]);
        s[2 * k + 1] = fma(x.high, y.high, s[2 * k + 1]);
      } else s[k] = fma(u, v, s[k]);
    });
    parts[task] = reduce_add((s[0] + s[1]) + (s[2] + s[3]));
  });
  double total = 0;
  for (Index k = 0; k < stretches; ++k) total += parts[k];
  return total;
}

template <class T, class Y, class C>
constexpr ReduceOf reduce_of = {reduce<SumOp, T, Y, C>, reduce<SumSquaresOp, T, Y, C>, reduce<MaxOp, T, Y, C>,
                                reduce<MinOp, T, Y, C>, argmax<T, C>, dot<T, C>};
using I64 = std::int64_t;

}  // namespace

extern const ReduceKernels reduce_table;
const ReduceKernels reduce_table = {
    reduce_of<float, float, float>, reduce_of<double, double, double>, reduce_of<bf16, bf16, float>, reduce_of<bf16, float, float>,
    {reduce<SumOp, I64, I64, I64>, nullptr, reduce<MaxOp, I64, I64, I64>, reduce<MinOp, I64, I64, I64>, argmax<I64, I64>, nullptr}};

}  // namespace sspo::cpu::SSPO_ISA
