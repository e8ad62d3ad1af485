// One kernel for each op and compute type. Operands are converted where they are read, the result where it is written; their
// dtypes are the same for all threads, so that a switch costs a uniform branch and not a kernel for each.
#include "elementwise.hpp"

#include "broadcast_tiles.cuh"
#include "sspo/ops/elementwise.hpp"
#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

// The dtypes that are computed in T: f(std::type_identity<Stored>) for that of `t`.
template <class T, class F> SSPO_HD bool stored_as(DType t, F&& f) {
  if (t == dtype_of<T>) return f(std::type_identity<T>{}), true;
  if (t == DType::boolean) return f(std::type_identity<bool>{}), true;
  if constexpr (std::is_same_v<T, float>) {
    if (t == DType::bf16) return f(std::type_identity<bf16>{}), true;
    if (t == DType::f16) return f(std::type_identity<f16>{}), true;
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    if (t == DType::i32) return f(std::type_identity<std::int32_t>{}), true;
    if (t == DType::u8) return f(std::type_identity<std::uint8_t>{}), true;
  }
  return false;
}

// V neighbours of an operand, or the first alone, converted.
template <class T, int V> SSPO_DEVICE void read_operand(const void* from, DType dtype, Index at, bool whole_pack, T (&x)[V]) {
  stored_as<T>(dtype, [&]<class S>(std::type_identity<S>) {
    const S* const p = static_cast<const S*>(from) + at;
    S pack[V];
    if (!whole_pack) {
      x[0] = convert<T>(*p);
      return;
    }
    read_pack(p, pack);
    for (int i = 0; i < V; ++i) x[i] = convert<T>(pack[i]);
  });
}
// y of the first `count` numbers.
template <class O, class T, int N, int V> SSPO_DEVICE void compute(const Attrs<O>& attrs, const T (&x)[N][V], T (&y)[V], int count = V) {
  for (int i = 0; i < V; ++i) {
    if (i >= count) y[i] = T(0);
    else if constexpr (N == 1) y[i] = detail::call_scalar<O, T>(&attrs, x[0][i]);
    else if constexpr (N == 2) y[i] = detail::call_scalar<O, T>(&attrs, x[0][i], x[1][i]);
    else y[i] = detail::call_scalar<O, T>(&attrs, x[0][i], x[1][i], x[2][i]);
  }
}

// --- operands as they lie ----------------------------------------------------------------------

template <int N> struct EachArgs {
  Lattice<N> places;  // of the operands; that of the result is the element's number
  const void* in[N];
  void* out;
  std::uint32_t n;
  DType in_dtype[N], out_dtype;
  bool splat[N];  // a pack of the result takes one element of the operand
  bool packed;
};

// y = f(x0, x1, ...)
// Owns:  thread = V elements of the result: a pack, or every 256th of the block's 256 V.
// Costs: each operand read once, a single number once a warp; the result written once; the formula.
// Numbers of 8 bytes would take more registers than leave room for 6 blocks.
template <class O, class T>
__global__ void __launch_bounds__(threads, sizeof(T) == 8 ? 6 : 0) elementwise_each(EachArgs<detail::arity<O>()> a, Attrs<O> attrs) {
  constexpr int N = detail::arity<O>(), V = 16 / int(sizeof(T));
  const std::uint32_t base = blockIdx.x * (threads * V);
  const bool packed = a.packed && base + threads * V <= a.n;
  const std::uint32_t first = base + threadIdx.x * (packed ? V : 1), step = packed ? 1 : threads;
  T x[N][V] = {}, y[V];
  Index at[N];
  if (packed) {  // 1. read
    a.places.locate(first, at);
    for (int k = 0; k < N; ++k) {
      read_operand(a.in[k], a.in_dtype[k], at[k], !a.splat[k], x[k]);
      if (a.splat[k])
        for (int i = 1; i < V; ++i) x[k][i] = x[k][0];
    }
  } else {
    for (int i = 0; i < V; ++i) {
      if (first + std::uint32_t(i) * step >= a.n) break;
      a.places.locate(first + std::uint32_t(i) * step, at);
      for (int k = 0; k < N; ++k)
        stored_as<T>(a.in_dtype[k], [&]<class S>(std::type_identity<S>) { x[k][i] = convert<T>(static_cast<const S*>(a.in[k])[at[k]]); });
    }
  }
  compute<O>(attrs, x, y);                                         // 2. compute
  stored_as<T>(a.out_dtype, [&]<class S>(std::type_identity<S>) {  // 3. write
    S* const p = static_cast<S*>(a.out) + first;
    S pack[V];
    for (int i = 0; i < V; ++i) pack[i] = convert<S>(y[i]);
    if (packed) return write_pack(p, pack);
    for (int i = 0; i < V; ++i)
      if (first + std::uint32_t(i) * step < a.n) p[std::uint32_t(i) * step] = pack[i];
  });
}

