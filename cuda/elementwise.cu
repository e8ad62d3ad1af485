// One kernel for each op and compute type. Operands are converted where they are read, the result where it is written; their
// dtypes are the same for all threads, so that a switch costs a uniform branch and not a kernel for each.
#include "elementwise.hpp"

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

// Where an operand repeats from row to row (a bias added to a matrix), a warp takes a patch of rows of the walk's innermost axis: packs side
// by side of `down` rows at once, `turns` times. It asks for the operand's packs once in these down * turns rows.
struct Patches {
  std::uint32_t down = 0, turns = 1;  // down: 0 where nothing repeats, 4 or 1; lanes side by side: 32 / down
  std::uint32_t rows = 1;             // that an operand repeats for
  Divisor across, strips;             // patches side by side, one above the other in those rows
};

template <int N> struct EachArgs {
  Lattice<N> places;  // of the operands; that of the result is the element's number
  const void* in[N];
  void* out;
  std::uint32_t n;
  DType in_dtype[N], out_dtype;
  bool splat[N];  // a pack of the result takes one element of the operand
  bool kept[N];   // the operand's pack serves all rows of a patch
  bool packed;
  Patches patches;
};

// y = f(x0, x1, ...)
// Owns:  thread = V elements of the result: a pack, or every 256th of the block's 256 V; in patches a pack of every `down`-th row.
// Costs: each operand read once, but one that repeats once a patch, a single number once a warp; the result written once; the formula.
// Numbers of 8 bytes would take more registers than leave room for 6 blocks.
template <class O, class T>
__global__ void __launch_bounds__(threads, sizeof(T) == 8 ? 6 : 0) elementwise_each(EachArgs<detail::arity<O>()> a, Attrs<O> attrs) {
  constexpr int N = detail::arity<O>(), V = 16 / int(sizeof(T));
  const std::uint32_t base = blockIdx.x * (threads * V);
  const bool packed = a.packed && (a.patches.down || base + threads * V <= a.n);
  std::uint32_t first = base + threadIdx.x * (packed ? V : 1), turns = 1;
  const std::uint32_t step = packed ? 1 : threads, row_size = a.places.extent[0].d;
  if (const Patches& p = a.patches; p.down) {
    const std::uint32_t wide = 32 / p.down, patch = blockIdx.x * (threads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const std::uint32_t strip = p.across.quotient(patch), column = ((patch - strip * p.across.d) * wide + lane % wide) * V;
    const std::uint32_t above = p.strips.quotient(strip), row = (strip - above * p.strips.d) * p.down * p.turns + lane / wide;
    first = (above * p.rows + row) * row_size + column;
    if (column >= row_size || row >= p.rows || first >= a.n) return;
    turns = (p.rows - row + p.down - 1) / p.down;
    turns = turns < p.turns ? turns : p.turns;
  }
  T x[N][V] = {}, y[V];
  Index at[N];
  for (std::uint32_t turn = 0; turn < turns; ++turn, first += a.patches.down * row_size) {
    if (packed) {  // 1. read
      a.places.locate(first, at);
      for (int k = 0; k < N; ++k) {
        if (turn > 0 && a.kept[k]) continue;
        stored_as<T>(a.in_dtype[k], [&]<class S>(std::type_identity<S>) {
          const S* const p = static_cast<const S*>(a.in[k]) + at[k];
          S pack[V];
          if (a.splat[k]) {
            const S one = *p;
            for (int i = 0; i < V; ++i) pack[i] = one;
          } else {
            read_pack(p, pack);
          }
          for (int i = 0; i < V; ++i) x[k][i] = convert<T>(pack[i]);
        });
      }
    } else {
      for (int i = 0; i < V; ++i) {
        if (first + std::uint32_t(i) * step >= a.n) break;
        a.places.locate(first + std::uint32_t(i) * step, at);
        for (int k = 0; k < N; ++k)
          stored_as<T>(a.in_dtype[k], [&]<class S>(std::type_identity<S>) {
            x[k][i] = convert<T>(static_cast<const S*>(a.in[k])[at[k]]);
          });
      }
    }
    for (int i = 0; i < V; ++i) {  // 2. compute
      if constexpr (N == 1) y[i] = detail::call_scalar<O, T>(&attrs, x[0][i]);
      else if constexpr (N == 2) y[i] = detail::call_scalar<O, T>(&attrs, x[0][i], x[1][i]);
      else y[i] = detail::call_scalar<O, T>(&attrs, x[0][i], x[1][i], x[2][i]);
    }
    stored_as<T>(a.out_dtype, [&]<class S>(std::type_identity<S>) {  // 3. write
      S* const p = static_cast<S*>(a.out) + first;
      S pack[V];
      for (int i = 0; i < V; ++i) pack[i] = convert<S>(y[i]);
      if (packed) return write_pack(p, pack);
      for (int i = 0; i < V; ++i)
        if (first + std::uint32_t(i) * step < a.n) p[std::uint32_t(i) * step] = pack[i];
    });
  }
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

// Eight rows a patch for each operand that repeats keep what is read again within a twelfth of the rest.
template <int N> Patches patches_of(const Walk<N>& w, int V, bool (&kept)[N]) {
  Patches p;
  int repeat = 0;
  for (int k = 0; k < N; ++k) {
    kept[k] = w.rank > 1 && w.stride[k][1] == 0;
    repeat += kept[k] && w.stride[k][0] != 0;
  }
  const Index packs = w.extent[0] / V, rows = w.rank > 1 ? w.extent[1] : 1;
  if (repeat == 0 || packs < 8) return p;  // of a shorter row warps ask for little
  p.down = rows < 4 ? 1 : 4;
  p.rows = std::uint32_t(rows);
  p.turns = std::uint32_t(rows < 4 ? rows : std::min<Index>(2 * repeat, (rows + 3) / 4));
  p.across = Divisor((packs * p.down + 31) / 32);
  p.strips = Divisor((rows - 1) / (p.down * p.turns) + 1);
  return p;
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
    EachArgs<N> args{Lattice<N>(part), {}, to, std::uint32_t(n), {}, out.dtype, {}, {}, in_packs(part, in, to, out_item, V), {}};
    if (args.packed) args.patches = patches_of(part, V, args.kept);
    for (int k = 0; k < N; ++k) {
      const View& x = in[std::size_t(k)];
      args.in[k] = x.as<char>() + part.first[k] * Index(size_of(x.dtype));
      args.in_dtype[k] = x.dtype;
      args.splat[k] = part.stride[k][0] == 0;
    }
    const Patches& p = args.patches;
    const Index strips = p.down ? n / (part.extent[0] * part.extent[1]) * p.strips.d : 0;
    const Index lanes = p.down ? strips * p.across.d * 32 : (n + V - 1) / V;
    launch(ctx.stream, one_thread_each(O::info.name.data(), lanes), elementwise_each<O, T>, args, own);
    done += n;
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
