#include "cpu/elementwise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/dispatch.hpp"
#include "cpu/parallel.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(ElementwiseKernels, elementwise_kernels, elementwise_table)

namespace {

constexpr Index block_size = 1024;         // elements of an operand in L1 at a time
constexpr Index task_size = 32 * block_size;
constexpr Index long_row = 256;            // rows this long are read in place

// f32 on the way to 16 bits. What does not fit is rounded to the neighbour with an odd last bit, so that the
// second rounding comes out as one from x would: never a tie that x was not.
inline float rounded_to_odd(double x) {
  const float f = float(x);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if (double(f) == x || (bits & 0x7f800000u) == 0x7f800000u || bits & 1u) return f;
  const std::uint32_t sign = x < 0 ? 0x80000000u : 0u, size = bits & 0x7fffffffu;
  return std::bit_cast<float>(sign | (std::abs(x) > std::abs(double(f)) ? size + 1 : size - 1));
}
inline float rounded_to_odd(std::int64_t x) {
  if (x & 0x3ff && (x >= (std::int64_t(1) << 53) || x <= -(std::int64_t(1) << 53))) x = (x & ~std::int64_t(0x3ff)) | 0x400;
  return rounded_to_odd(double(x));
}

template <class To, class From>
inline To convert(From x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else if constexpr (std::is_same_v<From, bf16> || std::is_same_v<From, f16>) return convert<To>(to_float(x));
  else if constexpr (std::is_same_v<To, bf16> || std::is_same_v<To, f16>) {
    if constexpr (std::is_same_v<From, float>) return To(x);
    else if constexpr (std::is_same_v<From, double>) return To(rounded_to_odd(x));
    else return To(rounded_to_odd(std::int64_t(x)));
  }
  else if constexpr (std::is_same_v<To, bool>) return x != From(0);
  else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Towards zero, as in C, but saturating: never undefined.
    constexpr double low = double(std::numeric_limits<To>::min()), high = double(std::numeric_limits<To>::max());
    const double v = double(x);
    if (v != v) return To(0);
    return v <= low ? std::numeric_limits<To>::min() : v >= high ? std::numeric_limits<To>::max() : To(v);
  } else return To(x);
}

template <class To, class From>
void convert_run(const void* from, Index stride, void* to, Index to_stride, Index n) {
  const From* x = static_cast<const From*>(from);
  To* y = static_cast<To*>(to);
  if constexpr (std::is_same_v<To, From>) {
    if (stride == 1 && to_stride == 1) { std::memcpy(y, x, std::size_t(n) * sizeof(To)); return; }
  }
  if (to_stride == 1 && stride == 0) {
    const To v = convert<To>(x[0]);
    for (Index i = 0; i < n; ++i) y[i] = v;
  } else if (to_stride == 1 && stride == 1) {
    for (Index i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
  } else {
    for (Index i = 0; i < n; ++i) y[i * to_stride] = convert<To>(x[i * stride]);
  }
}
using ConvertRun = void (*)(const void*, Index, void*, Index, Index);

ConvertRun convert_between(DType from, DType to) {
  return visit(from, [&]<class From>(std::type_identity<From>) {
    return visit(to, [&]<class To>(std::type_identity<To>) -> ConvertRun { return &convert_run<To, From>; });
  });
}

// Up to four views of one shape, with neighbouring axes merged where every view allows it.
struct Walk {
  int rank = 1;
  Index extent[max_rank] = {1};
  Index stride[4][max_rank] = {};

  Walk(const Shape& shape, const Strides* strides, int views) {
    bool first = true;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] == 1) continue;
      const std::size_t a = std::size_t(axis);
      bool merges = !first;
      for (int v = 0; v < views && merges; ++v) merges = stride[v][rank - 1] == strides[v][a] * shape[axis];
      if (!merges) {
        if (!first) ++rank;
        extent[rank - 1] = 1;
        first = false;
      }
      extent[rank - 1] *= shape[axis];
      for (int v = 0; v < views; ++v) stride[v][rank - 1] = strides[v][a];
    }
  }
  Index inner() const { return extent[rank - 1]; }
};

// Calls run(position in each view, elements) for each stretch of the inner axis in [first, first + n).
template <class F>
void for_each_run(const Walk& w, int views, Index first, Index n, F&& run) {
  Index index[max_rank], at[4] = {};
  Index rest = first;
  for (int a = w.rank - 1; a >= 0; --a) {
    index[a] = rest % w.extent[a];
    rest /= w.extent[a];
    for (int v = 0; v < views; ++v) at[v] += index[a] * w.stride[v][a];
  }
  while (n > 0) {
    const int last = w.rank - 1;
    const Index length = std::min(n, w.extent[last] - index[last]);
    run(at, length);
    n -= length;
    for (int v = 0; v < views; ++v) at[v] -= index[last] * w.stride[v][last];  // to the row's start, then to the next row
    index[last] = 0;
    for (int a = last - 1; a >= 0; --a) {
      for (int v = 0; v < views; ++v) at[v] += w.stride[v][a];
      if (++index[a] < w.extent[a]) break;
      for (int v = 0; v < views; ++v) at[v] -= w.extent[a] * w.stride[v][a];
      index[a] = 0;
    }
  }
}