// Whether packs of V can be read and written: every operand side by side or one value along the innermost axis, all aligned.
template <int N> bool in_packs(const Walk<N>& w, std::span<const View> in, const void* out, std::size_t out_item, int V) {
  bool packed = reinterpret_cast<std::uintptr_t>(out) % (std::size_t(V) * out_item) == 0 && (w.rank == 1 || w.extent[0] % V == 0);
  for (int k = 0; k < N; ++k) {
    const View& x = in[std::size_t(k)];
    packed = packed && (w.stride[k][0] == 0 || w.packs(k, x.data, size_of(x.dtype), V));
  }
  return packed;
}

// --- operands that repeat ----------------------------------------------------------------------

// y = f(x0, x1, ...), some operands the same for many elements
// Owns:  block = one tile (broadcast_tiles.cuh); warp = 32 neighbours of it at a time, packs or single elements.
// Costs: what repeats once a tile, the other operands and the result once.   Needs: what repeats in a tile in shared memory.
template <class O, class T>
__global__ void __launch_bounds__(threads, sizeof(T) == 8 ? 5 : 0) elementwise_tiles(EachArgs<detail::arity<O>()> a, Tiles<detail::arity<O>()> t, Attrs<O> attrs) {
  constexpr int N = detail::arity<O>(), V = 16 / int(sizeof(T));
  T* const kept = dynamic_shared<T>();
  const TileOf tile(t, blockIdx.x);
  Index at[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {  // 1. what repeats, into shared memory
    const Staged& s = t.staged[k];
    if (!s.here) continue;
    const bool whole_packs = a.packed && s.step[0];
    const std::uint32_t step = whole_packs ? V : 1, columns = s.step[0] ? tile.columns : 1, rows = s.step[1] ? tile.rows : 1;
    const std::uint32_t all = columns * rows * (s.step[2] ? tile.layers : 1);
    a.places.locate(tile.begin, at);
    const std::uint32_t ahead = std::uint32_t(at[k]) % 32;  // the first access begins at a sector
    for (std::uint32_t first = threadIdx.x / 32 * 32 * step; first < all + ahead; first += threads * step) {
      if (const std::uint32_t i = first + threadIdx.x % 32 * step - ahead; i < all) {
        const std::uint32_t row = i / columns, c = i - row * columns, l = row / rows, r = row - l * rows;
        a.places.locate(tile.begin + (l * t.extent[1] + r) * t.extent[0] + c, at);
        T x[V];
        read_operand(a.in[k], a.in_dtype[k], at[k], whole_packs, x);
        T* const to = kept + s.first + c + r * s.step[1] + l * s.step[2];
        if (whole_packs) write_pack(to, x);
        else *to = x[0];
      }
      __syncwarp();
    }
  }
  __syncthreads();
  for (int k = 0; k < N; ++k) {  // and the first columns behind the last
    const Staged& s = t.staged[k];
    for (std::uint32_t i = threadIdx.x; s.wraps && i < t.together * (s.step[2] ? tile.layers : 1); i += threads) {
      T* const row = kept + s.first + i / t.together * s.step[2];
      row[tile.columns + i % t.together] = row[i % t.together];
    }
  }
  __syncthreads();

  const std::uint32_t unit = a.packed ? V : 1, turns = (tile.run_size + 31 + 32 * unit - 1) / (32 * unit);  // a run's; the first begins at a sector
  for (std::uint32_t i = threadIdx.x / 32; i < tile.runs * turns; i += threads / 32) {
    const std::uint32_t run = i / turns, begin = tile.row_begin(t, run * tile.run_rows);
    const std::uint32_t e = begin / 32 * 32 + ((i - run * turns) * 32 + threadIdx.x % 32) * unit;
    if (e >= begin && e < begin + tile.run_size) {
      const TilePlace p = tile.place(t, run, begin, e);
      T x[N][V] = {}, y[V];
      a.places.locate(e, at);
#pragma unroll
      for (int k = 0; k < N; ++k) {  // 2. read
        if (!t.staged[k].here) {
          read_operand(a.in[k], a.in_dtype[k], at[k], a.packed, x[k]);
        } else if (const T* const q = kept + p.slot(t, t.staged[k]); a.packed && t.staged[k].step[0]) {
          read_pack(q, x[k]);
        } else {
          for (int v = 0; v < V; ++v) x[k][v] = *q;
        }
      }
      compute<O>(attrs, x, y, int(unit));                                   // 3. compute
      stored_as<T>(a.out_dtype, [&]<class S>(std::type_identity<S>) {  // 4. write
        S* const to = static_cast<S*>(a.out) + e;
        S pack[V];
        for (int v = 0; v < V; ++v) pack[v] = convert<S>(y[v]);
        if (a.packed) write_pack(to, pack);
        else *to = pack[0];
      });
    }
    __syncwarp();  // lanes beyond a run's ends meet the others again
  }
}

template <int N> Walk<N> walk_of(std::span<const View> in, const Shape& shape) {
  if constexpr (N == 1) return Walk<1>(shape, {&in[0].strides});
  else if constexpr (N == 2) return Walk<2>(shape, {&in[0].strides, &in[1].strides});
  else return Walk<3>(shape, {&in[0].strides, &in[1].strides, &in[2].strides});
}

template <class T> void check_dtype(const View& x, std::string_view op) {
  if (!stored_as<T>(x.dtype, [](auto) {}))
    fail({.op = std::string(op), .what = "a dtype that the kernel does not read",
          .expected = "one computed in " + std::string(name_of(dtype_of<T>)), .got = std::string(name_of(x.dtype)),
          .hint = "cast(x, ...) converts", .kind = ErrorKind::internal});
}

template <class O, class T> void run(const Context& ctx, const void* attrs, std::span<const View> in, const View& out) {
  constexpr int N = detail::arity<O>(), V = 16 / int(sizeof(T));
  for (const View& x : in) check_dtype<T>(x, O::info.name);
  check_dtype<T>(out, O::info.name);
  Attrs<O> own{};
  if constexpr (requires { typename O::Attrs; }) own = *static_cast<const Attrs<O>*>(attrs);
  const std::size_t out_item = size_of(out.dtype);
  Index done = 0;
  walk_of<N>(in, out.shape).in_parts(most_places, [&](const Walk<N>& part) {
    const Index n = part.size();
    void* const to = out.as<char>() + std::size_t(done) * out_item;
    EachArgs<N> args{Lattice<N>(part), {}, to, std::uint32_t(n), {}, out.dtype, {}, in_packs(part, in, to, out_item, V)};
    int items[N];
    for (int k = 0; k < N; ++k) {
      const View& x = in[std::size_t(k)];
      args.in[k] = x.as<char>() + part.first[k] * Index(size_of(x.dtype));
      args.in_dtype[k] = x.dtype;
      args.splat[k] = part.stride[k][0] == 0;
      items[k] = int(size_of(x.dtype));
    }
    done += n;
    const TileNeeds<N> needs{part, items, int(out_item), int(sizeof(T)), args.packed};
    if (!needs.tiles()) return launch(ctx.stream, one_thread_each(O::info.name.data(), (n + V - 1) / V), elementwise_each<O, T>, args, own);
    args.packed = args.packed && part.extent[0] % V == 0;  // a row of any length has packs but for its end, a tile none
    const Tiles<N> tiles = needs.cut();
    LaunchPlan plan = one_block_each(O::info.name.data(), tiles.count);
    plan.shared_bytes = std::size_t(tiles.slots) * sizeof(T);
    launch(ctx.stream, plan, elementwise_tiles<O, T>, args, tiles, own);
  });
}

using Run = void (*)(const Context&, const void*, std::span<const View>, const View&);
template <class O> constexpr Run on_integers() {
  if constexpr (detail::on_integers<O>()) return &run<O, std::int64_t>;
  else return nullptr;
}
template <class List> struct Table;
template <class... O> struct Table<OpList<O...>> {
  static constexpr Run f32[] = {&run<O, float>...};
  static constexpr Run f64[] = {&run<O, double>...};
  static constexpr Run i64[] = {on_integers<O>()...};
};
using Ops = Table<ElementwiseOps>;

Run find(int op, DType compute) {
  if (op < 0 || op >= ElementwiseOps::size) return nullptr;
  return compute == DType::f64 ? Ops::f64[op] : compute == DType::i64 ? Ops::i64[op] : Ops::f32[op];
}

}  // namespace

bool supports_elementwise(const detail::Loops& loops, DType compute) { return find(loops.builtin, compute) != nullptr; }

void elementwise(const Context& ctx, int op, const void* attrs, std::span<const View> in, const View& out, DType compute) {
  const Run run = find(op, compute);
  if (!run)
    fail({.op = "elementwise", .what = "no such kernel on the device", .expected = "an op of the engine, on a dtype it is defined for",
          .got = op < 0 ? "an op of the user's own" : "op " + std::to_string(op) + " computed in " + std::string(name_of(compute)),
          .hint = "the CPU runs it"});
  run(ctx, attrs, in, out);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
