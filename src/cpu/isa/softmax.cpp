#include "cpu/softmax.hpp"

#include "cpu/isa/each_pack.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index task_elements = 16384;
constexpr Index run = 4096;  // elements summed in C before the sum goes to f64

inline Index rows_per_task(Index cols) { return cols >= task_elements ? 1 : task_elements / (cols > 0 ? cols : 1); }

// One row at a time: it stays in L1 or L2 over the three times it is read.
// Owns:  task = a block of rows.
// Costs: x read, y written once; 1 exp and 4 FLOPs an element. bf16 keeps the row's f32 powers in scratch.
template <class T, class C>
struct Softmax {
  using P = Pack<C>;

  // A NaN is passed over here; it comes back through the sum of powers.
  static C row_max(const T* x, Index n) {
    P m[4];
    for (P& v : m) v = C(-__builtin_inf());
    each_pack_chained<C, 4>(n, [&](Index i, auto lanes, auto k) {
      const P v = only<C>(load<C>(x + i, lanes), lanes, m[k]);
      m[k] = select<C>(v > m[k], v, m[k]);
    });
    for (int k = 1; k < 4; ++k) m[0] = select<C>(m[k] > m[0], m[k], m[0]);
    return reduce_max(m[0]);
  }

  // Σ e^(x - max); the powers go to e unless it is null.
  static double powers(const T* x, C* e, Index n, C max) {
    double sum = 0;
    for (Index first = 0; first < n; first += run) {
      P s[2] = {C(0), C(0)};
      each_pack_chained<C, 2>(n - first < run ? n - first : run, [&](Index i, auto lanes, auto k) {
        const P v = exp_difference(load<C>(x + first + i, lanes) - P(max));
        if (e) store(v, e + first + i, lanes);
        s[k] += only<C>(v, lanes);
      });
      sum += double(reduce_add(s[0] + s[1]));
    }
    return sum;
  }

  static void row(const T* x, T* y, Index n, C* scratch) {
    const C max = row_max(x, n);
    C* e = scratch;
    if constexpr (std::is_same_v<T, C>) e = y;
    const P scale = C(1 / powers(x, e, n, max));
    each_pack<C>(n, [&](Index i, auto lanes) { store(load<C>(e + i, lanes) * scale, y + i, lanes); });
  }
  static void log_row(const T* x, T* y, Index n) {
    const C max = row_max(x, n);
    const double sum = powers(x, nullptr, n, max);
    const P log_sum = C(log(Pack<double>(sum))[0]);
    each_pack<C>(n, [&](Index i, auto lanes) { store((load<C>(x + i, lanes) - P(max)) - log_sum, y + i, lanes); });
  }

  static void grad_row(const T* y, const T* g, T* dx, Index n) {
    double dot = 0;
    for (Index first = 0; first < n; first += run) {
      P s[4];
      for (P& v : s) v = C(0);
      each_pack_chained<C, 4>(n - first < run ? n - first : run, [&](Index i, auto lanes, auto k) {
        s[k] = fma(load<C>(y + first + i, lanes), load<C>(g + first + i, lanes), s[k]);
      });
      dot += double(reduce_add((s[0] + s[1]) + (s[2] + s[3])));
    }
    const P d = C(dot);
    each_pack<C>(n, [&](Index i, auto lanes) {
      store(load<C>(y + i, lanes) * (load<C>(g + i, lanes) - d), dx + i, lanes);
    });
  }
  static void log_grad_row(const T* y, const T* g, T* dx, Index n) {
    double sum = 0;
    for (Index first = 0; first < n; first += run) {
      P s[4];
      for (P& v : s) v = C(0);
      each_pack_chained<C, 4>(n - first < run ? n - first : run, [&](Index i, auto lanes, auto k) {
        s[k] += load<C>(g + first + i, lanes);
      });
      sum += double(reduce_add((s[0] + s[1]) + (s[2] + s[3])));
    }
    const P total = C(sum);
    each_pack<C>(n, [&](Index i, auto lanes) {
      store(fma(-exp_nonpositive(load<C>(y + i, lanes)), total, load<C>(g + i, lanes)), dx + i, lanes);
    });
  }
};

template <class T, class C>
void softmax(const Context& ctx, const SoftmaxArgs& args) {
  const Index n = args.cols, block = rows_per_task(n);
  if (args.rows * n == 0) return;
  const bool scratch = !args.log && !std::is_same_v<T, C>;
  Workspace w(ctx, scratch ? std::size_t(n) * sizeof(C) * std::size_t(ctx.threads) : 0);
  parallel_for(ctx, (args.rows + block - 1) / block, [&](Index task, int worker) {
    const Index last = (task + 1) * block < args.rows ? (task + 1) * block : args.rows;
    for (Index r = task * block; r < last; ++r) {
      const T* x = static_cast<const T*>(args.x) + r * n;
      T* y = static_cast<T*>(args.y) + r * n;
      args.log ? Softmax<T, C>::log_row(x, y, n) : Softmax<T, C>::row(x, y, n, scratch ? w.as<C>() + worker * n : nullptr);
    }
  });
}

template <class T, class C>
void softmax_grad(const Context& ctx, const SoftmaxGradArgs& args) {
  const Index n = args.cols, block = rows_per_task(n);
  if (args.rows * n == 0) return;
  parallel_for(ctx, (args.rows + block - 1) / block, [&](Index task, int) {
    const Index last = (task + 1) * block < args.rows ? (task + 1) * block : args.rows;
    for (Index r = task * block; r < last; ++r) {
      const T *y = static_cast<const T*>(args.y) + r * n, *g = static_cast<const T*>(args.g) + r * n;
      T* dx = static_cast<T*>(args.dx) + r * n;
      args.log ? Softmax<T, C>::log_grad_row(y, g, dx, n) : Softmax<T, C>::grad_row(y, g, dx, n);
    }
  });
}

template <class T, class C>
constexpr SoftmaxOf softmax_of = {softmax<T, C>, softmax_grad<T, C>};

}  // namespace

extern const SoftmaxKernels softmax_table;
const SoftmaxKernels softmax_table = {softmax_of<float, float>, softmax_of<double, double>, softmax_of<bf16, float>};

}  // namespace sspo::cpu::SSPO_ISA