const void* offset(const void* p, Index elements, DType t) { return static_cast<const char*>(p) + elements * Index(size_of(t)); }

}  // namespace

void elementwise(const Context& ctx, const ElementwiseArgs& args) {
  const ElementwiseKernels& table = elementwise_kernels(ctx.isa);
  const int op = args.loops.builtin;
  const detail::InnerLoop loop =
      args.compute == DType::f64   ? (op >= 0 ? table.f64[op] : args.loops.f64)
      : args.compute == DType::i64 ? (op >= 0 ? table.i64[op] : args.loops.i64)
                                   : (op >= 0 ? table.f32[op] : args.loops.f32);
  const int operands = int(args.in.size());
  const Index n = args.out.shape.numel();
  if (n == 0) return;
  Strides strides[3];
  for (int k = 0; k < operands; ++k) strides[k] = args.in[std::size_t(k)].strides;
  // The output is contiguous; walking it as a fourth view keeps the merged axes in its order.
  const Walk walk(args.out.shape, strides, operands);
  ConvertRun gather[3];
  for (int k = 0; k < operands; ++k) gather[k] = convert_between(args.in[std::size_t(k)].dtype, args.compute);
  const ConvertRun put = convert_between(args.compute, args.out.dtype);
  const bool direct_out = args.out.dtype == args.compute;
  const bool rows = walk.rank == 1 || walk.inner() >= long_row;
  const std::size_t item = size_of(args.compute);

  parallel_for(ctx, (n + task_size - 1) / task_size, [&](Index task, int) {
    alignas(64) char scratch[4][block_size * 8];
    bool splat[3] = {};  // scratch[k] already holds operand k's one value
    const Index end = std::min(n, (task + 1) * task_size);
    for (Index first = task * task_size; first < end;) {
      Index count = std::min(block_size, end - first);
      if (rows) count = std::min(count, walk.inner() - first % walk.inner());
      const void* in[3];
      for (int k = 0; k < operands; ++k) {
        const View& x = args.in[std::size_t(k)];
        if (rows) {
          Index at = 0, rest = first;
          for (int a = walk.rank - 1; a >= 0; rest /= walk.extent[a], --a) at += rest % walk.extent[a] * walk.stride[k][a];
          const Index stride = walk.stride[k][walk.rank - 1];
          const void* p = offset(x.data, at, x.dtype);
          if (stride == 1 && x.dtype == args.compute) in[k] = p;
          else {
            if (stride != 0 || walk.rank > 1 || !splat[k])
              gather[k](p, stride, scratch[k], 1, stride == 0 && walk.rank == 1 ? block_size : count);
            splat[k] = true;
            in[k] = scratch[k];
          }
        } else {
          Index done = 0;
          for_each_run(walk, operands, first, count, [&](const Index* at, Index length) {
            gather[k](offset(x.data, at[k], x.dtype), walk.stride[k][walk.rank - 1], scratch[k] + std::size_t(done) * item, 1, length);
            done += length;
          });
          in[k] = scratch[k];
        }
      }
      void* y = direct_out ? const_cast<void*>(offset(args.out.data, first, args.out.dtype)) : scratch[3];
      loop(in, y, count, args.attrs);
      if (!direct_out) put(y, 1, const_cast<void*>(offset(args.out.data, first, args.out.dtype)), 1, count);
      first += count;
    }
  });
}

void copy(const Context& ctx, const View& from, const View& to) {
  const Index n = to.shape.numel();
  if (n == 0) return;
  const Strides strides[2] = {from.strides, to.strides};
  const Walk walk(to.shape, strides, 2);
  const ConvertRun run = convert_between(from.dtype, to.dtype);
  const Index from_step = walk.stride[0][walk.rank - 1], to_step = walk.stride[1][walk.rank - 1];
  parallel_for(ctx, (n + task_size - 1) / task_size, [&](Index task, int) {
    const Index first = task * task_size;
    for_each_run(walk, 2, first, std::min(task_size, n - first), [&](const Index* at, Index length) {
      run(offset(from.data, at[0], from.dtype), from_step, const_cast<void*>(offset(to.data, at[1], to.dtype)), to_step, length);
    });
  });
}

}  // namespace sspo::cpu
